import type { Sender } from "./sender.ts";

/** DECNET's event bus: `{ v, id, ts, topic, type, payload }`, keys sorted, no white space. */
export const decnet: Sender = {
  name: "decnet",
  // The id, topic and timestamp headers are not covered by the signature.
  signature: { header: "x-decnet-signature", prefix: "sha256=" },
  // A dotted topic such as `attacker.session.started` or `decky.7.state`.
  event: [{ header: "x-decnet-event-topic" }],
  id: [{ header: "x-decnet-event-id" }],
};
