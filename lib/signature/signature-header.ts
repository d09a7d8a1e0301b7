/**
 * Reads signatures out of headers (or out of the body) as their sender writes them, and decodes them strictly:
 * `Buffer.from(text, "hex")` alone would stop silently at the first character that is not a digit, and a buffer
 * of another length would make `timingSafeEqual` throw.
 */
import type { IncomingHttpHeaders } from "node:http";
import { Refusal } from "../refusal.ts";
import type { Algorithm } from "../senders/sender.ts";
import { fieldAt } from "./field.ts";
import { countHeader, headerAt } from "./header.ts";
import { decodeBase64 } from "./key.ts";
import type { ReadyScheme } from "./ready.ts";

/** Senders send two while they rotate a secret; each one costs a comparison. */
const maxCandidates = 10;
const maxTokenBytes = 4096;

/** How many bytes a signature has, at least and at most. A DER ECDSA signature varies (RFC 3279 §2.2.3). */
const signatureBytes: Readonly<Record<Algorithm, readonly [least: number, most: number]>> = {
  "hmac-sha256": [32, 32],
  "hmac-sha1": [20, 20],
  ed25519: [64, 64],
  "ecdsa-sha256": [8, 72],
  token: [1, maxTokenBytes],
};

/**
 * Does the request carry a signature of this scheme? An Authorization header with another scheme word (Basic, say)
 * belongs to somebody else: a proxy, perhaps.
 */
export function carriesSignature(scheme: ReadyScheme, headers: IncomingHttpHeaders): boolean {
  const { numberedHeader, signature, authScheme } = scheme;
  if (numberedHeader !== undefined) return numberedHeaders(numberedHeader, headers).length > 0;
  const value = headerAt(headers, signature);
  return value !== undefined && (authScheme === undefined || afterScheme(authScheme, value) !== undefined);
}

/** Is the value of the scheme's header a signature of the right form? */
export function isWellFormed(scheme: ReadyScheme, headers: IncomingHttpHeaders): boolean {
  const entries = entriesOf(scheme, headerAt(headers, scheme.signature) ?? "");
  return entries.some((entry) => decodeEntry(scheme, entry) !== undefined);
}

function numberedHeaders(prefix: string, headers: IncomingHttpHeaders): string[] {
  return Object.keys(headers).filter(
    (name) => name.startsWith(prefix) && /^\d+$/.test(name.slice(prefix.length)),
  );
}

/**
 * Every well-formed signature in the headers of a request that carries one.
 * @throws Refusal 401 when a header is there twice, or when none of them is well-formed
 */
export function readHeaderSignatures(
  scheme: ReadyScheme,
  { headers, rawHeaders }: { headers: IncomingHttpHeaders; rawHeaders: readonly string[] },
): Buffer[] {
  const { numberedHeader, signature } = scheme;
  const names = numberedHeader === undefined ? [signature] : numberedHeaders(numberedHeader, headers);
  for (const name of names) {
    const count = countHeader(rawHeaders, name);
    if (count !== 1) throw new Refusal("signature-ambiguous", `${count} ${name} headers`);
  }
  const found: Buffer[] = [];
  for (const name of names) {
    for (const entry of entriesOf(scheme, headerAt(headers, name) ?? "")) {
      const bytes = decodeEntry(scheme, entry);
      if (bytes !== undefined) found.push(bytes);
    }
  }
  const { authScheme, prefix = authScheme === undefined ? "" : `${authScheme} ` } = scheme;
  if (found.length === 0) {
    throw new Refusal(
      "signature-malformed",
      `${names.join(", ")} is not "${prefix}" and ${described(scheme)}`,
    );
  }
  if (found.length > maxCandidates) {
    throw new Refusal(
      "signature-malformed",
      `${found.length} signatures; at most ${maxCandidates} are tried`,
    );
  }
  return found;
}

/** The signature in the body, where the sender puts it there; undefined when it is not there or malformed. */
export function readBodySignature(scheme: ReadyScheme, payload: unknown): Buffer | undefined {
  const value = fieldAt(payload, scheme.signatureField ?? "");
  // Headers come as latin1, a payload's text does not: a token is compared by its bytes.
  return typeof value === "string" ? decodeEntry(scheme, Buffer.from(value).toString("latin1")) : undefined;
}

/** `name=value` in the list of the signature header: exactly one, or it could be read in two ways. */
export function signedParam(
  scheme: ReadyScheme,
  headers: IncomingHttpHeaders,
  name: string,
): string | undefined {
  const found = entriesOf(scheme, headerAt(headers, scheme.signature) ?? "").filter((entry) =>
    entry.startsWith(`${name}=`),
  );
  return found.length === 1 ? found[0]?.slice(name.length + 1) : undefined;
}

function entriesOf({ separator }: ReadyScheme, value: string): string[] {
  return separator === undefined ? [value] : value.split(separator).map((entry) => entry.trim());
}

function decodeEntry(scheme: ReadyScheme, entry: string): Buffer | undefined {
  const { authScheme, prefix = "" } = scheme;
  const text =
    authScheme !== undefined
      ? afterScheme(authScheme, entry)
      : entry.startsWith(prefix)
        ? entry.slice(prefix.length)
        : undefined;
  if (text === undefined) return undefined;
  const bytes = decode(scheme, text);
  const [least, most] = signatureBytes[scheme.algorithm];
  if (bytes === undefined || bytes.length < least || bytes.length > most) return undefined;
  // DER says its own length: a SEQUENCE (0x30) of so many bytes.
  const isWhole = scheme.algorithm !== "ecdsa-sha256" || (bytes[0] === 0x30 && bytes[1] === bytes.length - 2);
  return isWhole ? bytes : undefined;
}

function decode({ encoding }: ReadyScheme, text: string): Buffer | undefined {
  if (encoding === "hex") {
    const bytes = Buffer.from(text, "hex"); // as far as there are pairs of digits
    return bytes.length * 2 === text.length ? bytes : undefined;
  }
  if (encoding === "base64") return decodeBase64(text);
  return Buffer.from(text, "latin1"); // Node gives header values as latin1: these are the bytes that were sent
}

function described({ encoding, algorithm }: ReadyScheme): string {
  const [least, most] = signatureBytes[algorithm];
  if (encoding === "text") return "a token";
  if (encoding === "hex") return `${most * 2} hex digits`;
  return least === most ? `the base64 of ${most} bytes` : "a base64 signature";
}

/** What follows the scheme word, in any case, and its spaces (RFC 9110 §11.1). */
function afterScheme(scheme: string, value: string): string | undefined {
  const isScheme = value.slice(0, scheme.length).toLowerCase() === scheme.toLowerCase();
  const rest = value.slice(scheme.length);
  return isScheme && (rest === "" || rest.startsWith(" ")) ? rest.trimStart() : undefined;
}
