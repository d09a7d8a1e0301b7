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
    /** One step, outside of any transaction. @returns whether there is more to give back */
    shrink(): boolean {
      database.exec(`PRAGMA incremental_vacuum(${vacuumStepPages})`);
      return Number(database.prepare("PRAGMA freelist_count").get()?.freelist_count) > 0;
    },
  };
}

const busyMilliseconds = 100;
const idleMilliseconds = 60_000;
/** After a start that found no receiver's beat of the last day, nothing is removed for so long. */
const doubtMilliseconds = 3_600_000;
const dayMilliseconds = 86_400_000;

/**
 * The time by which things are old. A wall clock may be set ahead for a minute, and all that is handled would look old.
 * So no more time passes here than the monotonic clock has counted since the start. That clock does not count while the
 * machine sleeps: then things are removed later, which harms nothing.
 * @param lastBeatAt when a receiver last worked on the file. When that is long ago, the clock may be wrong from the
 * start: nothing is old before it has had an hour to be put right
 */
export function steadyClock(
  lastBeatAt: number | null,
  wall: () => number = Date.now,
  monotonic: () => number = () => performance.now(),
): () => number {
  let [baseWall, baseMonotonic] = [wall(), monotonic()];
  const startedAt = baseMonotonic;
  const isDoubtful = lastBeatAt !== null && baseWall - lastBeatAt > dayMilliseconds;
  return () => {
    const [now, elapsed] = [wall(), monotonic() - baseMonotonic];
    // A clock that was put back was ahead before: count on from what it says now.
    if (now < baseWall + elapsed) [baseWall, baseMonotonic] = [now, monotonic()];
    if (isDoubtful && monotonic() - startedAt < doubtMilliseconds) return lastBeatAt;
    return Math.min(now, baseWall + monotonic() - baseMonotonic);
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
