import type { Sender } from "./sender.ts";

/** https://www.twilio.com/docs/usage/webhooks/webhooks-security */
export const twilio: Sender = {
  name: "twilio",
  title: "Twilio",
  secretAt: "Console, Account Info: Auth Token",
  key: "text",
  schemes: [
    {
      algorithm: "hmac-sha1",
      signature: "x-twilio-signature",
      encoding: "base64",
      // The URL as Twilio sees it, query included: WEBHOOK_PUBLIC_URL has to say it. Twilio is not consistent
      // about the port; its library tries four spellings, this receiver one.
      signed: "{url}{form-sorted}",
      // No time is signed: nothing but the id tells a replay.
      time: null,
      // JSON is covered only by way of this digest in the signed URL; without it anybody could change the body.
      bodyHashParameter: "bodySHA256",
    },
  ],
  // There is no field for it that all of Twilio's webhooks have.
  event: ["field:EventType | field:MessageStatus | field:SmsStatus | field:CallStatus"],
  // Not signed. A message's SID is no id: it passes through several statuses.
  id: ["header:i-twilio-idempotency-token"],
  form: "fields",
  // Our limit: the form is parsed before it is authentic.
  maxBodyBytes: 1024 * 1024,
  // Voice and SMS expect TwiML or an empty answer.
  acceptedAnswer: { status: 204 },
  answerWithinSeconds: 15,
  retries: "unknown",
};
