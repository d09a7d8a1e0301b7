import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { stripVTControlCharacters } from "node:util";
import { type Format, openLog, printable, stackOf } from "../lib/log.ts";

const noon = new Date("2026-01-01T12:00:00.123Z");

/** What the log writes for one use of it. */
function written(format: Format, use: (log: ReturnType<typeof openLog>) => void): string {
  let text = "";
  const log = openLog(
    format,
    (more) => {
      text += more;
    },
    () => noon,
  );
  use(log);
  log.flush();
  return text;
}

test("a JSON line has its time, level and message first, then the fields", () => {
  const text = written("json", (log) =>
    log.with({ source: "default" }).warn("refused", { status: 401, event: undefined }),
  );
  assert.equal(
    text,
    '{"time":"2026-01-01T12:00:00.123Z","level":"warn","message":"refused","source":"default","status":401}\n',
  );
});

test("a pretty line is one line for a person, and a stack follows on lines of its own", () => {
  const text = written("pretty", (log) =>
    log.error("failed", { status: 500, path: "/webhook", stack: "Error: x\n    at y" }),
  );
  assert.equal(
    stripVTControlCharacters(text),
    "12:00:00.123 error failed  status=500  path=/webhook\n    | Error: x\n    |     at y\n",
  );
});

for (const format of ["json", "pretty"] as const) {
  test(`the ${format} log redacts what a field's name says is secret, at any depth`, () => {
    const fields = {
      secret: "s3cr3t-1",
      headers: {
        authorization: "Bearer s3cr3t-2",
        "x-hub-signature-256": "sha256=s3cr3t-3",
        cookie: "s3cr3t-4",
      },
      list: [{ apiKey: "s3cr3t-5", access_token: "s3cr3t-6" }],
      password: { deep: "s3cr3t-7" },
      status: 200,
    };
    const text = written(format, (log) => log.info("looked at", fields));
    assert.equal(text.includes("s3cr3t"), false, text);
    assert.ok(text.includes("200") && text.includes("[redacted]"));
  });

  test(`the ${format} log keeps a forged line break, an escape sequence and a C1 control inside its line`, () => {
    const hostile = 'x\n{"level":"info"}\r\u001b[2J\u009b2J\u2028';
    const text = written(format, (log) => log.info(hostile, { event: hostile, nested: { event: hostile } }));
    assert.equal(text.trimEnd().split("\n").length, 1);
    const plain = format === "pretty" ? stripVTControlCharacters(text) : text;
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    assert.equal(/[\u0000-\u0009\u000b-\u001f]/.test(plain), false);
    if (format === "pretty") assert.equal(/[\u007f-\u009f\u2028]/.test(plain), false);
  });

  test(`the ${format} log writes a line even for a value that cannot be written`, () => {
    const cycle: Record<string, unknown> = {};
    cycle.self = cycle;
    assert.match(
      written(format, (log) => log.info("cycle", { cycle, count: 1n })),
      /cycle/,
    );
  });
}

test("lines of the same two milliseconds go out in one write", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const writes: string[] = [];
  const log = openLog("json", (text) => writes.push(text));
  log.info("one");
  log.info("two");
  t.mock.timers.tick(1);
  assert.equal(writes.length, 0);
  t.mock.timers.tick(1);
  assert.equal(writes.length, 1);
  assert.equal(writes[0]?.split("\n").length, 3);
});

test("stackOf() shows every error of several, and says what was thrown that is none", () => {
  const both = stackOf(new AggregateError([new Error("first"), "second"]));
  assert.match(both, /Error: first\n/);
  assert.match(both, /thrown without a stack: second/);
});

test("a field cannot overwrite the line's own time, level and message", () => {
  const text = written("json", (log) =>
    log.info("mine", { time: "theirs", level: "theirs", message: "theirs", a: 1 }),
  );
  assert.deepEqual(JSON.parse(text), { time: noon.toISOString(), level: "info", message: "mine", a: 1 });
});

test("a field's name from outside cannot move the cursor either", () => {
  const text = written("pretty", (log) => log.info("x", { "\u001b[2J": 1 }));
  assert.ok(stripVTControlCharacters(text).includes("\\u001b[2J=1"));
});

