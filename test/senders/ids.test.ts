/** Senders that give their deliveries no id: a retry is the same delivery, and another event is another one. */
import assert from "node:assert/strict";
import type { KeyObject } from "node:crypto";
import { after, before, test } from "node:test";
import { senderNamed } from "../../lib/senders/table.ts";
import { readSigningKey } from "../../lib/signature/key.ts";
import { sign } from "../../lib/signature/sign.ts";
import type { TestReceiver } from "../receiver.ts";
import { type Handled, openForAllSenders, publicUrl } from "./all-senders.ts";
import { keys } from "./keys.ts";

const handled: Handled[] = [];
let receiver: TestReceiver;
before(async () => {
  receiver = await openForAllSenders(handled);
});
after(() => receiver.stop());

/** Posts a body as the sender would, signed at `now`. @returns how often a handler has run for it */
async function runs(name: string, body: unknown, now: Date): Promise<number> {
  const sender = senderNamed(name);
  const signed = sign(sender, readSigningKey(sender.key, keys[sender.key].sign) as KeyObject, {
    ...{ type: "thing", id: "", body: Buffer.from(JSON.stringify(body)), contentType: "application/json" },
    ...{ url: `${publicUrl}/webhook/${name}`, now },
  });
  handled.length = 0;
  const answer = await fetch(signed.url.replace(publicUrl, `http://127.0.0.1:${receiver.port}`), {
    method: "POST",
    headers: signed.headers,
    body: new Uint8Array(signed.body),
  });
  assert.equal(answer.ok, true, receiver.logText());
  await receiver.allHandled();
  return handled.length;
}

const [first, later] = [new Date(Date.now() - 60_000), new Date()];
const time = first.getTime();
const retried: [name: string, first: unknown, again: unknown, other: unknown][] = [
  [
    "calendly",
    { event: "invitee.created", at: 1 },
    { event: "invitee.created", at: 1 },
    { event: "invitee.created", at: 2 },
  ],
  [
    "docusign",
    { event: "envelope-sent", retryCount: 0 },
    { event: "envelope-sent", retryCount: 1 },
    { event: "envelope-completed", retryCount: 0 },
  ],
  [
    "hubspot",
    [{ eventId: 1, subscriptionType: "contact.creation", attemptNumber: 0 }],
    [{ eventId: 1, subscriptionType: "contact.creation", attemptNumber: 1 }],
    [{ eventId: 2, subscriptionType: "contact.creation", attemptNumber: 0 }],
  ],
  [
    "intercom",
    { topic: "user.created", id: "notif_1", delivery_attempts: 1 },
    { topic: "user.created", id: "notif_1", delivery_attempts: 2 },
    { topic: "user.created", id: "notif_2", delivery_attempts: 1 },
  ],
  [
    "linear",
    { type: "Issue", webhookTimestamp: time },
    { type: "Issue", webhookTimestamp: time },
    { type: "Issue", webhookTimestamp: time + 1 },
  ],
  [
    "meta",
    { object: "page", entry: [{ id: 1 }] },
    { object: "page", entry: [{ id: 1 }] },
    { object: "page", entry: [{ id: 2 }] },
  ],
  [
    "sendgrid",
    [{ event: "open", sg_event_id: "1" }],
    [{ event: "open", sg_event_id: "1" }],
    [{ event: "open", sg_event_id: "2" }],
  ],
  ["sentry", { action: "created", n: 1 }, { action: "created", n: 1 }, { action: "created", n: 2 }],
  [
    "zoom",
    { event: "meeting.started", event_ts: 1 },
    { event: "meeting.started", event_ts: 1 },
    { event: "meeting.started", event_ts: 2 },
  ],
  [
    "pagerduty",
    { event: { id: "01BX", event_type: "incident.triggered" } },
    { event: { id: "01BX", event_type: "incident.triggered" } },
    { event: { id: "01BY", event_type: "incident.triggered" } },
  ],
];

for (const [name, one, again, other] of retried) {
  test(`${name}: a retry runs no handler again, and another event does`, async () => {
    // Linear's time is inside of the body, and the same in each retry.
    const clock = (at: Date) =>
      name === "linear" ? new Date((one as { webhookTimestamp: number }).webhookTimestamp) : at;
    assert.equal(await runs(name, one, clock(first)), 1);
    assert.equal(await runs(name, again, clock(later)), 0);
    const otherClock =
      name === "linear" ? new Date((other as { webhookTimestamp: number }).webhookTimestamp) : later;
    assert.equal(await runs(name, other, otherClock), 1);
  });
}

test("dropbox: two changes are two equal bodies, and both reach the handler", async () => {
  const body = { list_folder: { accounts: ["dbid:1"] }, delta: { users: [1] } };
  assert.equal(await runs("dropbox", body, first), 1);
  assert.equal(await runs("dropbox", body, later), 1);
});
