import type { Sender } from "./sender.ts";

/** https://docs.stripe.com/webhooks#verify-manually */
export const stripe: Sender = {
  name: "stripe",
  title: "Stripe",
  secretAt: "Workbench, Webhooks, your endpoint: Signing secret (`whsec_…`)",
  // The text is the key, `whsec_` included: unlike Standard Webhooks, nothing is base64-decoded.
  key: "text",
  schemes: [
    {
      algorithm: "hmac-sha256",
      // `t=…,v1=…`, one v1 for each active secret while rolling. v0 and unknown schemes are passed over.
      signature: "stripe-signature",
      separator: ",",
      prefix: "v1=",
      encoding: "hex",
      signed: "{param:t}.{body}",
      // Stripe's libraries refuse only what is too old; a time far in the future is refused here as well.
      time: { at: "param:t", unit: "seconds", toleranceSeconds: 300 },
    },
  ],
  event: ["field:type"],
  // The same on every retry; each attempt has a new time and signature.
  id: ["field:id"],
  answerWithinSeconds: null,
  retries: "for up to 3 days",
};
