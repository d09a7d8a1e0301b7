/**
 * Keeps a delivery with its jobs, once.
 *
 *     first time                              kept, one job for each of its handlers          accepted
 *     again, its jobs pending, running, done  counted, and nothing runs                       duplicate
 *     again, with dead jobs                   those are pending again: that is "Redeliver"    revived
 *
 * It runs inside a transaction of its caller, which ends with the sync to the disk. Only then is the sender told yes.
 */
import { createHash } from "node:crypto";
import type { DatabaseSync } from "node:sqlite";
import type { FormUse } from "../../senders/sender.ts";

/** A delivery on its way in, with the jobs that it brings. */
export type Incoming = {
  readonly source: string;
  readonly sender: string;
  readonly id: string;
  /** False: the id may be forged, so it never makes another body pass for a repeat. */
  readonly isIdSigned: boolean;
  readonly event: string;
  readonly form: FormUse | null;
  /** As a JSON object. */
  readonly headers: string;
  readonly body: Uint8Array;
  readonly receivedAt: number;
  readonly jobs: readonly { readonly handler: string; readonly orderKey: string | null }[];
};

export type Outcome = "accepted" | "duplicate" | "revived";

/**
 * In `next_attempt_at`: not before the job in front of it, of the same handler and key, has ended. Thousands may wait
 * behind one that fails for hours, and none of them is to be looked at whenever jobs are claimed.
 */
export const inLine = Number.MAX_SAFE_INTEGER;

/** @returns a function that keeps one delivery, or finds that it is here already */
export function openAccept(database: DatabaseSync): (incoming: Incoming) => Outcome {
  const insertDelivery = database.prepare(`
    INSERT INTO deliveries (source, sender, id, event, digest, received_at, is_twin, form, headers, body)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (source, id, digest) DO NOTHING`);
  const findOld = database.prepare("SELECT 1 FROM old_deliveries WHERE key = ?");
  const findTwin = database.prepare("SELECT 1 FROM deliveries WHERE source = ? AND id = ? LIMIT 1");
  const countRepeat = database.prepare(`
    UPDATE deliveries SET repeats = repeats + 1 WHERE source = ? AND id = ? AND digest = ? RETURNING number`);
  const insertJob = database.prepare(
    "INSERT INTO jobs (delivery, handler, state, next_attempt_at, order_key) VALUES (?, ?, 'pending', ?, ?)",
  );
  const findEarlier = database.prepare(`
    SELECT 1 FROM jobs WHERE handler = ? AND order_key = ? AND state IN ('pending', 'running') LIMIT 1`);
  const reviveJobs = database.prepare(`
    UPDATE jobs SET state = 'pending', attempts = 0, next_attempt_at = ?, finished_at = NULL
    WHERE delivery = ? AND state = 'dead'`);

  return (incoming: Incoming): Outcome => {
    const { source, id, isIdSigned, body, receivedAt } = incoming;
    const digest = digestOf(incoming);
    if (findOld.get(deliveryKey(source, id, digest)) !== undefined) return "duplicate";
    const isTwin = !isIdSigned && findTwin.get(source, id) !== undefined ? 1 : 0;
    const { sender, event, form, headers } = incoming;
    const { changes, lastInsertRowid } = insertDelivery.run(
      source,
      sender,
      id,
      event,
      digest,
      receivedAt,
      isTwin,
      form,
      headers,
      body,
    );
    if (Number(changes) > 0) {
      const delivery = Number(lastInsertRowid);
      for (const { handler, orderKey } of incoming.jobs) {
        const isInLine = orderKey !== null && findEarlier.get(handler, orderKey) !== undefined;
        insertJob.run(delivery, handler, isInLine ? inLine : receivedAt, orderKey);
      }
      return "accepted";
    }
    const repeated = countRepeat.get(source, id, digest);
    const revived = reviveJobs.run(receivedAt, Number(repeated?.number));
    return Number(revived.changes) > 0 ? "revived" : "duplicate";
  };
}

/**
 * What tells a delivery from another one under its id. An id that nobody has signed can be forged, and so can the header
 * that names the event: then a captured body under the id of a genuine delivery must not make that one a repeat.
 */
function digestOf({ isIdSigned, sender, event, body }: Incoming): Uint8Array {
  if (isIdSigned) return new Uint8Array();
  const names = Buffer.from(`${sender}\n${event}\n`);
  return createHash("sha256").update(names).update(body).digest();
}

/** The key of a delivery once its body has gone. */
export function deliveryKey(source: string, id: string, digest: Uint8Array): Uint8Array {
  return createHash("sha256").update(`${source}\n${id}\n`).update(digest).digest();
}
