import type { Sender } from "./sender.ts";

/** DECNET's event bus: `{ v, id, ts, topic, type, payload }`, keys sorted, no white space. */
export const decnet: Sender = {
  name: "decnet",
  title: "DECNET",
  secretAt: "the secret given to the subscription",
  key: "text",
  schemes: [
    {
      algorithm: "hmac-sha256",
      signature: "x-decnet-signature",
      prefix: "sha256=",
      encoding: "hex",
      signed: "{body}",
      // X-DECNET-Timestamp is not signed: whoever replays a body gives it a fresh one.
      time: null,
    },
  ],
  // A dotted topic such as `attacker.session.started` or `decky.7.state`. Topic and id are not signed either.
  event: ["header:x-decnet-event-topic"],
  // The same on every retry of one delivery.
  id: ["header:x-decnet-event-id"],
  answerWithinSeconds: 10,
  retries: "after 1, 2 and 4 seconds, on network errors, 429 and 5xx",
};
