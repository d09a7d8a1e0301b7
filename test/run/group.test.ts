/** However a command ends, and whatever it has started: nothing of it is left, and nobody waits for it in vain. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { HandlerOptions } from "../../lib/process/handlers.ts";
import { run } from "../../lib/run/run.ts";
import { type Line, openTestReceiver, parseLines, projectFolder, sign, startProgram } from "../receiver.ts";
import { isGone, openFolder, pidsIn, type Run, start, writeScript } from "./command.ts";

const isReady = ({ message }: Line) => message === "ready";
const leftRunning = "ended what the command had left running";

/** Ignores SIGTERM together with a child and a grandchild that do the same, and is ready then. */
const stubborn = [
  "trap '' TERM",
  "sleep 100 & child=$!",
  "(sleep 100 & echo pid=$!; wait) &",
  'echo "pid=$$ pid=$child pid=$!"',
  "echo ready",
  "sleep 100",
];

function assertGone(pids: readonly number[], count: number): void {
  assert.equal(new Set(pids).size, count);
  assert.deepEqual(
    pids.filter((pid) => !isGone(pid)),
    [],
  );
}

/** Runs a handler with a longer limit each time, until its command has come far enough within it. */
async function runUntil(
  isFarEnough: (line: Line) => boolean,
  open: (timeoutSeconds: number) => HandlerOptions,
): Promise<Run> {
  for (let timeoutSeconds = 0.4; ; timeoutSeconds *= 2) {
    const work = start(open(timeoutSeconds));
    assert.match(String(await work.failure), new RegExp(`was ended: timed out after ${timeoutSeconds} s`));
    const alive = work.pids().filter((pid) => !isGone(pid));
    assert.deepEqual(alive, []);
    if (work.lines().some(isFarEnough)) return work;
  }
}

describe("a command whose time is up", { concurrency: true }, () => {
  test("ends with all that it has started, though all of it ignores SIGTERM", async (t) => {
    const script = writeScript(t, ...stubborn);
    const work = await runUntil(isReady, (timeoutSeconds) =>
      run(script, { timeoutSeconds, graceSeconds: 0.1 }),
    );
    assertGone(work.pids(), 4);
  });

  test("has a while to clear up after SIGTERM, and has failed even when it then exits with 0", async (t) => {
    const script = writeScript(
      t,
      "trap 'echo clearing up; kill $child; exit 0' TERM",
      "sleep 100 & child=$!",
      "echo ready",
      "wait",
    );
    const work = await runUntil(isReady, (timeoutSeconds) =>
      run(script, { timeoutSeconds, graceSeconds: 60 }),
    );
    assert.ok(work.lines().some(({ message }) => message === "clearing up"));
  });

  test("is gone before the worker's time is up", () => {
    for (const options of [{}, { timeoutSeconds: 600 }, { timeoutSeconds: 0.1, graceSeconds: 60 }]) {
      const { timeoutSeconds = 0 } = run("/bin/sh", options);
      const { timeoutSeconds: own = 300, graceSeconds = 5 } = { graceSeconds: 5, ...options };
      assert.ok(timeoutSeconds > own + graceSeconds + 2, `${timeoutSeconds}`);
    }
  });

  for (const [name, script] of [
    ["lines", "exec yes"],
    ["one line without an end", "yes | tr -d '\\n'"],
    ["lines on both outputs", "yes & yes >&2"],
    ["bytes that are no text", "cat /dev/zero"],
  ] as const) {
    test(`is ended while it prints ${name} without end, and little of it is kept`, async (t) => {
      const file = writeScript(t, "echo pid=$$", script);
      const isReadOn = ({ droppedBytes, cutBytes }: Line) =>
        Number(droppedBytes ?? cutBytes ?? 0) > 1024 * 1024;
      const work = await runUntil(isReadOn, (timeoutSeconds) => run(file, { timeoutSeconds }));
      assertGone(work.pids(), 1);
      assert.ok(work.lines().length <= 2002, `${work.lines().length} lines`);
    });
  }
});

