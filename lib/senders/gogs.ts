import type { Sender } from "./sender.ts";

/** https://github.com/gogs/gogs/blob/main/docs/advancing/webhooks.mdx, and internal/database/webhook.go there. */
export const gogs: Sender = {
  name: "gogs",
  title: "Gogs",
  secretAt: "Settings, Webhooks, Add a new webhook: Secret",
  key: "text",
  schemes: [
    {
      algorithm: "hmac-sha256",
      // There is no X-Hub-Signature-256 beside it, unlike Gitea. Empty when no secret is set at Gogs.
      signature: "x-gogs-signature",
      encoding: "hex",
      // A form is signed over the JSON in its field `payload`.
      signed: "{payload}",
      time: null,
    },
  ],
  // Neither is signed.
  event: ["header:x-gogs-event"],
  id: ["header:x-gogs-delivery"],
  form: "payload",
  // The default of DELIVER_TIMEOUT.
  answerWithinSeconds: 15,
  // A task is marked as delivered before it is sent. Redirects are not followed.
  retries: "never",
};
