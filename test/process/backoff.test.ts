/** How long to wait before the next attempt: pure, so its limits are known answers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { backoffMilliseconds } from "../../lib/process/backoff.ts";

const justUnderOne = 1 - Number.EPSILON / 2;

test("the first delay is 1 second in the middle, from nothing to just under 2", () => {
  assert.deepEqual(
    [0, 0.5, justUnderOne].map((random) => backoffMilliseconds(1, random)),
    [0, 1000, 1999],
  );
});

test("each further one may be twice as long, up to an hour", () => {
  const middles = Array.from({ length: 13 }, (_, index) => backoffMilliseconds(index + 1, 0.5) / 1000);
  assert.deepEqual(middles, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1800, 1800]);
});

test("full jitter: it may always be nothing, and is never an hour", () => {
  for (const attempt of [1, 2, 11, 12, 13, 101, 5000]) {
    assert.equal(backoffMilliseconds(attempt, 0), 0);
    const longest = backoffMilliseconds(attempt, justUnderOne);
    assert.ok(Number.isSafeInteger(longest) && longest < 3_600_000, `${longest} after attempt ${attempt}`);
  }
  assert.equal(backoffMilliseconds(12, justUnderOne), 3_599_999);
});
