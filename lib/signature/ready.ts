/**
 * A row, read: its templates taken apart once at the start, so that a delivery only looks up.
 */

import type { Scheme, Sender } from "../senders/sender.ts";
import { type NamedPart, type Part, parseAlternatives, parseTemplate } from "./part.ts";

export type ReadyScheme = Scheme & {
  readonly signedParts: readonly Part[];
  /** The time's alternatives; empty when none is signed. */
  readonly timeAt: readonly NamedPart[];
  /** `x-name-signature-` when the signatures are in numbered headers. */
  readonly numberedHeader: string | undefined;
  /** The payload's field that holds the signature, when it is not in a header. */
  readonly signatureField: string | undefined;
};

export type ReadySender = Omit<Sender, "schemes" | "event" | "id"> & {
  readonly schemes: readonly ReadyScheme[];
  readonly event: readonly (readonly NamedPart[])[];
  /** Where the events of a batch are (`*`, `value.*`), when the event's parts are looked up in each of them. */
  readonly eachEvent: string | undefined;
  readonly id: readonly (readonly NamedPart[])[];
  /**
   * Is the delivery's id covered by the signature? An unsigned one can be replaced by whoever captured a delivery,
   * so it may never make a different body pass for a repeat.
   */
  readonly isIdSigned: boolean;
};

/** @throws SyntaxError naming a part that does not exist */
export function readySender(sender: Sender): ReadySender {
  const schemes = sender.schemes.map(readyScheme);
  const id = sender.id.map(parseAlternatives);
  const parts = sender.event.map(parseAlternatives);
  const eachEvent = batchOf(parts.flat());
  const event = parts.map((alternatives) => alternatives.map((part) => withinItem(part, eachEvent)));
  return { ...sender, schemes, event, eachEvent, id, isIdSigned: isSigned(id.flat(), schemes) };
}

/**
 * `field:value.*.changeType` is looked up in each of `value.*`.
 * @throws SyntaxError when two parts are in the elements of different arrays: nothing says which belong together
 */
function batchOf(parts: readonly NamedPart[]): string | undefined {
  const places = new Set(
    parts.flatMap(({ kind, name }) => (kind === "field" ? (/^.*\*(?=\.|$)/.exec(name) ?? []) : [])),
  );
  if (places.size > 1)
    throw new SyntaxError(`an event is looked up in one array, not in ${[...places].join(" and ")}`);
  return [...places][0];
}

function withinItem(part: NamedPart, eachEvent: string | undefined): NamedPart {
  const isInItem = eachEvent !== undefined && part.kind === "field" && part.name.startsWith(eachEvent);
  return isInItem ? { ...part, inItem: part.name.slice(eachEvent.length + 1) } : part;
}

function readyScheme(scheme: Scheme): ReadyScheme {
  const { signature, time } = scheme;
  return {
    ...scheme,
    signedParts: parseTemplate(scheme.signed),
    timeAt: time === null ? [] : parseAlternatives(time.at),
    numberedHeader: signature.endsWith("-*") ? signature.slice(0, -1) : undefined,
    signatureField: signature.startsWith("field:") ? signature.slice("field:".length) : undefined,
  };
}

const inBody = new Set<Part["kind"]>(["field", "keyBeside", "digest", "digestWithout"]);

/** Is every one of the parts covered by a signature of one of the schemes? */
function isSigned(parts: readonly Part[], schemes: readonly ReadyScheme[]): boolean {
  const covers = ({ signedParts }: ReadyScheme, part: Part): boolean => {
    const coversBody = signedParts.some(({ kind }) => kind === "body" || kind === "payload");
    return signedParts.some((other) => isSamePart(other, part)) || (inBody.has(part.kind) && coversBody);
  };
  return (
    parts.length > 0 &&
    parts.every((part) => part.kind === "text" || schemes.some((scheme) => covers(scheme, part)))
  );
}

function isSamePart(a: Part, b: Part): boolean {
  return a.kind === b.kind && "name" in a && "name" in b && a.name === b.name;
}
