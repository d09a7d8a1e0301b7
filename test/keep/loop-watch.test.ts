/** Is the event loop turning? With the time passed in. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
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
