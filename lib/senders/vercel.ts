import type { Sender } from "./sender.ts";

/** https://vercel.com/docs/webhooks/webhooks-api */
export const vercel: Sender = {
  name: "vercel",
  title: "Vercel",
  secretAt: "Settings, Webhooks: the secret shown once on creation",
  key: "text",
  schemes: [
    {
      // Bare hex of SHA-1.
      algorithm: "hmac-sha1",
      signature: "x-vercel-signature",
      encoding: "hex",
      signed: "{body}",
      // The payload's `createdAt` says when it happened, not when it was signed: retries go on for a day.
      time: null,
    },
  ],
  event: ["field:type"],
  // Signed. Whether a retry keeps it is not confirmed; if it does not, the retry is a new delivery.
  id: ["field:id"],
  answerWithinSeconds: 30,
  retries: "with back-off for up to 24 hours",
};
