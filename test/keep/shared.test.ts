/** Two programs on one file: they share the work, and one takes over what the other leaves behind. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, watch, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, type TestContext, test } from "node:test";
import { type Program, parseLines, sign, startProgram } from "../receiver.ts";

/** Two programs in one folder, with these handlers; what they note goes to one file. */
async function startTwo(t: TestContext, handlers: string) {
  const folder = mkdtempSync(join(tmpdir(), "shared-"));
  const noteFile = join(folder, "notes");
  writeFileSync(noteFile, "");
  const file = join(folder, "handlers.mjs");
  writeFileSync(
    file,
    `import { appendFileSync } from "node:fs";
     const note = (text) => appendFileSync(${JSON.stringify(noteFile)}, text + " " + process.pid + "\\n");
     export const handlers = ${handlers};`,
  );
  const start = () => startProgram({ folder, args: ["--handlers", file, "--concurrency", "5"] });
  const programs = await Promise.all([start(), start()]);
  t.after(() => {
    for (const { child } of programs) child.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  });
  /** What was noted, and by which process. */
  const notes = () =>
    readFileSync(noteFile, "utf8")
      .split("\n")
      .slice(0, -1)
      .map((line) => line.split(" ") as [note: string, pid: string]);
  return {
    first: programs[0],
    second: programs[1],
    notes,
    /** Resolves once so many notes are there. */
    async reaches(count: number): Promise<void> {
      const watcher = watch(noteFile);
      await new Promise<void>((resolve) => {
        watcher.on("change", () => notes().length >= count && resolve());
        if (notes().length >= count) resolve();
      });
      watcher.close();
    },
    jobs: () => {
      const database = new DatabaseSync(join(folder, "inbox.db"));
      const rows = database
        .prepare("SELECT state, attempts, count(*) AS count FROM jobs GROUP BY state, attempts")
        .all()
        .map((row) => ({ ...row }));
      database.close();
      return rows;
    },
  };
}

/** Sends so many deliveries, from several clients. */
async function send(program: Program, prefix: string, count: number): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  const statuses = await Promise.all(
    Array.from({ length: count }, (_, index) => {
      const body = JSON.stringify({ index });
      const id = `${prefix}-${index}`;
      const headers = {
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": id,
        "X-Hub-Signature-256": sign(body),
        "Content-Length": body.length,
      };
      return new Promise((resolve, reject) => {
        const sending = request({
          port: program.port,
          host: "127.0.0.1",
          path: "/webhook",
          method: "POST",
          headers,
          agent,
        });
        sending.on("error", reject).on("response", (response) => resolve(response.resume().statusCode));
        sending.end(body);
      });
    }),
  );
  agent.destroy();
  assert.deepEqual([...new Set(statuses)], [200]);
}

describe("two programs on one file", { concurrency: true }, () => {
  test("under load every job runs exactly once, and both programs run some", async (t) => {
    const { first, second, notes, reaches, jobs } = await startTwo(t, `{ "*": ({ id }) => note(id) }`);
    await Promise.all([send(first, "a", 400), send(second, "b", 400)]);
    await reaches(800);
    assert.deepEqual(await Promise.all([first.end(), second.end()]), [0, 0]);
    const ids = notes().map(([id]) => id);
    assert.deepEqual([ids.length, new Set(ids).size], [800, 800]);
    assert.equal(new Set(notes().map(([, pid]) => pid)).size, 2);
    assert.deepEqual(jobs(), [{ state: "done", attempts: 1, count: 800 }]);
  });

  test("when one is killed, the other takes its running jobs over, and no job of the living one", async (t) => {
    // The first attempt never ends; whoever takes a job over ends it.
    const { first, second, notes, reaches, jobs } = await startTwo(
      t,
      `{ "*": ({ id }, { attempt }) => {
      note(id);
      return attempt === 1 ? new Promise(() => {}) : undefined;
    } }`,
    );
    await send(first, "a", 10);
    await reaches(10);
    const pids = [first, second].map(({ child }) => String(child.pid));
    const [killed, living] = pids.map((pid) =>
      notes()
        .filter(([, noted]) => noted === pid)
        .map(([id]) => id),
    );
    assert.ok(killed && living);
    assert.deepEqual([killed.length, living.length], [5, 5]); // each of them has taken what it may run at once
    assert.equal(await first.end("SIGKILL"), "SIGKILL");
    await second.waitFor("took over the jobs of a receiver that has ended");
    const line = parseLines(second.output()).find(({ message }) => message.startsWith("took over"));
    assert.deepEqual([line?.level, line?.jobs], ["warn", 5]);
    assert.deepEqual(jobs(), [
      { state: "pending", attempts: 0, count: 5 },
      { state: "running", attempts: 1, count: 5 },
    ]);
  });

  test("a handler that blocks the loop for 9 s keeps its job, and its key", async (t) => {
    const { first, second, notes, reaches, jobs } = await startTwo(
      t,
      `{ "*": { orderBy: () => "key", handle: ({ id }) => {
        note("begin-" + id);
        if (id === "a-0") for (const end = Date.now() + 9000; Date.now() < end; );
        note("end-" + id);
      } } }`,
    );
    await send(first, "a", 1);
    await reaches(1);
    const holder = notes()[0]?.[1] === String(first.child.pid) ? first : second;
    await send(holder === first ? second : first, "b", 1);
    await reaches(4);
    assert.deepEqual(
      notes().map(([note]) => note),
      ["begin-a-0", "end-a-0", "begin-b-0", "end-b-0"],
    );
    assert.deepEqual(await Promise.all([first.end(), second.end()]), [0, 0]);
    assert.doesNotMatch(first.output() + second.output(), /took over/);
    assert.deepEqual(jobs(), [{ state: "done", attempts: 1, count: 2 }]);
  });
});
