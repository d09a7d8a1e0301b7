/** The two errors that say more than "it did not work". What the worker makes of them: `worker.test.ts`. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Hopeless, Postponed } from "../../lib/process/failure.ts";

test("a Postponed has its time, in whole milliseconds, and its reason", () => {
  const { milliseconds, message } = new Postponed(29_999.2, "the other side rests");
  assert.deepEqual([milliseconds, message], [30_000, "the other side rests"]);
  assert.equal(new Postponed(0.1, "").milliseconds, 1);
  assert.equal(new Postponed(31_536_000_000, "").milliseconds, 31_536_000_000);
});

for (const none of [0, -1, Number.NaN, 31_536_000_001, 1e22, Number.POSITIVE_INFINITY]) {
  test(`a Postponed of ${none} ms would come again at once, or be no time for the inbox, and is refused`, () => {
    assert.throws(() => new Postponed(none, ""), {
      name: "RangeError",
      message: `expected milliseconds above 0 and up to a year, not ${none}`,
    });
  });
}

test("both are errors like others for whoever does not know them", () => {
  for (const error of [new Hopeless("why"), new Postponed(1, "why")]) {
    assert.ok(error instanceof Error);
    assert.match(String(error.stack), /^Error: why\n {4}at /);
  }
});

test("those of a second copy of the file are known too, and nothing else is", async () => {
  const again = new URL("../../lib/process/failure.ts?again", import.meta.url).href;
  const copy = (await import(again)) as typeof import("../../lib/process/failure.ts");
  assert.notEqual(copy.Hopeless, Hopeless);
  const kinds = (thrown: unknown) => [thrown instanceof Hopeless, thrown instanceof Postponed];
  assert.deepEqual(kinds(new copy.Hopeless("why")), [true, false]);
  assert.deepEqual(kinds(new copy.Postponed(1, "why")), [false, true]);
  for (const other of [new Error("why"), "why", null, undefined, {}])
    assert.deepEqual(kinds(other), [false, false]);
});
