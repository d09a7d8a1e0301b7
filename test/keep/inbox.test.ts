/** The inbox's state machine, on databases in memory: each call is plain SQL, and the time is an argument. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { type Incoming, inLine } from "../../lib/keep/sqlite/accept.ts";
import { openInbox } from "../../lib/keep/sqlite/inbox.ts";
import { lehmer } from "../random.ts";
import { openHeld } from "./held.ts";

const now = 1_700_000_000_000;
const far = 1000;
const handlers = ["push", "*"];

/** An empty inbox with its database, to look behind it. */
function openEmpty() {
  const database = openHeld();
  const inbox = openInbox(database);
  return {
    database,
    inbox,
    rows: (sql: string) =>
      database
        .prepare(sql)
        .all()
        .map((row) => ({ ...row })),
    states: () =>
      database
        .prepare("SELECT state FROM jobs ORDER BY number")
        .all()
        .map((row) => row.state),
  };
}

function incoming(more: Partial<Incoming> = {}): Incoming {
  return {
    source: "default",
    sender: "github",
    id: "1",
    isIdSigned: false,
    event: "push",
    form: null,
    headers: "{}",
    body: Buffer.from('{"a":1}'),
    receivedAt: now,
    jobs: [{ handler: "push", orderKey: null }],
    ...more,
  };
}

const keyed = (id: string, orderKey: string | null): Incoming =>
  incoming({ id, jobs: [{ handler: "push", orderKey }] });

test("accept() keeps a delivery the first time, every field of it", () => {
  const { inbox, rows } = openEmpty();
  const body = Buffer.from('{"zen":"héllo"}');
  const headers = JSON.stringify({ "x-github-event": "push" });
  assert.equal(inbox.accept(incoming({ body, headers, form: "fields" })), "accepted");
  assert.deepEqual(rows("SELECT * FROM deliveries"), [
    {
      number: 1,
      source: "default",
      sender: "github",
      id: "1",
      event: "push",
      digest: new Uint8Array(createHash("sha256").update("github\npush\n").update(body).digest()),
      received_at: now,
      repeats: 0,
      is_twin: 0,
      form: "fields",
      headers,
      body: new Uint8Array(body),
    },
  ]);
});

test("accept() makes one job for each handler, due at once", () => {
  const { inbox, rows } = openEmpty();
  inbox.accept(
    incoming({
      jobs: [
        { handler: "push", orderKey: null },
        { handler: "*", orderKey: "k" },
      ],
    }),
  );
  const columns =
    "delivery, handler, state, attempts, next_attempt_at, order_key, owner, last_error, finished_at";
  const job = { delivery: 1, state: "pending", attempts: 0, next_attempt_at: now, owner: null };
  const nothing = { last_error: null, finished_at: null };
  assert.deepEqual(rows(`SELECT ${columns} FROM jobs ORDER BY number`), [
    { ...job, handler: "push", order_key: null, ...nothing },
    { ...job, handler: "*", order_key: "k", ...nothing },
  ]);
});

test("accept() keeps a delivery that no handler wants", () => {
  const { inbox, rows } = openEmpty();
  assert.equal(inbox.accept(incoming({ jobs: [] })), "accepted");
  assert.equal(inbox.accept(incoming({ jobs: [] })), "duplicate");
  assert.deepEqual(rows("SELECT repeats FROM deliveries"), [{ repeats: 1 }]);
});

for (const state of ["pending", "running", "done"] as const) {
  test(`accept() counts the repeat of a ${state} delivery and leaves its job alone`, () => {
    const { inbox, rows, states } = openEmpty();
    inbox.accept(incoming());
    if (state !== "pending") inbox.claim("me", handlers, far, now);
    if (state === "done") inbox.finish("me", 1, { state: "done" }, now);
    const before = rows("SELECT * FROM jobs");
    assert.equal(inbox.accept(incoming({ receivedAt: now + 5 })), "duplicate");
    assert.equal(inbox.accept(incoming({ receivedAt: now + 6 })), "duplicate");
    assert.deepEqual(states(), [state]);
    assert.deepEqual(rows("SELECT * FROM jobs"), before);
    assert.deepEqual(rows("SELECT repeats, received_at, is_twin FROM deliveries"), [
      { repeats: 2, received_at: now, is_twin: 0 },
    ]);
  });
}

