/**
 * The worker on a real inbox. The store is wrapped where a test has to see, hold up or refuse a call;
 * retries are moved to now, with the time for which they were planned looked at.
 */
import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { inspect } from "node:util";
import type { Finish } from "../../lib/keep/sqlite/inbox.ts";
import { openStore, type Store } from "../../lib/keep/sqlite/store.ts";
import { openLog } from "../../lib/log.ts";
import { Hopeless, Postponed } from "../../lib/process/failure.ts";
import type { Handlers } from "../../lib/process/handlers.ts";
import { readyHandlers } from "../../lib/process/loader.ts";
import { openWorker } from "../../lib/process/worker.ts";
import { Refusal } from "../../lib/refusal.ts";
import type { FormUse } from "../../lib/senders/sender.ts";
import type { WebhookEvent } from "../../lib/signature/event.ts";
import { type Line, parseLines } from "../receiver.ts";

/** Something that is counted, and can be waited for. */
function openTally<Item>() {
  const items: Item[] = [];
  const lookers = new Set<() => void>();
  return {
    items,
    add(item: Item): void {
      items.push(item);
      for (const look of lookers) look();
    },
    reaches: (count: number): Promise<void> =>
      new Promise((resolve) => {
        const look = () => {
          if (items.length < count) return;
          lookers.delete(look);
          resolve();
        };
        lookers.add(look);
        look();
      }),
  };
}

type Finished = { job: number; how: Finish; now: number };

async function openWork(
  t: TestContext,
  handlers: Handlers,
  { concurrency = 10, wrap = (store: Store): Partial<Store> => store } = {},
) {
  const store = await openStore(":memory:");
  const finished = openTally<Finished>();
  /** The thread beats once a second. */
  const beats = openTally<number>();
  const seconds = setInterval(() => beats.add(Date.now()), 1000);
  t.after(() => clearInterval(seconds));
  const claims = openTally<number>();
  const wrapped: Store = { ...store, ...wrap(store) };
  const watched: Store = {
    ...wrapped,
    claim: (owner, names, limit, now) =>
      wrapped.claim(owner, names, limit, now).finally(() => claims.add(now)),
    finish: async (owner, job, how, now) => {
      const soon = "nextAttemptAt" in how ? { ...how, nextAttemptAt: 0 } : how;
      const isOurs = await wrapped.finish(owner, job, soon, now);
      finished.add({ job, how, now });
      return isOurs;
    },
  };
  let text = "";
  const log = openLog("json", (more) => {
    text += more;
  });
  const worker = openWorker(watched, readyHandlers(handlers), log, { concurrency });
  // A failing test must not leave a thread behind: the others would never be heard of.
  let isClosed = false;
  async function close(): Promise<void> {
    if (isClosed) return;
    isClosed = true;
    await store.close();
  }
  t.after(async () => {
    if (!isClosed) await worker.stop(0);
    await close();
  });
  return {
    store: { ...store, close },
    worker,
    beats,
    claims,
    finished,
    lines: () => {
      log.flush();
      return parseLines(text);
    },
    /** Puts a delivery into the inbox, with a job for each handler. */
    accept: (
      id: string,
      names: string[],
      orderKey: string | null = null,
      more: { headers?: string; body?: Uint8Array; form?: FormUse } = {},
    ) =>
      store.accept({
        ...{
          source: "default",
          sender: "github",
          id,
          isIdSigned: false,
          event: "push",
          form: null,
        },
        ...{ headers: "{}", body: Buffer.from(`{"id":"${id}"}`), receivedAt: 1, ...more },
        jobs: names.map((handler) => ({ handler, orderKey })),
      }),
    /** What is still to be claimed, with the attempt that it will be. */
    rest: async (names: string[]) => {
      await store.beat("a look", 1);
      return (await store.claim("a look", names, 1000, Date.now())).jobs.map(({ id, attempt }) => ({
        id,
        attempt,
      }));
    },
    end: async (deadlineSeconds = 5) => {
      await worker.stop(deadlineSeconds);
      await close();
    },
  };
}

const handler = (handle: Handlers[string]): Handlers => ({ push: handle });
const never = new Promise<void>(() => {});

