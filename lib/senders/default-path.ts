/**
 * The senders of the default path `/webhook`: an HMAC of the raw body, as in `raw-body.ts`.
 *
 * One path may serve these three, because all of them sign exactly the same bytes with the same key and algorithm:
 * whichever header a caller picks, it has to know the same secret. No other sender may share a path.
 */
import { sendersOf } from "./sender.ts";

export const defaultSenders = sendersOf(
  { algorithm: "hmac-sha256", encoding: "hex", signed: "{body}", time: null },
  {
    // GitHub, and everything that signs in its way, the lesson first of all.
    github: {
      title: "GitHub",
      documentation: "https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries",
      secretAt: "Settings, Webhooks, Add webhook: Secret",
      // The header is absent when no secret is set at GitHub. X-Hub-Signature (SHA-1) is the legacy twin: ignored.
      signature: "x-hub-signature-256",
      prefix: "sha256=",
      // Form deliveries (`payload=…`) are signed over the raw form body, not over the JSON in it.
      // `pull_request.opened`; a push has no action. Neither the event nor the id is covered by the signature.
      event: ["header:x-github-event", "field:action"],
      // A redelivery asked for by hand carries the same id.
      id: ["header:x-github-delivery"],
      form: "payload",
      maxBodyBytes: 25 * 1024 * 1024,
      answerWithinSeconds: 10,
      retries: "never",
    },
    // DECNET's event bus: `{ v, id, ts, topic, type, payload }`, keys sorted, no white space.
    decnet: {
      title: "DECNET",
      secretAt: "the secret given to the subscription",
      signature: "x-decnet-signature",
      prefix: "sha256=",
      // X-DECNET-Timestamp is not signed: whoever replays a body gives it a fresh one.
      // A dotted topic such as `attacker.session.started` or `decky.7.state`. Topic and id are not signed either.
      event: ["header:x-decnet-event-topic"],
      // The same on every retry of one delivery.
      id: ["header:x-decnet-event-id"],
      answerWithinSeconds: 10,
      retries: "after 1, 2 and 4 seconds, on network errors, 429 and 5xx",
    },
    // messaging-sdk's delivery statuses: `{ id, status, deliveredAt? }`.
    messaging: {
      title: "messaging-sdk",
      secretAt: "the webhook secret it is configured with",
      // A proxy that strips or consumes Authorization breaks every delivery.
      signature: "authorization",
      authScheme: "Bearer",
      event: ["text:message", "field:status"],
      // `id` names the message, which passes through several statuses: only both together name a delivery.
      id: ["field:id", "field:status"],
      shape: [
        { field: "id", required: true, is: "non-empty string" },
        { field: "status", required: true, oneOf: ["queued", "delivered", "failed"] },
        { field: "deliveredAt", required: false, is: "date-time" },
      ],
      acceptedAnswer: { status: 200, json: { message: "Webhook processed successfully." } },
    },
  },
);