test("accept() revives the dead jobs of a repeat, and only those", () => {
  const { inbox, rows, states } = openEmpty();
  const two = incoming({ jobs: handlers.map((handler) => ({ handler, orderKey: null })) });
  inbox.accept(two);
  inbox.accept(incoming({ id: "2" }));
  inbox.claim("me", handlers, far, now);
  inbox.finish("me", 1, { state: "dead", error: "it broke" }, now);
  inbox.finish("me", 2, { state: "done" }, now);
  inbox.finish("me", 3, { state: "dead", error: "it broke" }, now);
  assert.equal(inbox.accept({ ...two, receivedAt: now + 9 }), "revived");
  assert.deepEqual(states(), ["pending", "done", "dead"]);
  assert.deepEqual(
    rows("SELECT attempts, next_attempt_at, finished_at, last_error, owner FROM jobs WHERE number = 1"),
    [{ attempts: 0, next_attempt_at: now + 9, finished_at: null, last_error: "it broke", owner: null }],
  );
  const [job] = inbox.claim("me", handlers, far, now + 9).jobs;
  assert.deepEqual([job?.job, job?.attempt], [1, 1]);
  assert.equal(inbox.accept(two), "duplicate");
});

test("accept() keeps another body under the same unsigned id as a delivery of its own, and flags it", () => {
  const { inbox, rows } = openEmpty();
  const twin = incoming({ body: Buffer.from('{"a":2}') });
  assert.equal(inbox.accept(incoming()), "accepted");
  assert.equal(inbox.accept(twin), "accepted");
  assert.deepEqual(
    [inbox.accept(incoming()), inbox.accept(twin), inbox.accept(twin)],
    ["duplicate", "duplicate", "duplicate"],
  );
  assert.deepEqual(rows("SELECT is_twin, repeats FROM deliveries ORDER BY number"), [
    { is_twin: 0, repeats: 1 },
    { is_twin: 1, repeats: 2 },
  ]);
  assert.equal(inbox.claim("me", handlers, far, now).jobs.length, 2);
});

test("accept() takes another body under the same signed id for a repeat, and keeps the first", () => {
  const { inbox, rows } = openEmpty();
  assert.equal(inbox.accept(incoming({ isIdSigned: true })), "accepted");
  assert.equal(inbox.accept(incoming({ isIdSigned: true, body: Buffer.from('{"a":2}') })), "duplicate");
  assert.deepEqual(rows("SELECT is_twin, repeats, digest, CAST(body AS TEXT) AS body FROM deliveries"), [
    { is_twin: 0, repeats: 1, digest: new Uint8Array(), body: '{"a":1}' },
  ]);
});

test("accept() tells two sources with the same id apart", () => {
  const { inbox } = openEmpty();
  for (const isIdSigned of [true, false]) {
    const id = String(isIdSigned);
    assert.equal(inbox.accept(incoming({ id, isIdSigned })), "accepted");
    assert.equal(inbox.accept(incoming({ id, isIdSigned, source: "github-acme" })), "accepted");
  }
});

test("claim() takes at most the limit, those that are due first, and says when the next one is due", () => {
  const { inbox } = openEmpty();
  for (const [id, receivedAt] of [
    ["late", now + 2],
    ["early", now],
    ["middle", now + 1],
    ["future", now + 50],
  ] as const) {
    inbox.accept(incoming({ id, receivedAt }));
  }
  const ids = ({ jobs }: ReturnType<typeof inbox.claim>) => jobs.map(({ id }) => id).sort();
  const first = inbox.claim("me", handlers, 2, now + 10);
  assert.deepEqual(ids(first), ["early", "middle"]);
  const second = inbox.claim("me", handlers, 2, now + 10);
  assert.deepEqual([ids(second), second.nextAttemptAt], [["late"], now + 50]);
  assert.deepEqual(inbox.claim("me", handlers, 2, now + 49), { jobs: [], nextAttemptAt: now + 50 });
  const last = inbox.claim("me", handlers, 2, now + 50);
  assert.deepEqual([ids(last), last.nextAttemptAt], [["future"], null]);
});

