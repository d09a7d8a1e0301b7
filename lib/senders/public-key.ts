/**
 * A signature by a private key that only the sender has. The receiver holds the public key, and could not sign.
 */
import { sendersOf } from "./sender.ts";

export const publicKey = sendersOf(
  {},
  {
    // Interactions and webhook events. An interaction wants its reply in the answer itself, within 3 seconds: that is
    // out of reach of a receiver that answers before it works.
    // https://discord.com/developers/docs/events/webhook-events
    discord: {
      title: "Discord",
      documentation: "https://discord.com/developers/docs/interactions/overview",
      secretAt: "Developer Portal, your app, General Information: Public Key",
      key: "ed25519-hex",
      algorithm: "ed25519",
      // Discord probes with wrong signatures, at first and ever after: any answer but 401 removes the URL.
      signature: "x-signature-ed25519",
      encoding: "hex",
      // Nothing stands between the two.
      signed: "{header:x-signature-timestamp}{body}",
      // Discord says nothing of how old it may be, and its page leaves the unit open.
      time: { at: "header:x-signature-timestamp", unit: "seconds", toleranceSeconds: null },
      event: ["field:event.type | field:type"],
      // Interactions have only a number. 0 and 1 are pings: see below.
      eventNames: { 2: "command", 3: "component", 4: "autocomplete", 5: "modal" },
      // An interaction's id; a webhook event has none.
      id: ["field:id"],
      // Two pings with opposite answers: interactions send type 1, webhook events type 0. An event has type 1 too,
      // and `event` beside it.
      handshakes: [
        {
          kind: "payload",
          where: { type: 1 },
          without: ["event"],
          answer: { status: 200, json: { type: 1 } },
        },
        { kind: "payload", where: { type: 0 }, answer: { status: 204 } },
      ],
      // A webhook event is acknowledged by 204; 202 says that the reply to an interaction comes in a call of its own.
      acceptedAnswer: [{ with: "event", status: 204 }, { status: 202 }],
      // Our limit: the body is hashed again for every key.
      maxBodyBytes: 1024 * 1024,
      answerWithinSeconds: 3,
      retries: "webhook events only, with back-off for up to 10 minutes",
    },
    // The Event Webhook, with the Signed Event Webhook switched on.
    sendgrid: {
      title: "SendGrid",
      documentation:
        "https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features",
      secretAt: "Settings, Mail Settings, Event Webhook: Verification Key",
      // A public key: the receiver could not sign.
      key: "spki-base64",
      algorithm: "ecdsa-sha256",
      signature: "x-twilio-email-event-webhook-signature",
      encoding: "base64",
      // Nothing stands between the two. Bodies end in CRLF: trimmed, the signature no longer fits.
      signed: "{header:x-twilio-email-event-webhook-timestamp}{body}",
      // SendGrid says nothing of how old it may be, and sends again for 24 hours.
      time: {
        at: "header:x-twilio-email-event-webhook-timestamp",
        unit: "seconds",
        toleranceSeconds: 90_000,
      },
      // The payload is an array of events, of several types at times.
      event: ["field:*.event"],
      // Each element has an `sg_event_id`, the delivery has none.
      id: ["digest"],
      // Our limit: the body is hashed again for every key.
      maxBodyBytes: 4 * 1024 * 1024,
      retries: "at growing intervals for up to 24 hours",
    },
    // The asymmetric version: the receiver holds a public key and could not sign.
    "standard-webhooks-v1a": {
      title: "Standard Webhooks (v1a)",
      documentation:
        "https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md",
      secretAt: "the sender's public key (`whpk_…`)",
      // The sender keeps `whsk_…`, seed and public key in one: pasted here, it is refused.
      key: "ed25519-whpk",
      algorithm: "ed25519",
      // `v1,…` entries beside it are passed over: another key, another row.
      signature: "webhook-signature",
      separator: " ",
      prefix: "v1a,",
      encoding: "base64",
      signed: "{header:webhook-id}.{header:webhook-timestamp}.{body}",
      time: { at: "header:webhook-timestamp", unit: "seconds", toleranceSeconds: 300 },
      event: ["field:type"],
      id: ["header:webhook-id"],
      // As `standard-webhooks`.
      // Our limit: every signature in the list hashes the whole body again. The specification recommends less than 20 kB.
      maxBodyBytes: 1024 * 1024,
      retries: "as the sender likes; the specification suggests 10 attempts",
    },
  },
);
