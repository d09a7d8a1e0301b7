/**
 * An HMAC of something in the body: a form's field, or some fields of the payload.
 *
 * The body has to be read before it is authentic, so these rows have a lower size limit.
 */
import { sendersOf } from "./sender.ts";

export const bodyFields = sendersOf(
  { algorithm: "hmac-sha256", encoding: "hex" },
  {
    // the form's signature is in its services/webhook/deliver.go only.
    gitea: {
      title: "Gitea",
      documentation: "https://docs.gitea.com/usage/webhooks",
      secretAt: "Settings, Webhooks, Add Webhook: Secret",
      // X-Gogs-Signature and X-Hub-Signature-256 say the same: ignored. With no secret set at Gitea the header is
      // there and empty, which is no 32 bytes of hex.
      signature: "x-gitea-signature",
      // A form is signed over the JSON in its field `payload`, not over the form body, as GitHub would.
      signed: "{payload}",
      time: null,
      // Event and id are not signed. X-GitHub-Event and X-Gogs-Event repeat the event.
      event: ["header:x-gitea-event", "field:action"],
      // The hook task's id. Whether "replay" keeps it is not documented.
      id: ["header:x-gitea-delivery"],
      form: "payload",
      // The default of DELIVER_TIMEOUT. The HTTP method GET, with the JSON in the query, is not received: choose POST.
      answerWithinSeconds: 5,
      // A task is marked as delivered before it is sent.
      retries: "never",
    },
    // how it signs is in its source, services/webhook, only.
    forgejo: {
      title: "Forgejo",
      documentation: "https://forgejo.org/docs/latest/user/webhooks/",
      secretAt: "Settings, Webhooks, Add webhook: Secret",
      // The twins X-Gitea-, X-Gogs- and X-Hub-Signature-256 are ignored. With no secret set at Forgejo the
      // signature is empty, which is no 32 bytes of hex.
      signature: "x-forgejo-signature",
      // As Gitea: a form is signed over the JSON in its field `payload`.
      signed: "{payload}",
      time: null,
      // Event and id are not signed; both have X-Gitea-, X-Gogs- and X-GitHub- twins.
      event: ["header:x-forgejo-event", "field:action"],
      id: ["header:x-forgejo-delivery"],
      form: "payload",
      // Likely as Gitea, but nowhere confirmed.
    },
    // and internal/database/webhook.go there.
    gogs: {
      title: "Gogs",
      documentation: "https://github.com/gogs/gogs/blob/main/docs/advancing/webhooks.mdx",
      secretAt: "Settings, Webhooks, Add a new webhook: Secret",
      // There is no X-Hub-Signature-256 beside it, unlike Gitea. Empty when no secret is set at Gogs.
      signature: "x-gogs-signature",
      // A form is signed over the JSON in its field `payload`.
      signed: "{payload}",
      time: null,
      // Neither is signed.
      event: ["header:x-gogs-event", "field:action"],
      id: ["header:x-gogs-delivery"],
      form: "payload",
      // The default of DELIVER_TIMEOUT.
      answerWithinSeconds: 15,
      // A task is marked as delivered before it is sent. Redirects are not followed.
      retries: "never",
    },
    // The signature covers a time and a random token, NOT the event: whoever holds such a triple can put it beside
    // any event. Only TLS and never taking a token twice stand against that.
    mailgun: {
      title: "Mailgun",
      documentation: "https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks",
      secretAt: "the account's API keys: HTTP webhook signing key",
      schemes: [
        {
          signature: "field:signature.signature",
          signed: "{field:signature.timestamp}{field:signature.token}",
          // Mailgun names no window, only that it should not be too far from now.
          time: { at: "field:signature.timestamp", unit: "seconds", toleranceSeconds: null },
        },
        {
          // Legacy webhooks and routes: a form with flat fields. `signature` is an object or a text, never both.
          signature: "field:signature",
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
      // 406 is the answer that stops the retries.
      retries: "7 times over 8 hours, except after 406",
    },
  },
);
