/**
 * Requests that were read to their end and refused: a secret may turn out to have been the wrong one.
 *
 * A stranger can send them, so they are bounded in rows, in bytes and by the second, for each source: a flood of one
 * source pushes out its own, and no other's. The same bytes again are no new row. While the write-ahead log is large
 * (a backup reads the file, say), nothing is added to it that nobody has signed.
 */
import { hash } from "node:crypto";
import type { DatabaseSync } from "node:sqlite";

/** A refused request, as much of it as is needed to try again. */
export type Refused = {
  readonly source: string;
  readonly receivedAt: number;
  readonly reason: string;
  /** Method, target and headers as JSON. */
  readonly head: string;
  readonly body: Uint8Array;
};

export const maxQuarantineRows = 1000;
export const maxQuarantineBytes = 64 * 1024 * 1024;
/** Of one source. */
export const maxQuarantinePerSecond = 20;
export const maxQuarantineBytesPerSecond = 2 * 1024 * 1024;
/** A larger body is not kept: a part of it could never be verified again. */
export const maxQuarantinedBodyBytes = 1024 * 1024;
/** Beyond this the write-ahead log is not shrinking, and grows by good deliveries only. */
export const maxLogBytes = 16 * 1024 * 1024;

export type Quarantine = ReturnType<typeof openQuarantine>;

/** @param logBytes how large the write-ahead log is now */
export function openQuarantine(database: DatabaseSync, logBytes: () => number = () => 0) {
  const insert = database.prepare(`
    INSERT INTO quarantine (source, received_at, reason, head, body, digest) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (source, digest) DO NOTHING`);
  const measure = database.prepare(`
    SELECT source, count(*) AS rows, sum(length(body) + octet_length(head)) AS bytes FROM quarantine GROUP BY source`);
  const removeOldest = database.prepare(`
    DELETE FROM quarantine WHERE number = (SELECT min(number) FROM quarantine WHERE source = ?)
    RETURNING length(body) + octet_length(head) AS bytes`);

  /** The oldest of the source that holds the most go first. Counted each time: others add and remove rows too. */
  function makeRoom(): void {
    const shares = measure.all() as { source: string; rows: number; bytes: number }[];
    let rows = shares.reduce((sum, share) => sum + share.rows, 0);
    let bytes = shares.reduce((sum, share) => sum + share.bytes, 0);
    for (; rows > maxQuarantineRows || bytes > maxQuarantineBytes; rows -= 1) {
      const size = rows > maxQuarantineRows ? "rows" : "bytes";
      const largest = shares.reduce((most, share) => (share[size] > most[size] ? share : most));
      const removed = Number(removeOldest.get(largest.source)?.bytes);
      largest.rows -= 1;
      largest.bytes -= removed;
      bytes -= removed;
    }
  }

  return {
    /** @returns false when it is not kept: too large, here already, or the log is large */
    add({ source, receivedAt, reason, head, body }: Refused): boolean {
      if (body.length > maxQuarantinedBodyBytes || logBytes() > maxLogBytes) return false;
      const digest = hash("sha256", Buffer.concat([Buffer.from(`${head}\n`), body]), "buffer");
      // An empty body that comes from another thread has no address, and many versions of node:sqlite take it for NULL.
      const stored = body.length === 0 ? new Uint8Array() : body;
      const { changes } = insert.run(source, receivedAt, reason, head, stored, digest);
      if (Number(changes) === 0) return false;
      makeRoom();
      return true;
    },
  };
}

/**
 * Lets so many requests and bytes of each source pass in a second, before anything is copied for them.
 * @returns to be asked with milliseconds of a clock that never goes back, read when the body is there: bodies end in
 *   another order than their heads came in
 */
export function quarantineGate(): (source: string, bytes: number, now: number) => boolean {
  let second = 0;
  const passed = new Map<string, { rows: number; bytes: number }>();
  return (source, bytes, now) => {
    if (Math.floor(now / 1000) > second) passed.clear();
    second = Math.max(second, Math.floor(now / 1000));
    const before = passed.get(source) ?? { rows: 0, bytes: 0 };
    const after = { rows: before.rows + 1, bytes: before.bytes + bytes };
    if (after.rows > maxQuarantinePerSecond || after.bytes > maxQuarantineBytesPerSecond) return false;
    passed.set(source, after);
    return true;
  };
}
