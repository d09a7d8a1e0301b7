/**
 * The senders that this receiver knows, by the kind of signature that they use. How to add one is written above the
 * type in `sender.ts`.
 */
import { bodyFields } from "./body-fields.ts";
import { defaultSenders } from "./default-path.ts";
import { publicKey } from "./public-key.ts";
import { rawBody } from "./raw-body.ts";
import type { Sender } from "./sender.ts";
import { standardWebhooks } from "./standard-webhooks.ts";
import { timeAndBody } from "./time-and-body.ts";
import { token } from "./token.ts";
import { url } from "./url.ts";

export const senders: readonly Sender[] = [
  ...[...defaultSenders, ...rawBody, ...timeAndBody, ...standardWebhooks, ...publicKey],
  ...[...url, ...bodyFields, ...token],
].sort((a, b) => (a.name < b.name ? -1 : 1));

/** @throws TypeError when there is none of this name */
export function senderNamed(name: string): Sender {
  const sender = senders.find((one) => one.name === name);
  if (sender === undefined) throw new TypeError(`there is no sender ${name}`);
  return sender;
}

/** The sender with the longest name that `name` equals or starts with: `github-acme` is `github`. */
export function senderFor(known: readonly Sender[], name: string): Sender | undefined {
  return known
    .filter((sender) => name === sender.name || name.startsWith(`${sender.name}-`))
    .sort((a, b) => b.name.length - a.name.length)[0];
}
