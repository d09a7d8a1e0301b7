/**
 * The HMAC of a large body, without holding up other clients.
 */
import { createHmac } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import type { Claim } from "./claim.ts";
import { materialOf, signedPieces } from "./signed-text.ts";

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
  const { algorithm } = scheme;
  if (!algorithm.startsWith("hmac-")) return undefined;
  const hmacs = claim.source.secrets.map(({ key }) => createHmac(algorithm.slice("hmac-".length), key));
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