test("a handler gets the event as it came in, and a log that names it", async (t) => {
  const got = openTally<WebhookEvent>();
  const work = await openWork(
    t,
    handler((event, { attempt, receivedAt, signal, log }) => {
      log.info("hello", { attempt, receivedAt, aborted: signal.aborted });
      got.add(event);
    }),
  );
  const body = Buffer.from('{"a":"\\u00e9", "__proto__":1}');
  await work.accept("1", ["push"], null, { headers: '{"x-one":"1"}', body });
  work.worker.poke();
  await work.finished.reaches(1);
  const [event] = got.items;
  assert.ok(event);
  assert.ok(Buffer.isBuffer(event.body) && event.body.equals(body));
  assert.deepEqual(event.payload, JSON.parse(body.toString()));
  const { source, sender, type, id, headers } = event;
  assert.deepEqual(
    { source, sender, type, id, headers },
    { source: "default", sender: "github", type: "push", id: "1", headers: { "x-one": "1" } },
  );
  const { time: _, ...line } = work.lines()[0] as Line & { time: string };
  assert.deepEqual(line, {
    level: "info",
    message: "hello",
    handler: "push",
    event: "push",
    id: "1",
    attempt: 1,
    receivedAt: "1970-01-01T00:00:00.001Z",
    aborted: false,
  });
  assert.deepEqual(work.finished.items[0]?.how, { state: "done" });
  await work.end();
});

test("a form's fields are the payload again", async (t) => {
  const got = openTally<unknown>();
  const work = await openWork(
    t,
    handler(({ payload }) => got.add(payload)),
  );
  const form = {
    headers: '{"content-type":"application/x-www-form-urlencoded"}',
    body: Buffer.from("a=1&b=x+y"),
    form: "fields" as const,
  };
  await work.accept("1", ["push"], null, form);
  work.worker.poke();
  await work.finished.reaches(1);
  assert.deepEqual({ ...(got.items[0] as object) }, { a: "1", b: "x y" });
  await work.end();
});

test("a handler that fails is tried again, later and later, until it works", async (t) => {
  const attempts: number[] = [];
  const work = await openWork(
    t,
    handler((_, { attempt }) => {
      attempts.push(attempt);
      if (attempt < 4) throw new Error(`no ${attempt}`);
    }),
  );
  await work.accept("1", ["push"]);
  work.worker.poke();
  await work.finished.reaches(4);
  assert.deepEqual(attempts, [1, 2, 3, 4]);
  assert.deepEqual(
    work.finished.items.map(({ how }) => how.state),
    ["pending", "pending", "pending", "done"],
  );
  for (const [index, { how, now }] of work.finished.items.slice(0, 3).entries()) {
    assert.ok(how.state === "pending");
    const delay = how.nextAttemptAt - now;
    assert.ok(
      Number.isInteger(delay) && delay >= 0 && delay < 2000 * 2 ** index,
      `${delay} after attempt ${index + 1}`,
    );
    assert.match(how.error, new RegExp(`^Error: no ${index + 1}\\n    at `));
  }
  const lines = work.lines();
  assert.deepEqual(
    lines.map(({ level, message, attempt, handler, id }) => [level, message, attempt, handler, id]),
    [1, 2, 3].map((attempt) => ["warn", "handler failed", attempt, "push", "1"]),
  );
  assert.ok(lines.every(({ againInSeconds }) => typeof againInSeconds === "number"));
  await work.end();
});

test("after its retries it is dead, with the last error and its stack", async (t) => {
  let calls = 0;
  const work = await openWork(
    t,
    handler({
      retries: 2,
      handle: () => {
        calls += 1;
        throw new TypeError(`no ${calls}`);
      },
    }),
  );
  await work.accept("1", ["push"]);
  work.worker.poke();
  await work.finished.reaches(3);
  const { how } = work.finished.items[2] ?? {};
  assert.ok(how?.state === "dead");
  assert.match(how.error, /^TypeError: no 3\n {4}at /);
  assert.deepEqual([calls, await work.rest(["push"])], [3, []]);
  const last = work.lines().at(-1);
  assert.deepEqual(
    [last?.level, last?.message, last?.attempt],
    ["error", "handler failed for good; the job is dead", 3],
  );
  assert.match(String(last?.stack), /^TypeError: no 3\n {4}at /);
  assert.equal(await work.accept("1", ["push"]), "revived");
  await work.end();
});

