/**
 * Is this delivery authentic? The one place that compares signatures, and the only maker of a `Delivery`.
 *
 * `readClaim` looks at the head: what does it *assert*? It throws before a byte of the body is read.
 * `hashChunk` takes the bytes as they arrive: one `update()` of 25 MB at the end would stop the event loop
 * for everybody else. `verify` compares, and returns the Delivery or throws: there is no boolean that a caller
 * could forget to look at. How each sender signs is data, in `lib/senders`; how old is too old, `timestamp.ts`.
 *
 * HMAC: RFC 2104. Ed25519: RFC 8032. Why constant time: a comparison that stops at the first wrong byte tells,
 * by how long it took, how many bytes were right; who may try often enough learns a signature byte by byte.
 */
import {
  createHash,
  createHmac,
  type Hmac,
  type KeyObject,
  timingSafeEqual,
  verify as verifyAsymmetric,
} from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { once } from "../once.ts";
import { Refusal } from "../refusal.ts";
import type { Secret, Source } from "../settings/sources.ts";
import { type DigestName, fed, hmacOf, maxOneShotBytes } from "./hmac.ts";
import { headerAt, lookUp, type Material, type Part } from "./part.ts";
import { looksLikeJson, readPayload } from "./payload.ts";
import type { ReadyScheme, ReadySender } from "./ready.ts";
import {
  carriesSignature,
  readBodySignature,
  readHeaderSignatures,
  signedParam,
} from "./signature-header.ts";
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
  /** The signatures as sent, decoded; in a list there may be several. */
  readonly candidates: readonly Buffer[];
  /** One running HMAC for each secret of the source; none where the body is hashed once it is there. */
  readonly hashes: readonly Hmac[];
  readonly chunks: Buffer[];
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
 * @throws Refusal 401: no signature, more than one kind, a malformed one, or a signed header missing
 */
export function readClaim(source: Source, head: Head): Claim {
  const present: { sender: ReadySender; scheme: ReadyScheme }[] = [];
  for (const sender of source.senders) {
    for (const scheme of sender.schemes) {
      const isPresent = scheme.signatureField !== undefined || carriesSignature(scheme, head.headers);
      if (isPresent) present.push({ sender, scheme });
    }
  }
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
  const schemes = present.map((one) => one.scheme);
  const claim = {
    source,
    sender,
    schemes,
    head,
    candidates: [],
    hashes: [],
    chunks: [],
  };
  if (scheme.signatureField !== undefined) return claim;
  return { ...claim, candidates: readHeaderSignatures(scheme, head), hashes: startHashes(claim, scheme) };
}

/** Takes the next bytes of the body. They are kept, so what was hashed is by construction what is delivered. */
export function hashChunk(claim: Claim, chunk: Buffer): void {
  claim.chunks.push(chunk);
  for (const hmac of claim.hashes) hmac.update(chunk);
}

/**
 * Compares the signatures with what each secret gives, in constant time, then looks at the time that was signed.
 * A claim can be verified once.
 * @param now when the request arrived
 * @throws Refusal 401 when no secret fits, or when the time is too far from `now`
 */
export function verify(claim: Claim, now: Date): Delivery {
  const { source, sender, head } = claim;
  const body = joinChunks(claim);
  const material = materialOf(claim, body);
  const signatures = signaturesOf(claim, material);
  const { scheme } = signatures;

  const rest = pieces(claim.hashes.length > 0 ? scheme.rest : scheme.signedParts, material);
  let secret: Secret | undefined;
  // No early exit: every secret is tried, so the time does not tell which one it was.
  for (const [index, one] of source.secrets.entries()) {
    if (fits(signatures, one, claim.hashes[index], rest)) secret ??= one;
  }
  if (secret === undefined) {
    throw new Refusal("signature-mismatch", "the body was signed with another secret, or changed on its way");
  }
  checkBodyHash(scheme, material);
  checkTime(scheme, source.toleranceSeconds, material, now);
  return { source, sender, headers: head.headers, body, secret } as unknown as Delivery;
}

