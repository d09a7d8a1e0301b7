import type { Sender } from "./sender.ts";

/** https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md */
export const standardWebhooks: Sender = {
  name: "standard-webhooks",
  title: "Standard Webhooks",
  secretAt: "the endpoint's signing secret at the sender (`whsec_…`)",
  key: "whsec",
  schemes: [
    {
      algorithm: "hmac-sha256",
      // One entry for each active key; `v1a,…` and versions to come are passed over.
      signature: "webhook-signature",
      separator: " ",
      prefix: "v1,",
      encoding: "base64",
      signed: "{header:webhook-id}.{header:webhook-timestamp}.{body}",
      // The time of the attempt, new on every retry. The reference library takes "1614265330abc" for a number.
      time: { at: "header:webhook-timestamp", unit: "seconds", toleranceSeconds: 300 },
    },
  ],
  // Recommended by the specification, not required.
  event: ["field:type"],
  // Signed, and the same on every retry.
  id: ["header:webhook-id"],
  // The specification only recommends: to wait for 15 to 30 seconds.
  answerWithinSeconds: null,
  retries: "as the sender likes; the specification suggests 10 attempts",
};
