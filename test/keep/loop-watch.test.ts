/** Is the event loop turning? With the time passed in. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
  lostMilliseconds,
  openLoopMemory,
  showRunning,
  stalledMilliseconds,
  watchTurns,
} from "../../lib/keep/loop-watch.ts";
import { exchange, parseLines, rawPost, startProgram } from "../receiver.ts";

test("a loop that stands still is said once, with the handlers that run, and once more when it is lost", () => {
  const memory = openLoopMemory();
  const look = watchTurns(memory, ["push", "ping", "*"]);
  assert.equal(look(0), undefined);
  showRunning(memory, 0, 1);
  showRunning(memory, 2, 1);
  showRunning(memory, 1, 1);
  showRunning(memory, 1, -1);
  const said = Array.from({ length: 40 }, (_, second) => look((second + 1) * 1000)).filter(Boolean);
  assert.deepEqual(said, [
    { stalledSeconds: stalledMilliseconds / 1000, handlers: ["push", "*"], isLost: false },
    { stalledSeconds: lostMilliseconds / 1000, handlers: ["push", "*"], isLost: true },
  ]);
});

test("a loop that turns again is not lost", () => {
  const memory = openLoopMemory();
  const look = watchTurns(memory, []);
  const levels = Array.from({ length: 40 }, (_, second) => {
    if (second === 29) Atomics.add(memory, 0, 1);
    return look(second * 1000)?.isLost;
  });
  assert.deepEqual(
    levels.flatMap((isLost, second) => (isLost === undefined ? [] : [[second, isLost]])),
    [
      [3, false],
      [32, false],
    ],
  );
});

test("a process that was stopped (Ctrl+Z, docker pause) and goes on has not lost its loop", () => {
  const look = watchTurns(openLoopMemory(), []);
  assert.equal(look(0), undefined);
  assert.equal(look(3_600_000), undefined);
});

describe("a handler that holds the loop", { concurrency: 3 }, () => {
  async function startWith(t: TestContext, handlers: string, args: string[] = []) {
    const folder = mkdtempSync(join(tmpdir(), "loop-"));
    writeFileSync(
      join(folder, "handlers.ts"),
      `import { writeSync } from "node:fs";\nexport const handlers = ${handlers};`,
    );
    const program = await startProgram({ folder, args: ["--handlers", "handlers.ts", ...args] });
    t.after(() => {
      program.child.kill("SIGKILL");
      rmSync(folder, { recursive: true, force: true });
    });
    const post = async (event: string) => {
      const headers = { "X-GitHub-Event": event, "X-GitHub-Delivery": event, Connection: "close" };
      return (await exchange(program.port, rawPost("{}", headers)))[0]?.status;
    };
    const held = async () => {
      await program.waitFor("the event loop is held up");
      return parseLines(program.output()).find(({ message }) => message === "the event loop is held up");
    };
    return { program, post, held };
  }

  test("is named in the log with the line that it is in; SIGTERM ends the process by its deadline", async (t) => {
    const { program, post, held } = await startWith(t, "{ push: () => { for (;;); }, '*': () => {} }", [
      "--stop-timeout",
      "1",
    ]);
    assert.equal(await post("push"), 200);
    const line = await held();
    assert.deepEqual([line?.level, line?.runningHandlers], ["error", ["push"]]);
    await program.waitFor('"the event loop is held up here"');
    const here = parseLines(program.output()).find(({ message }) => message.endsWith("here"));
    assert.match(String(here?.at), /^file:[^,]*\/handlers\.ts:2(,|$)/);
    // No signal that kills: what listens for the exit of the process was called.
    const code = await program.end("SIGTERM");
    assert.equal(code, 143, program.output());
    const last = parseLines(program.output()).at(-1);
    assert.deepEqual(
      [last?.level, last?.message, last?.runningHandlers],
      ["error", "not stopped in time: the receiver ends", ["push"]],
    );
  });

  test("SIGTERM that comes before anybody has noticed the loop counts too, and a promise that never rests", async (t) => {
    const { program, post } = await startWith(
      t,
      `{ push: async () => { writeSync(1, "it begins\\n"); for (;;) await null; } }`,
      ["--stop-timeout", "1"],
    );
    assert.equal(await post("push"), 200);
    await program.waitFor("it begins");
    const code = await program.end("SIGTERM");
    assert.equal(code, 143, program.output());
    assert.doesNotMatch(program.output(), /is held up/);
  });

  test("is named after its time limit has left it behind", async (t) => {
    const { post, held } = await startWith(
      t,
      `{ push: { timeoutSeconds: 0.05, retries: 0, handle: async () => {
        await new Promise((resolve) => setTimeout(resolve, 300));
        for (;;);
      } } }`,
    );
    assert.equal(await post("push"), 200);
    assert.deepEqual((await held())?.runningHandlers, ["push"]);
  });

  test("is no reason to end when nobody reads the log any more", async (t) => {
    const { program, post } = await startWith(
      t,
      "{ push: () => { for (const end = Date.now() + 5000; Date.now() < end; ); } }",
    );
    program.child.stdout?.destroy();
    assert.equal(await post("push"), 200);
    assert.equal(await post("ping"), 200); // once the loop turns again
    assert.equal(await program.end("SIGTERM"), 0);
  });
});

test("a log that is not read does not end the thread that beats and watches", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "loop-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(
    join(folder, "handlers.ts"),
    `import { writeFileSync } from "node:fs";
    export const handlers = { "*": (_, { log }) => {
      for (let n = 0; n < 2000; n += 1) log.info("written", { text: "x".repeat(400) });
      writeFileSync("stuck", "");
      for (;;);
    } };`,
  );
  const program = await startProgram({ folder, args: ["--handlers", "handlers.ts"] });
  t.after(() => program.end("SIGKILL"));
  program.child.stdout?.pause();
  await exchange(program.port, rawPost("{}", { Connection: "close" }));
  while (!existsSync(join(folder, "stuck"))) await sleep(5);

  const database = new DatabaseSync(join(folder, "inbox.db"), { readOnly: true });
  t.after(() => database.close());
  const beat = () => Number(database.prepare("SELECT beat FROM receivers").get()?.beat);
  // One beat is a second, and after three the thread has something to say that has no room in the pipe.
  const wanted = beat() + 5;
  const deadline = performance.now() + 20_000;
  while (beat() < wanted && performance.now() < deadline) await sleep(50);
  assert.ok(beat() >= wanted, `${beat()} of ${wanted} beats`);
});
