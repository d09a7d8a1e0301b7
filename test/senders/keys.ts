/** A key for each format, and the variables of a receiver that takes all senders. */
import { generateKeyPairSync } from "node:crypto";
import type { KeyFormat } from "../../lib/senders/sender.ts";
import { senders } from "../../lib/senders/table.ts";
import { variableFor } from "../../lib/settings/sources.ts";

export const ed25519 = generateKeyPairSync("ed25519");
const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
const rawPublic = ed25519.publicKey.export({ format: "der", type: "spki" }).subarray(-32);
const seed = ed25519.privateKey.export({ format: "der", type: "pkcs8" }).subarray(-32);

/** For each format what the receiver is given, and what the sender signs with. */
export const keys: Record<KeyFormat, { verify: string; sign: string }> = {
  text: { verify: "a text that is long enough", sign: "a text that is long enough" },
  whsec: {
    verify: `whsec_${Buffer.alloc(24, 3).toString("base64")}`,
    sign: `whsec_${Buffer.alloc(24, 3).toString("base64")}`,
  },
  "ed25519-hex": { verify: rawPublic.toString("hex"), sign: seed.toString("hex") },
  "ed25519-whpk": {
    verify: `whpk_${rawPublic.toString("base64")}`,
    sign: `whsk_${Buffer.concat([seed, rawPublic]).toString("base64")}`,
  },
  "spki-base64": {
    verify: ec.publicKey.export({ format: "der", type: "spki" }).toString("base64"),
    sign: ec.privateKey.export({ format: "der", type: "pkcs8" }).toString("base64"),
  },
};

export const secretVariables: Readonly<Record<string, string>> = Object.fromEntries(
  senders.map(({ name, key }) => [variableFor("WEBHOOK_SECRET_", name), keys[key].verify]),
);