test("12 attempts unless said", async (t) => {
  const work = await openWork(
    t,
    handler(() => Promise.reject(new Error("no"))),
  );
  await work.accept("1", ["push"]);
  work.worker.poke();
  await work.finished.reaches(12);
  assert.deepEqual(
    work.finished.items.map(({ how }) => how.state),
    [...Array.from({ length: 11 }, () => "pending"), "dead"],
  );
  await work.end();
});

test("a handler that postpones has made no attempt: it comes again when it said, and nothing is logged", async (t) => {
  const attempts: number[] = [];
  const work = await openWork(
    t,
    handler({
      retries: 1,
      handle: (_, { attempt }) => {
        attempts.push(attempt);
        if (attempts.length <= 5) throw new Postponed(30_000, "the other side rests");
        if (attempts.length === 6) throw new Error("no");
        if (attempts.length <= 9) throw new Postponed(7, "the other side rests");
      },
    }),
  );
  await work.accept("1", ["push"]);
  work.worker.poke();
  await work.finished.reaches(10);
  assert.deepEqual(attempts, [1, 1, 1, 1, 1, 1, 2, 2, 2, 2]);
  const [again, soon] = [30_000, 7].map((milliseconds) => ({ state: "postponed", milliseconds }));
  assert.deepEqual(
    work.finished.items.map(({ how, now }) =>
      how.state === "postponed"
        ? { state: how.state, milliseconds: how.nextAttemptAt - now }
        : { state: how.state },
    ),
    [again, again, again, again, again, { state: "pending" }, soon, soon, soon, { state: "done" }],
  );
  assert.deepEqual(
    work.lines().map(({ message, attempt }) => [message, attempt]),
    [["handler failed", 1]],
  );
  await work.end();
});

test("a job that is postponed keeps its place before the later ones of its key", async (t) => {
  const runs: string[] = [];
  const work = await openWork(
    t,
    handler(({ id }) => {
      runs.push(id);
      if (runs.length <= 3) throw new Postponed(1000, "not yet");
    }),
  );
  for (const id of ["1", "2"]) await work.accept(id, ["push"], "k");
  work.worker.poke();
  await work.finished.reaches(5);
  assert.deepEqual(runs, ["1", "1", "1", "1", "2"]);
  await work.end();
});

test("a handler that says it is hopeless is not tried again: the job is dead", async (t) => {
  let calls = 0;
  const work = await openWork(
    t,
    handler(() => {
      calls += 1;
      throw new Hopeless("there is no such account");
    }),
  );
  await work.accept("1", ["push"]);
  work.worker.poke();
  await work.finished.reaches(1);
  const how = work.finished.items[0]?.how;
  assert.ok(how?.state === "dead");
  assert.match(how.error, /^Error: there is no such account\n {4}at /);
  assert.deepEqual([calls, await work.rest(["push"])], [1, []]);
  assert.deepEqual(
    work.lines().map(({ level, message, attempt }) => [level, message, attempt]),
    [["error", "handler failed for good; the job is dead", 1]],
  );
  await work.end();
});

test("one handler that fails does not run the other one again", async (t) => {
  const runs: string[] = [];
  const work = await openWork(t, {
    push: (_, { attempt }) => {
      runs.push("push");
      if (attempt === 1) throw new Error("no");
    },
    "*": () => {
      runs.push("*");
    },
  });
  await work.accept("1", ["push", "*"]);
  work.worker.poke();
  await work.finished.reaches(3);
  assert.deepEqual(runs.sort(), ["*", "push", "push"]);
  await work.end();
});

