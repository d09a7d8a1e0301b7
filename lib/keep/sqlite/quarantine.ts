/**
 * Requests that were read to their end and refused: a secret may turn out to have been the wrong one.
 *
 * Bounded in rows, in bytes and by the second, so that a flood can neither fill the disk nor push out anything
 * that was accepted: what is too much is not kept, and the oldest goes first.
 */
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
export const maxQuarantinePerSecond = 20;

export type Quarantine = ReturnType<typeof openQuarantine>;

export function openQuarantine(database: DatabaseSync) {
  const insert = database.prepare(
    "INSERT INTO quarantine (source, received_at, reason, head, body) VALUES (?, ?, ?, ?, ?)",
  );
  const measure = database.prepare(
    "SELECT count(*) AS rows, coalesce(sum(length(body) + octet_length(head)), 0) AS bytes FROM quarantine",
  );
  const removeOldest = database.prepare(
    "DELETE FROM quarantine WHERE number = (SELECT min(number) FROM quarantine) RETURNING length(body) + octet_length(head) AS bytes",
  );

  return {
    /** @returns false when it is too large to be kept at all */
    add({ source, receivedAt, reason, head, body }: Refused): boolean {
      const size = body.length + Buffer.byteLength(head);
      if (size > maxQuarantineBytes) return false;
      insert.run(source, receivedAt, reason, head, body);
      // Counted each time: other receivers, the retention and `reverify` add and remove rows too.
      let { rows, bytes } = measure.get() as { rows: number; bytes: number };
      for (; rows > maxQuarantineRows || bytes > maxQuarantineBytes; rows -= 1) {
        bytes -= Number(removeOldest.get()?.bytes);
      }
      return true;
    },
  };
}

/** Lets so many in a second pass, before anything is copied for them. */
export function quarantineGate(): (at: Date) => boolean {
  let second = 0;
  let count = 0;
  return (at) => {
    const now = Math.floor(at.getTime() / 1000);
    if (now !== second) [second, count] = [now, 0];
    count += 1;
    return count <= maxQuarantinePerSecond;
  };
}
