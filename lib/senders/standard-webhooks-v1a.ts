import type { Sender } from "./sender.ts";

/**
 * The asymmetric version: the receiver holds a public key and could not sign.
 * https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 */
export const standardWebhooksV1a: Sender = {
  name: "standard-webhooks-v1a",
  title: "Standard Webhooks (v1a)",
  secretAt: "the sender's public key (`whpk_…`)",
  // The sender keeps `whsk_…`, seed and public key in one: pasted here, it is refused.
  key: "ed25519-whpk",
  schemes: [
    {
      algorithm: "ed25519",
      // `v1,…` entries beside it are passed over: another key, another row.
      signature: "webhook-signature",
      separator: " ",
      prefix: "v1a,",
      encoding: "base64",
      signed: "{header:webhook-id}.{header:webhook-timestamp}.{body}",
      time: { at: "header:webhook-timestamp", unit: "seconds", toleranceSeconds: 300 },
    },
  ],
  event: ["field:type"],
  id: ["header:webhook-id"],
  // As `standard-webhooks`.
  // Our limit: every signature in the list hashes the whole body again. The specification recommends less than 20 kB.
  maxBodyBytes: 1024 * 1024,
  answerWithinSeconds: null,
  retries: "as the sender likes; the specification suggests 10 attempts",
};
