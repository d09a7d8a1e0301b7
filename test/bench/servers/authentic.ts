/** What every server in Node checks, as GitHub's documentation shows it: the HMAC of the raw body, in constant time. */
import { createHmac, timingSafeEqual } from "node:crypto";

export const secret = String(process.env.WEBHOOK_SECRET);

/** @param header X-Hub-Signature-256 */
export function isAuthentic(body: Buffer, header: unknown): boolean {
  const expected = createHmac("sha256", secret).update(body).digest();
  const given = Buffer.from(String(header).slice("sha256=".length), "hex");
  return given.length === expected.length && timingSafeEqual(given, expected);
}
