import type { Sender } from "./sender.ts";

/**
 * Interactions and webhook events. An interaction wants its reply in the answer itself, within 3 seconds: that is
 * out of reach of a receiver that answers before it works.
 * https://discord.com/developers/docs/interactions/overview
 * https://discord.com/developers/docs/events/webhook-events
 */
export const discord: Sender = {
  name: "discord",
  title: "Discord",
  secretAt: "Developer Portal, your app, General Information: Public Key",
  key: "ed25519-hex",
  schemes: [
    {
      algorithm: "ed25519",
      // Discord probes with wrong signatures, at first and ever after: any answer but 401 removes the URL.
      signature: "x-signature-ed25519",
      encoding: "hex",
      // Nothing stands between the two.
      signed: "{header:x-signature-timestamp}{body}",
      // Discord says nothing of how old it may be, and its page leaves the unit open.
      time: { at: "header:x-signature-timestamp", unit: "seconds", toleranceSeconds: null },
    },
  ],
  event: ["field:event.type | field:type"],
  // Interactions have only a number. 0 and 1 are pings: see below.
  eventNames: { 2: "command", 3: "component", 4: "autocomplete", 5: "modal" },
  // An interaction's id; a webhook event has none.
  id: ["field:id"],
  // Two pings with opposite answers: interactions send type 1, webhook events type 0. An event has type 1 too,
  // and `event` beside it.
  handshakes: [
    { kind: "payload", where: { type: 1 }, without: ["event"], answer: { status: 200, json: { type: 1 } } },
    { kind: "payload", where: { type: 0 }, answer: { status: 204 } },
  ],
  acceptedAnswer: { status: 204 },
  // Our limit: the body is hashed again for every key.
  maxBodyBytes: 1024 * 1024,
  answerWithinSeconds: 3,
  retries: "webhook events only, with back-off for up to 10 minutes",
};