test("claim() hands a job to one owner only, and counts the attempt", () => {
  const { inbox, rows } = openEmpty();
  inbox.accept(incoming());
  const { jobs } = inbox.claim("me", handlers, far, now);
  assert.deepEqual(
    jobs.map(({ job, handler, attempt }) => ({ job, handler, attempt })),
    [{ job: 1, handler: "push", attempt: 1 }],
  );
  assert.deepEqual(inbox.claim("you", handlers, far, now).jobs, []);
  assert.deepEqual(inbox.claim("me", handlers, far, now).jobs, []);
  assert.deepEqual(rows("SELECT state, owner, attempts FROM jobs"), [
    { state: "running", owner: "me", attempts: 1 },
  ]);
});

test("claim() leaves the jobs of handlers that it was not asked for", () => {
  const { inbox, states } = openEmpty();
  inbox.accept(incoming());
  assert.deepEqual(inbox.claim("me", ["pull_request", "push.>"], far, now).jobs, []);
  assert.deepEqual(inbox.claim("me", [], far, now).jobs, []);
  assert.deepEqual(states(), ["pending"]);
});

test("claim() returns them in the order of arrival", () => {
  const { inbox } = openEmpty();
  for (const [id, receivedAt] of [
    ["a", now + 2],
    ["b", now],
    ["c", now + 1],
  ] as const) {
    inbox.accept(incoming({ id, receivedAt }));
  }
  assert.deepEqual(
    inbox.claim("me", handlers, far, now + 2).jobs.map(({ id }) => id),
    ["a", "b", "c"],
  );
});

test("jobs of one order key run one after the other, in the order of arrival, and others beside them", () => {
  const { inbox } = openEmpty();
  for (const [id, key] of [
    ["a1", "a"],
    ["a2", "a"],
    ["b1", "b"],
    ["none1", null],
    ["a3", "a"],
    ["none2", null],
  ] as const) {
    inbox.accept(keyed(id, key));
  }
  const claim = () => inbox.claim("me", handlers, far, now).jobs;
  const [first, ...beside] = claim();
  assert.deepEqual([first?.id, ...beside.map(({ id }) => id)], ["a1", "b1", "none1", "none2"]);
  assert.deepEqual(claim(), []); // a1 runs
  inbox.finish("me", Number(first?.job), { state: "done" }, now);
  const [second, ...none] = claim();
  assert.deepEqual([second?.id, none], ["a2", []]);
  inbox.finish("me", Number(second?.job), { state: "done" }, now);
  assert.deepEqual(
    claim().map(({ id }) => id),
    ["a3"],
  );
});

test("a job that waits for its retry holds up the later ones of its key, a dead one does not", () => {
  const { inbox } = openEmpty();
  inbox.accept(keyed("first", "k"));
  inbox.accept(keyed("second", "k"));
  inbox.claim("me", handlers, far, now);
  inbox.finish("me", 1, { state: "pending", error: "not yet", nextAttemptAt: now + 60_000 }, now);
  assert.deepEqual(inbox.claim("me", handlers, far, now + 59_999).jobs, []);
  assert.deepEqual(
    inbox.claim("me", handlers, far, now + 60_000).jobs.map(({ id }) => id),
    ["first"],
  );
  inbox.finish("me", 1, { state: "dead", error: "never" }, now);
  assert.deepEqual(
    inbox.claim("me", handlers, far, now + 60_000).jobs.map(({ id }) => id),
    ["second"],
  );
});

