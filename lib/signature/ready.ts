/**
 * A row, read: its templates taken apart once at the start, so that a delivery only looks up.
 */

import type { Scheme, Sender } from "../senders/sender.ts";
import { isKnownFromHead, type NamedPart, type Part, parseAlternatives, parseTemplate } from "./part.ts";

export type ReadyScheme = Scheme & {
  /** The signed text before `{body}`, when all of it is known from the head: then the body is hashed as it arrives. */
  readonly before: readonly Part[] | undefined;
  /** The whole signed text. */
  readonly signedParts: readonly Part[];
  /** What follows `{body}` in that case, and otherwise the whole signed text. */
  readonly rest: readonly Part[];
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
  const signed = parseTemplate(scheme.signed);
  const bodyAt = signed.findIndex(({ kind }) => kind === "body");
  const before = signed.slice(0, Math.max(bodyAt, 0));
  const isStreamed = scheme.algorithm.startsWith("hmac") && bodyAt !== -1 && before.every(isKnownFromHead);
  const { signature, time } = scheme;
  return {
    ...scheme,
    signedParts: signed,
    before: isStreamed ? before : undefined,
    rest: isStreamed ? signed.slice(bodyAt + 1) : signed,
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
