import type { Sender } from "./sender.ts";

/** Stripe's format under another name. https://developer.calendly.com/api-docs/4c305798a61d3-webhook-signatures */
export const calendly: Sender = {
  name: "calendly",
  title: "Calendly",
  secretAt: "`signing_key` in the request that creates the subscription",
  key: "text",
  schemes: [
    {
      algorithm: "hmac-sha256",
      signature: "calendly-webhook-signature",
      separator: ",",
      prefix: "v1=",
      encoding: "hex",
      // The sample code that circulates hashes the JSON written out anew; the raw body is what is signed.
      signed: "{param:t}.{body}",
      // The three minutes of that sample code.
      time: { at: "param:t", unit: "seconds", toleranceSeconds: 180 },
    },
  ],
  event: ["field:event"],
  // None is documented; `payload.uri` names the invitee, who passes through several events.
  id: [],
  answerWithinSeconds: null,
  retries: "with back-off for up to 24 hours, then it is disabled",
};