test("those behind an earlier job of their key are due when it has ended, and not looked at before", () => {
  const { inbox, rows } = openEmpty();
  for (const id of ["a1", "a2", "a3"]) inbox.accept(keyed(id, "a"));
  inbox.accept(keyed("b1", "b"));
  const dueTimes = () => rows("SELECT next_attempt_at AS at FROM jobs ORDER BY number").map(({ at }) => at);
  assert.deepEqual(dueTimes(), [now, inLine, inLine, now]);
  const { jobs, nextAttemptAt } = inbox.claim("me", handlers, far, now);
  assert.deepEqual([jobs.map(({ id }) => id), nextAttemptAt], [["a1", "b1"], null]);
  inbox.finish("me", 1, { state: "pending", error: "not yet", nextAttemptAt: now + 5 }, now);
  assert.deepEqual(dueTimes(), [now + 5, inLine, inLine, now]);
  inbox.claim("me", handlers, far, now + 5);
  inbox.finish("me", 1, { state: "dead", error: "never" }, now + 6);
  assert.deepEqual(dueTimes(), [now + 5, now + 6, inLine, now]);
  inbox.accept(keyed("a4", "a"));
  inbox.claim("me", handlers, far, now + 7);
  inbox.finish("me", 2, { state: "done" }, now + 8);
  assert.deepEqual(dueTimes(), [now + 5, now + 6, now + 8, now, inLine]);
});

test("a dead job that is revived goes before those of its key that were due meanwhile", () => {
  const { inbox } = openEmpty();
  for (const id of ["a1", "a2"]) inbox.accept(keyed(id, "a"));
  inbox.claim("me", handlers, far, now);
  inbox.finish("me", 1, { state: "dead", error: "never" }, now);
  assert.equal(inbox.accept(keyed("a1", "a")), "revived");
  const ids = () => inbox.claim("me", handlers, far, now).jobs.map(({ id }) => id);
  assert.deepEqual(ids(), ["a1"]);
  inbox.finish("me", 1, { state: "done" }, now);
  assert.deepEqual(ids(), ["a2"]);
});

test("whatever happens to them, jobs of one key never run at once or out of order, and all of them run", () => {
  const random = lehmer(4);
  for (let round = 0; round < 30; round += 1) {
    const { inbox, rows } = openEmpty();
    const running = new Map<number, { key: string; id: number }>();
    const begun = new Map<string, number>();
    let time = now;
    let accepted = 0;
    const claim = (limit: number) => {
      for (const { job, id, handler } of inbox.claim("me", handlers, limit, time).jobs) {
        const key = `${handler} ${rows(`SELECT order_key FROM jobs WHERE number = ${job}`)[0]?.order_key}`;
        assert.ok(![...running.values()].some((other) => other.key === key), "two of one key at once");
        assert.ok(Number(id) >= (begun.get(key) ?? 0), "out of order");
        begun.set(key, Number(id));
        running.set(job, { key, id: Number(id) });
      }
    };
    const finish = (how: number) => {
      const [job] = running.keys();
      if (job === undefined) return;
      running.delete(job);
      const nextAttemptAt = time + random(5);
      if (how === 0) inbox.finish("me", job, { state: "done" }, time);
      if (how === 1) inbox.finish("me", job, { state: "dead", error: "no" }, time);
      if (how === 2) inbox.finish("me", job, { state: "pending", error: "no", nextAttemptAt }, time);
      if (how === 3) inbox.finish("me", job, { state: "postponed", nextAttemptAt }, time);
    };
    for (let step = 0; step < 200; step += 1) {
      time += random(2);
      const what = random(8);
      if (what < 3) {
        accepted += 1;
        const jobs = handlers.map((handler) => ({ handler, orderKey: `k${random(3)}` }));
        inbox.accept(incoming({ id: String(accepted), jobs, receivedAt: time }));
      } else if (what < 5) claim(1 + random(3));
      else if (what < 7) finish(random(4));
      else {
        if (random(2) === 0) inbox.release("me", time);
        else inbox.bury("me", time);
        running.clear();
      }
    }
    for (let step = 0; step < 20 * accepted; step += 1) {
      time += 5;
      claim(far);
      finish(0);
    }
    assert.deepEqual(rows("SELECT number FROM jobs WHERE state NOT IN ('done', 'dead')"), []);
  }
});

