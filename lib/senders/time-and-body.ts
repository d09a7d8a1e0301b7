/**
 * An HMAC of a time and the raw body. The time stands in a header, and is signed together with the body.
 *
 * So a captured delivery is good for a few minutes only: the window is the row's, and it is judged on both sides.
 */
import { sendersOf } from "./sender.ts";

export const timeAndBody = sendersOf(
  { algorithm: "hmac-sha256", encoding: "hex" },
  {
    stripe: {
      title: "Stripe",
      documentation: "https://docs.stripe.com/webhooks#verify-manually",
      secretAt: "Workbench, Webhooks, your endpoint: Signing secret (`whsec_…`)",
      // The text is the key, `whsec_` included: unlike Standard Webhooks, nothing is base64-decoded.
      // `t=…,v1=…`, one v1 for each active secret while rolling. v0 and unknown schemes are passed over.
      signature: "stripe-signature",
      separator: ",",
      prefix: "v1=",
      signed: "{param:t}.{body}",
      // Stripe's libraries refuse only what is too old; a time far in the future is refused here as well.
      time: { at: "param:t", unit: "seconds", toleranceSeconds: 300 },
      event: ["field:type"],
      // The same on every retry; each attempt has a new time and signature.
      id: ["field:id"],
      retries: "for up to 3 days",
    },
    // Stripe's format under another name.
    calendly: {
      title: "Calendly",
      documentation: "https://developer.calendly.com/api-docs/4c305798a61d3-webhook-signatures",
      secretAt: "`signing_key` in the request that creates the subscription",
      signature: "calendly-webhook-signature",
      separator: ",",
      prefix: "v1=",
      // The sample code that circulates hashes the JSON written out anew; the raw body is what is signed.
      signed: "{param:t}.{body}",
      // That sample code allows 3 minutes, and Calendly sends again for 24 hours: the window covers its own retries.
      time: { at: "param:t", unit: "seconds", toleranceSeconds: 90_000 },
      event: ["field:event"],
      // None is documented; `payload.uri` names the invitee, who passes through several events.
      id: ["digest"],
      retries: "with back-off for up to 24 hours, then it is disabled",
    },
    paddle: {
      title: "Paddle Billing",
      documentation: "https://developer.paddle.com/webhooks/about/signature-verification",
      secretAt: "Developer tools, Notifications, your destination: Secret key",
      // `ts=…;h1=…`, semicolons; several h1 while rotating, of which Paddle's own library keeps only the last.
      signature: "paddle-signature",
      separator: ";",
      prefix: "h1=",
      // A colon, not Stripe's dot.
      signed: "{param:ts}:{body}",
      // Paddle's own number. A clock that is a little off breaks it: WEBHOOK_TOLERANCE_PADDLE widens it.
      time: { at: "param:ts", unit: "seconds", toleranceSeconds: 5 },
      event: ["field:event_type"],
      id: ["field:event_id"],
      answerWithinSeconds: 5,
      // In the sandbox 3 times within 15 minutes.
      retries: "60 times over 3 days, 20 of them in the first hour",
    },
    slack: {
      title: "Slack",
      documentation: "https://docs.slack.dev/authentication/verifying-requests-from-slack/",
      secretAt: "your app, Basic Information: Signing Secret",
      // Looks like hex and is not decoded.
      signature: "x-slack-signature",
      prefix: "v0=",
      // The header's text as it is, never as a number: leading zeros are signed too. Forms are signed raw.
      signed: "v0:{header:x-slack-request-timestamp}:{body}",
      // Bolt refuses only what is too old; a time far in the future is refused here as well.
      time: { at: "header:x-slack-request-timestamp", unit: "seconds", toleranceSeconds: 300 },
      // `message`, `/deploy`, `block_actions`: an event in its envelope, a slash command, an interaction.
      event: ["field:event.type | field:command | field:type"],
      // The event's id is the same on every retry. A command has only its trigger.
      id: ["field:event_id | field:trigger_id"],
      form: "payload or fields",
      handshakes: [
        { kind: "form", fields: { ssl_check: "1" } },
        // The same, signed: it is no delivery either.
        { kind: "payload", where: { ssl_check: "1" }, answer: { status: 200 } },
        {
          kind: "payload",
          where: { type: "url_verification" },
          answer: { status: 200, json: { challenge: "{field:challenge}" } },
        },
      ],
      // Slack shows the body of the answer to a slash command to the user who typed it.
      acceptedAnswer: { status: 200 },
      // More than 95 % failures within an hour disable the subscription.
      answerWithinSeconds: 3,
      retries: "3 times: at once, after 1 minute and after 5 minutes",
    },
    zoom: {
      title: "Zoom",
      documentation: "https://developers.zoom.us/docs/api/webhooks/",
      secretAt: "your app, Features, Event Subscriptions: Secret Token",
      signature: "x-zm-signature",
      prefix: "v0=",
      // Zoom's own sample hashes the JSON written out anew, which fails for any body that is not compact.
      signed: "v0:{header:x-zm-request-timestamp}:{body}",
      // Neither Zoom's sample nor its library says how old it may be.
      time: { at: "header:x-zm-request-timestamp", unit: "seconds", toleranceSeconds: null },
      event: ["field:event"],
      // No header or field is documented as the delivery's id; `event_ts` is only a time.
      id: ["digest"],
      // Signed like every event, and repeated every 72 hours.
      handshakes: [
        {
          kind: "payload",
          where: { event: "endpoint.url_validation" },
          answer: {
            status: 200,
            json: { plainToken: "{field:payload.plainToken}", encryptedToken: "{hmac:payload.plainToken}" },
          },
        },
      ],
      answerWithinSeconds: 3,
    },
  },
);
