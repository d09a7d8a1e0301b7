import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { stripVTControlCharacters } from "node:util";
import { type Fields, type Format, openLog, printable, stackOf } from "../lib/log.ts";
import { exchange, type Program, parseLines, rawPost, startProgram } from "./receiver.ts";

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

/** How many characters a line may have more than what is cut in it: its own fields, and how long that was. */
const ownCharacters = 200;

for (const format of ["json", "pretty"] as const) {
  test(`a value in the ${format} log is cut at 1000 characters as they are written, and says how long it was`, () => {
    const line = (fields: Fields) => written(format, (log) => log.warn("refused", fields));
    const at = line({ why: "x".repeat(1000) });
    assert.ok(at.includes("x".repeat(1000)) && !at.includes("characters"));
    const beyond = line({ why: "x".repeat(15_000) });
    assert.ok(beyond.includes(`${"x".repeat(1000)}… (15000 characters)`));
    for (const hostile of ["\u009b", "\u0000", "\n", "\u202e", "x\u009b"]) {
      const cut = line({ why: hostile.repeat(15_000) });
      assert.ok(cut.includes(`… (${hostile.length * 15_000} characters)`), cut);
      assert.ok(cut.length > 300 && cut.length <= 1000 + ownCharacters, `${cut.length}`);
    }
    const nested = line({ deep: { list: Array.from({ length: 900 }, (_, n) => n) } });
    assert.ok(nested.includes("… (3500 characters)"), nested);
    assert.ok(line({ list: Array.from({ length: 1001 }, () => 1) }).includes("more than 1000 members"));
    assert.ok(line({ count: 10n ** 5000n }).includes("… (5003 characters)"));
  });

  test(`a message and a stack in the ${format} log may have 8000 characters, and a stack 100 lines`, () => {
    const message = written(format, (log) => log.info("m".repeat(9000)));
    assert.ok(
      message.includes(`${"m".repeat(8000)}… (9000 characters)`) && message.length < 8000 + ownCharacters,
    );
    const frame = `    at ${"f".repeat(70)}`;
    const error = (lines: number) =>
      written(format, (log) =>
        log.error("failed", { stack: Array.from({ length: lines }, () => frame).join("\n") }),
      );
    assert.equal(error(90).split(frame).length - 1, 90);
    assert.ok(!error(90).includes("…"));
    assert.ok(error(150).includes("characters)"));
    const short = written(format, (log) => log.error("failed", { stack: "at f\n".repeat(150) }));
    assert.equal(short.split("at f").length - 1, 100);
    assert.ok(short.includes("… (151 lines)"));
    assert.ok(written(format, (log) => log.error("failed", { stack: { at: "f" } })).includes("f"));
  });

  test(`a line of the ${format} log with too many fields keeps the short ones that came first`, () => {
    const fields = Object.fromEntries(Array.from({ length: 500 }, (_, n) => [`f${n}`, "z".repeat(900)]));
    const text = written(format, (log) => log.with({ id: "id-7" }).info("many", fields));
    assert.ok(text.length < 400 && text.includes("id-7"), text.slice(0, 400));
    assert.match(text, /the line has \d{6} characters/);
  });

  test(`a field of the ${format} log that cannot be shown leaves the others as they are`, () => {
    const cycle: Record<string, unknown> = {};
    cycle.self = cycle;
    const text = written(format, (log) =>
      log.info("cycle", { cycle, id: "id-7", left: undefined, run: () => {} }),
    );
    assert.ok(text.includes("id-7") && text.includes("not shown: "), text);
  });

  test(`the ${format} log takes a message that is no text`, () => {
    for (const message of [undefined, null, 7, { a: 1 }, Symbol("s"), new Error("why")])
      assert.equal(written(format, (log) => log.warn(message as unknown as string)).split("\n").length, 2);
  });

  test(`a ${format} log that is not read costs lines and no memory, and says how many`, async (t) => {
    // As a handler does that logs and logs: the event loop has no turn in between.
    const script = `
      import { openLog } from ${JSON.stringify(new URL("../lib/log.ts", import.meta.url).href)};
      const log = openLog("${format}");
      for (let n = 0; n < 100000; n += 1) log.info("written", { text: "x".repeat(900) });
      log.flush();
      const figures = { rss: process.memoryUsage().rss, waiting: process.stdout.writableLength };
      process.stderr.write(JSON.stringify(figures) + "\\n");
    `;
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    t.after(() => child.kill("SIGKILL"));
    const [figures] = (await once(child.stderr, "data")) as [Buffer];
    const { rss, waiting } = JSON.parse(String(figures)) as { rss: number; waiting: number };
    assert.ok(waiting <= 4 * 1024 * 1024, `${waiting} characters wait`); // of 100 million
    assert.ok(rss < 200 * 1024 * 1024, `${rss} bytes resident`);
    let text = "";
    child.stdout.on("data", (chunk) => {
      text += chunk;
    });
    await once(child, "close");
    const shown = stripVTControlCharacters(text).trimEnd().split("\n");
    const last = shown.pop() ?? "";
    const dropped = Number(
      format === "json"
        ? JSON.parse(last).lines
        : /^[\d:.]{12} warn {2}log lines dropped {2}lines=(\d+)$/.exec(last)?.[1],
    );
    assert.ok(shown.every((line) => line.includes("written")));
    assert.equal(shown.length + dropped, 100_000);
  });
}

