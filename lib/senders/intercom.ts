import type { Sender } from "./sender.ts";

/** https://developers.intercom.com/docs/references/webhooks/webhook-models */
export const intercom: Sender = {
  name: "intercom",
  title: "Intercom",
  secretAt: "Developer Hub, your app, Basic Information: Client secret",
  key: "text",
  schemes: [
    {
      // SHA-1, although some guides claim SHA-256. As a MAC it is not broken (RFC 6194 §3.3).
      algorithm: "hmac-sha1",
      signature: "x-hub-signature",
      prefix: "sha1=",
      encoding: "hex",
      signed: "{body}",
      time: null,
    },
  ],
  event: ["field:topic"],
  // The payload has an `id`; that it is the same on a retry is not confirmed.
  id: [],
  answerWithinSeconds: 5,
  retries: "once, about 1 minute later",
};
