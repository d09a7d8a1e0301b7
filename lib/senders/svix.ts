import type { Sender } from "./sender.ts";

/** https://docs.svix.com/receiving/verifying-payloads/how-manual */
export const svix: Sender = {
  name: "svix",
  title: "Svix",
  secretAt: "the endpoint's Signing Secret (`whsec_…`)",
  key: "whsec",
  schemes: [
    {
      algorithm: "hmac-sha256",
      signature: "svix-signature",
      separator: " ",
      prefix: "v1,",
      encoding: "base64",
      signed: "{header:svix-id}.{header:svix-timestamp}.{body}",
      time: { at: "header:svix-timestamp", unit: "seconds", toleranceSeconds: 300 },
      refusedBeside: ["webhook-id"],
    },
    {
      algorithm: "hmac-sha256",
      // White-label senders use the names of Standard Webhooks. Svix's library lets a request mix the families.
      signature: "webhook-signature",
      separator: " ",
      prefix: "v1,",
      encoding: "base64",
      signed: "{header:webhook-id}.{header:webhook-timestamp}.{body}",
      time: { at: "header:webhook-timestamp", unit: "seconds", toleranceSeconds: 300 },
      // Not signed by this family, and it would be taken for the id.
      refusedBeside: ["svix-id"],
    },
  ],
  // The payload is the vendor's own; most have a `type`.
  event: ["field:type"],
  // The same on every retry.
  id: ["header:svix-id | header:webhook-id"],
  // The open-source server waits for 30 seconds; the hosted service's limit is not confirmed.
  answerWithinSeconds: null,
  retries: "7 times over 28 hours, by default of the open-source server",
};
