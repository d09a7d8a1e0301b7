/**
 * Removes what has been handled and is old, a few rows at a time, and gives the room back to the disk.
 * Deliveries with a job that is pending, running or dead stay: there is still something to be done about them.
 */
import type { DatabaseSync } from "node:sqlite";
import { errorLine } from "../../errors.ts";
import type { Log } from "../../log.ts";
import { deliveryKey } from "./accept.ts";

/** So few that no step holds anybody up. */
export const retentionStepRows = 200;
/** 8 MB with pages of 4 KiB: some 20 ms in the thread. */
const vacuumStepPages = 2000;

type OldDelivery = { source: string; id: string; digest: Uint8Array; receivedAt: number };

export type Retention = ReturnType<typeof openRetention>;

/** So long a delivery that has gone is known by its key. */
export const keepKeysMilliseconds = 365 * 86_400_000;

export function openRetention(database: DatabaseSync) {
  const removeDeliveries = database.prepare(`
    DELETE FROM deliveries WHERE number IN (
      SELECT number FROM deliveries
      WHERE received_at < ? AND NOT EXISTS (
        SELECT 1 FROM jobs WHERE jobs.delivery = deliveries.number AND jobs.state <> 'done')
      ORDER BY received_at LIMIT ${retentionStepRows})
    RETURNING source, id, digest, received_at AS receivedAt`);
  const keepKey = database.prepare("INSERT OR IGNORE INTO old_deliveries (key, received_at) VALUES (?, ?)");
  const removeKeys = database.prepare(`
    DELETE FROM old_deliveries WHERE key IN (
      SELECT key FROM old_deliveries WHERE received_at < ? ORDER BY received_at LIMIT ${retentionStepRows})`);
  const removeQuarantine = database.prepare(`
    DELETE FROM quarantine WHERE number IN (
      SELECT number FROM quarantine WHERE received_at < ? ORDER BY number LIMIT ${retentionStepRows})`);
  const countFreePages = database.prepare("PRAGMA freelist_count");
  const freePages = () => Number(countFreePages.get()?.freelist_count);
  return {
    /**
     * One step, inside a transaction. A key stays a year longer than its delivery.
     * @returns how many rows went; fewer than a step's: there are no more
     */
    removeBefore(time: number): number {
      const removed = removeDeliveries.all(time) as unknown as OldDelivery[];
      for (const { source, id, digest, receivedAt } of removed)
        keepKey.run(deliveryKey(source, id, digest), receivedAt);
      const keys = Number(removeKeys.run(time - keepKeysMilliseconds).changes);
      return removed.length + Number(removeQuarantine.run(time).changes) + keys;
    },
    /** One step, outside of any transaction. @returns whether another one would give more back */
    shrink(): boolean {
      const before = freePages();
      database.exec(`PRAGMA incremental_vacuum(${vacuumStepPages})`);
      const after = freePages();
      // A file that was made by other means (`sqlite3 .recover`) may not be able to shrink at all.
      return after > 0 && after < before;
    },
  };
}

const busyMilliseconds = 100;
const idleMilliseconds = 60_000;
/** A clock that has jumped ahead is believed when it has kept its new pace for so long: nobody has put it right. */
const doubtMilliseconds = 3_600_000;
/** Clocks differ by less while nothing is wrong. */
const jumpMilliseconds = 60_000;

/**
 * The time by which things are old. A wall clock may be set ahead for a minute, and all that is handled would look old.
 * So the monotonic clock has to agree: when the wall clock runs ahead of it, the time is what the monotonic clock has
 * counted, and after an hour without another jump it is that of the wall clock. So a machine that has slept, or whose clock
 * was behind when it started, removes things an hour later. A clock that was put back is believed at once.
 * @param lastBeatAt when a receiver last worked on the file: the last time that is known from before the start
 */
export function steadyClock(
  lastBeatAt: number | null,
  wall: () => number = Date.now,
  monotonic: () => number = () => performance.now(),
): () => number {
  let base = { wall: lastBeatAt ?? wall(), monotonic: monotonic() };
  let jump: { readonly ahead: number; readonly since: number } | undefined;
  return () => {
    const now = { wall: wall(), monotonic: monotonic() };
    const counted = base.wall + now.monotonic - base.monotonic;
    const ahead = now.wall - counted;
    if (ahead > jumpMilliseconds) {
      const isSame = jump !== undefined && Math.abs(ahead - jump.ahead) <= jumpMilliseconds;
      jump = isSame && jump !== undefined ? jump : { ahead, since: now.monotonic };
      if (now.monotonic - jump.since < doubtMilliseconds) return counted;
    }
    jump = undefined;
    base = now;
    return now.wall;
  };
}

/** Removes what is older than `keepSeconds` while the receiver runs: step by step while there is much, else each minute. */
export function startRetention(
  inbox: { removeBefore(time: number): Promise<number> },
  keepSeconds: number,
  log: Log,
  lastBeatAt: number | null = null,
): { stop(): void } {
  const now = steadyClock(lastBeatAt);
  let timer = setTimeout(step, busyMilliseconds);
  async function step(): Promise<void> {
    let removed = 0;
    try {
      removed = await inbox.removeBefore(now() - keepSeconds * 1000);
    } catch (thrown) {
      log.warn("old deliveries could not be removed", { why: errorLine(thrown) });
    }
    timer = setTimeout(step, removed > 0 ? busyMilliseconds : idleMilliseconds).unref();
  }
  return { stop: () => clearTimeout(timer) };
}
