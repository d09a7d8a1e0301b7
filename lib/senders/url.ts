/**
 * An HMAC that covers the URL as well: WEBHOOK_PUBLIC_URL has to say what the sender calls, letter by letter.
 */
import { sendersOf } from "./sender.ts";

export const url = sendersOf(
  { algorithm: "hmac-sha256", encoding: "base64", time: null },
  {
    twilio: {
      title: "Twilio",
      documentation: "https://www.twilio.com/docs/usage/webhooks/webhooks-security",
      secretAt: "Console, Account Info: Auth Token",
      algorithm: "hmac-sha1",
      signature: "x-twilio-signature",
      // The URL as Twilio sees it, query included: WEBHOOK_PUBLIC_URL has to say it. Twilio is not consistent
      // about the port; its library tries four spellings, this receiver one.
      signed: "{url}{form-sorted}",
      // No time is signed: nothing but the id tells a replay.
      // JSON is covered only by way of this digest in the signed URL; without it anybody could change the body.
      bodyHashParameter: "bodySHA256",
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
    },
    square: {
      title: "Square",
      documentation: "https://developer.squareup.com/docs/webhooks/step3validate",
      secretAt: "Developer Console, Webhooks, Subscriptions: Signature Key",
      signature: "x-square-hmacsha256-signature",
      // The URL exactly as it was entered at Square, to the trailing slash: WEBHOOK_PUBLIC_URL has to say it.
      signed: "{url}{body}",
      // No time is signed; a retry has the same bytes and the same signature, up to a day later.
      event: ["field:type"],
      // The same on every retry. Two subscriptions at one URL have two keys.
      id: ["field:event_id"],
      answerWithinSeconds: 10,
      retries: "11 times over 24 hours",
    },
    // Version 3.
    hubspot: {
      title: "HubSpot",
      documentation:
        "https://developers.hubspot.com/docs/apps/legacy-apps/authentication/validating-requests",
      secretAt: "your app, Auth: Client secret",
      // X-HubSpot-Signature (v1, v2) may be beside it: a plain SHA-256 of secret and body, open to length
      // extension. It is never looked at.
      signature: "x-hubspot-signature-v3",
      // HubSpot decodes %3A %2F %3F %40 %21 %24 %27 %28 %29 %2A %2C %3B in the URL and leaves %20 alone.
      signed: "{method}{url-unescaped}{body}{header:x-hubspot-request-timestamp}",
      time: { at: "header:x-hubspot-request-timestamp", unit: "milliseconds", toleranceSeconds: 300 },
      // The payload is an array of events, of several types at times.
      event: ["field:*.subscriptionType"],
      // Each element has an `eventId`, which HubSpot does not promise to be unique; the delivery has none.
      id: ["digestWithout:attemptNumber"],
      answerWithinSeconds: 5,
      retries: "up to 10 times over 24 hours",
    },
  },
);
