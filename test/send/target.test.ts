/** The record of a target, with a clock that stands still until a test moves it and attempts that end when told. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openLog } from "../../lib/log.ts";
import { Postponed } from "../../lib/process/failure.ts";
import type { Attempt } from "../../lib/send/attempt.ts";
import { openTarget, targetOf } from "../../lib/send/target.ts";
import { parseLines } from "../receiver.ts";

const none = { error: null, retryAfterMilliseconds: 0 };
const delivered: Attempt = { ...none, verdict: "delivered", statusCode: 200 };
const notFound: Attempt = { ...none, verdict: "final", statusCode: 404, error: "non-retryable 404" };
const refused: Attempt = { ...none, verdict: "final", statusCode: null, error: "refused to call 10.0.0.1" };
const failed: Attempt = { ...none, verdict: "retryable", statusCode: null, error: "connect ECONNREFUSED" };
const busy = (milliseconds: number): Attempt => {
  return { verdict: "retryable", statusCode: 429, error: "status 429", retryAfterMilliseconds: milliseconds };
};

function open() {
  let now = 1000;
  let text = "";
  const log = openLog("json", (more) => {
    text += more;
  });
  const target = openTarget("https://a.example", () => now);
  const { signal } = new AbortController();
  return {
    target,
    log,
    signal,
    pass: (milliseconds: number) => {
      now += milliseconds;
    },
    go: (made: Attempt) => target.attempt(async () => made, signal, log),
    /** An attempt that ends when it is told how. */
    start: () => {
      const { promise, resolve, reject } = Promise.withResolvers<Attempt>();
      let hasBegun = false;
      const ended = target.attempt(
        () => {
          hasBegun = true;
          return promise;
        },
        signal,
        log,
      );
      return { ended, end: resolve, fail: reject, hasBegun: () => hasBegun };
    },
    /** How long a job has to wait now. */
    rest: async () => {
      const thrown = await target.attempt(() => assert.fail("called"), signal, log).catch((error) => error);
      assert.ok(thrown instanceof Postponed, String(thrown));
      return thrown.milliseconds;
    },
    lines: () => {
      log.flush();
      return parseLines(text).map(({ level, message, target, failuresInARow, seconds, why }) =>
        [level, message, target, failuresInARow, seconds, why].filter((value) => value !== undefined),
      );
    },
  };
}

const rests = (why: string, failures = 5, seconds = 30) => {
  return ["warn", "the target rests, and its jobs wait", "https://a.example", failures, seconds, why];
};
const tries = ["info", "the target has rested: one request tries it", "https://a.example"];
const goesOn = ["info", "the target answers again", "https://a.example"];

test("what an attempt came to is handed on", async () => {
  const { go, lines } = open();
  for (const made of [delivered, notFound, refused, failed]) assert.equal(await go(made), made);
  assert.deepEqual(lines(), []);
});

test("after 5 failures in a row it rests for 30 seconds, and calls nobody", async () => {
  const { go, rest, pass, lines } = open();
  for (let count = 0; count < 4; count += 1) await go(failed);
  assert.deepEqual(lines(), []);
  await go(failed);
  assert.equal(await rest(), 30_000);
  pass(29_000);
  assert.ok((await rest()) > 0);
  assert.deepEqual(lines(), [rests("connect ECONNREFUSED")]);
});

test("the jobs that wait come back one by one, 5 milliseconds apart, and none before the rest is over", async () => {
  const { go, rest, pass } = open();
  for (let count = 0; count < 5; count += 1) await go(failed);
  assert.deepEqual([await rest(), await rest(), await rest()], [30_000, 30_005, 30_010]);
  pass(10_000);
  assert.deepEqual([await rest(), await rest()], [20_015, 20_020]);
  pass(20_000);
  await go(failed); // the try; the next rest is behind all of these
  assert.deepEqual([await rest(), await rest()], [30_000, 30_005]);
});

