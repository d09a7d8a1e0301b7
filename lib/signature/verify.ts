/**
 * Is this delivery authentic? The one place that compares signatures, and the only maker of a `Delivery`.
 *
 * `verify` takes what the head claims and the body, compares, and returns the Delivery or throws: there is no boolean that
 * a caller could forget to look at. How each sender signs is data, in `lib/senders`; how old is too old, `timestamp.ts`.
 *
 * HMAC: RFC 2104. Ed25519: RFC 8032. Why constant time: a comparison that stops at the first wrong byte tells,
 * by how long it took, how many bytes were right; who may try often enough learns a signature byte by byte.
 */
import { createHmac, type KeyObject, timingSafeEqual, verify as verifyAsymmetric } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { Refusal } from "../refusal.ts";
import type { Claim } from "./claim.ts";
import type { Material } from "./part.ts";
import type { ReadyScheme, ReadySender } from "./ready.ts";
import { readBodySignature } from "./signature-header.ts";
import { checkBodyHash, checkReadable, materialOf, sha256, signedPieces } from "./signed-text.ts";
import type { Secret, Source } from "./source.ts";
import { checkTime } from "./timestamp.ts";

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
