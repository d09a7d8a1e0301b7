import type { Sender } from "./sender.ts";

/**
 * The Event Webhook, with the Signed Event Webhook switched on.
 * https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features
 */
export const sendgrid: Sender = {
  name: "sendgrid",
  title: "SendGrid",
  secretAt: "Settings, Mail Settings, Event Webhook: Verification Key",
  // A public key: the receiver could not sign.
  key: "spki-base64",
  schemes: [
    {
      algorithm: "ecdsa-sha256",
      signature: "x-twilio-email-event-webhook-signature",
      encoding: "base64",
      // Nothing stands between the two. Bodies end in CRLF: trimmed, the signature no longer fits.
      signed: "{header:x-twilio-email-event-webhook-timestamp}{body}",
      // SendGrid says nothing of how old it may be.
      time: {
        at: "header:x-twilio-email-event-webhook-timestamp",
        unit: "seconds",
        toleranceSeconds: null,
      },
    },
  ],
  // The payload is an array of events, of several types at times.
  event: ["field:*.event"],
  // Each element has an `sg_event_id`, the delivery has none.
  id: [],
  // Our limit: the body is hashed again for every key.
  maxBodyBytes: 4 * 1024 * 1024,
  answerWithinSeconds: null,
  retries: "at growing intervals for up to 24 hours",
};
