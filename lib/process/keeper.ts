/**
 * Between the journey of a request and the inbox: what is kept of a delivery, and what of a refused request.
 */

import { errorLine } from "../errors.ts";
import type { Outcome } from "../keep/sqlite/accept.ts";
import { maxQuarantinedBodyBytes, quarantineGate } from "../keep/sqlite/quarantine.ts";
import type { Store } from "../keep/sqlite/store.ts";
import type { Log } from "../log.ts";
import { Refusal } from "../refusal.ts";
import { type Authentic, authenticate } from "../signature/authenticate.ts";
import type { Claim } from "../signature/claim.ts";
import type { WebhookEvent } from "../signature/event.ts";
import type { ReadySender } from "../signature/ready.ts";
import type { Delivery } from "../signature/verify.ts";
import { jobsFor, type ReadyHandlers } from "./loader.ts";
import type { JobWorker } from "./worker.ts";

export type Keeper = {
  /** Resolves once the event and its jobs are on the disk; rejects with a Refusal (503) when they are not. */
  keep(delivery: Delivery, event: WebhookEvent, receivedAt: Date): Promise<Outcome>;
  /** Authenticates; when that refuses, the request is put into quarantine, and refused all the same. */
  authenticate(claim: Claim, body: Buffer, receivedAt: Date): Promise<Authentic>;
};

export function openKeeper(
  store: Store,
  handlers: ReadyHandlers,
  worker: Pick<JobWorker, "poke">,
  log: Log,
): Keeper {
  const mayEnter = quarantineGate();

  function putAway({ source, head }: Claim, body: Buffer, receivedAt: Date, reason: string): void {
    const isSmall = body.length <= maxQuarantinedBodyBytes;
    if (!isSmall || !mayEnter(source.name, body.length, performance.now())) return;
    const { method, target, headers, rawHeaders } = head;
    const refused = { source: source.name, receivedAt: receivedAt.getTime(), reason, body };
    store
      .quarantine({ ...refused, head: JSON.stringify({ method, target, headers, rawHeaders }) })
      .catch((thrown: unknown) =>
        log.warn("a refused request could not be kept", { why: errorLine(thrown) }),
      );
  }

  return {
    async keep(delivery, event, receivedAt) {
      const incoming = incomingFrom(delivery.sender, event, handlers, receivedAt, log);
      const hasJobs = incoming.jobs.length > 0; // and nothing else of it is held while the disk is waited for
      const outcome = await store.accept(incoming);
      if (outcome !== "duplicate" && hasJobs) worker.poke();
      return outcome;
    },
    async authenticate(claim, body, receivedAt) {
      try {
        return await authenticate(claim, body, receivedAt);
      } catch (thrown) {
        if (thrown instanceof Refusal) putAway(claim, body, receivedAt, thrown.code);
        throw thrown;
      }
    },
  };
}

/** The row that an authentic event becomes, with its jobs. */
export function incomingFrom(
  sender: ReadySender,
  event: WebhookEvent,
  handlers: ReadyHandlers,
  receivedAt: Date,
  log?: Log,
) {
  return {
    source: event.source,
    sender: event.sender,
    id: event.id,
    isIdSigned: sender.isIdSigned,
    event: event.type,
    form: sender.form ?? null,
    headers: JSON.stringify(event.headers),
    body: event.body,
    receivedAt: receivedAt.getTime(),
    jobs: jobsFor(handlers, event, log),
  };
}
