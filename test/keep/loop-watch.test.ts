/** Is the event loop turning? With the time passed in. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
  lostMilliseconds,
  openLoopMemory,
  showRunning,
  stalledMilliseconds,
  watchTurns,
} from "../../lib/keep/loop-watch.ts";
import { exchange, rawPost, startProgram } from "../receiver.ts";

test("a loop that stands still is said once, with the handlers that run, and once more when it is lost", () => {
  const memory = openLoopMemory();
  const look = watchTurns(memory, ["push", "ping", "*"]);
  assert.equal(look(0), undefined);
  showRunning(memory, 0, 1);
  showRunning(memory, 2, 1);
  showRunning(memory, 1, 1);
  showRunning(memory, 1, -1);
  assert.equal(look(stalledMilliseconds - 1), undefined);
  assert.deepEqual(look(stalledMilliseconds), { stalledSeconds: 3, handlers: ["push", "*"], isLost: false });
  assert.equal(look(stalledMilliseconds + 1000), undefined);
  assert.deepEqual(look(lostMilliseconds), { stalledSeconds: 30, handlers: ["push", "*"], isLost: true });
});

test("a loop that turns again is not lost", () => {
  const memory = openLoopMemory();
  const look = watchTurns(memory, []);
  look(0);
  assert.equal(look(29_000)?.isLost, false);
  Atomics.add(memory, 0, 1);
  assert.equal(look(31_000), undefined);
  assert.equal(look(31_000 + stalledMilliseconds)?.isLost, false);
});

test("a handler in an endless loop is named in the log, and its job is not taken over meanwhile", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "loop-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(
    join(folder, "handlers.ts"),
    'export const handlers = { push: () => { for (;;); }, "*": () => {} };',
  );
  const program = await startProgram({ folder, args: ["--handlers", "handlers.ts"] });
  const [answer] = await exchange(
    program.port,
    rawPost("{}", { "X-GitHub-Event": "push", Connection: "close" }),
  );
  assert.equal(answer?.status, 200);
  await program.waitFor("the event loop is held up");
  assert.match(
    program.output(),
    /"level":"error","message":"the event loop is held up","seconds":\d+,"runningHandlers":\["push"/,
  );
  assert.equal(program.child.exitCode, null);
  await program.end("SIGKILL");
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