describe("whatever a handler does, its job does not get lost", () => {
  const cyclic = new AggregateError([]);
  cyclic.errors.push(cyclic);
  const kinds: Record<
    string,
    { handle: (event: unknown, context: { signal: AbortSignal }) => unknown; error: RegExp }
  > = {
    "throws at once": {
      handle: () => assert.fail("at once"),
      error: /^AssertionError \[ERR_ASSERTION\]: at once\n {4}at /,
    },
    rejects: { handle: () => Promise.reject(new RangeError("late")), error: /^RangeError: late\n {4}at / },
    "throws a string": { handle: () => raise("words"), error: /words/ },
    "throws undefined": { handle: () => raise(undefined), error: /undefined/ },
    "rejects with null": { handle: () => Promise.reject(null), error: /null/ },
    "returns only when its time is up": {
      handle: (_: unknown, { signal }: { signal: AbortSignal }) =>
        new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve())),
      error: /^Error: timed out after 0\.2 s\n/,
    },
    "throws an error without a stack": {
      handle: () => raise(Object.assign(new Error("bare"), { stack: undefined })),
      error: /^Error: bare$/,
    },
    "throws an error with a stack that is no text": {
      handle: () => raise(Object.assign(new Error("odd"), { stack: 42 })),
      error: /./,
    },
    "throws an error whose stack throws": {
      handle: () =>
        raise(Object.defineProperty(new Error("trap"), "stack", { get: () => raise(new Error("trapped")) })),
      error: /./,
    },
    "throws what cannot be shown": {
      handle: () => raise({ [inspect.custom]: () => raise(new Error("trapped")) }),
      error: /./,
    },
    "throws errors in a circle": { handle: () => raise(cyclic), error: /./ },
    "throws a very long error": {
      handle: () => raise(new Error("x".repeat(100_000))),
      error: /^Error: x{3000}/,
    },
  };

  function raise(thrown: unknown): never {
    throw thrown;
  }

  for (const [what, { handle, error }] of Object.entries(kinds)) {
    test(`it ${what}`, async (t) => {
      const work = await openWork(t, {
        push: { retries: 0, timeoutSeconds: 0.2, handle: handle as () => void },
        good: () => {},
      });
      await work.accept("1", ["push"]);
      work.worker.poke();
      // Another job goes through after it, or beside it, in any case; by then a lost one would be lost.
      await Promise.race([work.finished.reaches(1), work.beats.reaches(3)]);
      const how = work.finished.items[0]?.how;
      assert.ok(how?.state === "dead", `its job is ${how?.state ?? "left running"}`);
      assert.match(how.error, error);
      assert.ok(how.error.length <= 4000);
      await work.accept("2", ["good"]);
      work.worker.poke();
      await work.finished.reaches(2);
      assert.deepEqual(work.finished.items[1]?.how, { state: "done" });
      await work.end();
    });
  }
});

test("when its time is up the signal is aborted, and the handler tried again", async (t) => {
  const reasons = openTally<unknown>();
  const work = await openWork(
    t,
    handler({
      timeoutSeconds: 0.2,
      handle: (_, { attempt, signal }) => {
        if (attempt === 2) return;
        signal.addEventListener("abort", () => reasons.add(signal.reason));
        return new Promise((resolve) => signal.addEventListener("abort", () => resolve()));
      },
    }),
  );
  await work.accept("1", ["push"]);
  work.worker.poke();
  await work.finished.reaches(2);
  assert.deepEqual(reasons.items.map(String), ["Error: timed out after 0.2 s"]);
  assert.deepEqual(
    work.finished.items.map(({ how }) => how.state),
    ["pending", "done"],
  );
  await work.end();
});

test("a handler that does not end keeps its place and its order key, and the log says for how long", async (t) => {
  const { promise, resolve: end } = Promise.withResolvers<void>();
  const ran = openTally<string>();
  const work = await openWork(t, {
    push: {
      timeoutSeconds: 0.1,
      retries: 0,
      handle: ({ id }) => {
        ran.add(id);
        return id === "1" ? promise : undefined;
      },
    },
  });
  await work.accept("1", ["push"], "key");
  await work.accept("2", ["push"], "key");
  await work.accept("3", ["push"]);
  work.worker.poke();
  await work.finished.reaches(1);
  await work.beats.reaches(work.beats.items.length + 2);
  assert.deepEqual(ran.items, ["1", "3"]); // the second one of its key waits
  const late = work.lines().find(({ message }) => String(message).includes("past its time limit"));
  assert.deepEqual([late?.level, late?.handler, late?.id, late?.seconds], ["warn", "push", "1", 0]);
  end();
  await work.finished.reaches(3);
  assert.deepEqual(ran.items, ["1", "3", "2"]);
  assert.equal(work.finished.items.find(({ job }) => job === 1)?.how.state, "dead");
  await work.end();
});