test("one order key in two handlers is two queues", () => {
  const { inbox } = openEmpty();
  for (const id of ["1", "2"]) {
    inbox.accept(incoming({ id, jobs: handlers.map((handler) => ({ handler, orderKey: "k" })) }));
  }
  const { jobs } = inbox.claim("me", handlers, far, now);
  assert.deepEqual(
    jobs.map(({ id, handler }) => [id, handler]),
    [
      ["1", "push"],
      ["1", "*"],
    ],
  );
});

test("finish() is for the owner of a running job only", () => {
  const { inbox, states, rows } = openEmpty();
  inbox.accept(incoming());
  const done = { state: "done" } as const;
  assert.equal(inbox.finish("me", 1, done, now), false); // nobody has claimed it
  inbox.claim("me", handlers, far, now);
  assert.equal(inbox.finish("you", 1, done, now), false);
  assert.deepEqual(states(), ["running"]);
  assert.equal(inbox.finish("me", 1, done, now + 3), true);
  assert.deepEqual(rows("SELECT state, owner, finished_at, last_error FROM jobs"), [
    { state: "done", owner: null, finished_at: now + 3, last_error: null },
  ]);
  assert.equal(inbox.finish("me", 1, { state: "dead", error: "late" }, now), false);
});

test("finish() keeps the error of a failed attempt, also when a later one succeeds", () => {
  const { inbox, rows } = openEmpty();
  const columns = "SELECT state, attempts, next_attempt_at, finished_at, last_error FROM jobs";
  inbox.accept(incoming());
  inbox.claim("me", handlers, far, now);
  inbox.finish("me", 1, { state: "pending", error: "Error: one\n    at x", nextAttemptAt: now + 7 }, now);
  assert.deepEqual(rows(columns), [
    {
      state: "pending",
      attempts: 1,
      next_attempt_at: now + 7,
      finished_at: null,
      last_error: "Error: one\n    at x",
    },
  ]);
  assert.equal(inbox.claim("me", handlers, far, now + 7).jobs[0]?.attempt, 2);
  inbox.finish("me", 1, { state: "done" }, now + 8);
  assert.deepEqual(rows(columns), [
    {
      state: "done",
      attempts: 2,
      next_attempt_at: now + 7,
      finished_at: now + 8,
      last_error: "Error: one\n    at x",
    },
  ]);
});

test("finish() puts a postponed job back as if it had not begun, with its last error, for a later time", () => {
  const { inbox, rows } = openEmpty();
  inbox.accept(incoming());
  inbox.claim("me", handlers, far, now);
  inbox.finish("me", 1, { state: "pending", error: "no", nextAttemptAt: now }, now);
  inbox.claim("me", handlers, far, now);
  const postponed = { state: "postponed", nextAttemptAt: now + 30_000 } as const;
  assert.equal(inbox.finish("you", 1, postponed, now), false);
  assert.equal(inbox.finish("me", 1, postponed, now), true);
  assert.equal(inbox.finish("me", 1, postponed, now), false);
  assert.deepEqual(
    rows("SELECT state, attempts, next_attempt_at, last_error, owner, finished_at FROM jobs"),
    [
      {
        state: "pending",
        attempts: 1,
        next_attempt_at: now + 30_000,
        last_error: "no",
        owner: null,
        finished_at: null,
      },
    ],
  );
  assert.deepEqual(inbox.claim("me", handlers, far, now + 29_999), { jobs: [], nextAttemptAt: now + 30_000 });
  assert.equal(inbox.claim("me", handlers, far, now + 30_000).jobs[0]?.attempt, 2);
});

test("release() gives back what its owner runs as if it had never begun, and nobody else's", () => {
  const { inbox, rows } = openEmpty();
  inbox.accept(incoming({ id: "mine" }));
  inbox.claim("me", handlers, far, now);
  inbox.accept(incoming({ id: "yours" }));
  inbox.claim("you", handlers, far, now);
  inbox.release("me", now);
  assert.deepEqual(rows("SELECT state, owner, attempts FROM jobs ORDER BY number"), [
    { state: "pending", owner: null, attempts: 0 },
    { state: "running", owner: "you", attempts: 1 },
  ]);
  assert.deepEqual(
    inbox.claim("you", handlers, far, now).jobs.map(({ id, attempt }) => [id, attempt]),
    [["mine", 1]],
  );
});

