/** `replay`: what becomes pending and what does not, and that a running receiver then runs it. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { replay } from "../../lib/commands/replay.ts";
import { transaction } from "../../lib/keep/sqlite/database.ts";
import { addJobs } from "../../lib/keep/sqlite/queries.ts";
import { exchange, rawPost, startProgram } from "../receiver.ts";
import { beat, type Folder, now, openFolder, run, setJob } from "./folder.ts";

const close = { Connection: "close", "X-GitHub-Event": "push" };
const idle = "; no receiver is running: they run when one is started";

/** A file of handlers with these lines in it. */
function writeHandlers(folder: string, ...lines: string[]): string {
  const file = join(folder, "handlers.ts");
  writeFileSync(file, `let runs = 0;\nexport const handlers = {\n${lines.join(",\n")}\n};\n`);
  return file;
}

function jobsOf({ database }: Folder): string[] {
  const rows = database.prepare("SELECT * FROM jobs ORDER BY number").all();
  return rows.map(
    ({ delivery, handler, state, attempts, next_attempt_at: next, order_key: key }) =>
      `${delivery} ${handler} ${state} ${attempts} ${next === now.getTime() ? "now" : "then"} ${key ?? "-"}`,
  );
}

/** Two deliveries with two jobs each: done and dead, done and done; and one with a running and a waiting job. */
function keepThree(folder: Folder): void {
  const jobs = ["push", "*"].map((handler) => ({ handler, orderKey: null }));
  for (const id of ["a", "b", "c"]) {
    const number = folder.keep({
      id,
      jobs,
      event: id === "b" ? "push.tag" : "push",
      source: id === "b" ? "stripe" : "default",
    });
    for (const { handler } of jobs) setJob(folder, number, "done", { handler, finishedAt: 1 });
  }
  setJob(folder, 1, "dead", { handler: "push", attempts: 12, lastError: "Error: no", finishedAt: 1 });
  setJob(folder, 3, "running", { handler: "push", attempts: 3 });
  setJob(folder, 3, "pending", { handler: "*", attempts: 4 });
}

const both = ["push: () => {}", '"*": () => {}'];

test("replay ID makes all jobs of that delivery pending, and no others", async (t) => {
  const folder = openFolder(t);
  keepThree(folder);
  beat(folder, 5000);
  const text = await run(replay, ["a", "--handlers", writeHandlers(folder.folder, ...both)]);
  assert.equal(text, "1 delivery: 2 jobs pending\n");
  assert.deepEqual(jobsOf(folder), [
    "1 push pending 0 now -",
    "1 * pending 0 now -",
    "2 push done 1 then -",
    "2 * done 1 then -",
    "3 push running 3 then -",
    "3 * pending 4 then -",
  ]);
  assert.deepEqual(
    { ...folder.database.prepare("SELECT finished_at, owner, last_error FROM jobs WHERE number = 1").get() },
    { finished_at: null, owner: null, last_error: "Error: no" },
  );
});

test("replay --dead makes dead jobs pending, and not what was done beside them", async (t) => {
  const folder = openFolder(t);
  keepThree(folder);
  beat(folder, 0);
  const handlers = writeHandlers(folder.folder, ...both);
  assert.equal(await run(replay, ["--dead", "--handlers", handlers]), "1 delivery: 1 job pending\n");
  assert.deepEqual(jobsOf(folder).slice(0, 2), ["1 push pending 0 now -", "1 * done 1 then -"]);
  assert.equal(
    await run(replay, ["--dead", "--handlers", handlers]),
    "no delivery is like this: nothing is replayed\n",
  );
});

test("replay --since leaves running jobs alone and counts them", async (t) => {
  const folder = openFolder(t);
  keepThree(folder);
  beat(folder, 0);
  const text = await run(replay, ["--since", "1h", "--handlers", writeHandlers(folder.folder, ...both)]);
  assert.equal(text, "3 deliveries: 5 jobs pending; 1 running and left alone\n");
  assert.deepEqual(jobsOf(folder).slice(4), ["3 push running 3 then -", "3 * pending 0 now -"]);
});

