/**
 * Is this delivery authentic? The one place that compares signatures, and the only maker of a `Delivery`.
 *
 * `readClaim` looks at the head: what does it *assert*? It throws before a byte of the body is read.
 * `verify` takes the claim and the body, compares, and returns the Delivery or throws: there is no boolean that a
 * caller could forget to look at. How each sender signs is data, in `lib/senders`; how old is too old, `timestamp.ts`.
 *
 * HMAC: RFC 2104. Ed25519: RFC 8032. Why constant time: a comparison that stops at the first wrong byte tells,
 * by how long it took, how many bytes were right; who may try often enough learns a signature byte by byte.
 */
import {
  createHash,
  createHmac,
  type KeyObject,
  timingSafeEqual,
  verify as verifyAsymmetric,
} from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { setImmediate } from "node:timers/promises";
import { once } from "../once.ts";
import { Refusal } from "../refusal.ts";
import type { Algorithm } from "../senders/sender.ts";
import { countHeader, headerAt } from "./header.ts";
import { lookUp, type Material, type Part } from "./part.ts";
import { looksLikeJson, parsePayload } from "./payload.ts";
import type { ReadyScheme, ReadySender } from "./ready.ts";
import {
  carriesSignature,
  isWellFormed,
  readBodySignature,
  readHeaderSignatures,
  signedParam,
} from "./signature-header.ts";
import type { Secret, Source } from "./source.ts";
import { checkTime } from "./timestamp.ts";

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

declare const authentic: unique symbol;