test("bury() frees the jobs of the dead with their attempts counted, and nobody else's", () => {
  const { inbox, rows } = openEmpty();
  inbox.beat("dead", now);
  inbox.beat("me", now);
  inbox.accept(incoming({ id: "its" }));
  inbox.claim("dead", handlers, far, now);
  inbox.accept(incoming({ id: "mine" }));
  inbox.claim("me", handlers, far, now);
  assert.equal(inbox.bury("dead", now + 5), 1);
  assert.deepEqual(rows("SELECT state, owner, attempts, last_error FROM jobs ORDER BY number"), [
    { state: "pending", owner: null, attempts: 1, last_error: "the receiver ended while this ran" },
    { state: "running", owner: "me", attempts: 1, last_error: null },
  ]);
  assert.deepEqual(inbox.otherBeats("nobody"), [{ owner: "me", beat: 1 }]);
  assert.equal(inbox.finish("dead", 1, { state: "done" }, now), false); // it was not dead, only slow
  assert.equal(inbox.claim("me", handlers, far, now + 5).jobs[0]?.attempt, 2);
  assert.equal(inbox.bury("dead", now), 0);
});

test("beat() counts up, and the others see it", () => {
  const { inbox } = openEmpty();
  inbox.beat("me", now);
  inbox.beat("me", now + 1);
  assert.deepEqual(inbox.otherBeats("you"), [{ owner: "me", beat: 2 }]);
  assert.deepEqual(inbox.otherBeats("me"), []);
});

test("leftover() counts what is not handled and knows the last beat", () => {
  const { inbox } = openEmpty();
  assert.deepEqual(inbox.leftover(), { jobs: 0, lastBeatAt: null });
  for (const id of ["1", "2", "3", "4"]) inbox.accept(incoming({ id }));
  inbox.claim("me", handlers, 3, now);
  inbox.finish("me", 1, { state: "done" }, now);
  inbox.finish("me", 2, { state: "dead", error: "x" }, now);
  inbox.beat("me", now - 7);
  inbox.beat("you", now);
  assert.deepEqual(inbox.leftover(), { jobs: 2, lastBeatAt: now });
});

for (const name of ["__proto__", "constructor", "'; DROP TABLE jobs; --", '"', "𝄞é", "[]", "%_", ""]) {
  test(`the name ${JSON.stringify(name)} is a name like any other`, () => {
    const { inbox } = openEmpty();
    const one = incoming({
      id: name,
      source: name,
      sender: name,
      event: name,
      jobs: [{ handler: name, orderKey: name }],
    });
    assert.equal(inbox.accept(one), "accepted");
    assert.equal(inbox.accept({ ...one, id: `${name}!` }), "accepted");
    assert.equal(inbox.accept(one), "duplicate");
    const [job, ...more] = inbox.claim(name, [name], far, now).jobs;
    assert.deepEqual(more, []); // the other one waits: it has the same key
    assert.deepEqual(
      [job?.id, job?.source, job?.sender, job?.event, job?.handler],
      [name, name, name, name, name],
    );
    assert.equal(inbox.finish(name, Number(job?.job), { state: "done" }, now), true);
  });
}

test("claim() brings the event back byte for byte, whatever the bytes are", () => {
  const { inbox } = openEmpty();
  const every = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
  const bodies = [Buffer.alloc(0), every, Buffer.alloc(4096), randomBytes(25 * 1024 * 1024)];
  const headers = '{"x":"caf\\u00e9","__proto__":"y"}';
  for (const [index, body] of bodies.entries()) {
    assert.equal(inbox.accept(incoming({ id: String(index), body, headers })), "accepted");
  }
  const { jobs } = inbox.claim("me", handlers, far, now);
  assert.deepEqual(
    jobs.map((job) => Buffer.compare(job.body, bodies[Number(job.id)] ?? every)),
    [0, 0, 0, 0],
  );
  assert.ok(jobs.every((job) => job.headers === headers && job.form === null));
});

