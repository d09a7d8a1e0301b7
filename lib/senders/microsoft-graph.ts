import type { Sender } from "./sender.ts";

/**
 * Change notifications: a token and no signature. Resource data stays encrypted, and its `validationTokens`
 * (JWTs of Microsoft's) are not looked at.
 * https://learn.microsoft.com/en-us/graph/change-notifications-delivery-webhooks
 */
export const microsoftGraph: Sender = {
  name: "microsoft-graph",
  title: "Microsoft Graph",
  // Up to 128 characters. Optional at Microsoft; a subscription without it is refused here.
  secretAt: "`clientState` in the request that creates the subscription",
  key: "text",
  schemes: [
    {
      algorithm: "token",
      // One request may carry notifications of several subscriptions: give those at one URL the same clientState.
      signature: "field:value.*.clientState",
      encoding: "text",
      signed: "",
      time: null,
    },
  ],
  // `created`, `updated`, `deleted`; a lifecycle notification is `missed`, `subscriptionRemoved`, …
  event: ["field:value.*.lifecycleEvent | field:value.*.changeType"],
  // A notification's own `id` is optional, and nothing says that a retry keeps it.
  id: [],
  // Our limit: the body is parsed before it is authentic. Microsoft states none.
  maxBodyBytes: 1024 * 1024,
  // Sent when a subscription is created, before there is any clientState. The token has to come back URL-decoded.
  handshakes: [{ kind: "echo", method: "POST", parameter: "validationToken" }],
  // More than 10 % slower answers within 10 minutes delay what follows, more than 15 % drop it.
  answerWithinSeconds: 10,
  retries: "at growing intervals for up to 4 hours",
};
