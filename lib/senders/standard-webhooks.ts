/**
 * Standard Webhooks, and Svix, where it comes from: an HMAC of id, time and body, in base64.
 *
 * Id and time are signed, several signatures may stand in the header while a secret is rotated, and the secret is
 * `whsec_` and base64. https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 */
import { sendersOf } from "./sender.ts";

export const standardWebhooks = sendersOf(
  {
    algorithm: "hmac-sha256",
    signature: "webhook-signature",
    separator: " ",
    prefix: "v1,",
    encoding: "base64",
    signed: "{header:webhook-id}.{header:webhook-timestamp}.{body}",
    time: { at: "header:webhook-timestamp", unit: "seconds", toleranceSeconds: 300 },
    key: "whsec",
  },
  {
    "standard-webhooks": {
      title: "Standard Webhooks",
      documentation:
        "https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md",
      secretAt: "the endpoint's signing secret at the sender (`whsec_…`)",
      // One entry for each active key; `v1a,…` and versions to come are passed over.
      // The time of the attempt, new on every retry. The reference library takes "1614265330abc" for a number.
      // Recommended by the specification, not required.
      event: ["field:type"],
      // Signed, and the same on every retry.
      id: ["header:webhook-id"],
      // The specification only recommends: to wait for 15 to 30 seconds.
      retries: "as the sender likes; the specification suggests 10 attempts",
    },
    svix: {
      title: "Svix",
      documentation: "https://docs.svix.com/receiving/verifying-payloads/how-manual",
      secretAt: "the endpoint's Signing Secret (`whsec_…`)",
      schemes: [
        {
          signature: "svix-signature",
          signed: "{header:svix-id}.{header:svix-timestamp}.{body}",
          time: { at: "header:svix-timestamp", unit: "seconds", toleranceSeconds: 300 },
          refusedBeside: ["webhook-id"],
        },
        {
          // White-label senders use the names of Standard Webhooks. Svix's library lets a request mix the families.
          // Not signed by this family, and it would be taken for the id.
          refusedBeside: ["svix-id"],
        },
      ],
      // The payload is the vendor's own; most have a `type`.
      event: ["field:type"],
      // The same on every retry.
      id: ["header:svix-id | header:webhook-id"],
      // The open-source server waits for 30 seconds; the hosted service's limit is not confirmed.
      retries: "7 times over 28 hours, by default of the open-source server",
    },
    // GitLab's signing token, since 2026 and behind the feature flag `webhook_signing_token`: Standard Webhooks.
    "gitlab-signing": {
      title: "GitLab (signing token)",
      documentation: "https://gitlab.com/gitlab-org/gitlab/-/merge_requests/230944",
      secretAt: "Settings, Webhooks, Add new webhook: Signing token (`whsec_…`)",
      // X-Gitlab-Token may be there too; it is never a second chance for a wrong signature.
      // The window of the Standard Webhooks libraries; GitLab names none of its own.
      // The body is signed, X-Gitlab-Event is not: it is the last resort, for a custom body template.
      event: [
        "field:object_kind | field:event_name | header:x-gitlab-event",
        "field:object_attributes.action",
      ],
      // Signed, and equal to Idempotency-Key. X-Gitlab-Webhook-UUID is new in every request.
      id: ["header:webhook-id"],
      maxBodyBytes: 25 * 1024 * 1024,
      // The default of gitlab.webhook_timeout.
      answerWithinSeconds: 10,
    },
  },
);
