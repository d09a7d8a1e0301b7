/** A receiver that takes the deliveries of every sender. */
import type { Sender } from "../../lib/senders/sender.ts";
import type { WebhookEvent } from "../../lib/signature/event.ts";
import { openTestReceiver, type TestReceiver } from "../receiver.ts";
import { secretVariables } from "./keys.ts";

/** What the senders call that sign the URL. */
export const publicUrl = "https://hooks.example.com/base";

/** The status of the answer to an accepted delivery that has none of the fields which choose another answer. */
export function acceptedStatus({ acceptedAnswer = [] }: Sender): number {
  return [acceptedAnswer].flat().find((answer) => answer.with === undefined)?.status ?? 200;
}

export type Handled = Pick<WebhookEvent, "type" | "id" | "body" | "sender">;

/** @param handled gets every event that reaches the handler */
export function openForAllSenders(
  handled: Handled[],
  more: { maxBodyBytes?: number } = {},
): Promise<TestReceiver> {
  return openTestReceiver({
    environment: { ...secretVariables, WEBHOOK_PUBLIC_URL: publicUrl },
    handlers: {
      "*": ({ type, id, body, sender }) => {
        handled.push({ type, id, body, sender });
      },
    },
    ...more,
  });
}
