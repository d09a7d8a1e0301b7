/** Old and handled deliveries go, a step at a time; what still has to be done stays, and the file gets smaller. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { openInbox } from "../../lib/keep/sqlite/inbox.ts";
import { openQuarantine } from "../../lib/keep/sqlite/quarantine.ts";
import {
  keepKeysMilliseconds,
  openRetention,
  retentionStepRows,
  startRetention,
  steadyClock,
} from "../../lib/keep/sqlite/retention.ts";
import { openStore, type Store } from "../../lib/keep/sqlite/store.ts";
import { openLog } from "../../lib/log.ts";
import { Refusal } from "../../lib/refusal.ts";
import { parseLines } from "../receiver.ts";
import { openHeld } from "./held.ts";

function openEmpty(file?: string) {
  const database = openHeld(file);
  const inbox = openInbox(database);
  const quarantine = openQuarantine(database);
  return {
    database,
    inbox,
    retention: openRetention(database),
    ids: () =>
      database
        .prepare("SELECT id FROM deliveries ORDER BY number")
        .all()
        .map(({ id }) => id),
    count: (table: string) => Number(database.prepare(`SELECT count(*) AS count FROM ${table}`).get()?.count),
    /** Keeps a delivery; its handlers are its jobs. */
    accept: (id: string, receivedAt: number, names: string[], body: Uint8Array = Buffer.from("{}")) =>
      inbox.accept({
        source: "default",
        sender: "github",
        id,
        isIdSigned: false,
        event: "push",
        form: null,
        headers: "{}",
        body,
        receivedAt,
        jobs: names.map((handler) => ({ handler, orderKey: null })),
      }),
    refuse: (receivedAt: number) =>
      quarantine.add({
        source: "default",
        receivedAt,
        reason: "x",
        head: "{}",
        body: Buffer.from(`x${receivedAt}`),
      }),
  };
}

test("removeBefore() removes the old ones that are handled, with their jobs, and no younger one", () => {
  const { inbox, retention, accept, ids, count } = openEmpty();
  accept("old", 99, ["a", "b"]);
  accept("old without handlers", 99, []);
  accept("as old as the limit", 100, ["a"]);
  for (const { job } of inbox.claim("me", ["a", "b"], 10, 100).jobs)
    inbox.finish("me", job, { state: "done" }, 100);
  assert.equal(retention.removeBefore(100), 2);
  assert.deepEqual([ids(), count("jobs")], [["as old as the limit"], 1]);
  assert.equal(retention.removeBefore(100), 0);
});

test("removeBefore() leaves every delivery with a job that is pending, running or dead", () => {
  const { inbox, retention, accept, ids, count } = openEmpty();
  for (const id of ["dead", "running", "pending", "half"]) accept(id, 1, id === "half" ? ["x", "y"] : [id]);
  const states = { dead: { state: "dead", error: "e" }, x: { state: "done" } } as const;
  for (const { job, handler } of inbox.claim("me", ["dead", "running", "x"], 10, 1).jobs) {
    if (handler !== "running") inbox.finish("me", job, states[handler as keyof typeof states], 1);
  }
  assert.equal(retention.removeBefore(1000), 0);
  assert.deepEqual([ids(), count("jobs")], [["dead", "running", "pending", "half"], 5]);
});

test("removeBefore() goes in steps", () => {
  const { retention, accept, count } = openEmpty();
  for (let index = 0; index < 2 * retentionStepRows + 1; index += 1) accept(String(index), index, []);
  assert.equal(retention.removeBefore(10_000), retentionStepRows);
  assert.equal(count("deliveries"), retentionStepRows + 1);
  assert.equal(retention.removeBefore(10_000), retentionStepRows);
  assert.equal(retention.removeBefore(10_000), 1);
});

test("removeBefore() removes old quarantine too", () => {
  const { retention, refuse, count } = openEmpty();
  for (const receivedAt of [1, 99, 100]) refuse(receivedAt);
  assert.equal(retention.removeBefore(100), 2);
  assert.equal(count("quarantine"), 1);
});

