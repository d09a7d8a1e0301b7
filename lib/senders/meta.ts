import type { Sender } from "./sender.ts";

/** https://developers.facebook.com/docs/graph-api/webhooks/getting-started */
export const meta: Sender = {
  name: "meta",
  title: "Meta (WhatsApp, Messenger, Instagram)",
  secretAt: "App Dashboard, App settings, Basic: App secret",
  key: "text",
  schemes: [
    {
      algorithm: "hmac-sha256",
      // X-Hub-Signature (SHA-1) is the legacy twin: ignored.
      signature: "x-hub-signature-256",
      prefix: "sha256=",
      encoding: "hex",
      // Meta writes ä as \u00e4 and / as \/: parsed and written out anew, the signature no longer fits.
      signed: "{body}",
      time: null,
    },
  ],
  // `whatsapp_business_account.messages`; Messenger's entries have no `changes`: `page`.
  event: ["field:object", "field:entry.*.changes.*.field"],
  // Deliveries are batches; only the things in them have ids.
  id: [],
  // The verify token is a second secret, which you choose: WEBHOOK_VERIFY_TOKEN_META.
  handshakes: [
    {
      kind: "echo",
      method: "GET",
      parameter: "hub.challenge",
      where: { "hub.mode": "subscribe" },
      tokenAt: "hub.verify_token",
    },
  ],
  answerWithinSeconds: null,
  // WhatsApp for up to 7 days.
  retries: "at once, then less and less often over 36 hours",
};
