/**
 * No signature at all: the secret itself travels with each delivery, in a header or in the body.
 *
 * Whoever sees one delivery can send any other. TLS is all that protects it.
 */
import { sendersOf } from "./sender.ts";

export const token = sendersOf(
  { algorithm: "token", encoding: "text", signed: "", time: null },
  {
    // GitLab's older way: the secret itself travels in a header, and nothing is signed. Whoever sees one delivery can
    // send any body. Prefer `gitlab-signing` where the GitLab at hand has it.
    "gitlab-token": {
      title: "GitLab (secret token)",
      documentation: "https://docs.gitlab.com/user/project/integrations/webhooks/",
      secretAt: "Settings, Webhooks, Add new webhook: Secret token",
      signature: "x-gitlab-token",
      // A hook can have both tokens. A signature that is there must be checked, so this row does not pass it over.
      refusedBeside: ["webhook-signature"],
      // `push`, `merge_request.open`; a system hook may have only the second; a custom body template none: "Push Hook".
      event: [
        "field:object_kind | field:event_name | header:x-gitlab-event",
        "field:object_attributes.action",
      ],
      // Kept across retries. X-Gitlab-Webhook-UUID is new in every request, X-Gitlab-Event-UUID shared by a chain.
      id: ["header:idempotency-key"],
      maxBodyBytes: 25 * 1024 * 1024,
      // The default of gitlab.webhook_timeout. A hook that keeps failing is disabled.
      answerWithinSeconds: 10,
    },
    // A token and no signature: whoever sees one update can send any.
    telegram: {
      title: "Telegram",
      documentation: "https://core.telegram.org/bots/api#setwebhook",
      // 1 to 256 of A-Z, a-z, 0-9, _ and -.
      secretAt: "`secret_token` in the call of setWebhook",
      signature: "x-telegram-bot-api-secret-token",
      // `message`, `callback_query`: the one other key of an update. Only ports 443, 80, 88 and 8443 are called.
      event: ["keyBeside:update_id"],
      id: ["field:update_id"],
      retries: "a reasonable number of times, in Telegram's words",
    },
    // Change notifications: a token and no signature. Resource data stays encrypted, and its `validationTokens`
    // (JWTs of Microsoft's) are not looked at.
    "microsoft-graph": {
      title: "Microsoft Graph",
      documentation: "https://learn.microsoft.com/en-us/graph/change-notifications-delivery-webhooks",
      // Up to 128 characters. Optional at Microsoft; a subscription without it is refused here.
      secretAt: "`clientState` in the request that creates the subscription",
      // One request may carry notifications of several subscriptions: give those at one URL the same clientState.
      signature: "field:value.*.clientState",
      // `created`, `updated`, `deleted`; a lifecycle notification is `missed`, `subscriptionRemoved`, …
      event: ["field:value.*.lifecycleEvent | field:value.*.changeType"],
      // A notification's own `id` is optional, and nothing says that a retry keeps it. Two updates of one resource can
      // be two equal bodies: their digest is no id either.
      // Our limit: the body is parsed before it is authentic. Microsoft states none.
      maxBodyBytes: 1024 * 1024,
      // Sent when a subscription is created, before there is any clientState. The token has to come back URL-decoded.
      handshakes: [{ kind: "echo", method: "POST", parameter: "validationToken" }],
      // More than 10 % slower answers within 10 minutes delay what follows, more than 15 % drop it.
      answerWithinSeconds: 10,
      retries: "at growing intervals for up to 4 hours",
    },
  },
);
