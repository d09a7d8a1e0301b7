/**
 * The inbox: what was accepted, once, and what is still to be done about it.
 *
 * Everything here is synchronous SQL on an open database and runs inside a transaction of its caller: the
 * store's thread (`thread.ts`) while the receiver runs, the commands otherwise. Times come in from outside.
 *
 * A delivery is a state machine, and its key outlives it. First time: kept. Repeat of one whose jobs are pending, running or done: counted,
 * and nothing runs. Repeat of one with dead jobs: those are revived, for that is what "Redeliver" means.
 */
import type { DatabaseSync } from "node:sqlite";
import type { FormUse } from "../../senders/sender.ts";
import { inLine, openAccept } from "./accept.ts";

/** One event for one handler, claimed by this receiver: nobody else runs it. */
export type Job = {
  readonly job: number;
  readonly handler: string;
  readonly attempt: number;
  readonly source: string;
  readonly sender: string;
  readonly id: string;
  readonly event: string;
  readonly form: FormUse | null;
  readonly headers: string;
  readonly body: Uint8Array;
  readonly receivedAt: number;
};

/** How a job went; the owner is checked, for the job may have been taken over meanwhile. */
export type Finish =
  | { readonly state: "done" }
  | { readonly state: "pending"; readonly error: string; readonly nextAttemptAt: number }
  | { readonly state: "dead"; readonly error: string }
  /** It did not begin: pending again, and this was no attempt. */
  | { readonly state: "postponed"; readonly nextAttemptAt: number };

/** No job waits longer than this for its next attempt, unless its handler has postponed it for longer. */
export const longestDelayMilliseconds = 3_600_000;

export type Leftover = { readonly jobs: number; readonly lastBeatAt: number | null };

/** So often a job may run when the process ends: then it is dead. */
const mostEndings = 3;
/** Each time it comes back later. */
const endingDelayMilliseconds = 4000;

export type Inbox = ReturnType<typeof openInbox>;

