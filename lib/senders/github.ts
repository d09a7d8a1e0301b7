import type { Sender } from "./sender.ts";

/**
 * GitHub, and everything that signs in its way, the lesson first of all.
 * https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
 */
export const github: Sender = {
  name: "github",
  title: "GitHub",
  secretAt: "Settings, Webhooks, Add webhook: Secret",
  key: "text",
  schemes: [
    {
      algorithm: "hmac-sha256",
      // The header is absent when no secret is set at GitHub. X-Hub-Signature (SHA-1) is the legacy twin: ignored.
      signature: "x-hub-signature-256",
      prefix: "sha256=",
      encoding: "hex",
      // Form deliveries (`payload=…`) are signed over the raw form body, not over the JSON in it.
      signed: "{body}",
      time: null,
    },
  ],
  // `pull_request.opened`; a push has no action. Neither the event nor the id is covered by the signature.
  event: ["header:x-github-event", "field:action"],
  // A redelivery asked for by hand carries the same id.
  id: ["header:x-github-delivery"],
  form: "payload",
  maxBodyBytes: 25 * 1024 * 1024,
  answerWithinSeconds: 10,
  retries: "never",
};
