import type { Sender } from "./sender.ts";

/**
 * GitLab's signing token, since 2026 and behind the feature flag `webhook_signing_token`: Standard Webhooks.
 * https://gitlab.com/gitlab-org/gitlab/-/merge_requests/230944
 */
export const gitlabSigning: Sender = {
  name: "gitlab-signing",
  title: "GitLab (signing token)",
  secretAt: "Settings, Webhooks, Add new webhook: Signing token (`whsec_…`)",
  key: "whsec",
  schemes: [
    {
      algorithm: "hmac-sha256",
      // X-Gitlab-Token may be there too; it is never a second chance for a wrong signature.
      signature: "webhook-signature",
      separator: " ",
      prefix: "v1,",
      encoding: "base64",
      signed: "{header:webhook-id}.{header:webhook-timestamp}.{body}",
      // The window of the Standard Webhooks libraries; GitLab names none of its own.
      time: { at: "header:webhook-timestamp", unit: "seconds", toleranceSeconds: 300 },
    },
  ],
  // The body is signed, X-Gitlab-Event is not: it is the last resort, for a custom body template.
  event: ["field:object_kind | field:event_name | header:x-gitlab-event"],
  // Signed, and equal to Idempotency-Key. X-Gitlab-Webhook-UUID is new in every request.
  id: ["header:webhook-id"],
  maxBodyBytes: 25 * 1024 * 1024,
  // The default of gitlab.webhook_timeout.
  answerWithinSeconds: 10,
  retries: "unknown",
};
