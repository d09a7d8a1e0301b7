/** What was acknowledged survives whatever ends the receiver: SIGKILL, SIGTERM, and its own handlers. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, type TestContext, test } from "node:test";
import { parseLines, sign, startProgram } from "../receiver.ts";
import { crashRun } from "./crash.ts";

/** A folder with these handlers in it, and how to start the program there again and again. */
function openScene(t: TestContext, handlers: string) {
  const folder = mkdtempSync(join(tmpdir(), "crash-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, "handlers.mjs");
  writeFileSync(
    file,
    `import { appendFileSync } from "node:fs";
     const note = (text) => appendFileSync(${JSON.stringify(join(folder, "notes"))}, text + "\\n");
     export const handlers = ${handlers};`,
  );
  return {
    start: async () => {
      const program = await startProgram({ folder, args: ["--handlers", file] });
      t.after(() => program.child.kill("SIGKILL"));
      return program;
    },
    notes: () => readFileSync(join(folder, "notes"), "utf8").trim().split("\n"),
    jobs: () => {
      const database = new DatabaseSync(join(folder, "inbox.db"));
      const rows = database
        .prepare("SELECT handler, state, attempts, last_error AS error FROM jobs ORDER BY number")
        .all()
        .map((row) => ({ ...row }));
      database.close();
      return rows;
    },
  };
}

async function post(port: number, event: string): Promise<number> {
  const headers = { "X-GitHub-Event": event, "X-GitHub-Delivery": event, "X-Hub-Signature-256": sign("{}") };
  const url = `http://127.0.0.1:${port}/webhook`;
  return (await fetch(url, { method: "POST", headers, body: "{}" })).status;
}

describe("ended under load and started again on the same file", { concurrency: true }, () => {
  test("20 times by SIGKILL: every acknowledged delivery is stored once, byte for byte, and handled", async (t) => {
    const { acknowledged, stored, handledTwice } = await crashRun(20, "SIGKILL");
    t.diagnostic(`${acknowledged} acknowledged, ${stored} stored, ${handledTwice} handled twice`);
    assert.ok(acknowledged > 0);
  });

  test("20 times by SIGTERM: the same, with exit code 0, and nothing is handled twice", async (t) => {
    const { acknowledged, stored } = await crashRun(20, "SIGTERM");
    t.diagnostic(`${acknowledged} acknowledged, ${stored} stored`);
    assert.equal(stored, acknowledged);
  });

  test("killed inside a handler: the job is taken over after the start, as a second attempt", async (t) => {
    const scene = openScene(
      t,
      `{ push: ({ id }, { attempt }) => {
        note(id + " " + attempt);
        if (attempt === 1) process.kill(process.pid, "SIGKILL");
      } }`,
    );
    const first = await scene.start();
    const ended = once(first.child, "close");
    await post(first.port, "push").catch(() => {}); // the answer may or may not be on its way
    assert.deepEqual(await ended, [null, "SIGKILL"]);
    const second = await scene.start();
    await second.waitFor("took over the jobs of a receiver that has ended");
    const leftover = parseLines(second.output()).find(({ message }) => message === "inbox");
    assert.equal(leftover?.leftoverJobs, 1);
    assert.match(String(leftover?.neverSendAgain), /GitHub/);
    while (scene.notes().length < 2) await new Promise(setImmediate);
    assert.equal(await second.end(), 0);
    assert.deepEqual(scene.notes(), ["push 1", "push 2"]);
    assert.deepEqual(scene.jobs(), [
      { handler: "push", state: "done", attempts: 2, error: "the receiver ended while this ran" },
    ]);
  });

  test("ended by a handler's own process.exit(), in every attempt: dead at its limit, and others live on", async (t) => {
    const scene = openScene(
      t,
      `{
        push: { retries: 1, handle: (_, { attempt }) => { note("push " + attempt); process.exit(7); } },
        ping: () => note("ping"),
      }`,
    );
    for (const attempt of [1, 2]) {
      const program = await scene.start();
      const ended = once(program.child, "close");
      if (attempt === 1) await post(program.port, "push").catch(() => {});
      assert.deepEqual(await ended, [7, null]);
    }
    const last = await scene.start();
    assert.equal(await post(last.port, "ping"), 200);
    await last.waitFor("handler failed for good; the job is dead");
    assert.equal(await last.end(), 0);
    assert.deepEqual(scene.notes(), ["push 1", "push 2", "ping"]);
    const [push, ping] = scene.jobs();
    assert.deepEqual([push?.state, push?.attempts, ping?.state], ["dead", 3, "done"]);
    assert.match(String(push?.error), /^Error: ended the process in its last attempt\n/);
  });
});
