/**
 * The very bytes that are signed, out of the head and the body.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { once } from "../once.ts";
import { Refusal } from "../refusal.ts";
import type { Claim } from "./claim.ts";
import { lookUp, type Material, type Part } from "./part.ts";
import { looksLikeJson, parsePayload } from "./payload.ts";
import type { ReadyScheme } from "./ready.ts";
import { signedParam } from "./signature-header.ts";

/** What the parts of the signed text are looked up in. */
export function materialOf({ source, sender, schemes, head }: Claim, body: Buffer): Material {
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

/**
 * The signed text, piece by piece.
 * @throws Refusal 401 when a part is missing or empty, or holds the very text that ends it: then the same signed
 * bytes could be cut in another place, and another id, time or body be read from them
 */
export function signedPieces({ signedParts }: ReadyScheme, material: Material): Buffer[] {
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

function missing(part: Part): never {
  const what = "name" in part ? `${part.kind}:${part.name}` : part.kind;
  throw new Refusal("signed-part-missing", `${what} is signed; it is missing, or holds what should end it`);
}

/** Node gives header values as latin1; what was signed are their bytes. */
function encodingOf({ kind }: Part): "latin1" | "utf8" {
  return kind === "header" || kind === "param" ? "latin1" : "utf8";
}

/** Decoding 25 MB of a form, or parsing as much JSON, would stop the receiver for a second, whoever has sent it. */
export const maxReadBeforeAuthenticBytes = 1024 * 1024;

/** Parts that have to be read out of the body before it is known to be authentic. */
const readParts = new Set<Part["kind"]>(["field", "keyBeside", "digestWithout", "form-sorted", "payload"]);

/** @throws Refusal 413 for a body that is too large to be read before it is authentic; raw JSON is not read */
export function checkReadable({ kind }: Part, body: Buffer): void {
  const isRead = readParts.has(kind) && !(kind === "payload" && looksLikeJson(body));
  if (isRead && body.length > maxReadBeforeAuthenticBytes)
    throw new Refusal(
      "body-too-large",
      `${body.length} bytes would have to be read before they are authentic`,
    );
}

/** https://www.twilio.com/docs/usage/security: JSON is signed through its hash in the URL; one that is there counts. */
export function checkBodyHash({ bodyHashParameter: parameter }: ReadyScheme, { url, body }: Material): void {
  if (parameter === undefined) return;
  const claimed = new URLSearchParams(url.split("?")[1]).get(parameter);
  if (claimed === null && !looksLikeJson(body)) return;
  const isHash = claimed !== null && /^[0-9a-f]{64}$/i.test(claimed);
  if (isHash && timingSafeEqual(Buffer.from(claimed, "hex"), sha256(body))) return;
  throw new Refusal("signature-mismatch", `the URL's ${parameter} is not the hash of this body`);
}

export function sha256(bytes: Buffer): Buffer {
  return createHash("sha256").update(bytes).digest();
}
