import type { Sender } from "./sender.ts";

/** Version 3. https://developers.hubspot.com/docs/apps/legacy-apps/authentication/validating-requests */
export const hubspot: Sender = {
  name: "hubspot",
  title: "HubSpot",
  secretAt: "your app, Auth: Client secret",
  key: "text",
  schemes: [
    {
      algorithm: "hmac-sha256",
      // X-HubSpot-Signature (v1, v2) may be beside it: a plain SHA-256 of secret and body, open to length
      // extension. It is never looked at.
      signature: "x-hubspot-signature-v3",
      encoding: "base64",
      // HubSpot decodes %3A %2F %3F %40 %21 %24 %27 %28 %29 %2A %2C %3B in the URL and leaves %20 alone.
      signed: "{method}{url-unescaped}{body}{header:x-hubspot-request-timestamp}",
      time: { at: "header:x-hubspot-request-timestamp", unit: "milliseconds", toleranceSeconds: 300 },
    },
  ],
  // The payload is an array of events, of several types at times.
  event: ["field:*.subscriptionType"],
  // Each element has an `eventId`, the delivery has none.
  id: [],
  answerWithinSeconds: 5,
  retries: "up to 10 times over 24 hours",
};