/** A receiver that logs a megabyte, and 64 KiB of it have room in the pipe to a reader that does not read. */
async function startUnread(t: TestContext): Promise<Program> {
  const folder = mkdtempSync(join(tmpdir(), "unread-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(
    join(folder, "handlers.ts"),
    `import { writeFileSync } from "node:fs";
    export const handlers = { "*": (_, { log }) => {
      for (let n = 0; n < 2000; n += 1) log.info("written", { text: "x".repeat(400) });
      setTimeout(() => writeFileSync("written", ""), 10);
    } };`,
  );
  const program = await startProgram({ folder, args: ["--handlers", "handlers.ts", "--drain", "0.1"] });
  t.after(() => program.child.kill("SIGKILL"));
  program.child.stdout?.pause();
  const [answer] = await exchange(program.port, rawPost("{}", { Connection: "close" }));
  assert.equal(answer?.status, 200);
  while (!existsSync(join(folder, "written"))) await sleep(5);
  return program;
}

test("a receiver that stops waits for a slow reader of its log", async (t) => {
  const program = await startUnread(t);
  const { stdout } = program.child;
  const ended = program.end();
  const reading = setInterval(() => {
    stdout?.resume();
    setImmediate(() => stdout?.pause());
  }, 20);
  const exitCode = await once(program.child, "exit").then(([code]) => code);
  clearInterval(reading);
  stdout?.resume();
  await ended;
  assert.equal(exitCode, 0);
  const lines = parseLines(program.output());
  assert.equal(lines.filter(({ message }) => message === "written").length, 2000);
  assert.equal(lines.at(-1)?.message, "stopped");
});

test("a receiver that stops does not wait for a reader of its log that does not read", async (t) => {
  const program = await startUnread(t);
  const ended = program.end();
  const [code] = await once(program.child, "exit");
  assert.equal(code, 0);
  program.child.stdout?.resume();
  await ended;
});

test("a receiver whose log has no reader any more goes on", async (t) => {
  const program = await startProgram();
  t.after(() => program.child.kill("SIGKILL"));
  program.child.stdout?.destroy();
  for (let count = 0; count < 3; count += 1) {
    const [answer] = await exchange(program.port, rawPost(`[${count}]`, { Connection: "close" }));
    assert.equal(answer?.status, 200);
  }
  assert.equal(await program.end(), 0);
});