test("never more than so many run at once, and as many do", async (t) => {
  let running = 0;
  let most = 0;
  const started = openTally<() => void>();
  const work = await openWork(
    t,
    handler(async () => {
      running += 1;
      most = Math.max(most, running);
      await new Promise<void>((resolve) => started.add(resolve));
      running -= 1;
    }),
    { concurrency: 3 },
  );
  for (let index = 0; index < 20; index += 1) await work.accept(String(index), ["push"]);
  work.worker.poke();
  work.worker.poke();
  for (let index = 0; index < 20; index += 1) {
    await started.reaches(Math.min(20, index + 3));
    assert.equal(running, Math.min(3, 20 - index));
    started.items[index]?.();
    await work.finished.reaches(index + 1);
  }
  assert.equal(most, 3);
  await work.end();
});

test("events with one key run one after the other in the order they came, others beside them", async (t) => {
  const started = openTally<{ id: string; go: () => void }>();
  const work = await openWork(
    t,
    handler(({ id }, { attempt }) => {
      if (id === "a2" && attempt === 1) throw new Error("once more");
      return new Promise<void>((resolve) => started.add({ id, go: resolve }));
    }),
  );
  for (const id of ["a1", "a2", "b1", "a3"]) await work.accept(id, ["push"], id.slice(0, 1));
  work.worker.poke();
  const ids = () => started.items.map(({ id }) => id);
  await started.reaches(2);
  assert.deepEqual(ids(), ["a1", "b1"]);
  started.items[0]?.go();
  await started.reaches(3);
  assert.deepEqual(ids(), ["a1", "b1", "a2"]); // its retry came before a3
  started.items[2]?.go();
  await started.reaches(4);
  assert.deepEqual(ids(), ["a1", "b1", "a2", "a3"]);
  for (const { go } of started.items) go();
  await work.finished.reaches(5);
  await work.end();
});