for (const [what, made] of [
  ["a delivery", delivered],
  ["a 404", notFound],
] as const) {
  test(`${what} between the failures shows that it is alive: they are counted from the start`, async () => {
    const { go, rest } = open();
    for (let count = 0; count < 4; count += 1) await go(failed);
    await go(made);
    for (let count = 0; count < 4; count += 1) await go(failed);
    await go(failed);
    assert.equal(await rest(), 30_000);
  });
}

test("a refused address says nothing of the target", async () => {
  const { go, rest } = open();
  for (let count = 0; count < 4; count += 1) await go(failed);
  for (let count = 0; count < 9; count += 1) await go(refused);
  await go(failed);
  assert.equal(await rest(), 30_000);
});

test("after the rest one request tries; while it does, the others wait as long as it may take", async () => {
  const { go, rest, start, pass, lines } = open();
  for (let count = 0; count < 5; count += 1) await go(failed);
  pass(30_000);
  const first = start();
  await new Promise(setImmediate);
  assert.equal(first.hasBegun(), true);
  assert.equal(await rest(), 10_000);
  first.end(delivered);
  assert.equal(await first.ended, delivered);
  for (let count = 0; count < 4; count += 1) await go(failed);
  await go(delivered);
  assert.deepEqual(lines(), [rests("connect ECONNREFUSED"), tries, goesOn]);
});

test("when the try fails it rests again, and then one more tries", async () => {
  const { go, rest, pass, lines } = open();
  for (let count = 0; count < 5; count += 1) await go(failed);
  pass(30_000);
  await go(failed);
  assert.equal(await rest(), 30_000);
  pass(30_000);
  await go(notFound);
  await go(delivered);
  const first = rests("connect ECONNREFUSED");
  assert.deepEqual(lines(), [first, tries, rests("connect ECONNREFUSED", 6), tries, goesOn]);
});

for (const [what, end] of [
  ["throws", (attempt: ReturnType<ReturnType<typeof open>["start"]>) => attempt.fail(new Error("stopped"))],
  [
    "has its address refused",
    (attempt: ReturnType<ReturnType<typeof open>["start"]>) => attempt.end(refused),
  ],
] as const) {
  test(`when the try ${what}, nothing is learned, and the next one tries`, async () => {
    const { go, start, pass, rest } = open();
    for (let count = 0; count < 5; count += 1) await go(failed);
    pass(30_000);
    const first = start();
    end(first);
    await first.ended.catch(() => {});
    const second = start();
    await new Promise(setImmediate);
    assert.equal(second.hasBegun(), true);
    assert.equal(await rest(), 10_000);
    second.end(delivered);
    await second.ended;
    await go(delivered);
  });
}

test("failures that were under way when the rest began neither lengthen it nor are told", async () => {
  const { go, start, pass, rest, lines } = open();
  const late = [start(), start(), start()];
  for (let count = 0; count < 5; count += 1) await go(failed);
  pass(10_000);
  for (const { end, ended } of late) {
    end(failed);
    await ended;
  }
  assert.equal(await rest(), 20_000);
  assert.deepEqual(lines(), [rests("connect ECONNREFUSED")]);
});

test("a delivery that was under way when the rest began ends it", async () => {
  const { go, start, lines } = open();
  const late = start();
  for (let count = 0; count < 5; count += 1) await go(failed);
  late.end(delivered);
  await late.ended;
  await go(delivered);
  assert.deepEqual(lines(), [rests("connect ECONNREFUSED"), goesOn]);
});

test("a Retry-After is a rest of that length, also after a single failure", async () => {
  const { go, rest, pass, lines } = open();
  await go(busy(7000));
  assert.equal(await rest(), 7000);
  pass(7000);
  await go(delivered);
  await go(delivered);
  assert.deepEqual(lines(), [rests("status 429", 1, 7), tries, goesOn]);
});

