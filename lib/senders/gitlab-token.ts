import type { Sender } from "./sender.ts";

/**
 * GitLab's older way: the secret itself travels in a header, and nothing is signed. Whoever sees one delivery can
 * send any body. Prefer `gitlab-signing` where the GitLab at hand has it.
 * https://docs.gitlab.com/user/project/integrations/webhooks/
 */
export const gitlabToken: Sender = {
  name: "gitlab-token",
  title: "GitLab (secret token)",
  secretAt: "Settings, Webhooks, Add new webhook: Secret token",
  key: "text",
  schemes: [
    {
      algorithm: "token",
      signature: "x-gitlab-token",
      encoding: "text",
      signed: "",
      // A hook can have both tokens. A signature that is there must be checked, so this row does not pass it over.
      refusedBeside: ["webhook-signature"],
      time: null,
    },
  ],
  // `push`, `merge_request`; a system hook may have only the second; a custom body template none: "Push Hook".
  event: ["field:object_kind | field:event_name | header:x-gitlab-event"],
  // Kept across retries. X-Gitlab-Webhook-UUID is new in every request, X-Gitlab-Event-UUID shared by a chain.
  id: ["header:idempotency-key"],
  maxBodyBytes: 25 * 1024 * 1024,
  // The default of gitlab.webhook_timeout. A hook that keeps failing is disabled.
  answerWithinSeconds: 10,
  retries: "unknown",
};
