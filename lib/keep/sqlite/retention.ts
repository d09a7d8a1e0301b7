/**
 * Removes what has been handled and is old, a few rows at a time, and gives the room back to the disk.
 * Deliveries with a job that is pending, running or dead stay: there is still something to be done about them.
 */
import type { DatabaseSync } from "node:sqlite";
import { errorLine } from "../../errors.ts";
import type { Log } from "../../log.ts";
import type { Store } from "./store.ts";

/** So few that no step holds anybody up. */
export const retentionStepRows = 200;
const vacuumStepPages = 500;

export type Retention = ReturnType<typeof openRetention>;

export function openRetention(database: DatabaseSync) {
  const removeDeliveries = database.prepare(`
    DELETE FROM deliveries WHERE number IN (
      SELECT number FROM deliveries
      WHERE received_at < ? AND NOT EXISTS (
        SELECT 1 FROM jobs WHERE jobs.delivery = deliveries.number AND jobs.state <> 'done')
      ORDER BY received_at LIMIT ${retentionStepRows})`);
  const removeQuarantine = database.prepare(`
    DELETE FROM quarantine WHERE number IN (
      SELECT number FROM quarantine WHERE received_at < ? ORDER BY number LIMIT ${retentionStepRows})`);
  return {
    /** One step, inside a transaction. @returns how many rows went; fewer than a step's: there are no more */
    removeBefore(time: number): number {
      return Number(removeDeliveries.run(time).changes) + Number(removeQuarantine.run(time).changes);
    },
    /** Outside of any transaction. */
    shrink(): void {
      database.exec(`PRAGMA incremental_vacuum(${vacuumStepPages})`);
    },
  };
}

const busyMilliseconds = 100;
const idleMilliseconds = 60_000;

/** Removes what is older than `keepSeconds` while the receiver runs: step by step while there is much, else each minute. */
export function startRetention(store: Store, keepSeconds: number, log: Log): { stop(): void } {
  let timer = setTimeout(step, busyMilliseconds);
  async function step(): Promise<void> {
    let removed = 0;
    try {
      removed = await store.removeBefore(Date.now() - keepSeconds * 1000);
    } catch (thrown) {
      log.warn("old deliveries could not be removed", { why: errorLine(thrown) });
    }
    timer = setTimeout(step, removed >= retentionStepRows ? busyMilliseconds : idleMilliseconds).unref();
  }
  return { stop: () => clearTimeout(timer) };
}
