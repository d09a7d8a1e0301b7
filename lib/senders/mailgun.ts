import type { Sender } from "./sender.ts";

/**
 * The signature covers a time and a random token, NOT the event: whoever holds such a triple can put it beside
 * any event. Only TLS and never taking a token twice stand against that.
 * https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks
 */
export const mailgun: Sender = {
  name: "mailgun",
  title: "Mailgun",
  secretAt: "the account's API keys: HTTP webhook signing key",
  key: "text",
  schemes: [
    {
      algorithm: "hmac-sha256",
      signature: "field:signature.signature",
      encoding: "hex",
      signed: "{field:signature.timestamp}{field:signature.token}",
      // Mailgun names no window, only that it should not be too far from now.
      time: { at: "field:signature.timestamp", unit: "seconds", toleranceSeconds: null },
    },
    {
      algorithm: "hmac-sha256",
      // Legacy webhooks and routes: a form with flat fields. `signature` is an object or a text, never both.
      signature: "field:signature",
      encoding: "hex",
      signed: "{field:timestamp}{field:token}",
      time: { at: "field:timestamp", unit: "seconds", toleranceSeconds: null },
    },
  ],
  event: ["field:event-data.event | field:event"],
  // What is signed, so a second delivery with the same token is a replay. `event-data.id` is not signed.
  id: ["field:signature.token | field:token"],
  form: "fields",
  // Our limit: the body is parsed before it is authentic.
  maxBodyBytes: 1024 * 1024,
  answerWithinSeconds: null,
  // 406 is the answer that stops the retries.
  retries: "7 times over 8 hours, except after 406",
};
