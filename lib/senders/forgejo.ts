import type { Sender } from "./sender.ts";

/** https://forgejo.org/docs/latest/user/webhooks/; how it signs is in its source, services/webhook, only. */
export const forgejo: Sender = {
  name: "forgejo",
  title: "Forgejo",
  secretAt: "Settings, Webhooks, Add webhook: Secret",
  key: "text",
  schemes: [
    {
      algorithm: "hmac-sha256",
      // The twins X-Gitea-, X-Gogs- and X-Hub-Signature-256 are ignored. With no secret set at Forgejo the
      // signature is empty, which is no 32 bytes of hex.
      signature: "x-forgejo-signature",
      encoding: "hex",
      // As Gitea: a form is signed over the JSON in its field `payload`.
      signed: "{payload}",
      time: null,
    },
  ],
  // Event and id are not signed; both have X-Gitea-, X-Gogs- and X-GitHub- twins.
  event: ["header:x-forgejo-event"],
  id: ["header:x-forgejo-delivery"],
  form: "payload",
  // Likely as Gitea, but nowhere confirmed.
  answerWithinSeconds: null,
  retries: "unknown",
};
