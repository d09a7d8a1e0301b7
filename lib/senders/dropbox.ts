import type { Sender } from "./sender.ts";

/** https://www.dropbox.com/developers/reference/webhooks */
export const dropbox: Sender = {
  name: "dropbox",
  title: "Dropbox",
  secretAt: "App Console, your app, Settings: App secret",
  key: "text",
  schemes: [
    {
      algorithm: "hmac-sha256",
      signature: "x-dropbox-signature",
      encoding: "hex",
      signed: "{body}",
      time: null,
    },
  ],
  // The payload says only whose files have changed: no type, no id.
  event: [],
  // Two changes in one account are two equal bodies: their digest is no id either.
  id: [],
  handshakes: [{ kind: "echo", method: "GET", parameter: "challenge" }],
  answerWithinSeconds: 10,
  retries: "unknown",
};