export function openInbox(database: DatabaseSync) {
  // One statement, so that two receivers never claim one job. A job waits for the earlier ones of its key, also
  // where it is not in line: one in front of it may have been revived.
  const claimJobs = database.prepare(`
    UPDATE jobs SET state = 'running', owner = ?, attempts = attempts + 1
    WHERE number IN (
      SELECT number FROM jobs
      WHERE state = 'pending' AND next_attempt_at <= ? AND handler IN (SELECT value FROM json_each(?))
        AND (order_key IS NULL OR NOT EXISTS (
          SELECT 1 FROM jobs AS earlier
          WHERE earlier.handler = jobs.handler AND earlier.order_key = jobs.order_key
            AND earlier.number < jobs.number AND earlier.state IN ('pending', 'running')))
        AND (endings = 0 OR number = ?)
      ORDER BY next_attempt_at LIMIT ?)
    RETURNING number AS job, delivery, handler, attempts AS attempt`);
  // Of the jobs that ran when a process ended, one at a time is tried: the others were likely only beside it.
  const findSuspect = database.prepare(`
    SELECT min(number) AS number FROM jobs
    WHERE endings > 0 AND state = 'pending' AND next_attempt_at <= ? AND handler IN (SELECT value FROM json_each(?))
      AND NOT EXISTS (SELECT 1 FROM jobs AS other WHERE other.endings > 0 AND other.state = 'running')`);
  const readDelivery = database.prepare(`
    SELECT source, sender, id, event, form, headers, body, received_at AS receivedAt
    FROM deliveries WHERE number = ?`);
  // Only what lies ahead: a job that is due and was not claimed waits for something else than the time.
  const findNextAttempt = database.prepare(
    "SELECT min(next_attempt_at) AS at FROM jobs WHERE state = 'pending' AND next_attempt_at > ? AND next_attempt_at < ?",
  );
  const makeKnown = database.prepare(
    "INSERT OR IGNORE INTO receivers (owner, beat, beat_at) VALUES (?, 0, ?)",
  );
  const finishJob = database.prepare(`
    UPDATE jobs SET state = ?, last_error = coalesce(?, last_error), next_attempt_at = coalesce(?, next_attempt_at),
      finished_at = ?, endings = 0, owner = NULL WHERE number = ? AND state = 'running' AND owner = ?
    RETURNING handler, order_key AS orderKey`);
  const callNext = database.prepare(`
    UPDATE jobs SET next_attempt_at = ? WHERE next_attempt_at = ? AND number = (
      SELECT min(number) FROM jobs WHERE handler = ? AND order_key = ? AND state IN ('pending', 'running'))`);
  const failDone = database.prepare(`
    UPDATE jobs SET state = 'pending', last_error = ?, next_attempt_at = ?, finished_at = NULL
    WHERE number = ? AND state = 'done'`);
  const postponeJob = database.prepare(`
    UPDATE jobs SET state = 'pending', attempts = attempts - 1, next_attempt_at = ?, postponed_by = ?, endings = 0, owner = NULL
    WHERE number = ? AND state = 'running' AND owner = ?`);
  const writeBeat = database.prepare(`
    INSERT INTO receivers (owner, beat, beat_at) VALUES (?, 1, ?)
    ON CONFLICT (owner) DO UPDATE SET beat = beat + 1, beat_at = excluded.beat_at`);
  const pullBack = database.prepare(`
    UPDATE jobs SET next_attempt_at = ? + max(postponed_by, ${longestDelayMilliseconds})
    WHERE state = 'pending' AND next_attempt_at > ? AND next_attempt_at < ${inLine} AND next_attempt_at > ? + postponed_by`);
  const readBeats = database.prepare("SELECT owner, beat FROM receivers WHERE owner <> ?");
  const removeReceiver = database.prepare("DELETE FROM receivers WHERE owner = ?");
  const countRunning = database.prepare(
    "SELECT count(*) AS jobs FROM jobs WHERE state = 'running' AND owner = ?",
  );
  // A job that ran at three endings has ended the process itself, or never ends before it. An attempt counts for a job
  // that was alone, and for one that has run at an ending before; those beside it have done nothing.
  const endJobs = database.prepare(`
    UPDATE jobs SET owner = NULL, endings = endings + 1,
      last_error = ? || CASE WHEN endings + 1 >= ${mostEndings} THEN ', for the third time in a row' ELSE '' END,
      state = CASE WHEN endings + 1 >= ${mostEndings} THEN 'dead' ELSE 'pending' END,
      finished_at = CASE WHEN endings + 1 >= ${mostEndings} THEN ? END,
      attempts = attempts - CASE WHEN ? OR endings > 0 THEN 0 ELSE 1 END,
      next_attempt_at = ? + endings * ${endingDelayMilliseconds}
    WHERE state = 'running' AND owner = ? RETURNING state, handler, order_key AS orderKey`);
  // Two counts, each from its own small index; one over both states would read every job there ever was.
  const countLeftover = database.prepare(`
    SELECT (SELECT count(*) FROM jobs WHERE state = 'pending')
      + (SELECT count(*) FROM jobs WHERE state = 'running') AS jobs`);
  const readLastBeat = database.prepare("SELECT max(beat_at) AS at FROM receivers");

  function endAll(owner: string, isCounted: boolean, error: string, now: number): number {
    const ended = endJobs.all(error, now, isCounted ? 1 : 0, now, owner);
    // What waits behind one that is dead now goes on.
    for (const { state, handler, orderKey } of ended)
      if (state === "dead" && orderKey !== null) callNext.run(now, inLine, String(handler), String(orderKey));
    return ended.length;
  }

  return {
    accept: openAccept(database),

    /**
     * Takes up to `limit` jobs that are due and whose handler is one of `handlers`.
     * @returns the jobs, and when the next one is due (null: none is waiting)
     */
    claim(
      owner: string,
      handlers: readonly string[],
      limit: number,
      now: number,
    ): { jobs: Job[]; nextAttemptAt: number | null } {
      // Nobody runs a job without being in the list: were it to end now, the others could not tell.
      makeKnown.run(owner, now);
      const names = JSON.stringify(handlers);
      const suspect = Number(findSuspect.get(now, names)?.number ?? 0);
      const claimed = claimJobs.all(owner, now, names, suspect, limit);
      const jobs = claimed.map(
        (row) => ({ ...row, ...readDelivery.get(Number(row.delivery)) }) as unknown as Job,
      );
      const at = findNextAttempt.get(now, inLine)?.at ?? null;
      return { jobs: jobs.sort((a, b) => a.job - b.job), nextAttemptAt: at === null ? null : Number(at) };
    },

    /** @returns false when the job is not this owner's any more */
    finish(owner: string, job: number, finish: Finish, now: number): boolean {
      if (finish.state === "postponed")
        return (
          Number(postponeJob.run(finish.nextAttemptAt, finish.nextAttemptAt - now, job, owner).changes) > 0
        );
      const error = "error" in finish ? finish.error : null;
      const nextAttemptAt = finish.state === "pending" ? finish.nextAttemptAt : null;
      const finishedAt = finish.state === "pending" ? null : now;
      const finished = finishJob.get(finish.state, error, nextAttemptAt, finishedAt, job, owner);
      if (finished === undefined) return false;
      const { handler, orderKey } = finished as { handler: string; orderKey: string | null };
      if (finishedAt !== null && orderKey !== null) callNext.run(now, inLine, handler, orderKey);
      return true;
    },

    /** Gives back what this owner has claimed and not finished, because it stops. */
    release(owner: string, now: number): void {
      endAll(owner, false, "the receiver stopped while this ran", now);
    },

    beat(owner: string, now: number): void {
      writeBeat.run(owner, now);
    },

    /** A clock that was ahead for a while has set times that no delay reaches: they come down to the longest one. */
    pullBack(now: number): void {
      pullBack.run(now, now + longestDelayMilliseconds, now);
    },

    /** The work of a job went wrong after it had been marked as done: it is tried again. */
    failDone(job: number, error: string, nextAttemptAt: number): void {
      failDone.run(error, nextAttemptAt, job);
    },

    /** The beats of the other receivers: who has the same beat for long has stopped. */
    otherBeats(owner: string): { owner: string; beat: number }[] {
      return readBeats.all(owner).map((row) => ({ owner: String(row.owner), beat: Number(row.beat) }));
    },

    /** Frees the jobs of a receiver that has stopped. @returns how many */
    bury(owner: string, now: number): number {
      const isAlone = Number(countRunning.get(owner)?.jobs) === 1;
      const freed = endAll(owner, isAlone, "the receiver ended while this ran", now);
      removeReceiver.run(owner);
      return freed;
    },

    /** What an earlier run has left behind. */
    leftover(): Leftover {
      const at = readLastBeat.get()?.at ?? null;
      return { jobs: Number(countLeftover.get()?.jobs), lastBeatAt: at === null ? null : Number(at) };
    },
  };
}