/** Bytes that their sender has signed. The brand is not exported, so nobody but `verify` can make one. */
export type Delivery = {
  readonly source: Source;
  readonly sender: ReadySender;
  readonly headers: IncomingHttpHeaders;
  /** The body, byte for byte as it arrived. */
  readonly body: Buffer;
  /** The one of the source's secrets that it was signed with. */
  readonly secret: Secret;
  readonly [authentic]: true;
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

/**
 * Compares the signatures with what each secret gives, in constant time, then looks at the time that was signed.
 * @param receivedAt when the request arrived
 * @param hmacs those of a large body, from `hmacsInSlices`; otherwise they are made here
 * @throws Refusal 401 when no secret fits, or when the signed time is too far from `receivedAt`
 */
export function verify(claim: Claim, body: Buffer, receivedAt: Date, hmacs?: readonly Buffer[]): Delivery {
  const { source, sender, head } = claim;
  const material = materialOf(claim, body);
  const { scheme, signatures } = signaturesOf(claim, material);
  const signedText = signedPieces(scheme, material);

  let secret: Secret | undefined;
  // No early exit: every secret is tried, so the time does not tell which one it was.
  for (const [index, one] of source.secrets.entries()) {
    if (isSignedWith(one.key, scheme, signatures, signedText, hmacs?.[index])) secret ??= one;
  }
  if (secret === undefined) {
    throw new Refusal("signature-mismatch", "the body was signed with another secret, or changed on its way");
  }
  checkBodyHash(scheme, material);
  checkTime(scheme, source.toleranceSeconds, material, receivedAt);
  return { source, sender, headers: head.headers, body, secret } as unknown as Delivery;
}

/** One step of a large HMAC: some 2 ms, after which other clients have their turn. */
const sliceBytes = 1024 * 1024;

/**
 * The HMACs of a large body, one for each secret of the source. `update()` of 25 MB in one call would hold up all
 * other clients before it is known whether the body is authentic.
 * @returns undefined where this claim's signature is no HMAC, or is in the body: such bodies are small
 */
export async function hmacsInSlices(claim: Claim, body: Buffer): Promise<Buffer[] | undefined> {
  const [scheme] = claim.schemes;
  if (scheme === undefined || scheme.signatureField !== undefined) return undefined;
  const digestName = digestNames[scheme.algorithm];
  if (digestName === undefined) return undefined;
  const hmacs = claim.source.secrets.map(({ key }) => createHmac(digestName, key));
  for (const piece of signedPieces(scheme, materialOf(claim, body))) {
    for (let at = 0; at < piece.length; at += sliceBytes) {
      const slice = piece.subarray(at, at + sliceBytes);
      for (const hmac of hmacs) {
        hmac.update(slice);
        await setImmediate();
      }
    }
  }
  return hmacs.map((hmac) => hmac.digest());
}

const digestNames: Readonly<Partial<Record<Algorithm, "sha256" | "sha1">>> = {
  "hmac-sha256": "sha256",
  "hmac-sha1": "sha1",
};

/** The one switch on the algorithm. Every comparison takes the same time whatever the outcome. */
function isSignedWith(
  key: KeyObject,
  { algorithm }: ReadyScheme,
  signatures: readonly Buffer[],
  signedText: readonly Buffer[],
  hmac?: Buffer,
): boolean {
  switch (algorithm) {
    case "hmac-sha256":
    case "hmac-sha1": {
      const expected = hmac ?? hmacOf(algorithm, key, signedText);
      return anyOf(signatures, (signature) => timingSafeEqual(signature, expected));
    }
    case "ed25519":
    case "ecdsa-sha256": {
      const digestName = algorithm === "ed25519" ? null : "sha256";
      const message = Buffer.concat(signedText);
      return anyOf(signatures, (signature) => verifyAsymmetric(digestName, message, key, signature));
    }
    case "token":
      return anyOf(signatures, (signature) => isSameToken(signature, key));
  }
}

/** Both are hashed, because timingSafeEqual wants equal lengths, and because a length is a hint too. */
export function isSameToken(given: Buffer, token: KeyObject): boolean {
  return timingSafeEqual(sha256(given), sha256(token.export()));
}

/** Like `some`, but looks at every one. */
function anyOf(signatures: readonly Buffer[], isRight: (signature: Buffer) => boolean): boolean {
  return signatures.filter(isRight).length > 0;
}

function hmacOf(
  algorithm: "hmac-sha256" | "hmac-sha1",
  key: KeyObject,
  signedText: readonly Buffer[],
): Buffer {
  const hmac = createHmac(algorithm.slice("hmac-".length), key);
  for (const piece of signedText) hmac.update(piece);
  return hmac.digest();
}

function sha256(bytes: Buffer): Buffer {
  return createHash("sha256").update(bytes).digest();
}

/**
 * The signed text, piece by piece.
 * @throws Refusal 401 when a part is missing or empty, or holds the very text that ends it: then the same signed
 * bytes could be cut in another place, and another id, time or body be read from them
 */
function signedPieces({ signedParts }: ReadyScheme, material: Material): Buffer[] {
  return signedParts.map((part, index) => {
    checkReadable(part, material.body);
    const piece = lookUp(part, material);
    if (typeof piece !== "string") return piece ?? missing(part);
    const next = signedParts[index + 1];
    const isNamed = part.kind === "header" || part.kind === "param" || part.kind === "field";
    if (isNamed && (piece === "" || (next?.kind === "text" && piece.includes(next.name)))) missing(part);
    return Buffer.from(piece, encodingOf(part));
  });
}

/** Decoding 25 MB of a form, or parsing as much JSON, would stop the receiver for a second, whoever has sent it. */
export const maxReadBeforeAuthenticBytes = 1024 * 1024;

/** Parts that have to be read out of the body before it is known to be authentic. */
const readParts = new Set<Part["kind"]>(["field", "keyBeside", "digestWithout", "form-sorted", "payload"]);

/** @throws Refusal 413 for a body that is too large to be read before it is authentic; raw JSON is not read */
function checkReadable({ kind }: Part, body: Buffer): void {
  const isRead = readParts.has(kind) && !(kind === "payload" && looksLikeJson(body));
  if (isRead && body.length > maxReadBeforeAuthenticBytes)
    throw new Refusal(
      "body-too-large",
      `${body.length} bytes would have to be read before they are authentic`,
    );
}

function missing(part: Part): never {
  const what = "name" in part ? `${part.kind}:${part.name}` : part.kind;
  throw new Refusal("signed-part-missing", `${what} is signed; it is missing, or holds what should end it`);
}

/** Node gives header values as latin1; what was signed are their bytes. */
function encodingOf({ kind }: Part): "latin1" | "utf8" {
  return kind === "header" || kind === "param" ? "latin1" : "utf8";
}

function materialOf({ source, sender, schemes, head }: Claim, body: Buffer): Material {
  const [scheme] = schemes;
  return {
    method: head.method,
    url: `${source.publicUrl}${head.target}`,
    headers: head.headers,
    param: (name) => (scheme === undefined ? undefined : signedParam(scheme, head.headers, name)),
    body,
    payload: once(() => parsePayload(body, sender.form)),
  };
}

/** One scheme, and the signatures that were sent for it. */
type Signatures = { readonly scheme: ReadyScheme; readonly signatures: readonly Buffer[] };

/** The signatures of the header, or those in the body of the first scheme that finds any there. */
function signaturesOf({ schemes, signatures }: Claim, material: Material): Signatures {
  const [scheme] = schemes;
  if (scheme !== undefined && scheme.signatureField === undefined) return { scheme, signatures };
  checkReadable({ kind: "field", name: "" }, material.body);
  for (const inBody of schemes) {
    const found = readBodySignature(inBody, material.payload());
    if (found !== undefined) return { scheme: inBody, signatures: [found] };
  }
  throw new Refusal(
    "signature-missing",
    `expected ${schemes.map(({ signature }) => signature).join(" or ")}`,
  );
}

/** https://www.twilio.com/docs/usage/security: JSON is signed through its hash in the URL; one that is there counts. */
function checkBodyHash({ bodyHashParameter: parameter }: ReadyScheme, { url, body }: Material): void {
  if (parameter === undefined) return;
  const claimed = new URLSearchParams(url.split("?")[1]).get(parameter);
  if (claimed === null && !looksLikeJson(body)) return;
  const isHash = claimed !== null && /^[0-9a-f]{64}$/i.test(claimed);
  if (isHash && timingSafeEqual(Buffer.from(claimed, "hex"), sha256(body))) return;
  throw new Refusal("signature-mismatch", `the URL's ${parameter} is not the hash of this body`);
}