test("a captured body under a genuine unsigned id makes the genuine delivery no repeat, whatever it calls itself", () => {
  const { inbox } = openEmpty();
  const genuine = incoming({ id: "72d3" });
  assert.equal(inbox.accept({ ...genuine, event: "ping" }), "accepted");
  assert.equal(inbox.accept({ ...genuine, sender: "decnet" }), "accepted");
  assert.equal(inbox.accept(genuine), "accepted");
  assert.equal(inbox.accept(genuine), "duplicate");
});

/** Five jobs and one that ends the process whenever it runs. */
test("one job that ends the process becomes dead after three endings, and takes none of those beside it along", () => {
  const { inbox, rows } = openEmpty();
  const poison = "6";
  for (const id of ["1", "2", "3", "4", "5", poison]) inbox.accept(incoming({ id }));
  const handled: string[] = [];
  let time = now;
  let endings = 0;
  for (let run = 0; run < 60; run += 1) {
    const owner = `run ${run}`;
    time += 20_000;
    const { jobs } = inbox.claim(owner, handlers, far, time);
    if (jobs.some(({ id }) => id === poison)) {
      endings += 1;
      inbox.bury(owner, time);
      continue;
    }
    for (const { job, id } of jobs) {
      handled.push(id);
      inbox.finish(owner, job, { state: "done" }, time);
    }
  }
  assert.equal(endings, 3);
  assert.deepEqual(handled.sort(), ["1", "2", "3", "4", "5"]);
  assert.deepEqual(
    rows(
      "SELECT id, state, attempts, last_error FROM jobs JOIN deliveries ON deliveries.number = delivery WHERE state = 'dead'",
    ),
    [
      {
        id: poison,
        state: "dead",
        attempts: 2,
        last_error: "the receiver ended while this ran, for the third time in a row",
      },
    ],
  );
});

test("a job that runs at every stop does not run for ever: a script that restarts the receiver and waits for it", () => {
  const { inbox, rows } = openEmpty();
  inbox.accept(incoming({ id: "deploy" }));
  let time = now;
  for (let stop = 1; stop <= 3; stop += 1) {
    time += 20_000;
    assert.equal(inbox.claim("me", handlers, far, time).jobs.length, 1);
    inbox.release("me", time);
  }
  assert.deepEqual(inbox.claim("me", handlers, far, time + 1e9).jobs, []);
  assert.deepEqual(rows("SELECT state, attempts, last_error FROM jobs"), [
    {
      state: "dead",
      attempts: 2,
      last_error: "the receiver stopped while this ran, for the third time in a row",
    },
  ]);
});

test("what waits behind a job that has ended the process three times goes on", () => {
  const { inbox } = openEmpty();
  for (const id of ["1", "2"]) inbox.accept(keyed(id, "key"));
  let time = now;
  for (let ending = 1; ending <= 3; ending += 1) {
    time += 20_000;
    assert.deepEqual(
      inbox.claim("a", handlers, far, time).jobs.map(({ id }) => id),
      ["1"],
    );
    inbox.bury("a", time);
  }
  assert.deepEqual(
    inbox.claim("b", handlers, far, time).jobs.map(({ id }) => id),
    ["2"],
  );
});

test("a job that goes well after an ending is no suspect any more", () => {
  const { inbox, rows } = openEmpty();
  inbox.accept(incoming({ id: "1" }));
  inbox.claim("a", handlers, far, now);
  inbox.bury("a", now);
  const [job] = inbox.claim("b", handlers, far, now + 10_000).jobs;
  inbox.finish("b", job?.job ?? 0, { state: "pending", error: "no", nextAttemptAt: now }, now);
  assert.deepEqual(rows("SELECT endings FROM jobs"), [{ endings: 0 }]);
});
