/**
 * A receiver's heartbeat, and the look at the hearts of the others on the same file.
 *
 *     receiver A    beat 17    beat 18    beat 19    (killed)
 *     receiver B    17         18         19         19  19  19  19  19   → A is dead: its running jobs are free
 *
 * It beats in the thread that owns the database: a handler that holds the event loop stops nothing here, and its job is
 * not run a second time. A beat is a counter and no time, so clocks that differ do not matter.
 */
import type { Inbox } from "./inbox.ts";

export const beatMilliseconds = 1000;
/** A receiver whose beat has not changed over this many looks is dead: some 5 seconds. */
const deadAfterLooks = 5;

/**
 * @param owner the name under which this receiver claims jobs
 * @returns one beat, inside a transaction: how many jobs of dead receivers it has freed
 */
export function openHeartbeat(owner: string): (inbox: Inbox, now: number) => number {
  const seen = new Map<string, { beat: number; looks: number }>();
  return (inbox, now) => {
    inbox.beat(owner, now);
    inbox.pullBack(now);
    let freed = 0;
    for (const other of inbox.otherBeats(owner)) {
      const before = seen.get(other.owner);
      const looks = before?.beat === other.beat ? before.looks + 1 : 0;
      seen.set(other.owner, { beat: other.beat, looks });
      if (looks < deadAfterLooks) continue;
      seen.delete(other.owner);
      freed += inbox.bury(other.owner, now);
    }
    return freed;
  };
}
