import type { Sender } from "./sender.ts";

/** https://developer.paddle.com/webhooks/about/signature-verification */
export const paddle: Sender = {
  name: "paddle",
  title: "Paddle Billing",
  secretAt: "Developer tools, Notifications, your destination: Secret key",
  key: "text",
  schemes: [
    {
      algorithm: "hmac-sha256",
      // `ts=…;h1=…`, semicolons; several h1 while rotating, of which Paddle's own library keeps only the last.
      signature: "paddle-signature",
      separator: ";",
      prefix: "h1=",
      encoding: "hex",
      // A colon, not Stripe's dot.
      signed: "{param:ts}:{body}",
      // Paddle's own number. A clock that is a little off breaks it: WEBHOOK_TOLERANCE_PADDLE widens it.
      time: { at: "param:ts", unit: "seconds", toleranceSeconds: 5 },
    },
  ],
  event: ["field:event_type"],
  id: ["field:event_id"],
  answerWithinSeconds: 5,
  // In the sandbox 3 times within 15 minutes.
  retries: "60 times over 3 days, 20 of them in the first hour",
};
