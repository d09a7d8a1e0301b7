import type { Sender } from "./sender.ts";

/** Webhooks v3. https://docs.pagerduty.com/developer/verifying-webhook-signatures */
export const pagerduty: Sender = {
  name: "pagerduty",
  title: "PagerDuty",
  secretAt: "the subscription's secret, shown once when it is created",
  // Looks like base64 and is not decoded.
  key: "text",
  schemes: [
    {
      algorithm: "hmac-sha256",
      // One `v1=` for each active secret; other versions are passed over.
      signature: "x-pagerduty-signature",
      separator: ",",
      prefix: "v1=",
      encoding: "hex",
      signed: "{body}",
      time: null,
    },
  ],
  event: ["field:event.event_type"],
  // Repeated on every attempt; not signed, unlike the payload's `event.id`.
  id: ["header:x-webhook-id"],
  answerWithinSeconds: 5,
  // Any other 4xx drops the delivery for good, and three in a row disable the subscription for a day: a wrong
  // secret loses events.
  retries: "for up to 48 hours after a timeout, 429 or 5xx; never after other 4xx",
};
