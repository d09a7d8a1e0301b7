/**
 * Is this delivery authentic? The one place that compares signatures, and the only maker of a `Delivery`.
 *
 * `readClaim` looks at the headers: what do they *assert*? It throws before a byte of the body is read.
 * `hashChunk` takes the bytes as they arrive: one `update()` of 25 MB at the end would stop the event loop
 * for everybody else. `verify` compares, and returns the Delivery or throws: there is no boolean that a caller
 * could forget to look at.
 *
 * HMAC: RFC 2104. Why constant time: a comparison that stops at the first wrong byte tells, by how long it
 * took, how many bytes were right; a caller who may try often enough learns a signature byte by byte.
 */
import { createHmac, type Hmac, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { Refusal } from "../refusal.ts";
import type { Sender, SignatureHeader } from "../senders/sender.ts";
import type { Secret, Source } from "../sources.ts";

/** The request's head, as far as it matters here. `rawHeaders` shows what `headers` hides: doubled names. */
export type Head = { readonly headers: IncomingHttpHeaders; readonly rawHeaders: readonly string[] };

/** What the headers assert. Untrusted, until `verify` says otherwise. */
export type Claim = {
  readonly source: Source;
  readonly sender: Sender;
  readonly headers: IncomingHttpHeaders;
  /** The signature as sent: 32 bytes. */
  readonly signature: Buffer;
  /** One running HMAC for each secret that may have been used. */
  readonly hashes: readonly { readonly secret: Secret; readonly hmac: Hmac }[];
  readonly chunks: Buffer[];
};

declare const authentic: unique symbol;

/** Bytes that their sender has signed. The brand is not exported, so nobody but `verify` can make one. */
export type Delivery = {
  readonly source: Source;
  readonly sender: Sender;
  readonly headers: IncomingHttpHeaders;
  /** The body, byte for byte as it was signed. */
  readonly body: Buffer;
  /** Which of the source's secrets it was signed with. */
  readonly secretAge: Secret["age"];
  readonly [authentic]: true;
};

/**
 * Reads what a request claims about itself.
 * @throws Refusal 401: no signature, more than one, or one that is not `<prefix><64 hex digits>`
 */
export function readClaim(source: Source, head: Head): Claim {
  const present = source.senders.filter((sender) => isPresent(sender.signature, head.headers));
  const [sender, second] = present;
  if (sender === undefined) {
    const names = source.senders.map((sender) => sender.signature.header).join(", ");
    throw new Refusal("signature-missing", `expected one of these headers: ${names}`);
  }
  if (second !== undefined) {
    const names = present.map((sender) => sender.signature.header).join(", ");
    throw new Refusal("signature-ambiguous", `several signature headers: ${names}`);
  }
  return {
    source,
    sender,
    headers: head.headers,
    signature: readSignature(sender.signature, head),
    hashes: source.secrets.map((secret) => ({ secret, hmac: createHmac("sha256", secret.key) })),
    chunks: [],
  };
}

/** Takes the next bytes of the body. They are kept, so what was hashed is by construction what is delivered. */
export function hashChunk(claim: Claim, chunk: Buffer): void {
  claim.chunks.push(chunk);
  for (const { hmac } of claim.hashes) hmac.update(chunk);
}

/**
 * Compares the signature with the one that each secret gives, in constant time. A claim can be verified once.
 * @throws Refusal 401 when none of them is equal
 */
export function verify(claim: Claim): Delivery {
  let matched: Secret | undefined;
  // No early exit: every secret is tried, so the time does not tell which one it was.
  for (const { secret, hmac } of claim.hashes) {
    // Both sides are 32 bytes: hex was decoded strictly. timingSafeEqual throws on different lengths.
    if (timingSafeEqual(hmac.digest(), claim.signature)) matched ??= secret;
  }
  if (matched === undefined) {
    throw new Refusal("signature-mismatch", "the body was signed with another secret, or changed on its way");
  }
  const [first] = claim.chunks;
  const body = claim.chunks.length === 1 && first !== undefined ? first : Buffer.concat(claim.chunks);
  const { source, sender, headers } = claim;
  return { source, sender, headers, body, secretAge: matched.age } as unknown as Delivery;
}

/** An Authorization header with another scheme (Basic, say) belongs to somebody else: a proxy, perhaps. */
function isPresent(signature: SignatureHeader, headers: IncomingHttpHeaders): boolean {
  const value = headers[signature.header];
  if (value === undefined) return false;
  return (
    !("scheme" in signature) ||
    (typeof value === "string" && afterScheme(signature.scheme, value) !== undefined)
  );
}

/** What follows the scheme word, in any case, and its spaces (RFC 9110 §11.1). */
function afterScheme(scheme: string, value: string): string | undefined {
  const isScheme = value.slice(0, scheme.length).toLowerCase() === scheme.toLowerCase();
  const rest = value.slice(scheme.length);
  return isScheme && (rest === "" || rest.startsWith(" ")) ? rest.trimStart() : undefined;
}

/**
 * Strict: `Buffer.from(text, "hex")` alone would stop silently at the first character that is not a digit,
 * and a shorter buffer would make `timingSafeEqual` throw.
 */
function readSignature(signature: SignatureHeader, { headers, rawHeaders }: Head): Buffer {
  const name = signature.header;
  // Node joins a doubled header with ", ", and of two Authorization headers it hides the second.
  const count = rawHeaders.filter((text, index) => index % 2 === 0 && text.toLowerCase() === name).length;
  if (count !== 1) throw new Refusal("signature-ambiguous", `${count} ${name} headers`);

  const value = String(headers[name]);
  const prefix = "prefix" in signature ? signature.prefix : `${signature.scheme} `;
  const hex = "prefix" in signature ? afterPrefix(prefix, value) : afterScheme(signature.scheme, value);
  if (hex === undefined || !/^[0-9a-f]{64}$/i.test(hex)) {
    throw new Refusal("signature-malformed", `${name} is not "${prefix}" and 64 hex digits`);
  }
  return Buffer.from(hex, "hex");
}

function afterPrefix(prefix: string, value: string): string | undefined {
  return value.startsWith(prefix) ? value.slice(prefix.length) : undefined;
}
