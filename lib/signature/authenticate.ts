/**
 * Claim and body → Delivery and event: the one journey that the receiver, `reverify` and `verify` share.
 *
 * What goes before it is HTTP (which source, how long, read the body) and what comes after it is the inbox.
 */

import type { Claim } from "./claim.ts";
import { readEvent, type WebhookEvent } from "./event.ts";
import { hmacsInSlices } from "./hmac-slices.ts";
import { type Delivery, verify } from "./verify.ts";

/** The body is verified in one go up to this size: 1 MB takes some 2 ms. */
const maxAtOnceBytes = 1024 * 1024;

export type Authentic = { readonly delivery: Delivery; readonly event: WebhookEvent };

/**
 * @param receivedAt when the request arrived: a signed time is judged by it
 * @throws Refusal 401 when it is not authentic, 400 when the body is not JSON, 422 when it has not its sender's shape
 */
export async function authenticate(claim: Claim, body: Buffer, receivedAt: Date): Promise<Authentic> {
  const hmacs = body.length > maxAtOnceBytes ? await hmacsInSlices(claim, body) : undefined;
  const delivery = verify(claim, body, receivedAt, hmacs);
  // Nothing is parsed before it is authentic.
  return { delivery, event: readEvent(delivery) };
}
