/**
 * Is this delivery authentic? The one place that compares signatures, and the only maker of a `Delivery`.
 *
 * `readClaim` looks at the head: what does it *assert*? It throws before a byte of the body is read.
 * `hashChunk` takes the bytes as they arrive: one `update()` of 25 MB at the end would stop the event loop
 * for everybody else. `verify` compares, and returns the Delivery or throws: there is no boolean that a caller
 * could forget to look at. How each sender signs is data, in `lib/senders`.
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
import { Refusal } from "../refusal.ts";
import { firstOf, headerAt, lookUp, type Material, type Part } from "../senders/part.ts";
import { looksLikeJson, parsePayload } from "../senders/payload.ts";
import type { ReadyScheme, ReadySender } from "../senders/ready.ts";
import type { Secret, Source } from "../sources.ts";
import { readBodySignature, readHeaderSignatures, signatureHeaders, signedParam } from "./candidates.ts";

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
  /** One running HMAC for each secret that may have been used; none where the body cannot be hashed as it comes. */
  readonly hashes: ReadonlyMap<Secret, Hmac>;
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
  const present = source.senders.flatMap((sender) =>
    sender.schemes
      .filter(
        (scheme) => scheme.signatureField !== undefined || signatureHeaders(scheme, head.headers).length > 0,
      )
      .map((scheme) => ({ sender, scheme })),
  );
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
    hashes: new Map<Secret, Hmac>(),
    chunks: [],
  };
  if (scheme.signatureField !== undefined) return claim;
  return { ...claim, candidates: readHeaderSignatures(scheme, head), hashes: startHashes(claim, scheme) };
}

/** Takes the next bytes of the body. They are kept, so what was hashed is by construction what is delivered. */
export function hashChunk(claim: Claim, chunk: Buffer): void {
  claim.chunks.push(chunk);
  for (const hmac of claim.hashes.values()) hmac.update(chunk);
}

/**
 * Compares the signatures with what each secret gives, in constant time, then looks at the time that was signed.
 * A claim can be verified once.
 * @param now when the request arrived
 * @throws Refusal 401 when no secret fits, or when the time is too far from `now`
 */
export function verify(claim: Claim, now: Date): Delivery {
  const { source, sender, head } = claim;
  const [only] = claim.chunks;
  const body = claim.chunks.length === 1 && only !== undefined ? only : Buffer.concat(claim.chunks);
  const material = materialOf(claim, body);
  const { scheme, candidates } = signaturesOf(claim, material);

  const rest = pieces(scheme.rest, material);
  let secret: Secret | undefined;
  // No early exit: every secret is tried, so the time does not tell which one it was.
  for (const one of source.secrets) if (fits(one, scheme, candidates, claim, rest)) secret ??= one;
  if (secret === undefined) {
    throw new Refusal("signature-mismatch", "the body was signed with another secret, or changed on its way");
  }
  checkBodyHash(scheme, material);
  checkTime(scheme, source.toleranceSeconds, material, now);
  return { source, sender, headers: head.headers, body, secret } as unknown as Delivery;
}

/** The one switch on the algorithm. Every comparison takes the same time whatever the outcome. */
function fits(
  secret: Secret,
  scheme: ReadyScheme,
  candidates: readonly Buffer[],
  claim: Claim,
  rest: readonly Buffer[],
): boolean {
  switch (scheme.algorithm) {
    case "hmac-sha256":
    case "hmac-sha1": {
      const hmac = claim.hashes.get(secret) ?? createHmac(scheme.algorithm.slice(5), secret.key);
      for (const piece of rest) hmac.update(piece);
      const digest = hmac.digest();
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

function startHashes(claim: Claim, scheme: ReadyScheme): ReadonlyMap<Secret, Hmac> {
  if (scheme.before === undefined) return claim.hashes;
  const beginning =
    scheme.before.length === 0 ? [] : pieces(scheme.before, materialOf(claim, Buffer.alloc(0)));
  return new Map(
    claim.source.secrets.map((secret) => {
      const hmac = createHmac(scheme.algorithm.slice(5), secret.key);
      for (const piece of beginning) hmac.update(piece);
      return [secret, hmac];
    }),
  );
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
  let parsed: { value: unknown } | undefined;
  return {
    method: head.method,
    url: `${source.publicUrl}${head.target}`,
    headers: head.headers,
    param: (name) => (scheme === undefined ? undefined : signedParam(scheme, head.headers, name)),
    body,
    payload: () => {
      parsed ??= { value: parsePayload(body, sender.form) };
      return parsed.value;
    },
  };
}

/** The candidates of the head, or those in the body of the first scheme that finds any there. */
function signaturesOf(
  { schemes, candidates }: Claim,
  material: Material,
): { scheme: ReadyScheme; candidates: readonly Buffer[] } {
  const [scheme] = schemes;
  if (scheme !== undefined && scheme.signatureField === undefined) return { scheme, candidates };
  for (const inBody of schemes) {
    const found = readBodySignature(inBody, material.payload());
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

function checkTime(scheme: ReadyScheme, override: number | undefined, material: Material, now: Date): void {
  const { time, timeAt } = scheme;
  if (time === null) return;
  const text = firstOf(timeAt, material) ?? "";
  // Digits only: parsers that are kind to "1614265330abc" check another time than was signed.
  const digits = time.unit === "seconds" ? 10 : 13; // until the year 2286
  const isShort = text.length < digits && isFollowedByDigit(scheme, material);
  if (text.length > digits || isShort || !/^\d+$/.test(text)) {
    throw new Refusal("timestamp-malformed", `${time.at} is not a Unix time in ${time.unit}`);
  }
  const toleranceSeconds = override ?? time.toleranceSeconds;
  if (toleranceSeconds === null) return;
  const ageSeconds = now.getTime() / 1000 - Number(text) / (time.unit === "seconds" ? 1 : 1000);
  const rounded = `${Math.abs(Math.round(ageSeconds))} seconds`;
  if (ageSeconds > toleranceSeconds) {
    throw new Refusal("timestamp-too-old", `signed ${rounded} ago; ${toleranceSeconds} are allowed`);
  }
  if (-ageSeconds > toleranceSeconds) {
    throw new Refusal(
      "timestamp-in-future",
      `signed ${rounded} ahead of this clock; ${toleranceSeconds} are allowed`,
    );
  }
}

/** Where nothing stands between the time and what is signed behind it, a digit could be moved from one to the other. */
function isFollowedByDigit({ signedParts, timeAt }: ReadyScheme, material: Material): boolean {
  const isTime = (part: Part) =>
    timeAt.some((time) => time.kind === part.kind && "name" in part && time.name === part.name);
  const next = signedParts[signedParts.findIndex(isTime) + 1];
  const piece = next === undefined ? undefined : lookUp(next, material);
  return (
    piece !== undefined && /^\d/.test(typeof piece === "string" ? piece : piece.toString("latin1", 0, 1))
  );
}
