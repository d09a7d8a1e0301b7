/** The summary of many requests: counts, and percentiles by nearest rank. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openTally } from "../../lib/commands/tally.ts";

const good = { isDelivered: true, statusCode: 200, error: null };

function latencyOf(times: readonly number[]): string | undefined {
  const tally = openTally();
  for (const time of times) tally.add(good, time);
  return tally.lines(1)[2];
}

/** 1 to `count`, in an order that is not theirs. */
const upTo = (count: number): number[] => Array.from({ length: count }, (_, at) => ((at * 7919) % count) + 1);

// https://en.wikipedia.org/wiki/Percentile, "The nearest-rank method": p50 of its lists is 35, 8 and 9.
const known: [times: number[], line: string][] = [
  [[15, 20, 35, 40, 50], "min 15.0, p50 35.0, p95 50.0, p99 50.0, max 50.0"],
  [[3, 6, 7, 8, 8, 10, 13, 15, 16, 20], "min 3.0, p50 8.0, p95 20.0, p99 20.0, max 20.0"],
  [[3, 6, 7, 8, 8, 9, 10, 13, 15, 16, 20], "min 3.0, p50 9.0, p95 20.0, p99 20.0, max 20.0"],
  [upTo(100), "min 1.0, p50 50.0, p95 95.0, p99 99.0, max 100.0"],
  [upTo(101), "min 1.0, p50 51.0, p95 96.0, p99 100.0, max 101.0"],
  [upTo(1000), "min 1.0, p50 500.0, p95 950.0, p99 990.0, max 1000.0"],
  [[0.04], "min 0.0, p50 0.0, p95 0.0, p99 0.0, max 0.0"],
];
for (const [times, line] of known) {
  test(`${times.length} times have these percentiles: ${line}`, () => {
    assert.equal(latencyOf(times), `answers took, in ms: ${line}`);
  });
}

test("every kind of answer is counted, the most frequent first, and only answers have a time", () => {
  const tally = openTally();
  tally.add({ isDelivered: false, statusCode: null, error: "connect ECONNREFUSED 127.0.0.1:1" }, 999);
  tally.add({ isDelivered: false, statusCode: 599, error: "status 599" }, 2);
  for (let count = 0; count < 10; count++) tally.add(good, 1);
  assert.deepEqual(tally.lines(2.5), [
    "12 requests in 2.50 s, 4.8 a second",
    "  10  200 OK",
    "   1  no answer: connect ECONNREFUSED 127.0.0.1:1",
    "   1  599",
    "answers took, in ms: min 1.0, p50 1.0, p95 2.0, p99 2.0, max 2.0",
  ]);
  assert.deepEqual([tally.done, tally.isAllDelivered], [12, false]);
});

test("without any answer there are no times, and without any request no division by nothing", () => {
  const tally = openTally();
  assert.deepEqual(tally.lines(0), ["0 requests in 0.00 s, 0.0 a second"]);
  tally.add({ isDelivered: false, statusCode: null, error: "no answer within 1 s" }, 1000);
  assert.deepEqual(tally.lines(1), [
    "1 request in 1.00 s, 1.0 a second",
    "  1  no answer: no answer within 1 s",
  ]);
});