describe("a command that has ended", { concurrency: true }, () => {
  test("leaves nothing behind that holds on to its output", async (t) => {
    const work = start(run(writeScript(t, "sleep 100 & echo pid=$!")));
    assert.equal(await work.failure, undefined);
    assertGone(work.pids(), 1);
    assert.deepEqual(work.lines().map(({ level, message }) => [level, message])[1], ["warn", leftRunning]);
  });

  test("leaves nothing behind that does not, and that ignores SIGTERM", async (t) => {
    const script = writeScript(
      t,
      "trap '' TERM HUP",
      "sleep 100 < /dev/null > /dev/null 2>&1 &",
      "echo pid=$!",
      "exit 3",
    );
    const work = start(run(script));
    assert.match(String(await work.failure), /exited with 3$/);
    assertGone(work.pids(), 1);
    assert.ok(work.lines().some(({ message }) => message === leftRunning));
  });

  test("may leave something behind that ends soon, and says what it has to say", async (t) => {
    const script = writeScript(
      t,
      '(read line; sleep 0.1; echo "late $line") <<end &',
      "words",
      "end",
      "exit 0",
    );
    const work = start(run(script));
    assert.equal(await work.failure, undefined);
    assert.deepEqual(
      work.lines().map(({ message }) => message),
      ["late words"],
    );
  });

  test("is not waited for when somebody outside of its group holds its output", async () => {
    const code = `
      const { pid } = require("node:child_process").spawn("sleep", ["100"], { detached: true, stdio: "inherit" });
      console.log("pid=" + pid);
      process.exit(0);`;
    const work = start(run(process.execPath, { args: ["--eval", code] }));
    assert.equal(await work.failure, undefined);
    const [pid] = work.pids();
    assert.ok(pid !== undefined && !isGone(pid), "who leaves the group is out of reach");
    process.kill(pid);
  });

  test("ends by itself on an ordinary day, without a word", async (t) => {
    const work = start(run(writeScript(t, "echo pid=$$", "true | cat")));
    assert.equal(await work.failure, undefined);
    assertGone(work.pids(), 1);
    assert.equal(work.lines().length, 1);
  });
});

describe("when the receiver ends", { concurrency: true }, () => {
  test("a command is told to, and is killed with all that it has started when it does not", async (t) => {
    const work = start(run(writeScript(t, ...stubborn), { graceSeconds: 60 }));
    await work.says("ready");
    work.abort();
    assert.match(String(await work.failure), /was ended: the receiver is shutting down/);
    assertGone(work.pids(), 4);
  });

  test("a command in its grace period has no more of it", async (t) => {
    const script = writeScript(
      t,
      "trap 'echo told' TERM",
      "echo pid=$$",
      "(trap '' TERM; sleep 100) &",
      "wait",
      "wait",
    );
    for (let timeoutSeconds = 0.5; ; timeoutSeconds *= 2) {
      const work = start(run(script, { timeoutSeconds, graceSeconds: 60 }));
      const isTold = await work.says("told").then(
        () => true,
        () => false, // its time was up before it could set the trap
      );
      if (!isTold) continue;
      work.abort();
      assert.match(String(await work.failure), /was ended: timed out after/);
      return assertGone(work.pids(), 1);
    }
  });

  test("a command that comes too late is ended at once", async (t) => {
    const work = start(run(writeScript(t, "sleep 100")));
    work.abort();
    assert.match(String(await work.failure), /was ended: the receiver is shutting down/);
  });
});

const headers = { "X-Hub-Signature-256": sign("{}"), "X-GitHub-Event": "push" };