test("a receiver whose last beat is more than 5 seconds old is not running", async (t) => {
  const folder = openFolder(t);
  keepThree(folder);
  beat(folder, 5001);
  const text = await run(replay, ["a", "--handlers", writeHandlers(folder.folder, ...both)]);
  assert.equal(text, `1 delivery: 2 jobs pending${idle}\n`);
});

const narrowings: [args: string[], deliveries: number][] = [
  [["--since", "59m"], 0],
  [["--since", "1h", "--source", "stripe"], 1],
  [["--since", "1h", "--event", "push.tag"], 1],
  [["--dead", "--source", "stripe"], 0],
  [["--dead", "--since", "1h", "--event", "push"], 1],
  [["a", "b", "c", "a"], 3],
  [["1", "b"], 2],
  [["b", "--source", "stripe", "--event", "push"], 1],
];
for (const [args, deliveries] of narrowings) {
  test(`replay ${args.join(" ")} is about ${deliveries} of three`, async (t) => {
    const folder = openFolder(t);
    keepThree(folder);
    const text = await run(replay, [...args, "--handlers", writeHandlers(folder.folder, ...both)]);
    assert.match(text, deliveries === 0 ? /^no delivery is like this/ : new RegExp(`^${deliveries} deliver`));
  });
}

test("replay of several ids changes nothing when one of them is not there or does not fit", async (t) => {
  const folder = openFolder(t);
  keepThree(folder);
  const before = jobsOf(folder);
  const handlers = ["--handlers", writeHandlers(folder.folder, ...both)];
  await assert.rejects(run(replay, ["a", "d", ...handlers]), {
    message: 'no delivery in the inbox is called "d": nothing is replayed',
    exitCode: 1,
  });
  for (const narrow of [
    ["--source", "stripe"],
    ["--event", "push.tag"],
  ])
    await assert.rejects(run(replay, ["b", "a", ...narrow, ...handlers]), {
      message: 'no delivery of that source and event is called "a": nothing is replayed',
      exitCode: 1,
    });
  assert.deepEqual(jobsOf(folder), before);
});

const refusals: [args: string[], message: string][] = [
  [[], "replay: expected ids, --dead or --since"],
  [["--source", "stripe"], "replay: expected ids, --dead or --since"],
  [["a", "--dead"], "replay: expected ids, or --dead and --since, not both"],
  [["a", "--since", "1h"], "replay: expected ids, or --dead and --since, not both"],
];
for (const [args, message] of refusals) {
  test(`replay ${args.join(" ")} is refused`, async (t) => {
    openFolder(t);
    await assert.rejects(run(replay, args), { message, exitCode: 2 });
  });
}

test("handlers of today get a job, with their order; a job whose handler is gone is left as it was", async (t) => {
  const folder = openFolder(t);
  folder.keep({ id: "a", body: Buffer.from('{"ref":"main"}') });
  setJob(folder, 1, "done");
  const handlers = writeHandlers(
    folder.folder,
    '"*": { handle: () => {}, orderBy: ({ payload }) => payload.ref }',
    '"push.>": () => {}',
  );
  assert.equal(
    await run(replay, ["a", "--handlers", handlers]),
    `1 delivery: 1 job pending; 1 of them of new handlers; 1 left as they were, for their handler is gone${idle}\n`,
  );
  assert.deepEqual(jobsOf(folder), ["1 push done 1 then -", "1 * pending 0 now main"]);
});

