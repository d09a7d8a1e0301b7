import type { Sender } from "./sender.ts";

/** https://docs.gitea.com/usage/webhooks; the form's signature is in its services/webhook/deliver.go only. */
export const gitea: Sender = {
  name: "gitea",
  title: "Gitea",
  secretAt: "Settings, Webhooks, Add Webhook: Secret",
  key: "text",
  schemes: [
    {
      algorithm: "hmac-sha256",
      // X-Gogs-Signature and X-Hub-Signature-256 say the same: ignored. With no secret set at Gitea the header is
      // there and empty, which is no 32 bytes of hex.
      signature: "x-gitea-signature",
      encoding: "hex",
      // A form is signed over the JSON in its field `payload`, not over the form body, as GitHub would.
      signed: "{payload}",
      time: null,
    },
  ],
  // Event and id are not signed. X-GitHub-Event and X-Gogs-Event repeat the event.
  event: ["header:x-gitea-event"],
  // The hook task's id. Whether "replay" keeps it is not documented.
  id: ["header:x-gitea-delivery"],
  form: "payload",
  // The default of DELIVER_TIMEOUT. The HTTP method GET, with the JSON in the query, is not received: choose POST.
  answerWithinSeconds: 5,
  // A task is marked as delivered before it is sent.
  retries: "never",
};
