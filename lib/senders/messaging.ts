import type { Sender } from "./sender.ts";

/** messaging-sdk's delivery statuses: `{ id, status, deliveredAt? }`. */
export const messaging: Sender = {
  name: "messaging",
  title: "messaging-sdk",
  secretAt: "the webhook secret it is configured with",
  key: "text",
  schemes: [
    {
      algorithm: "hmac-sha256",
      // A proxy that strips or consumes Authorization breaks every delivery.
      signature: "authorization",
      authScheme: "Bearer",
      encoding: "hex",
      signed: "{body}",
      time: null,
    },
  ],
  event: ["text:message", "field:status"],
  // `id` names the message, which passes through several statuses: only both together name a delivery.
  id: ["field:id", "field:status"],
  shape: [
    { field: "id", required: true, is: "non-empty string" },
    { field: "status", required: true, oneOf: ["queued", "delivered", "failed"] },
    { field: "deliveredAt", required: false, is: "date-time" },
  ],
  acceptedAnswer: { status: 200, json: { message: "Webhook processed successfully." } },
  answerWithinSeconds: null,
  retries: "unknown",
};
