/**
 * The known answers of `test/vectors/`, and what a test wants to know of one: its time, its scheme, its signatures.
 * They come from the senders' documentation, their SDKs, or were computed with other tools: see `source` and
 * `verifiedBy` in the files.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import type { Sender } from "../../lib/senders/sender.ts";
import type { Part } from "../../lib/signature/part.ts";
import { type ReadyScheme, readySender } from "../../lib/signature/ready.ts";

export type Vector = {
  name: string;
  mark: string;
  source: string;
  verifiedBy: string;
  secret: string | null;
  publicKey?: string;
  method?: string;
  url?: string;
  headers: Record<string, string>;
  body: string;
  refused?: string;
};

export const folder = new URL("../vectors/", import.meta.url);

export function vectorsOf(sender: Sender): Vector[] {
  const file = new URL(`${sender.name}.json`, folder);
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Vector[]) : [];
}

/** A clock that stands so many seconds after the vector's own time. */
export function timeOf(sender: Sender, vector: Vector, offsetSeconds = 0): Date {
  const { time } = schemeOf(sender, vector);
  if (time === null) return new Date("2026-01-01T00:00:00Z");
  const [kind, name = ""] = (time.at.split(" | ")[0] ?? "").split(":");
  const inList = new RegExp(`\\b${name}=(\\d+)`);
  const inBody = new RegExp(`"${name.split(".").at(-1)}":\\s*"?(\\d+)`);
  const text =
    kind === "header"
      ? vector.headers[name]
      : (kind === "param"
          ? inList.exec(Object.values(vector.headers).join(" "))
          : inBody.exec(vector.body))?.[1];
  assert(text !== undefined, `no ${time.at} in the vector`);
  return new Date(Number(text) * (time.unit === "seconds" ? 1000 : 1) + offsetSeconds * 1000);
}

/** The one of the sender's schemes that this vector uses. */
export function schemeOf(sender: Sender, vector: Vector): ReadyScheme {
  const { schemes } = readySender(sender);
  const found = schemes.find((scheme) => signatureNames(scheme, vector).length > 0) ?? schemes[0];
  assert(found !== undefined);
  return found;
}

export function signatureNames({ numberedHeader, signature }: ReadyScheme, vector: Vector): string[] {
  return Object.keys(vector.headers).filter((name) =>
    numberedHeader === undefined ? name === signature : name.startsWith(numberedHeader),
  );
}

export function coversBody({ signedParts }: ReadyScheme): boolean {
  const isBody = ({ kind }: Part) => kind === "body" || kind === "payload" || kind === "form-sorted";
  return signedParts.some(isBody);
}

export function flipByte(vector: Vector): Buffer {
  const body = Buffer.from(vector.body);
  const at = Math.max(0, body.length - 3);
  body[at] = (body[at] ?? 0) ^ 1;
  return body;
}

const publicKeyOfAnother = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"; // RFC 8032 §7.1, test 1

export function otherSecret(sender: Sender, vector: Vector): string {
  return {
    text: `${vector.secret}x`,
    whsec: `whsec_${Buffer.alloc(24, 7).toString("base64")}`,
    "ed25519-hex": vector.publicKey === publicKeyOfAnother ? "00".repeat(32) : publicKeyOfAnother,
    "ed25519-whpk": `whpk_${Buffer.from(publicKeyOfAnother, "hex").toString("base64")}`,
    // The example key of RFC 9500 §2.3, P-256.
    "spki-base64":
      "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEQiVI+I+3gv+17KN0RFLHKh5Vj71vc75eSOkyMsxFxbFsTNEMTLjVuKFxOelIgsiZJXKZNCX0FBmrfpCkKklCcg==",
  }[sender.key];
}
