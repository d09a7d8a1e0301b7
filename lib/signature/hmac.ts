/**
 * The HMAC of a message that is there as a whole (RFC 2104): hash(key ⊕ opad, hash(key ⊕ ipad, message)).
 *
 * `createHmac` is for messages that are still arriving. For each of them it makes an object with a native half, and
 * under load that costs more than hashing 8 KB does. Here a secret's two padded keys are made once, and a message
 * is two calls of a plain hash. That both give the same, and what RFC 4231 says, is in `test/signature/hmac.test.ts`.
 */
import { createHmac, type Hmac, hash, type KeyObject } from "node:crypto";

export type DigestName = "sha256" | "sha1";

/** Longer messages are worth an object of their own. */
export const maxOneShotBytes = 64 * 1024;

/** SHA-1 and SHA-256 both work on blocks of 64 bytes (FIPS 180-4 §1). */
const blockBytes = 64;

type PaddedKeys = { readonly inner: Buffer; readonly outer: Buffer };
const padded = { sha256: new WeakMap<KeyObject, PaddedKeys>(), sha1: new WeakMap<KeyObject, PaddedKeys>() };

/** Where a padded key and a message stand one behind the other, to be hashed in one call. */
const scratch = Buffer.alloc(blockBytes + maxOneShotBytes);

/** @param pieces the message, in its order */
export function hmacOf(digest: DigestName, key: KeyObject, pieces: readonly Buffer[]): Buffer {
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  if (length > maxOneShotBytes) return fed(createHmac(digest, key), pieces).digest();
  const { inner, outer } = padded[digest].get(key) ?? padKey(digest, key);
  return hashBehind(digest, outer, [hashBehind(digest, inner, pieces)]);
}

/** @returns the same HMAC, with the pieces behind what it has already */
export function fed(hmac: Hmac, pieces: readonly Buffer[]): Hmac {
  for (const piece of pieces) hmac.update(piece);
  return hmac;
}

function hashBehind(digest: DigestName, paddedKey: Buffer, pieces: readonly Buffer[]): Buffer {
  scratch.set(paddedKey);
  let length = paddedKey.length;
  for (const piece of pieces) {
    scratch.set(piece, length);
    length += piece.length;
  }
  return hash(digest, scratch.subarray(0, length), "buffer");
}

function padKey(digest: DigestName, key: KeyObject): PaddedKeys {
  const exported = key.export();
  // RFC 2104 §2: a key longer than a block is hashed first, a shorter one is filled up with zeros.
  const block = Buffer.alloc(blockBytes);
  block.set(exported.length > blockBytes ? hash(digest, exported, "buffer") : exported);
  const keys = {
    inner: Buffer.from(block.map((byte) => byte ^ 0x36)),
    outer: Buffer.from(block.map((byte) => byte ^ 0x5c)),
  };
  padded[digest].set(key, keys);
  return keys;
}