/** The body in one piece. It takes the place of its pieces: many large bodies wait for the disk at the same time. */
function joinChunks({ chunks }: Claim): Buffer {
  const [only] = chunks;
  if (chunks.length === 1 && only !== undefined) return only;
  const body = Buffer.concat(chunks);
  chunks.splice(0, chunks.length, body);
  return body;
}

/** The one switch on the algorithm. Every comparison takes the same time whatever the outcome. */
function fits(
  { scheme, candidates }: Signatures,
  secret: Secret,
  started: Hmac | undefined,
  rest: readonly Buffer[],
): boolean {
  switch (scheme.algorithm) {
    case "hmac-sha256":
    case "hmac-sha1": {
      const digest =
        started === undefined ? hmacOf(digestOf(scheme), secret.key, rest) : fed(started, rest).digest();
      return anyOf(candidates, (candidate) => timingSafeEqual(candidate, digest));
    }
    case "ed25519":
    case "ecdsa-sha256": {
      const digestName = scheme.algorithm === "ed25519" ? null : "sha256";
      const message = Buffer.concat(rest);
      return anyOf(candidates, (candidate) => verifyAsymmetric(digestName, message, secret.key, candidate));
    }
    case "token":
      return anyOf(candidates, (candidate) => isSameToken(candidate, secret.key));
  }
}

/** Both are hashed, because timingSafeEqual wants equal lengths, and because a length is a hint too. */
export function isSameToken(given: Buffer, token: KeyObject): boolean {
  return timingSafeEqual(sha256(given), sha256(token.export()));
}

/** Like `some`, but looks at every one. */
function anyOf(candidates: readonly Buffer[], isRight: (candidate: Buffer) => boolean): boolean {
  return candidates.filter(isRight).length > 0;
}

function sha256(bytes: Buffer): Buffer {
  return createHash("sha256").update(bytes).digest();
}

function digestOf({ algorithm }: ReadyScheme): DigestName {
  return algorithm === "hmac-sha1" ? "sha1" : "sha256";
}

/** A body that is short, or that has to be there before it can be hashed, is hashed when it is there. */
function startHashes(claim: Claim, scheme: ReadyScheme): readonly Hmac[] {
  const isShort = Number(claim.head.headers["content-length"]) <= maxOneShotBytes;
  if (scheme.before === undefined || isShort) return [];
  const beginning =
    scheme.before.length === 0 ? [] : pieces(scheme.before, materialOf(claim, Buffer.alloc(0)));
  return claim.source.secrets.map(({ key }) => fed(createHmac(digestOf(scheme), key), beginning));
}

/**
 * The signed text, piece by piece.
 * @throws Refusal 401 when a part is missing or empty, or holds the very text that ends it: then the same signed
 * bytes could be cut in another place, and another id, time or body be read from them
 */
function pieces(parts: readonly Part[], material: Material): Buffer[] {
  return parts.map((part, index) => {
    const piece = lookUp(part, material);
    if (typeof piece !== "string") return piece ?? missing(part);
    const next = parts[index + 1];
    const isNamed = part.kind === "header" || part.kind === "param" || part.kind === "field";
    if (isNamed && (piece === "" || (next?.kind === "text" && piece.includes(next.name)))) missing(part);
    return Buffer.from(piece, encodingOf(part));
  });
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
    payload: once(() => readPayload(body, sender.form)),
  };
}

/** One scheme, and the signatures that were sent for it. */
type Signatures = { readonly scheme: ReadyScheme; readonly candidates: readonly Buffer[] };

/** The candidates of the head, or those in the body of the first scheme that finds any there. */
function signaturesOf({ schemes, candidates }: Claim, material: Material): Signatures {
  const [scheme] = schemes;
  if (scheme !== undefined && scheme.signatureField === undefined) return { scheme, candidates };
  for (const inBody of schemes) {
    const found = readBodySignature(inBody, material.payload().whole());
    if (found !== undefined) return { scheme: inBody, candidates: [found] };
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
