/**
 * Delivers an event as DECNET's client does: signed, and again after 1, 2 and 4 seconds when that may help.
 *
 * The body is `{ v: 1, id, ts, topic, type, payload }` in canonical JSON (`canonical.ts`), and the signature covers
 * exactly the bytes that are sent. Body and id are the same in every attempt, so that the receiver can tell a
 * repeat; X-DECNET-Timestamp is the time of the attempt. What one attempt is and means: `attempt.ts`. Retries end
 * with this process; for events that must survive it there are the inbox and `forward.ts`.
 */
import { type KeyObject, randomUUID } from "node:crypto";
import { setTimeout as sleepFor } from "node:timers/promises";
import { senderNamed } from "../senders/table.ts";
import { isPrivateAllowed } from "../settings/allow-private.ts";
import { readSigningKey } from "../signature/key.ts";
import { isDateTime } from "../signature/shape.ts";
import { type SignedDelivery, sign } from "../signature/sign.ts";
import { attempt, defaultTimeoutMilliseconds } from "./attempt.ts";
import { canonicalJson } from "./canonical.ts";
import { type Post, sharedPost } from "./post.ts";

export type Subscription = {
  readonly url: string;
  readonly secret: string;
  /** Opens this machine and private networks for this one; WEBHOOK_ALLOW_PRIVATE unless said. */
  readonly allowPrivate?: boolean;
};

export type DecnetEvent = {
  /** A new UUID unless said. */
  readonly id?: string;
  /** Seconds since 1970, or a date and time in ISO 8601, in UTC unless it says otherwise. Now unless said. */
  readonly ts?: number | string;
  /** `attacker.session.started` */
  readonly topic: string;
  readonly type: string;
  readonly payload: unknown;
};

export type DeliverOptions = {
  /** Seconds before each further attempt, to be multiplied by 0.8 to 1.2; `[]` for one attempt. */
  readonly retrySchedule?: readonly number[];
  /** For each attempt. */
  readonly timeoutMs?: number;
  /** In place of our own, which checks addresses: `globalThis.fetch` goes anywhere. */
  readonly fetch?: Post;
  /** Ends the delivery; then its reason is thrown. */
  readonly signal?: AbortSignal;
  readonly now?: () => Date;
  /** From 0 up to and without 1. */
  readonly random?: () => number;
  readonly sleep?: (milliseconds: number, signal: AbortSignal | undefined) => Promise<void>;
};

export type DeliveryResult = {
  readonly ok: boolean;
  /** The last answer's; null when there was none. */
  readonly statusCode: number | null;
  /** `non-retryable 404`, `status 503`, `no answer within 10 s`, …; null when it was delivered. */
  readonly error: string | null;
  readonly attempts: number;
};

const defaultRetrySchedule = [1, 2, 4];
/** Node's timers take a longer time for 1 ms. */
const maxTimeoutMilliseconds = 2 ** 31 - 1;

/**
 * @throws TypeError when nothing can be sent: an empty secret, a topic or id that is no header, a payload that is
 *   no JSON; RangeError for times that are none
 */
export async function deliver(
  { url, secret, allowPrivate = isPrivateAllowed() }: Subscription,
  event: DecnetEvent,
  options: DeliverOptions = {},
): Promise<DeliveryResult> {
  const { retrySchedule = defaultRetrySchedule, timeoutMs = defaultTimeoutMilliseconds, signal } = options;
  const { fetch = sharedPost(allowPrivate), random = Math.random, sleep = sleepUntil } = options;
  const { now = () => new Date() } = options;
  if (!retrySchedule.every((seconds) => seconds >= 0 && seconds < Number.POSITIVE_INFINITY))
    throw new RangeError("retrySchedule: expected numbers of seconds");
  if (!(timeoutMs >= 1 && timeoutMs <= maxTimeoutMilliseconds))
    throw new RangeError(`timeoutMs: expected 1 to ${maxTimeoutMilliseconds}`);
  const key = readTextKey(secret);
  const { id = randomUUID(), topic } = event;
  const body = decnetBody({ ...event, id }, now());
  for (let attempts = 1; ; attempts += 1) {
    const request = signDecnet({ url, key, id, topic, body, now: now() });
    const limits = { timeoutMilliseconds: timeoutMs, signal, now };
    const { verdict, statusCode, error, retryAfterMilliseconds } = await attempt(request, fetch, limits);
    const seconds = retrySchedule[attempts - 1];
    if (verdict !== "retryable" || seconds === undefined)
      return { ok: verdict === "delivered", statusCode, error, attempts };
    const planned = Math.round(seconds * 1000 * (0.8 + 0.4 * random()));
    await sleep(Math.max(planned, retryAfterMilliseconds), signal);
  }
}

/** The body's bytes. @throws TypeError when the payload is no JSON; RangeError when `ts` is no time */
export function decnetBody({ id, ts, topic, type, payload }: DecnetEvent, now: Date): Buffer {
  return canonicalJson({ v: 1, id, ts: isoTime(ts ?? now.toISOString()), topic, type, payload });
}

/**
 * Signs a body as DECNET does. Header names are written as DECNET writes them, for receivers that ask for just that.
 * @throws TypeError when the topic or the id cannot be a header
 */
export function signDecnet(event: {
  readonly url: string;
  readonly key: KeyObject;
  readonly id: string;
  readonly topic: string;
  readonly body: Buffer;
  readonly now: Date;
}): SignedDelivery {
  const { url, key, id, topic, body, now } = event;
  checkHeader("topic", topic);
  checkHeader("id", id);
  const signed = sign(senderNamed("decnet"), key, {
    type: topic,
    id,
    body,
    contentType: "application/json",
    url,
    now,
  });
  return {
    ...signed,
    headers: {
      "Content-Type": "application/json",
      "User-Agent": "decnet-webhook/1.0",
      "X-DECNET-Signature": signed.headers["x-decnet-signature"] ?? "",
      "X-DECNET-Event-Id": id,
      "X-DECNET-Event-Topic": topic,
      "X-DECNET-Timestamp": String(Math.floor(now.getTime() / 1000)),
    },
  };
}

/** @throws TypeError for an empty secret, with which everybody could sign */
export function readTextKey(secret: string): KeyObject {
  const key = secret.trim() === "" ? undefined : readSigningKey("text", secret);
  if (key === undefined) throw new TypeError("the secret is empty");
  return key;
}

/**
 * RFC 9110 §5.5: visible ASCII; white space at either end would be cut off on the way.
 * @throws TypeError for anything else
 */
export function checkHeader(name: string, value: string): void {
  if (!/^[!-~]+(?: +[!-~]+)*$/.test(value))
    throw new TypeError(`the ${name} cannot be written into a header`);
}

/** What says UTC stays as it is, with its microseconds. */
function isoTime(ts: number | string): string {
  if (typeof ts === "number") return new Date(Math.round(ts * 1000)).toISOString();
  if (!isDateTime(ts)) throw new RangeError("ts: expected a date and time in ISO 8601");
  if (/(Z|[+-]00:?00)$/i.test(ts)) return ts;
  return /[+-]\d\d:?\d\d$/.test(ts) ? new Date(ts).toISOString() : `${ts}Z`;
}

async function sleepUntil(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  await sleepFor(milliseconds, undefined, { signal }).catch(() => signal?.throwIfAborted());
}