test("a handler that cannot say its order gets no job, and the rest goes on", async (t) => {
  const folder = openFolder(t);
  folder.keep({ id: "a" });
  setJob(folder, 1, "dead");
  const broken = '"*": { handle: () => {}, orderBy: ({ payload }) => payload.a.b }';
  const handlers = writeHandlers(folder.folder, both[0] ?? "", broken);
  assert.equal(
    await run(replay, ["--dead", "--handlers", handlers]),
    `delivery 1 gets no new job: Cannot read properties of undefined (reading 'b')\n1 delivery: 1 job pending${idle}\n`,
  );
});

test("a handler that has a job already keeps its order, and is not asked for it", async (t) => {
  const folder = openFolder(t);
  folder.keep({ id: "a", jobs: [{ handler: "push", orderKey: "main" }] });
  setJob(folder, 1, "done");
  const handlers = writeHandlers(folder.folder, "push: { handle() {}, orderBy() { throw new Error(); } }");
  assert.equal(await run(replay, ["a", "--handlers", handlers]), `1 delivery: 1 job pending${idle}\n`);
  assert.deepEqual(jobsOf(folder), ["1 push pending 0 now main"]);
});

test("a job that somebody else has added, or whose delivery is gone meanwhile, is not added", (t) => {
  const { database, keep } = openFolder(t);
  keep();
  const job = { delivery: 1, handler: "push", orderKey: null };
  assert.equal(addJobs(database, [job, { ...job, delivery: 2 }], 0), 0);
  assert.equal(addJobs(database, [{ ...job, handler: "*" }], 0), 1);
});

test("replay of 101 deliveries is two transactions, and everybody else gets a word in between", async (t) => {
  const folder = openFolder(t);
  for (let number = 1; number <= 101; number++) folder.keep({ id: `id-${number}` });
  folder.database.exec("UPDATE jobs SET state = 'dead'");
  const running = run(replay, ["--dead", "--handlers", writeHandlers(folder.folder, ...both.slice(0, 1))]);
  // The first step is over as soon as anything else has its turn.
  const counts = new Set<number>();
  const dead = folder.database.prepare("SELECT count(*) AS count FROM jobs WHERE state = 'dead'");
  let isRunning = true;
  void running.finally(() => {
    isRunning = false;
  });
  while (isRunning) {
    transaction(folder.database, () => counts.add(Number(dead.get()?.count)));
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(await running, `101 deliveries: 101 jobs pending${idle}\n`);
  counts.add(Number(dead.get()?.count));
  assert.deepEqual([...counts], [101, 1, 0]);
});

test("a running receiver runs what is replayed, as a first attempt, and what was dead", async (t) => {
  const { folder, file } = openFolder(t);
  const handlers = writeHandlers(
    folder,
    `push: { retries: 0, handle: ({ id }, { log, attempt }) => {
      log.info(\`run \${++runs} attempt \${attempt}\`);
      if (runs === 1) throw new Error("broken");
    } }`,
  );
  /** A handler logs before its job is marked, and a job that still runs is left alone by a replay. */
  async function untilOnlyJobIs(state: string): Promise<void> {
    const database = new DatabaseSync(file, { readOnly: true });
    const jobs = database.prepare("SELECT state FROM jobs");
    while (jobs.get()?.state !== state) await pause(5);
    database.close();
  }
  const program = await startProgram({ args: ["--inbox", file, "--handlers", handlers] });
  t.after(() => program.end());
  await exchange(program.port, rawPost("{}", { ...close, "X-GitHub-Delivery": "the-id" }));
  await untilOnlyJobIs("dead");
  const options = ["--inbox", file, "--handlers", handlers];
  // The clock of the machine, for the receiver beats by that.
  let text = "";
  const write = (more: string): void => {
    text += more;
  };
  await replay(["--dead", ...options], {}, write);
  await program.waitFor("run 2 attempt 1");
  await untilOnlyJobIs("done");
  await replay(["the-id", ...options], {}, write);
  await program.waitFor("run 3 attempt 1");
  assert.equal(text, "1 delivery: 1 job pending\n1 delivery: 1 job pending\n");
});
