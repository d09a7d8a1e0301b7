import type { Sender } from "./sender.ts";

/** https://developers.zoom.us/docs/api/webhooks/ */
export const zoom: Sender = {
  name: "zoom",
  title: "Zoom",
  secretAt: "your app, Features, Event Subscriptions: Secret Token",
  key: "text",
  schemes: [
    {
      algorithm: "hmac-sha256",
      signature: "x-zm-signature",
      prefix: "v0=",
      encoding: "hex",
      // Zoom's own sample hashes the JSON written out anew, which fails for any body that is not compact.
      signed: "v0:{header:x-zm-request-timestamp}:{body}",
      // Neither Zoom's sample nor its library says how old it may be.
      time: { at: "header:x-zm-request-timestamp", unit: "seconds", toleranceSeconds: null },
    },
  ],
  event: ["field:event"],
  // No header or field is documented as the delivery's id; `event_ts` is only a time.
  id: [],
  // Signed like every event, and repeated every 72 hours.
  handshakes: [
    {
      kind: "payload",
      where: { event: "endpoint.url_validation" },
      answer: {
        status: 200,
        json: { plainToken: "{field:payload.plainToken}", encryptedToken: "{hmac:payload.plainToken}" },
      },
    },
  ],
  answerWithinSeconds: 3,
  retries: "unknown",
};