test("after five failures a longer Retry-After is kept to, and a shorter one is not", async () => {
  for (const [asked, expected] of [
    [45_000, 45_000],
    [1000, 30_000],
  ] as const) {
    const { go, rest } = open();
    for (let count = 0; count < 4; count += 1) await go(failed);
    await go(busy(asked));
    assert.equal(await rest(), expected);
  }
});

test("at most 10 requests are under way; the others begin in the order they came, one for each that ends", async () => {
  const { start } = open();
  const all = Array.from({ length: 25 }, start);
  const begun = () => all.filter(({ hasBegun }) => hasBegun()).length;
  await new Promise(setImmediate);
  assert.equal(begun(), 10);
  for (const [index, { end, fail, ended }] of all.entries()) {
    if (index % 3 === 0) fail(new Error("stopped"));
    else end(delivered);
    await ended.catch(() => {});
    await new Promise(setImmediate);
    assert.equal(begun(), Math.min(25, 11 + index));
    assert.equal(all[Math.min(24, 10 + index)]?.hasBegun(), true);
  }
  const again = Array.from({ length: 11 }, start);
  await new Promise(setImmediate);
  assert.equal(again.filter(({ hasBegun }) => hasBegun()).length, 10);
});

test("those that wait for a place when the rest begins are postponed like the others", async () => {
  const { start } = open();
  const all = Array.from({ length: 30 }, start);
  for (const { end, ended } of all.slice(0, 5)) {
    end(failed);
    await ended;
  }
  // Four of the five that failed have let another one in; the fifth has ended that.
  for (const { ended, hasBegun } of all.slice(14)) {
    await assert.rejects(ended, Postponed);
    assert.equal(hasBegun(), false);
  }
  assert.deepEqual(
    all.slice(0, 14).map(({ hasBegun }) => hasBegun()),
    Array(14).fill(true),
  );
});

test("who waits for a place stops waiting when its signal is aborted, and takes no place", async () => {
  const { target, log, start } = open();
  const all = Array.from({ length: 10 }, start);
  const controller = new AbortController();
  const waiting = target.attempt(() => assert.fail("called"), controller.signal, log);
  const next = start();
  const reason = new Error("the receiver is shutting down");
  controller.abort(reason);
  await assert.rejects(waiting, reason);
  all[0]?.end(delivered);
  await all[0]?.ended;
  await new Promise(setImmediate);
  assert.equal(next.hasBegun(), true);
  await assert.rejects(
    target.attempt(() => assert.fail("called"), AbortSignal.abort(reason), log),
    reason,
  );
});

test("a handler whose time is up before the target answers has met a failure too", async () => {
  const { target, log, go, rest, lines } = open();
  await go(failed); // the two kinds are counted together
  for (let count = 1; count <= 4; count += 1) {
    const controller = new AbortController();
    const { promise, reject } = Promise.withResolvers<Attempt>();
    const ended = target.attempt(() => promise, controller.signal, log);
    const reason = new Error("timed out after 3 s");
    controller.abort(reason);
    reject(reason);
    await assert.rejects(ended, reason);
  }
  assert.equal(await rest(), 30_000);
  const seen = ["warn", "the target rests, and its jobs wait", "https://a.example", 5, 30];
  assert.deepEqual(lines(), [[...seen, "timed out after 3 s"]]);
});

test("a URL has one target, whoever asks for it", () => {
  const target = targetOf(new URL("https://a.example/hook?key=1"));
  assert.equal(targetOf(new URL("https://A.example:443/hook?key=1")), target);
  for (const other of ["https://a.example/hook?key=2", "https://a.example/", "http://a.example/hook?key=1"])
    assert.notEqual(targetOf(new URL(other)), target);
});

test("the log shows a target's origin and no more", async () => {
  const { log, signal, lines } = open();
  const target = targetOf(new URL("https://b.example/hush?hush"));
  for (let count = 0; count < 5; count += 1) await target.attempt(async () => failed, signal, log);
  assert.equal(lines()[0]?.[2], "https://b.example");
  assert.equal(JSON.stringify(lines()).includes("hush"), false);
});