describe("a receiver whose handler is such a command", { concurrency: true }, () => {
  test("tries again only when nothing is left of the attempt before", async (t) => {
    const file = join(openFolder(t), "before");
    const script = writeScript(
      t,
      "trap '' TERM",
      `if [ -e '${file}' ]; then kill -0 "$(cat '${file}')" 2> /dev/null && echo overlap; echo again; exit 0; fi`,
      `echo $$ > '${file}.new' && mv '${file}.new' '${file}'`,
      "sleep 100",
    );
    const receiver = await openTestReceiver({
      handlers: { push: run(script, { timeoutSeconds: 1, graceSeconds: 1.5 }) },
    });
    t.after(() => receiver.stop(0));
    assert.equal((await fetch(receiver.url, { method: "POST", headers, body: "{}" })).status, 200);
    await receiver.waitForLines(1, ({ message }) => message === "again");
    const ran = receiver.lines.filter(({ handler }) => handler === "push").map(({ message }) => message);
    assert.equal(ran.includes("overlap"), false, ran.join(", "));
  });

  test("answers on while the command prints without end", async (t) => {
    const handlers = { push: run(writeScript(t, "echo ready", "exec yes")) };
    const receiver = await openTestReceiver({ handlers });
    t.after(() => receiver.stop(0));
    await fetch(receiver.url, { method: "POST", headers, body: "{}" });
    await receiver.waitForLines(1, isReady);
    for (let count = 0; count < 20; count += 1)
      assert.equal((await fetch(receiver.url.replace("/webhook", "/healthz"))).status, 200);
  });

  test("stops, gives the job back, and leaves no process behind", async (t) => {
    const inboxFile = join(openFolder(t), "inbox.db");
    const handlers = { push: run(writeScript(t, ...stubborn)) };
    const receiver = await openTestReceiver({ handlers, inboxFile });
    await fetch(receiver.url, { method: "POST", headers, body: "{}" });
    await receiver.waitForLines(1, isReady);
    assert.equal(await receiver.stop(1), true);
    assertGone(pidsIn(receiver.lines.map(({ message }) => message)), 4);
    assert.equal(
      receiver.lines.some(({ message }) => message.startsWith("handlers were still running")),
      false,
    );

    const next = await openTestReceiver({
      handlers: { push: (_, { attempt, log }) => log.info(`${attempt}`) },
      inboxFile,
    });
    await next.waitForLines(1, ({ message }) => message === "1");
    await next.stop();
  });

  async function startWith(t: TestContext) {
    const folder = openFolder(t);
    const script = writeScript(t, ...stubborn);
    const lib = join(projectFolder, "lib/run/run.ts");
    writeFileSync(
      join(folder, "mine.ts"),
      `import { run } from ${JSON.stringify(lib)};
      export const handlers = {
        push: run(${JSON.stringify(script)}),
        crash: () => { isCrashing = true; },
      };
      let isCrashing = false;
      setInterval(() => { if (isCrashing) throw new Error("on purpose"); }, 20).unref();\n`,
    );
    const program = await startProgram({ folder, args: ["--handlers", "mine.ts"] });
    t.after(() => program.child.kill("SIGKILL"));
    await fetch(program.url, { method: "POST", headers, body: "{}" });
    await program.waitFor('"message":"ready"');
    const pids = () => pidsIn(parseLines(program.output()).map(({ message }) => message));
    return { program, pids };
  }

  test("ends on SIGTERM, and leaves no process behind", async (t) => {
    const { program, pids } = await startWith(t);
    assert.equal(await program.end("SIGTERM"), 0);
    assertGone(pids(), 4);
    assert.equal(program.output().includes("still running"), false);
  });

  test("ends at once on a second one, and leaves no process behind", async (t) => {
    const { program, pids } = await startWith(t);
    program.child.kill("SIGINT");
    await program.waitFor('"message":"stopping"');
    const again = setInterval(() => program.child.kill("SIGINT"), 100); // the first ones pass for an echo
    assert.equal(await program.end("SIGINT"), 130);
    clearInterval(again);
    // The receiver itself cannot wait any more for those that it has killed.
    while (!pids().every(isGone)) await sleep(5);
    assertGone(pids(), 4);
  });

  test("ends by an exception that nobody caught, and leaves no process behind", async (t) => {
    const { program, pids } = await startWith(t);
    await fetch(program.url, {
      method: "POST",
      headers: { ...headers, "X-GitHub-Event": "crash" },
      body: "{}",
    });
    await program.waitFor("uncaught exception");
    assert.equal(await program.end("SIGCONT"), 1);
    // The receiver itself cannot wait any more for those that it has killed.
    while (!pids().every(isGone)) await sleep(5);
    assertGone(pids(), 4);
  });
});
