import type { Sender } from "./sender.ts";

/** A token and no signature: whoever sees one update can send any. https://core.telegram.org/bots/api#setwebhook */
export const telegram: Sender = {
  name: "telegram",
  title: "Telegram",
  // 1 to 256 of A-Z, a-z, 0-9, _ and -.
  secretAt: "`secret_token` in the call of setWebhook",
  key: "text",
  schemes: [
    {
      algorithm: "token",
      signature: "x-telegram-bot-api-secret-token",
      encoding: "text",
      signed: "",
      time: null,
    },
  ],
  // `message`, `callback_query`: the one other key of an update. Only ports 443, 80, 88 and 8443 are called.
  event: ["keyBeside:update_id"],
  id: ["field:update_id"],
  answerWithinSeconds: null,
  retries: "a reasonable number of times, in Telegram's words",
};
