import type { Sender } from "./sender.ts";

/**
 * The integration platform.
 * https://docs.sentry.io/organization/integrations/integration-platform/webhooks/
 */
export const sentry: Sender = {
  name: "sentry",
  title: "Sentry",
  secretAt: "Settings, Developer Settings, your integration: Client Secret",
  key: "text",
  schemes: [
    {
      algorithm: "hmac-sha256",
      signature: "sentry-hook-signature",
      encoding: "hex",
      // Sentry's sample hashes the JSON written out anew, which Python and JavaScript write differently.
      signed: "{body}",
      // Sentry-Hook-Timestamp is not signed.
      time: null,
    },
  ],
  // `issue.created`. The resource is in a header that is not signed.
  event: ["header:sentry-hook-resource", "field:action"],
  // Request-ID names the request; that it is the same on a retry is not confirmed.
  id: [],
  // 1000 timeouts within a day unsubscribe.
  answerWithinSeconds: 1,
  retries: "unknown",
};
