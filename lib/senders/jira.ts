import type { Sender } from "./sender.ts";

/**
 * The webhooks an administrator sets up. Those of Connect and OAuth apps carry a JWT instead and are refused.
 * https://developer.atlassian.com/cloud/jira/platform/webhooks/
 */
export const jira: Sender = {
  name: "jira",
  title: "Jira Cloud",
  secretAt: "Settings, System, WebHooks: Secret",
  key: "text",
  schemes: [
    {
      algorithm: "hmac-sha256",
      // No "-256" in the name, and yet SHA-256. Atlassian says the method may change: only `sha256=` is taken.
      signature: "x-hub-signature",
      prefix: "sha256=",
      encoding: "hex",
      signed: "{body}",
      // The payload's `timestamp` says when it happened, not when it was signed.
      time: null,
    },
  ],
  // `jira:issue_updated`. With the option "Exclude body" there is no payload at all: leave it off.
  event: ["field:webhookEvent"],
  // Unique per tenant, the same across retries; not signed.
  id: ["header:x-atlassian-webhook-identifier"],
  answerWithinSeconds: null,
  retries: "up to 5 times, 5 to 15 minutes apart",
};
