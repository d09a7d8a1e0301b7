/**
 * The commonest signature: an HMAC of the raw body, in a header. Nobody without the secret can make one for other bytes.
 *
 * It says nothing of the time: a captured delivery stays good for ever, so only the id tells a repeat. Most of these
 * senders put event and id into headers that are not signed. Three more are in `default-path.ts`.
 */
import { sendersOf } from "./sender.ts";

export const rawBody = sendersOf(
  { algorithm: "hmac-sha256", encoding: "hex", signed: "{body}", time: null },
  {
    bitbucket: {
      title: "Bitbucket Cloud",
      documentation: "https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/",
      secretAt: "Repository settings, Webhooks, Add webhook: Secret",
      // No "-256" in the name, and yet SHA-256; GitHub's header of this name is SHA-1. `sha1=` is refused.
      signature: "x-hub-signature",
      prefix: "sha256=",
      // `repo:push`. Neither is signed.
      event: ["header:x-event-key"],
      // The same across automatic retries. X-Hook-UUID names the hook, not the delivery.
      id: ["header:x-request-uuid"],
    },
    docusign: {
      title: "DocuSign Connect",
      documentation: "https://developers.docusign.com/platform/webhooks/connect/hmac",
      secretAt: "Admin, Connect, Connect Keys: Add Secret Key",
      // Not base64-decoded.
      // X-DocuSign-Signature-1, -2, …: one header for each key of the account; any of them will do.
      signature: "x-docusign-signature-*",
      encoding: "base64",
      // `envelope-completed`. Choose JSON: the legacy XML is not read. Documents inside make bodies of many MB.
      event: ["field:event"],
      // An envelope's id names the envelope, not the delivery. `retryCount` goes up with each attempt.
      id: ["digestWithout:retryCount"],
    },
    dropbox: {
      title: "Dropbox",
      documentation: "https://www.dropbox.com/developers/reference/webhooks",
      secretAt: "App Console, your app, Settings: App secret",
      signature: "x-dropbox-signature",
      // The payload says only whose files have changed: no type, no id.
      // Two changes in one account are two equal bodies: their digest is no id either.
      handshakes: [{ kind: "echo", method: "GET", parameter: "challenge" }],
      answerWithinSeconds: 10,
    },
    intercom: {
      title: "Intercom",
      documentation: "https://developers.intercom.com/docs/references/webhooks/webhook-models",
      secretAt: "Developer Hub, your app, Basic Information: Client secret",
      // SHA-1, although some guides claim SHA-256. As a MAC it is not broken (RFC 6194 §3.3).
      algorithm: "hmac-sha1",
      signature: "x-hub-signature",
      prefix: "sha1=",
      event: ["field:topic"],
      // The notification's own, beside its `delivery_attempts`.
      id: ["field:id"],
      // The URL is validated by a HEAD when it is entered.
      handshakes: [{ kind: "head" }],
      answerWithinSeconds: 5,
      retries: "once, about 1 minute later",
    },
    // The webhooks an administrator sets up. Those of Connect and OAuth apps carry a JWT instead and are refused.
    jira: {
      title: "Jira Cloud",
      documentation: "https://developer.atlassian.com/cloud/jira/platform/webhooks/",
      secretAt: "Settings, System, WebHooks: Secret",
      // No "-256" in the name, and yet SHA-256. Atlassian says the method may change: only `sha256=` is taken.
      signature: "x-hub-signature",
      prefix: "sha256=",
      // The payload's `timestamp` says when it happened, not when it was signed.
      // `jira:issue_updated`. With the option "Exclude body" there is no payload at all: leave it off.
      event: ["field:webhookEvent"],
      // Unique per tenant, the same across retries; not signed.
      id: ["header:x-atlassian-webhook-identifier"],
      retries: "up to 5 times, 5 to 15 minutes apart",
    },
    linear: {
      title: "Linear",
      documentation: "https://linear.app/developers/webhooks",
      secretAt: "Settings, API, Webhooks: Signing secret",
      signature: "linear-signature",
      // The payload's own time, which is signed; the header Linear-Timestamp is not. Linear suggests 60 seconds, and
      // sends the same bytes again after 1 minute, 1 hour and 6 hours: the window covers its own retries.
      time: { at: "field:webhookTimestamp", unit: "milliseconds", toleranceSeconds: 25_200 },
      // `Comment.create`
      event: ["field:type", "field:action"],
      // A retry has the same bytes, and its time is among them. Linear-Delivery is not signed, and the payload's
      // `webhookId` is the subscription.
      id: ["digest"],
      answerWithinSeconds: 5,
      // Anything but 200 counts as a failure.
      retries: "3 times: after 1 minute, 1 hour and 6 hours",
    },
    meta: {
      title: "Meta (WhatsApp, Messenger, Instagram)",
      documentation: "https://developers.facebook.com/docs/graph-api/webhooks/getting-started",
      secretAt: "App Dashboard, App settings, Basic: App secret",
      // X-Hub-Signature (SHA-1) is the legacy twin: ignored.
      signature: "x-hub-signature-256",
      prefix: "sha256=",
      // Meta writes ä as \u00e4 and / as \/: parsed and written out anew, the signature no longer fits.
      // `whatsapp_business_account.messages`; Messenger's entries have no `changes`: `page`.
      event: ["field:object", "field:entry.*.changes.*.field"],
      // Deliveries are batches; only the things in them have ids.
      id: ["digest"],
      // The verify token is a second secret, which you choose: WEBHOOK_VERIFY_TOKEN_META.
      handshakes: [
        {
          kind: "echo",
          method: "GET",
          parameter: "hub.challenge",
          where: { "hub.mode": "subscribe" },
          tokenAt: "hub.verify_token",
        },
      ],
      // WhatsApp for up to 7 days.
      retries: "at once, then less and less often over 36 hours",
    },
    // Webhooks v3.
    pagerduty: {
      title: "PagerDuty",
      documentation: "https://docs.pagerduty.com/developer/verifying-webhook-signatures",
      secretAt: "the subscription's secret, shown once when it is created",
      // Looks like base64 and is not decoded.
      // One `v1=` for each active secret; other versions are passed over.
      signature: "x-pagerduty-signature",
      separator: ",",
      prefix: "v1=",
      event: ["field:event.event_type"],
      // Signed, and repeated on every attempt; the header X-Webhook-Id is not signed.
      id: ["field:event.id"],
      answerWithinSeconds: 5,
      // Any other 4xx drops the delivery for good, and three in a row disable the subscription for a day: a wrong
      // secret loses events.
      retries: "for up to 48 hours after a timeout, 429 or 5xx; never after other 4xx",
    },
    // The integration platform.
    sentry: {
      title: "Sentry",
      documentation: "https://docs.sentry.io/organization/integrations/integration-platform/webhooks/",
      secretAt: "Settings, Developer Settings, your integration: Client Secret",
      signature: "sentry-hook-signature",
      // Sentry's sample hashes the JSON written out anew, which Python and JavaScript write differently.
      // Sentry-Hook-Timestamp is not signed.
      // `issue.created`. The resource is in a header that is not signed.
      event: ["header:sentry-hook-resource", "field:action"],
      // Request-ID names the request; that it is the same on a retry is not confirmed.
      id: ["digest"],
      // 1000 timeouts within a day unsubscribe.
      answerWithinSeconds: 1,
    },
    shopify: {
      title: "Shopify",
      documentation: "https://shopify.dev/docs/apps/build/webhooks/verify-deliveries",
      secretAt: "your app: Client secret (API secret key)",
      schemes: [
        {
          // Base64, no prefix.
          signature: "x-shopify-hmac-sha256",
          encoding: "base64",
          // X-Shopify-Triggered-At is not signed. The 90 seconds of Shopify's library are for signed queries.
        },
        {
          // The newer "Events" have the same headers without the `x-`.
          signature: "shopify-hmac-sha256",
          encoding: "base64",
        },
      ],
      // `orders/create`. Topic and id are not signed. Choose JSON, not XML, in the admin.
      event: ["header:x-shopify-topic | header:shopify-topic"],
      id: ["header:x-shopify-webhook-id | header:shopify-webhook-id"],
      answerWithinSeconds: 5,
      // After the last a subscription made with the Admin API is deleted. A redirect is a failure.
      retries: "8 times over 4 hours",
    },
    typeform: {
      title: "Typeform",
      documentation: "https://www.typeform.com/developers/webhooks/secure-your-webhooks/",
      secretAt: "Connect, Webhooks, Edit: Secret",
      signature: "typeform-signature",
      prefix: "sha256=",
      // Base64, where the prefix looks like GitHub's hex.
      encoding: "base64",
      event: ["field:event_type"],
      id: ["field:event_id"],
      retries: "after any answer but 2xx",
    },
    vercel: {
      title: "Vercel",
      documentation: "https://vercel.com/docs/webhooks/webhooks-api",
      secretAt: "Settings, Webhooks: the secret shown once on creation",
      // Bare hex of SHA-1.
      algorithm: "hmac-sha1",
      signature: "x-vercel-signature",
      // The payload's `createdAt` says when it happened, not when it was signed: retries go on for a day.
      event: ["field:type"],
      // Signed. Whether a retry keeps it is not confirmed; if it does not, the retry is a new delivery.
      id: ["field:id"],
      answerWithinSeconds: 30,
      retries: "with back-off for up to 24 hours",
    },
  },
);
