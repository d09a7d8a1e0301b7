import type { Sender } from "./sender.ts";

/** https://shopify.dev/docs/apps/build/webhooks/verify-deliveries */
export const shopify: Sender = {
  name: "shopify",
  title: "Shopify",
  secretAt: "your app: Client secret (API secret key)",
  key: "text",
  schemes: [
    {
      algorithm: "hmac-sha256",
      // Base64, no prefix.
      signature: "x-shopify-hmac-sha256",
      encoding: "base64",
      signed: "{body}",
      // X-Shopify-Triggered-At is not signed. The 90 seconds of Shopify's library are for signed queries.
      time: null,
    },
    {
      algorithm: "hmac-sha256",
      // The newer "Events" have the same headers without the `x-`.
      signature: "shopify-hmac-sha256",
      encoding: "base64",
      signed: "{body}",
      time: null,
    },
  ],
  // `orders/create`. Topic and id are not signed. Choose JSON, not XML, in the admin.
  event: ["header:x-shopify-topic | header:shopify-topic"],
  id: ["header:x-shopify-webhook-id | header:shopify-webhook-id"],
  answerWithinSeconds: 5,
  // After the last a subscription made with the Admin API is deleted. A redirect is a failure.
  retries: "8 times over 4 hours",
};
