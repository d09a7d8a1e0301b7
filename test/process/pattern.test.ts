import assert from "node:assert/strict";
import { test } from "node:test";
import { matchesPattern, patternFault } from "../../lib/process/pattern.ts";

const cases: [pattern: string, matching: string[], other: string[]][] = [
  ["push", ["push", "push.anything"], ["pushed", "pus", "a.push", "unknown"]],
  ["pull_request", ["pull_request", "pull_request.opened"], ["pull_request_review", "pull"]],
  ["pull_request.opened", ["pull_request.opened"], ["pull_request", "pull_request.closed"]],
  ["attacker.>", ["attacker.observed", "attacker.session.started"], ["attacker", "attackers.observed"]],
  [
    "decky.*.state",
    ["decky.7.state", "decky.7.state.changed"],
    ["decky.state", "decky.7.8.state", "decky.7"],
  ],
  ["*", ["push", "a.b.c", "unknown", "", "__proto__"], []],
  [">", ["push", "a.b.c"], []],
  ["*.opened", ["issues.opened"], ["opened", "issues.closed"]],
  ["constructor", ["constructor"], ["toString", "push"]],
  ["__proto__", ["__proto__"], ["push"]],
  ["Push Hook", ["Push Hook"], ["Push"]],
];

for (const [pattern, matching, other] of cases) {
  test(`the pattern ${pattern} matches ${matching.join(", ")}`, () => {
    for (const event of matching) assert.equal(matchesPattern(pattern, event), true, event);
  });
  if (other.length === 0) continue;
  test(`the pattern ${pattern} does not match ${other.join(", ")}`, () => {
    for (const event of other) assert.equal(matchesPattern(pattern, event), false, event);
  });
}

for (const pattern of ["", ".", "a..b", ".a", "a.", "a.>.b", ">.a", "a,b"]) {
  test(`the pattern ${JSON.stringify(pattern)} is refused at the start`, () => {
    assert.notEqual(patternFault(pattern), undefined);
  });
}

for (const pattern of ["a", "*", ">", "a.*", "*.a.>"]) {
  test(`the pattern ${pattern} is a good one`, () => {
    assert.equal(patternFault(pattern), undefined);
  });
}

test("of a batch's names, one that fits is enough", () => {
  assert.equal(matchesPattern("bounce", "delivered,bounce"), true);
  assert.equal(matchesPattern("contact.>", "deal.creation,contact.creation"), true);
  assert.equal(matchesPattern("contact.propertyChange", "contact.creation,deal.propertyChange"), false);
});
