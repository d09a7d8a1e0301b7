import type { Sender } from "./sender.ts";

/** https://www.typeform.com/developers/webhooks/secure-your-webhooks/ */
export const typeform: Sender = {
  name: "typeform",
  title: "Typeform",
  secretAt: "Connect, Webhooks, Edit: Secret",
  key: "text",
  schemes: [
    {
      algorithm: "hmac-sha256",
      signature: "typeform-signature",
      prefix: "sha256=",
      // Base64, where the prefix looks like GitHub's hex.
      encoding: "base64",
      signed: "{body}",
      time: null,
    },
  ],
  event: ["field:event_type"],
  id: ["field:event_id"],
  answerWithinSeconds: null,
  retries: "after any answer but 2xx",
};
