/**
 * Bodies to test with: the event and the delivery's id where the sender's row says they are, and nothing else of
 * what the sender would write. Headers, time and signature are for `sign.ts`.
 */

import type { Sender } from "../senders/sender.ts";
import { fieldAt, setField } from "./field.ts";
import { type ReadySender, readySender } from "./ready.ts";

/** So that whoever finds it in a log knows where it comes from. */
const text = "a test delivery of webhook-receiver";

/** A small JSON body that the receiver takes for an event of this type, where the body says the type. */
export function sampleBody(sender: Sender, type: string, id: string): Buffer {
  const ready = readySender(sender);
  const places = ready.event.map(([first]) => first);
  const names = namesOf(type, places.length);
  const isArray = places.some((place) => place?.kind === "field" && place.name.startsWith("*."));
  const payload: unknown = isArray ? [{}] : {};
  for (const [index, place] of places.entries()) {
    const name = names[index];
    if (name === undefined) continue;
    if (place?.kind === "field") setField(payload, place.name, name);
    // The first key of all (Telegram): it has to be there before any other.
    if (place?.kind === "keyBeside") setField(payload, name, { text });
  }
  const idField = idFieldOf(ready, payload);
  if (idField !== undefined) setField(payload, idField, id);
  setField(payload, isArray ? "*.text" : "text", text);
  return Buffer.from(JSON.stringify(payload));
}

/** `pull_request.opened` is two names where the row has two parts: `pull_request` and `opened`. */
function namesOf(type: string, partCount: number): string[] {
  const dot = type.lastIndexOf(".");
  return partCount < 2 || dot === -1 ? [type] : [type.slice(0, dot), type.slice(dot + 1)];
}

/**
 * The body with another id for its delivery, where the sender has that in the payload; elsewhere the body as it is.
 * It is written anew, so integers beyond 2^53 lose their last digits.
 * @returns undefined when the id belongs into the payload, and that is no JSON object
 */
export function bodyWithId(sender: Sender, body: Buffer, id: string): Buffer | undefined {
  const ready = readySender(sender);
  if (idFieldOf(ready, undefined) === undefined) return body;
  const payload = parseContainer(body);
  const field = idFieldOf(ready, payload);
  if (payload === undefined || field === undefined) return undefined;
  if (Array.isArray(payload) && !field.startsWith("*")) return undefined;
  setField(payload, field, id);
  return Buffer.from(JSON.stringify(payload));
}

/** Where the digest of the body is the id, a field of our own makes two test deliveries two. */
const testField = "test_delivery";

/** Of several fields, the one that is there. */
function idFieldOf({ id }: ReadySender, payload: unknown): string | undefined {
  const [alternatives = []] = id;
  if (alternatives[0]?.kind.startsWith("digest"))
    return Array.isArray(payload) ? `*.${testField}` : testField;
  const fields = alternatives.flatMap(({ kind, name }) => (kind === "field" ? [name] : []));
  return fields.find((name) => fieldAt(payload, name) !== undefined) ?? fields[0];
}

function parseContainer(body: Buffer): object | undefined {
  try {
    const value: unknown = JSON.parse(body.toString("utf8"));
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