test("a delivery that has gone is known by its key for a year, and may come again then", () => {
  const { retention, accept, count } = openEmpty();
  accept("1", 1000, []);
  retention.removeBefore(1001);
  assert.deepEqual([count("deliveries"), count("old_deliveries")], [0, 1]);
  assert.equal(accept("1", 2000, []), "duplicate");
  assert.equal(accept("1", 2000, [], Buffer.from("another body under its unsigned id")), "accepted");
  retention.removeBefore(1000 + keepKeysMilliseconds);
  assert.equal(accept("1", 3000, []), "duplicate");
  retention.removeBefore(1001 + keepKeysMilliseconds);
  assert.equal(accept("1", 3000, []), "accepted");
});

test("shrink() gives the room back to the disk, step by step", () => {
  const { database, retention, accept } = openEmpty();
  const pages = () => Number(database.prepare("PRAGMA page_count").get()?.page_count);
  const empty = pages();
  for (let index = 0; index < retentionStepRows; index += 1)
    accept(String(index), 1, [], randomBytes(16_000));
  const full = pages();
  assert.equal(retention.removeBefore(2), retentionStepRows);
  assert.equal(pages(), full);
  retention.shrink();
  assert.ok(pages() < full);
  for (let before = 0; before !== pages(); retention.shrink()) before = pages();
  assert.ok(pages() <= empty + 10, `${pages()} pages`); // what is left are the keys
});

/** Runs the retention until it has asked `steps` times. @returns how many rows went each time, and the log */
async function runRetention(removeBefore: Store["removeBefore"], steps: number) {
  let text = "";
  const log = openLog("json", (more) => {
    text += more;
  });
  const removed: number[] = [];
  const { promise: enough, resolve } = Promise.withResolvers<void>();
  async function counted(time: number): Promise<number> {
    try {
      removed.push(await removeBefore(time));
    } finally {
      if (removed.length === steps) resolve();
    }
    return removed.at(-1) ?? 0;
  }
  const retention = startRetention({ removeBefore: counted } as Store, 3600, log);
  await enough;
  retention.stop();
  log.flush();
  return { removed, lines: parseLines(text) };
}

test("while the receiver runs, step follows step until there are no more, and the file shrinks", async () => {
  const folder = mkdtempSync(join(tmpdir(), "retention-"));
  const file = join(folder, "inbox.db");
  const { database, accept } = openEmpty(file);
  const now = Date.now();
  for (let index = 0; index < 2 * retentionStepRows; index += 1) {
    accept(String(index), now - 3_601_000, [], randomBytes(4000));
  }
  accept("young", now, []);
  const pages = (opened: DatabaseSync) => Number(opened.prepare("PRAGMA page_count").get()?.page_count);
  const before = pages(database);
  database.close();
  const store = await openStore(file);
  const { removed, lines } = await runRetention(store.removeBefore, 3);
  await store.close();
  assert.deepEqual([removed, lines], [[retentionStepRows, retentionStepRows, 0], []]);
  const after = new DatabaseSync(file);
  assert.deepEqual(
    after
      .prepare("SELECT id FROM deliveries")
      .all()
      .map(({ id }) => id),
    ["young"],
  );
  assert.ok(pages(after) < before / 2, `${pages(after)} of ${before} pages`);
  after.close();
  rmSync(folder, { recursive: true });
});

test("a step that the disk refuses is a warning, and nothing worse", async () => {
  let text = "";
  const { promise: logged, resolve } = Promise.withResolvers<void>();
  const log = openLog("json", (more) => {
    text += more;
    resolve();
  });
  const removeBefore = () => Promise.reject(new Refusal("storage-unavailable", "database or disk is full"));
  const retention = startRetention({ removeBefore } as unknown as Store, 3600, log);
  await logged;
  retention.stop();
  assert.deepEqual(
    parseLines(text).map(({ level, message, why }) => [level, message, why]),
    [["warn", "old deliveries could not be removed", "database or disk is full"]],
  );
});

