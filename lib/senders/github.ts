import type { Sender } from "./sender.ts";

/**
 * GitHub, and everything that signs in its way, the lesson first of all.
 * https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
 */
export const github: Sender = {
  name: "github",
  // The header is absent when no secret is set at GitHub. X-Hub-Signature (SHA-1) is the legacy twin: ignored.
  // Form deliveries (`payload=…`) are signed over the raw form body, not over the JSON in it.
  signature: { header: "x-hub-signature-256", prefix: "sha256=" },
  // `pull_request.opened`; a push has no action. Neither the event nor the id is covered by the signature.
  event: [{ header: "x-github-event" }, { field: "action" }],
  // GitHub never retries by itself; a redelivery asked for by hand carries the same id.
  id: [{ header: "x-github-delivery" }],
};
