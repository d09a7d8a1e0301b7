/**
 * The text of a secret → a key. Strict: what does not decode is refused, because Node's decoders stop silently
 * at the first wrong character, and a key cut short is a weak key.
 *
 * A `KeyObject` prints as `SecretKeyObject {}`: it cannot reach a log line or an error by accident.
 */
import { createPrivateKey, createPublicKey, createSecretKey, type KeyObject } from "node:crypto";
import type { KeyFormat } from "../senders/sender.ts";

/** RFC 8410 §10.3: what stands before the 32 bytes of an Ed25519 key in its DER form. */
const ed25519PublicPrefix = Buffer.from("302a300506032b6570032100", "hex");
const ed25519PrivatePrefix = Buffer.from("302e020100300506032b657004220420", "hex");

/** What is expected of a secret's text, for the person whose text was something else. */
export const keyExpectations: Readonly<Record<KeyFormat, string>> = {
  text: "any text",
  whsec: "whsec_ and base64, as the sender shows it",
  "ed25519-hex": "the application's public key: 64 hex digits",
  "ed25519-whpk": "whpk_ and the base64 of a public key of 32 bytes",
  "spki-base64": "the base64 of a P-256 public key, without the lines before and after it",
};

/** What is expected of the text of a key to sign with. */
export const signingKeyExpectations: Readonly<Record<KeyFormat, string>> = {
  ...keyExpectations,
  "ed25519-hex": "the private key's seed: 64 hex digits",
  "ed25519-whpk": "whsk_ and the base64 of the private key's seed and the public key, 64 bytes",
  "spki-base64": "the base64 of a P-256 private key in PKCS #8, without the lines before and after it",
};

/** Is what the receiver holds the public half of a pair, with which nobody can sign? */
export function isPublicKey(format: KeyFormat): boolean {
  return format !== "text" && format !== "whsec";
}

/**
 * The key to verify with.
 * @returns undefined when the text is not of that format
 */
export function readKey(format: KeyFormat, text: string): KeyObject | undefined {
  switch (format) {
    case "text":
      return createSecretKey(Buffer.from(text, "utf8"));
    case "whsec": {
      const bytes = decodeBase64(text.replace(/^(v1,)?whsec_/, ""));
      return bytes === undefined || bytes.length === 0 ? undefined : createSecretKey(bytes);
    }
    case "ed25519-hex":
      return /^[0-9a-f]{64}$/i.test(text) ? ed25519Public(Buffer.from(text, "hex")) : undefined;
    case "ed25519-whpk": {
      const bytes = text.startsWith("whpk_") ? decodeBase64(text.slice(5)) : undefined;
      return bytes?.length === 32 ? ed25519Public(bytes) : undefined;
    }
    case "spki-base64":
      return readSpki(text);
  }
}

/**
 * The key to sign with: for a shared secret the same one, else the private half of the pair.
 * ed25519-hex: the seed of 32 bytes in hex. ed25519-whpk: `whsk_` and the base64 of seed and public key.
 * spki-base64: the base64 of the private key's PKCS #8 form.
 * @returns undefined when the text is not of that format
 */
export function readSigningKey(format: KeyFormat, text: string): KeyObject | undefined {
  switch (format) {
    case "text":
    case "whsec":
      return readKey(format, text);
    case "ed25519-hex":
      return /^[0-9a-f]{64}$/i.test(text) ? ed25519Private(Buffer.from(text, "hex")) : undefined;
    case "ed25519-whpk": {
      const bytes = text.startsWith("whsk_") ? decodeBase64(text.slice(5)) : undefined;
      return bytes?.length === 64 ? ed25519Private(bytes.subarray(0, 32)) : undefined;
    }
    case "spki-base64": {
      const der = decodeBase64(text);
      return onP256(der && tryKey(() => createPrivateKey({ key: der, format: "der", type: "pkcs8" })));
    }
  }
}

/** Strict base64 (RFC 4648 §4): the standard alphabet, padded, and nothing that decodes to the same bytes. */
export function decodeBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, "base64");
  return bytes.toString("base64") === text ? bytes : undefined;
}

/**
 * Why a text that was refused is not of its format, as the end of a sentence; empty where there is no more to say.
 * It tells places and lengths, and nothing of the text itself.
 */
export function keyFault(format: KeyFormat, text: string): string {
  if (format === "text" || format === "ed25519-hex") return "";
  const prefix = /^wh(sec|pk|sk)_/.exec(text)?.[0] ?? "";
  const fault = base64Fault(text.slice(prefix.length));
  return fault === undefined ? "" : `; ${fault}`;
}

function base64Fault(text: string): string | undefined {
  if (text === "") return "there is nothing to decode";
  if (/^["'`]|["'`]$/.test(text)) return "the quotes around it are a part of it";
  const unpadded = text.replace(/=+$/, "");
  const at = unpadded.search(/[^A-Za-z0-9+/]/);
  if (at !== -1) {
    const character = unpadded.charAt(at);
    const what = /\s/.test(character)
      ? "white space"
      : /[-_]/.test(character)
        ? "of the URL alphabet (- and _ in place of + and /)"
        : "not of base64";
    return `it does not decode: character ${at + 1} of the base64 is ${what}`;
  }
  const padding = "=".repeat((4 - (unpadded.length % 4)) % 4);
  if (unpadded.length % 4 === 1)
    return `it does not decode: ${unpadded.length} characters are one too many or too few`;
  if (text !== unpadded + padding)
    return `it does not decode: ${padding === "" ? "no =" : padding} has to stand at its end`;
  return decodeBase64(text) === undefined
    ? "it does not decode: its last character cannot be right"
    : undefined;
}

function readSpki(text: string): KeyObject | undefined {
  const der = decodeBase64(text);
  return onP256(der && tryKey(() => createPublicKey({ key: der, format: "der", type: "spki" })));
}

function onP256(key: KeyObject | undefined): KeyObject | undefined {
  return key?.asymmetricKeyDetails?.namedCurve === "prime256v1" ? key : undefined;
}

function ed25519Public(bytes: Buffer): KeyObject {
  return createPublicKey({ key: Buffer.concat([ed25519PublicPrefix, bytes]), format: "der", type: "spki" });
}

function ed25519Private(seed: Buffer): KeyObject {
  return createPrivateKey({ key: Buffer.concat([ed25519PrivatePrefix, seed]), format: "der", type: "pkcs8" });
}

/** OpenSSL's message would quote nothing, but say nothing either: the caller knows what was expected. */
function tryKey(read: () => KeyObject): KeyObject | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