// These wait for real seconds, so they wait together.
describe("over some seconds", { concurrency: true }, () => {
  describe("what cannot run yet", { concurrency: true }, () => {
    test("a job whose handler there is no more stays pending, and nobody runs in circles for it", async (t) => {
      const work = await openWork(
        t,
        handler(() => {}),
      );
      await work.accept("1", ["gone"]);
      await work.accept("2", ["push"]);
      work.worker.poke();
      await work.finished.reaches(1);
      await work.beats.reaches(3); // two seconds, with one look in each
      assert.ok(work.claims.items.length <= 8, `looked ${work.claims.items.length} times in 3 beats`);
      await work.worker.stop(5);
      assert.deepEqual(await work.rest(["gone"]), [{ id: "1", attempt: 1 }]);
      await work.store.close();
    });

    test("a job that waits for an earlier one of its key makes nobody run in circles either", async (t) => {
      const started = openTally<() => void>();
      const work = await openWork(
        t,
        handler(() => new Promise<void>((resolve) => started.add(resolve))),
      );
      for (const id of ["1", "2"]) await work.accept(id, ["push"], "k");
      work.worker.poke();
      await work.beats.reaches(3);
      assert.ok(work.claims.items.length <= 8, `looked ${work.claims.items.length} times in 3 beats`);
      started.items[0]?.();
      await started.reaches(2);
      started.items[1]?.();
      await work.finished.reaches(2);
      await work.end();
    });
  });

  describe("when the disk says no", { concurrency: true }, () => {
    /** Fails so often, then does what it was asked to. */
    function failing<Args extends unknown[], Result>(
      times: number,
      call: (...args: Args) => Promise<Result>,
    ) {
      let left = times;
      return (...args: Args): Promise<Result> => {
        left -= 1;
        return left >= 0
          ? Promise.reject(new Refusal("storage-unavailable", "database or disk is full"))
          : call(...args);
      };
    }

    test("a job that is done is marked once it can be, and the handler does not run again", async (t) => {
      let calls = 0;
      const work = await openWork(
        t,
        handler(() => {
          calls += 1;
        }),
        { wrap: (store) => ({ finish: failing(2, store.finish) }) },
      );
      await work.accept("1", ["push"]);
      work.worker.poke();
      await work.finished.reaches(1);
      assert.deepEqual([calls, work.finished.items[0]?.how], [1, { state: "done" }]);
      const lines = work.lines().map(({ level, message, why }) => [level, message, why]);
      const line = ["error", "cannot mark the job; trying again", "database or disk is full"];
      assert.deepEqual(lines, [line, line]);
      await work.end();
    });

    test("the next look claims what this one could not", async (t) => {
      const work = await openWork(
        t,
        handler(() => {}),
        { wrap: (store) => ({ claim: failing(1, store.claim) }) },
      );
      await work.accept("1", ["push"]);
      work.worker.poke();
      await work.finished.reaches(1);
      assert.deepEqual(
        work.lines().map(({ message }) => message),
        ["the inbox does not answer"],
      );
      await work.end();
    });

    test("a stop ends all the same", async (t) => {
      const work = await openWork(
        t,
        handler(() => {}),
        { wrap: (store) => ({ release: failing(1, store.release) }) },
      );
      await work.worker.stop(5);
      assert.deepEqual(
        work.lines().map(({ message }) => message),
        ["the inbox does not answer"],
      );
      await work.store.close();
    });
  });

  describe("stop()", { concurrency: true }, () => {
    test("waits for what runs, and starts nothing more", async (t) => {
      const started = openTally<() => void>();
      const work = await openWork(
        t,
        handler(() => new Promise<void>((resolve) => started.add(resolve))),
        { concurrency: 1 },
      );
      await work.accept("1", ["push"]);
      await work.accept("2", ["push"]);
      work.worker.poke();
      await started.reaches(1);
      const stopped = work.worker.stop(5);
      started.items[0]?.();
      await stopped;
      assert.deepEqual(
        work.finished.items.map(({ how }) => how),
        [{ state: "done" }],
      );
      assert.deepEqual(await work.rest(["push"]), [{ id: "2", attempt: 1 }]);
      assert.deepEqual(work.lines(), []);
      await work.store.close();
    });

    test("tells handlers to stop at the deadline, and gives back what goes on, as if it had never begun", async (t) => {
      const started = openTally<AbortSignal>();
      const work = await openWork(
        t,
        handler({
          timeoutSeconds: 2, // its clock goes on after the stop; in the program, the exit ends that
          handle: (_, { signal }) => {
            started.add(signal);
            return never;
          },
        }),
      );
      await work.accept("1", ["push"]);
      work.worker.poke();
      await started.reaches(1);
      await work.worker.stop(1);
      assert.deepEqual(
        started.items.map(({ reason }) => String(reason)),
        ["Error: the receiver is shutting down"],
      );
      assert.deepEqual(await work.rest(["push"]), [{ id: "1", attempt: 1 }]);
      assert.deepEqual(work.finished.items, []);
      assert.deepEqual(
        work.lines().map(({ level, message, jobs }) => [level, message, jobs]),
        [["warn", "handlers were still running; their jobs run again after the next start", 1]],
      );
      await work.store.close();
    });

    test("a handler that ends in its last moment, after it was told to, is done", async (t) => {
      const started = openTally<true>();
      const work = await openWork(
        t,
        handler((_, { signal }) => {
          started.add(true);
          return new Promise<void>((resolve) =>
            signal.addEventListener("abort", () => setImmediate(resolve)),
          );
        }),
      );
      await work.accept("1", ["push"]);
      work.worker.poke();
      await started.reaches(1);
      await work.worker.stop(1);
      assert.deepEqual(
        work.finished.items.map(({ how }) => how),
        [{ state: "done" }],
      );
      assert.deepEqual(await work.rest(["push"]), []);
      await work.store.close();
    });

    test("jobs that were being claimed when it came do not run, or are done", async (t) => {
      const { promise: mayReturn, resolve: letReturn } = Promise.withResolvers<void>();
      const claimed = openTally<number>();
      let runs = 0;
      const work = await openWork(
        t,
        handler(() => {
          runs += 1;
        }),
        {
          wrap: (store) => ({
            claim: async (...args) => {
              const result = await store.claim(...args);
              claimed.add(result.jobs.length);
              await mayReturn;
              return result;
            },
          }),
        },
      );
      await work.accept("1", ["push"]);
      work.worker.poke();
      await claimed.reaches(1);
      const stopped = work.worker.stop(5);
      letReturn();
      await stopped;
      await work.store.leftover(); // whatever was asked for before has been answered
      await new Promise(setImmediate);
      await work.store.leftover();
      const rest = await work.rest(["push"]);
      assert.deepEqual([rest.length, runs], runs === 0 ? [1, 0] : [0, 1]);
      await work.store.close();
    });
  });

  describe("several receivers", { concurrency: true }, () => {
    test("a job that another one has taken over meanwhile is not marked, and the log says so", async (t) => {
      const started = openTally<() => void>();
      const work = await openWork(
        t,
        handler(() => new Promise<void>((resolve) => started.add(resolve))),
      );
      await work.accept("1", ["push"]);
      work.worker.poke();
      await started.reaches(1);
      await work.store.bury(work.store.owner, 1);
      assert.deepEqual(await work.rest(["push"]), [{ id: "1", attempt: 2 }]);
      started.items[0]?.();
      await work.finished.reaches(1);
      await new Promise(setImmediate);
      assert.deepEqual(
        work.lines().map(({ level, message }) => [level, message]),
        [["warn", "another receiver has taken this job over meanwhile"]],
      );
      await work.end();
    });

    test("a job whose process ended in every attempt is dead, without a further one", async (t) => {
      let calls = 0;
      const work = await openWork(
        t,
        handler({
          retries: 1,
          handle: () => {
            calls += 1;
          },
        }),
      );
      await work.accept("1", ["push"]);
      for (const owner of ["one", "two"]) {
        await work.store.beat(owner, 1);
        await work.store.claim(owner, ["push"], 1, 1);
        await work.store.bury(owner, 1);
      }
      work.worker.poke();
      await work.finished.reaches(1);
      const how = work.finished.items[0]?.how;
      assert.ok(how?.state === "dead");
      assert.match(how.error, /^Error: ended the process in its last attempt\n/);
      assert.equal(calls, 0);
      await work.end();
    });

    test("the jobs of one whose beat has stopped are taken over, and those of a living one are not", async (t) => {
      const got = openTally<[string, number]>();
      const work = await openWork(
        t,
        handler(({ id }, { attempt }) => got.add([id, attempt])),
      );
      for (const owner of ["stopped", "living"]) {
        await work.store.beat(owner, 1);
        await work.accept(owner, ["push"]);
        await work.store.claim(owner, ["push"], 1, 1);
      }
      work.worker.poke();
      const pulse = setInterval(() => void work.store.beat("living", 1), 500);
      await Promise.race([got.reaches(1), work.beats.reaches(10)]);
      await work.beats.reaches(work.beats.items.length + 2); // by then the living one would be buried too
      clearInterval(pulse);
      await work.end();
      assert.deepEqual(got.items, [["stopped", 2]]);
      const line = work.lines().find(({ message }) => message.startsWith("took over"));
      assert.deepEqual(
        [line?.level, line?.message, line?.jobs],
        ["warn", "took over the jobs of a receiver that has ended", 1],
      );
    });

    test("a job that is running for an owner whom nobody knows runs again", async (t) => {
      // It died before its first beat was on the disk, or was buried while it lived and claimed again.
      const got = openTally<string>();
      const work = await openWork(
        t,
        handler(({ id }) => got.add(id)),
      );
      await work.accept("1", ["push"]);
      await work.store.claim("unknown", ["push"], 1, 1);
      work.worker.poke();
      await Promise.race([got.reaches(1), work.beats.reaches(10)]); // ten seconds
      await work.end();
      assert.deepEqual(got.items, ["1"]);
    });
  });
});
