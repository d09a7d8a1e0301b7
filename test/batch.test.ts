import assert from "node:assert/strict";
import { test } from "node:test";
import { openBatch } from "../lib/batch.ts";

const turn = () => new Promise((resolve) => setImmediate(resolve));

function recordGroups(maxWaitMilliseconds: number) {
  const groups: number[][] = [];
  return { groups, gathering: openBatch<number>({ maxWaitMilliseconds }, (items) => groups.push(items)) };
}

async function untilGroup(groups: number[][], count: number): Promise<void> {
  while (groups.length < count) await turn();
}

test("items of one turn are handed over together, in their order", async () => {
  const { groups, gathering } = recordGroups(1000);
  for (const item of [1, 2, 3]) gathering.add(item);
  assert.deepEqual(groups, []);
  await untilGroup(groups, 1);
  assert.deepEqual(groups, [[1, 2, 3]]);
});

test("a turn that brings something new keeps the group open, a quiet one closes it", async () => {
  const { groups, gathering } = recordGroups(60_000);
  gathering.add(1);
  for (let item = 2; item <= 20; item++) {
    await turn();
    assert.deepEqual(groups, [], `closed before ${item}`);
    gathering.add(item);
  }
  await untilGroup(groups, 1);
  assert.deepEqual(groups[0]?.length, 20);
});

test("a connection that brings no item yet keeps the group open too", async () => {
  const { groups, gathering } = recordGroups(60_000);
  gathering.add(1);
  for (let count = 0; count < 20; count++) {
    await turn();
    gathering.stir();
  }
  assert.deepEqual(groups, []);
  await untilGroup(groups, 1);
  assert.deepEqual(groups, [[1]]);
});

test("a group that is never left in peace is handed over after its longest wait", async () => {
  const { groups, gathering } = recordGroups(0);
  gathering.add(1);
  gathering.stir();
  await turn();
  assert.deepEqual(groups, [[1]]);
});

test("after a group the next one begins", async () => {
  const { groups, gathering } = recordGroups(1000);
  gathering.add(1);
  await untilGroup(groups, 1);
  gathering.add(2);
  await untilGroup(groups, 2);
  assert.deepEqual(groups, [[1], [2]]);
});

test("so many items that they need not wait are handed over at once, the others after a quiet turn", async () => {
  const groups: number[][] = [];
  const options = { maxWaitMilliseconds: 60_000, maxItems: 3 };
  const gathering = openBatch<number>(options, (items) => groups.push(items));
  for (const item of [1, 2, 3, 4]) gathering.add(item);
  assert.deepEqual(groups, [[1, 2, 3]]);
  await untilGroup(groups, 2);
  assert.deepEqual(groups[1], [4]);
});

test("nothing is handed over after a quiet turn when all has gone before", async () => {
  const groups: number[][] = [];
  const options = { maxWaitMilliseconds: 60_000, maxItems: 2 };
  const gathering = openBatch<number>(options, (items) => groups.push(items));
  for (const item of [1, 2]) gathering.add(item);
  for (let count = 0; count < 5; count++) await turn();
  assert.deepEqual(groups, [[1, 2]]);
  gathering.add(3);
  await untilGroup(groups, 2);
  assert.deepEqual(groups[1], [3]);
});
