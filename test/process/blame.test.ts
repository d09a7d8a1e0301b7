/** A forgotten await in a handler: the real process goes on, and the log names the handler and the event. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { exchange, parseLines, rawPost, startProgram } from "../receiver.ts";

test("a promise that is not awaited, and a callback that throws, fail their own job, and the receiver goes on", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "blame-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(
    join(folder, "handlers.ts"),
    `const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
     export const handlers = {
       forgotten: { retries: 0, handle: () => { void (async () => { await later(20); throw new Error("not awaited"); })(); } },
       callback: { retries: 0, handle: async () => { setTimeout(() => { throw new Error("in a callback"); }, 5); await later(50); } },
       fine: () => {},
     };`,
  );
  const program = await startProgram({ folder, args: ["--handlers", "handlers.ts"] });
  t.after(() => program.child.kill("SIGKILL"));
  const post = async (event: string) =>
    (
      await exchange(
        program.port,
        rawPost("{}", { "X-GitHub-Event": event, "X-GitHub-Delivery": event, Connection: "close" }),
      )
    )[0]?.status;
  assert.equal(await post("forgotten"), 200);
  await program.waitFor("is an await missing?");
  assert.equal(await post("callback"), 200);
  await program.waitFor("the job is dead");
  assert.equal(await post("fine"), 200);
  assert.equal(program.child.exitCode, null);
  const lines = parseLines(program.output());
  const forgotten = lines.find(({ message }) => String(message).includes("await missing"));
  assert.deepEqual(
    [forgotten?.level, forgotten?.handler, forgotten?.event, forgotten?.id],
    ["error", "forgotten", "forgotten", "forgotten"],
  );
  assert.match(String(forgotten?.stack), /Error: not awaited\n {4}at /);
  const dead = lines.find(({ message }) => String(message).includes("the job is dead"));
  assert.deepEqual([dead?.handler, dead?.event], ["callback", "callback"]);
  assert.match(String(dead?.stack), /^Error: in a callback\n {4}at /);
  assert.equal(await program.end(), 0);
});
