/**
 * Delivery → WebhookEvent: what happened, to what, under which id.
 *
 * Only a `Delivery` comes in, so nothing here is parsed before it is authentic. The type and the id may still
 * come from headers that no signature covers: names to route by, not facts to trust.
 */
import { randomUUID } from "node:crypto";
import { Refusal } from "../refusal.ts";
import { fieldAt, fieldsAt } from "./field.ts";
import { digestOf, firstOf, type Material, type Part } from "./part.ts";
import { parsePayload } from "./payload.ts";
import { checkShape } from "./shape.ts";
import type { Delivery } from "./verify.ts";

export type WebhookEvent = {
  /** The source's name: `default`, `github-acme`. */
  readonly source: string;
  /** The sender's name: `github`. */
  readonly sender: string;
  /** `push`, `pull_request.opened`, `unknown`; of a batch all of `types`, with commas between them. */
  readonly type: string;
  /** What has happened: one name, or the distinct names of a batch, in the order of their first event. */
  readonly types: readonly string[];
  /** The same for every repeat of one delivery; random when the sender names none. */
  readonly id: string;
  /** The parsed JSON: whatever the sender put there. */
  readonly payload: unknown;
  /** The raw body, byte for byte as it arrived. */
  readonly body: Buffer;
  readonly headers: Delivery["headers"];
};

/** Longer names than this are no names; databases and logs are built for shorter ones. */
export const maxNameLength = 255;
/** Senders of batches have a dozen types or two. */
export const maxTypes = 50;

/**
 * Reads an authentic delivery.
 * @throws Refusal 400 when the body is not JSON, 422 when it does not have its sender's shape
 */
export function readEvent(delivery: Delivery): WebhookEvent {
  const { sender, source, headers, body } = delivery;
  const payload = parsePayload(body, sender.form);
  if (sender.shape !== undefined) checkShape(sender.shape, payload);
  const types = readTypes(delivery, payload);
  return {
    source: source.name,
    sender: sender.name,
    type: types.join(","),
    types,
    id: readId(delivery, payload) ?? randomUUID(),
    payload,
    body,
    headers,
  };
}

/** The names in a text that `type` was. */
export function splitTypes(type: string): readonly string[] {
  return type.split(",");
}

/** One delivery may bring many events, and some senders mix their types: SendGrid, HubSpot, Meta. */
function readTypes(delivery: Delivery, payload: unknown): readonly string[] {
  const { event, eachEvent, eventNames = {} } = delivery.sender;
  const items = eachEvent === undefined ? [] : fieldsAt(payload, eachEvent);
  const types = new Set<string>();
  for (const item of items.length === 0 ? [undefined] : items) {
    const name = checkedName(joinParts(event, { ...materialOf(delivery, payload), item }))?.replaceAll(
      ",",
      "\\u002c",
    );
    if (name === undefined) continue;
    types.add(Object.hasOwn(eventNames, name) ? (eventNames[name] ?? name) : name);
    if (types.size > maxTypes) throw tooLong(`more than ${maxTypes} types of events in one delivery`);
  }
  return types.size === 0 ? ["unknown"] : [...types];
}

/**
 * The id that the sender has given its delivery.
 * @returns undefined when it names none
 * @throws Refusal 422 when it is too long
 */
export function readId(delivery: Delivery, payload: unknown): string | undefined {
  const { id } = delivery.sender;
  const material = materialOf(delivery, payload);
  const parts = id.map((alternatives) => firstOf(alternatives, material));
  if (parts.length > 0 && parts.every((part) => part !== undefined)) return checkedName(parts.join("."));
  return hasInexactNumber(id.flat(), payload) ? digestOf(delivery.body) : undefined;
}

/** A number beyond 2^53 has lost its last digits: two ids could be one. Then the bytes tell the deliveries apart. */
function hasInexactNumber(parts: readonly Part[], payload: unknown): boolean {
  return parts.some((part) => {
    const value = part.kind === "field" ? fieldAt(payload, part.name) : undefined;
    return typeof value === "number" && !Number.isSafeInteger(value);
  });
}

function materialOf({ headers, body }: Delivery, payload: unknown): Material {
  return { method: "POST", url: "", headers, body, param: () => undefined, payload: () => payload };
}

/** The parts that are there, joined by dots; undefined when the first of them is not: an action alone is no event. */
function joinParts(parts: readonly (readonly Part[])[], material: Material): string | undefined {
  let joined: string | undefined;
  for (const [index, alternatives] of parts.entries()) {
    const found = firstOf(alternatives, material);
    if (found !== undefined) joined = joined === undefined ? found : `${joined}.${found}`;
    else if (index === 0) return undefined;
  }
  return joined;
}

/**
 * A NUL is written out: to many versions of node:sqlite a text ends there. So is half a surrogate pair, which has no
 * UTF-8. Two ids would be one.
 */
function checkedName(name: string | undefined): string | undefined {
  if (name === undefined || name.length <= maxNameLength)
    return name?.replace(
      /[\0\p{Surrogate}]/gu,
      (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
    );
  throw tooLong(`an event type or delivery id of ${name.length} characters`);
}

function tooLong(why: string): Refusal {
  const detail = `Event type and delivery id should have at most ${maxNameLength} characters, and a batch at most ${maxTypes} types`;
  return new Refusal("shape-invalid", why, { faults: [{ pointer: "#/", detail }] });
}
