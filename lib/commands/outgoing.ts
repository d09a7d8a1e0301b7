/**
 * What `send` posts: deliveries signed as a sender signs them, each with an id of its own.
 */
import type { KeyObject } from "node:crypto";
import { OperatorError } from "../errors.ts";
import { originFormOf } from "../receive/head.ts";
import { Refusal } from "../refusal.ts";
import type { Sender } from "../senders/sender.ts";
import { readPublicUrl, signsUrl } from "../settings/sources.ts";
import { looksLikeJson } from "../signature/payload.ts";
import { bodyWithId, sampleBody } from "../signature/sample.ts";
import { type SignedDelivery, sign } from "../signature/sign.ts";

export type Outgoing = {
  readonly sender: Sender;
  readonly key: KeyObject;
  readonly type: string;
  /** A file's bytes; undefined for a small body of our own. */
  readonly body: Buffer | undefined;
  /** `as it is`: an id that the file has stays there. */
  readonly idInBody: "as it is" | "set";
  /** Where it is posted to. */
  readonly to: string;
  /** What the sender calls, where it signs the URL. */
  readonly signedUrl: string;
};

/**
 * Signs a delivery. Every one is signed anew: for many senders the id or the time is a part of what is signed.
 * @throws OperatorError when the body is not one that this sender could send
 */
export function signOutgoing(outgoing: Outgoing, id: string, now: Date): SignedDelivery {
  const { sender, key, type, to, signedUrl: url } = outgoing;
  const body = bodyFor(outgoing, id);
  const isForm = sender.form !== undefined && !looksLikeJson(body);
  const contentType = isForm ? "application/x-www-form-urlencoded" : "application/json";
  try {
    const signed = sign(sender, key, { type, id, body, contentType, url, now });
    // Twilio adds the body's hash to the query that it signs: it has to be posted with it.
    return { ...signed, url: `${to}${signed.url.slice(url.length)}` };
  } catch (thrown) {
    if (!(thrown instanceof Refusal)) throw thrown;
    throw new OperatorError(`${sender.title} cannot sign this body: ${thrown.message}`, 2);
  }
}

function bodyFor({ sender, type, body, idInBody }: Outgoing, id: string): Buffer {
  if (body === undefined) return sampleBody(sender, type, id);
  const withId = idInBody === "set" ? bodyWithId(sender, body, id) : body;
  if (withId !== undefined) return withId;
  throw new OperatorError(
    `${sender.title} has the delivery's id in the body: this one is no JSON object, so --id and --repeat cannot set it`,
    2,
  );
}

/**
 * The URL to sign: a receiver that is told how senders call it (WEBHOOK_PUBLIC_URL) verifies with that, wherever the
 * request comes in.
 */
export function signedUrlFor(to: string, sender: Sender, environment: NodeJS.ProcessEnv): string {
  const publicUrl = signsUrl(sender) ? readPublicUrl(environment) : "";
  return publicUrl === "" || to.startsWith(`${publicUrl}/`) ? to : `${publicUrl}${originFormOf(to)}`;
}
