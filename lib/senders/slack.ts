import type { Sender } from "./sender.ts";

/** https://docs.slack.dev/authentication/verifying-requests-from-slack/ */
export const slack: Sender = {
  name: "slack",
  title: "Slack",
  secretAt: "your app, Basic Information: Signing Secret",
  // Looks like hex and is not decoded.
  key: "text",
  schemes: [
    {
      algorithm: "hmac-sha256",
      signature: "x-slack-signature",
      prefix: "v0=",
      encoding: "hex",
      // The header's text as it is, never as a number: leading zeros are signed too. Forms are signed raw.
      signed: "v0:{header:x-slack-request-timestamp}:{body}",
      // Bolt refuses only what is too old; a time far in the future is refused here as well.
      time: { at: "header:x-slack-request-timestamp", unit: "seconds", toleranceSeconds: 300 },
    },
  ],
  // `message`, `/deploy`, `block_actions`: an event in its envelope, a slash command, an interaction.
  event: ["field:event.type | field:command | field:type"],
  // The event's id is the same on every retry. A command has only its trigger.
  id: ["field:event_id | field:trigger_id"],
  form: "payload or fields",
  handshakes: [
    { kind: "form", fields: { ssl_check: "1" } },
    {
      kind: "payload",
      where: { type: "url_verification" },
      answer: { status: 200, json: { challenge: "{field:challenge}" } },
    },
  ],
  // Slack shows the body of the answer to a slash command to the user who typed it.
  acceptedAnswer: { status: 200 },
  // More than 95 % failures within an hour disable the subscription.
  answerWithinSeconds: 3,
  retries: "3 times: at once, after 1 minute and after 5 minutes",
};
