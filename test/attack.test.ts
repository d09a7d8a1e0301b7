/**
 * Strangers attack a receiver that is started as a person starts it, each kind of attack for a second or two: memory is
 * bounded, each answer is the right one, and a client that has done nothing is served. How fast, is for
 * `npm run bench -- attack` to say, which plays the same scenarios for longer.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { faultsOf, obstacle, play } from "./bench/attack/attacked.ts";
import { openGoodClient } from "./bench/attack/good-client.ts";
import { scenarios } from "./bench/attack/scenarios.ts";

const folder = mkdtempSync(join(tmpdir(), "attack-"));
after(() => rmSync(folder, { recursive: true }));
const goodClient = openGoodClient(folder);
const pace = {
  ...{ warm: async () => {}, controlSeconds: 0 },
  ...{ attackSeconds: 0.7, deliveriesPerSecond: 40 },
};

for (const scenario of scenarios) {
  test(`${scenario.name}: bounded, and a good client is served`, async (t) => {
    const why = obstacle(scenario);
    if (why !== undefined) return t.skip(why);
    assert.deepEqual(faultsOf(scenario, await play(folder, scenario, goodClient, pace)), []);
  });
}
