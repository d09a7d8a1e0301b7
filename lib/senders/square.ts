import type { Sender } from "./sender.ts";

/** https://developer.squareup.com/docs/webhooks/step3validate */
export const square: Sender = {
  name: "square",
  title: "Square",
  secretAt: "Developer Console, Webhooks, Subscriptions: Signature Key",
  key: "text",
  schemes: [
    {
      algorithm: "hmac-sha256",
      signature: "x-square-hmacsha256-signature",
      encoding: "base64",
      // The URL exactly as it was entered at Square, to the trailing slash: WEBHOOK_PUBLIC_URL has to say it.
      signed: "{url}{body}",
      // No time is signed; a retry has the same bytes and the same signature, up to a day later.
      time: null,
    },
  ],
  event: ["field:type"],
  // The same on every retry. Two subscriptions at one URL have two keys.
  id: ["field:event_id"],
  answerWithinSeconds: 10,
  retries: "11 times over 24 hours",
};
