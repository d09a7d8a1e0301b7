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
  const event = sender.event.map(parseAlternatives);
  return { ...sender, schemes, event, id, isIdSigned: isSigned(id.flat(), schemes) };
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

/** Is every one of the parts covered by a signature of one of the schemes? */
function isSigned(parts: readonly Part[], schemes: readonly ReadyScheme[]): boolean {
  const covers = ({ signedParts }: ReadyScheme, part: Part): boolean => {
    const coversBody = signedParts.some(({ kind }) => kind === "body" || kind === "payload");
    return signedParts.some((other) => isSamePart(other, part)) || (part.kind === "field" && coversBody);
  };
  return (
    parts.length > 0 &&
    parts.every((part) => part.kind === "text" || schemes.some((scheme) => covers(scheme, part)))
  );
}

function isSamePart(a: Part, b: Part): boolean {
  return a.kind === b.kind && "name" in a && "name" in b && a.name === b.name;
}
