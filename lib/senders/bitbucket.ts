import type { Sender } from "./sender.ts";

/** https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/ */
export const bitbucket: Sender = {
  name: "bitbucket",
  title: "Bitbucket Cloud",
  secretAt: "Repository settings, Webhooks, Add webhook: Secret",
  key: "text",
  schemes: [
    {
      algorithm: "hmac-sha256",
      // No "-256" in the name, and yet SHA-256; GitHub's header of this name is SHA-1. `sha1=` is refused.
      signature: "x-hub-signature",
      prefix: "sha256=",
      encoding: "hex",
      signed: "{body}",
      time: null,
    },
  ],
  // `repo:push`. Neither is signed.
  event: ["header:x-event-key"],
  // The same across automatic retries. X-Hook-UUID names the hook, not the delivery.
  id: ["header:x-request-uuid"],
  answerWithinSeconds: null,
  retries: "unknown",
};