test("stackOf() shows no credentials of a thrown object, and survives whatever is thrown", () => {
  assert.equal(stackOf({ headers: { authorization: "Bearer s3cr3t" } }).includes("s3cr3t"), false);
  const hostile = Object.assign(new Error("x"), {
    stack: {
      toString: () => {
        throw new Error("no");
      },
    },
  });
  assert.equal(stackOf(hostile), "thrown: something that cannot be shown");
  assert.equal(stackOf(Symbol("s")), "thrown without a stack: Symbol(s)");
});

test("nothing from outside begins or ends a line, in either form", () => {
  const hostile = "a\n12:00:00.000 info  accepted  id=forged\r\u2028\u009b2J\u202e\u0000";
  for (const format of ["json", "pretty"] as const) {
    const text = written(format, (log) =>
      log.error(hostile, { path: hostile, stack: hostile, deep: { x: [hostile] } }),
    );
    const lines = text.split("\n");
    assert.equal(lines.pop(), "");
    assert.equal(lines.length, format === "json" ? 1 : 3);
    for (const line of lines.slice(1)) assert.match(line, /^ {4}\| /);
    for (const character of stripVTControlCharacters(text).replaceAll("\n", ""))
      assert.equal(printable(character), character);
    if (format === "json") assert.equal(JSON.parse(text).path, hostile);
  }
});

test("texts, stacks and lines are cut, and say how long they were", () => {
  for (const format of ["json", "pretty"] as const) {
    const at = written(format, (log) => log.warn("refused", { why: "x".repeat(1000) }));
    assert.ok(at.includes("x".repeat(1000)) && !at.includes("characters"));
    const beyond = written(format, (log) => log.warn("refused", { why: "x".repeat(15_000) }));
    assert.ok(
      beyond.includes(`${"x".repeat(1000)}… (15000 characters)`) && beyond.length < 1300,
      `${beyond.length}`,
    );
    const stack = written(format, (log) => log.error("failed", { stack: "y".repeat(9000) }));
    assert.ok(stack.includes("… (9000 characters)") && stack.length < 8300);
    const many = written(format, (log) =>
      log.info("many", Object.fromEntries(Array.from({ length: 500 }, (_, n) => [`f${n}`, "z".repeat(900)]))),
    );
    assert.ok(many.length < 400 && many.includes("the fields have 45"), many.slice(0, 300));
  }
});

test("a log that is not read costs lines and no memory, and says how many", async (t) => {
  const script = `
    import { openLog } from ${JSON.stringify(new URL("../lib/log.ts", import.meta.url).href)};
    const log = openLog("json");
    for (let count = 0; count < 400; count += 1) {
      for (let line = 0; line < 1000; line += 1) log.info("line", { n: count * 1000 + line, text: "x".repeat(400) });
      log.flush();
      if (count % 20 === 0) await new Promise(setImmediate);
    }
    process.stderr.write(JSON.stringify({ rss: process.memoryUsage().rss, waiting: process.stdout.writableLength }) + "\\n");
    process.stdin.once("data", () => process.stdin.destroy());
  `;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["pipe", "pipe", "pipe"],
  });
  t.after(() => child.kill("SIGKILL"));
  child.stdout.pause();
  const [figures] = (await once(child.stderr, "data")) as [Buffer];
  const { rss, waiting } = JSON.parse(String(figures)) as { rss: number; waiting: number };
  assert.ok(waiting <= 4 * 1024 * 1024, `${waiting} bytes wait`); // of 200 MB
  assert.ok(rss < 250 * 1024 * 1024, `${rss} bytes resident`);
  let text = "";
  child.stdout.on("data", (chunk) => {
    text += chunk;
  });
  child.stdout.resume();
  while (!text.includes('"log lines dropped"')) await once(child.stdout, "data");
  child.stdin.end("go\n");
  await once(child, "close");
  const lines = text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  const dropped = lines
    .filter(({ message }) => message === "log lines dropped")
    .reduce((sum, { lines }) => sum + lines, 0);
  assert.equal(lines.filter(({ message }) => message === "line").length + dropped, 400_000);
});