test("no more time passes for the retention than the monotonic clock has counted", () => {
  let [wall, monotonic] = [1_000_000, 0];
  const now = steadyClock(
    null,
    () => wall,
    () => monotonic,
  );
  const month = 30 * 86_400_000;
  [wall, monotonic] = [1_060_000, 60_000];
  assert.equal(now(), 1_060_000);
  [wall, monotonic] = [1_120_000 + month, 120_000]; // set ahead
  assert.equal(now(), 1_120_000);
  [wall, monotonic] = [1_180_000, 180_000]; // and corrected
  assert.equal(now(), 1_180_000);
  [wall, monotonic] = [1_200_000, 240_000]; // it had been ahead by 40 seconds from the start
  assert.equal(now(), 1_200_000);
  [wall, monotonic] = [1_260_000, 300_000];
  assert.equal(now(), 1_260_000);
});

test("after a start long after the last beat, only what is counted passes for an hour", () => {
  const day = 86_400_000;
  let monotonic = 0;
  const now = steadyClock(
    1000,
    () => 40 * day + monotonic,
    () => monotonic,
  );
  assert.equal(now(), 1000);
  monotonic = 3_599_999;
  assert.equal(now(), 1000 + 3_599_999);
  monotonic = 3_600_000;
  assert.equal(now(), 40 * day + 3_600_000);
});

/** A wall clock that can be set wrong, looked at once a minute; the time is what a right one would say. */
function openClocks(lastBeatAgo: number | null, aheadAtStart = 0) {
  const start = 1_800_000_000_000;
  let time = start;
  let counted = 0;
  let ahead = aheadAtStart;
  const now = steadyClock(
    lastBeatAgo === null ? null : start - lastBeatAgo,
    () => time + ahead,
    () => counted,
  );
  return {
    set: (milliseconds: number) => {
      ahead = milliseconds;
    },
    /** The machine sleeps: only the wall clock goes on. */
    sleep: (milliseconds: number) => {
      time += milliseconds;
    },
    /** How far ahead of the time things are old, at most, while so many minutes pass; and at their end. */
    pass: (minutes: number) => {
      let [most, last] = [Number.NEGATIVE_INFINITY, 0];
      for (let minute = 0; minute <= minutes; minute += 1) {
        last = now() - time;
        most = Math.max(most, last);
        time += 60_000;
        counted += 60_000;
      }
      return { most, last };
    },
  };
}
const minute = 60_000;
const month = 30 * 86_400_000;

test("a clock a month ahead for a minute makes nothing old: while it runs, and at the start", () => {
  const running = openClocks(1000);
  assert.deepEqual(running.pass(5), { most: 0, last: 0 });
  running.set(month);
  assert.ok(running.pass(1).most <= 0);
  running.set(0);
  assert.deepEqual(running.pass(120), { most: 0, last: 0 });

  const started = openClocks(10 * minute, month);
  assert.deepEqual(started.pass(30), { most: -10 * minute, last: -10 * minute });
  started.set(0);
  assert.equal(started.pass(120).most, 0);
});

test("a clock that jumps ahead again and again is not believed in between", () => {
  const clocks = openClocks(1000);
  for (let jump = 1; jump <= 10; jump += 1) {
    clocks.set((jump * month) / 10);
    assert.ok(clocks.pass(50).most <= 0);
  }
});

test("after an hour in which nobody has put it right, the clock is: after a sleep, a pause, or a start in the past", () => {
  for (const [clocks, disturb] of [
    [openClocks(1000), (of: ReturnType<typeof openClocks>) => of.sleep(16 * 60 * minute)],
    [openClocks(null, -400 * month), (of: ReturnType<typeof openClocks>) => of.set(0)],
    [openClocks(month), () => {}],
  ] as const) {
    clocks.pass(1);
    disturb(clocks);
    assert.ok(clocks.pass(50).last < -15 * minute);
    assert.deepEqual(clocks.pass(20).last, 0);
  }
});

test("a clock that is a month behind for a minute is believed at once, and so is its correction after an hour", () => {
  const clocks = openClocks(1000);
  clocks.pass(5);
  clocks.set(-month);
  assert.ok(clocks.pass(1).most < -month + minute);
  clocks.set(0);
  assert.deepEqual(clocks.pass(70).last, 0);
});
