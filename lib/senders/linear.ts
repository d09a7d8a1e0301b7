import type { Sender } from "./sender.ts";

/** https://linear.app/developers/webhooks */
export const linear: Sender = {
  name: "linear",
  title: "Linear",
  secretAt: "Settings, API, Webhooks: Signing secret",
  key: "text",
  schemes: [
    {
      algorithm: "hmac-sha256",
      signature: "linear-signature",
      encoding: "hex",
      signed: "{body}",
      // The payload's own time, which is signed; the header Linear-Timestamp is not. Whether a retry hours later
      // has a new one is not documented: should retries be refused, WEBHOOK_TOLERANCE_LINEAR widens the window.
      time: { at: "field:webhookTimestamp", unit: "milliseconds", toleranceSeconds: 60 },
    },
  ],
  // `Comment.create`
  event: ["field:type", "field:action"],
  // The same on every retry; not signed. The payload's `webhookId` is the subscription.
  id: ["header:linear-delivery"],
  answerWithinSeconds: 5,
  // Anything but 200 counts as a failure.
  retries: "3 times: after 1 minute, 1 hour and 6 hours",
};
