/**
 * What does a request's head *assert*? Untrusted, until `verify` says otherwise.
 *
 * `readClaim` throws before a byte of the body is read: no signature, two kinds of one, or a malformed one. How each
 * sender signs is data, in `lib/senders`.
 */
import type { IncomingHttpHeaders } from "node:http";
import { Refusal } from "../refusal.ts";
import { countHeader, headerAt } from "./header.ts";
import type { ReadyScheme, ReadySender } from "./ready.ts";
import { carriesSignature, isWellFormed, readHeaderSignatures } from "./signature-header.ts";
import type { Source } from "./source.ts";

/** The request's head, as far as it matters here. `rawHeaders` shows what `headers` hides: doubled names. */
export type Head = {
  readonly method: string;
  /** The request target: path and query. */
  readonly target: string;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
};

/** What the head asserts. Untrusted, until `verify` says otherwise. */
export type Claim = {
  readonly source: Source;
  readonly sender: ReadySender;
  /** One, except where the signature is in the body: then all of the sender's, until the body is there. */
  readonly schemes: readonly ReadyScheme[];
  readonly head: Head;
  /** The signatures in the header, decoded; none where the signature is in the body. */
  readonly signatures: readonly Buffer[];
};

/**
 * Reads what a request claims about itself.
 * @throws Refusal 401: no signature, more than one kind, a malformed one, or a signed header missing; 400 where the
 * header of the event or of the id is there twice
 */
export function readClaim(source: Source, head: Head): Claim {
  const present = presentSchemes(source, head);
  const [first, second] = present;
  if (first === undefined) {
    const names = source.senders.flatMap(({ schemes }) => schemes.map(({ signature }) => signature));
    throw new Refusal("signature-missing", `expected one of these headers: ${names.join(", ")}`);
  }
  const { sender, scheme } = first;
  if (second !== undefined && scheme.signatureField === undefined) {
    const names = present.map((one) => one.scheme.signature).join(", ");
    throw new Refusal("signature-ambiguous", `several kinds of signature: ${names}`);
  }
  const beside = scheme.refusedBeside?.find((name) => headerAt(head.headers, name) !== undefined);
  if (beside !== undefined) {
    throw new Refusal("signature-ambiguous", `${beside} is there too, and this source would pass it over`);
  }
  checkNames(sender, head);
  const isInBody = scheme.signatureField !== undefined;
  return {
    source,
    sender,
    schemes: present.map((one) => one.scheme),
    head,
    signatures: isInBody ? [] : readHeaderSignatures(scheme, head),
  };
}

type Present = { readonly sender: ReadySender; readonly scheme: ReadyScheme };

/** The schemes whose signature the head carries, or whose signature can only be in the body. */
function presentSchemes({ senders }: Source, { headers }: Head): Present[] {
  const present = senders
    .flatMap((sender) => sender.schemes.map((scheme) => ({ sender, scheme })))
    .filter(({ scheme }) => scheme.signatureField !== undefined || carriesSignature(scheme, headers));
  if (present.length < 2) return present;
  // A gateway in front may add an Authorization of its own. Beside another signature it counts only if it is one.
  return present.filter(({ scheme }) => scheme.authScheme === undefined || isWellFormed(scheme, headers));
}

/** Node joins a doubled header to one value: `push, push` is no event, and no id that a retry would have. */
function checkNames({ event, id }: ReadySender, { rawHeaders }: Head): void {
  for (const { kind, name } of [...event, ...id].flat()) {
    if (kind === "header" && countHeader(rawHeaders, name) > 1)
      throw new Refusal("header-doubled", `${name} is there twice`);
  }
}
