/** Every sender at once, each at its own path of one receiver, over real sockets. */
import assert from "node:assert/strict";
import type { KeyObject } from "node:crypto";
import { after, before, test } from "node:test";
import type { Sender } from "../../lib/senders/sender.ts";
import { senders } from "../../lib/senders/table.ts";
import { readSigningKey } from "../../lib/signature/key.ts";
import { readySender } from "../../lib/signature/ready.ts";
import { sign } from "../../lib/signature/sign.ts";
import type { TestReceiver } from "../receiver.ts";
import { acceptedStatus, type Handled, openForAllSenders, publicUrl } from "./all-senders.ts";
import { ed25519, keys } from "./keys.ts";

/** One clock for the payloads and the signatures. */
const now = new Date();
const pathOf = (sender: Sender) => `/webhook/${sender.name}`;
let count = 0;
const handled: Handled[] = [];
let receiver: TestReceiver;

before(async () => {
  receiver = await openForAllSenders(handled, { maxBodyBytes: 5 * 1024 * 1024 });
});
after(() => receiver.stop());

/** Signs as the sender and posts to its path. */
async function deliver(sender: Sender, body: Buffer, contentType = "application/json") {
  const key = readSigningKey(sender.key, keys[sender.key].sign) as KeyObject;
  count += 1;
  const event = {
    type: "thing.happened",
    // A name of its own for each: the same one again would be a repeat.
    id: `delivery-${count}`,
    body,
    contentType,
    url: `${publicUrl}${pathOf(sender)}`,
    now,
  };
  const signed = sign(sender, key, event);
  const url = signed.url.replace(publicUrl, `http://127.0.0.1:${receiver.port}`);
  handled.length = 0;
  const answer = await fetch(url, {
    method: "POST",
    headers: signed.headers,
    body: new Uint8Array(signed.body),
  });
  await receiver.allHandled();
  return answer;
}

/** An event that has what the senders sign inside the payload. */
function payloadFor(sender: Sender): Buffer {
  const status = sender.name === "messaging" ? { id: `m-${count}`, status: "queued" } : {};
  return Buffer.from(
    JSON.stringify({ value: [{}], webhookTimestamp: now.getTime(), text: `✓ ${count}`, ...status }),
  );
}

for (const sender of senders) {
  test(`${sender.title}: what sign() makes is accepted at ${pathOf(sender)} and reaches the handler`, async () => {
    const answer = await deliver(sender, payloadFor(sender));
    assert.equal(answer.status, acceptedStatus(sender), receiver.logText());
    const [event] = handled;
    assert.equal(event?.sender, sender.name);
    const [typeAt] = sender.event;
    if (typeAt?.startsWith("header:")) assert.equal(event?.type, "thing.happened");
    if (sender.id[0]?.startsWith("header:")) assert.equal(event?.id, `delivery-${count}`);
  });

  test(`${sender.title}: the same delivery at another sender's path is refused`, async () => {
    const other = senders.find(({ name }) => name === (sender.name === "stripe" ? "slack" : "stripe"));
    const key = readSigningKey(sender.key, keys[sender.key].sign) as KeyObject;
    const url = `http://127.0.0.1:${receiver.port}/webhook/${other?.name}`;
    const body = payloadFor(sender);
    const signed = sign(sender, key, {
      type: "x",
      id: "1",
      body,
      contentType: "application/json",
      url,
      now,
    });
    const answer = await fetch(signed.url, {
      method: "POST",
      headers: signed.headers,
      body: new Uint8Array(signed.body),
    });
    assert.equal(answer.status, 401);
  });
}

const signsRawBody = (sender: Sender) =>
  readySender(sender).schemes.every(
    ({ signedParts, signatureField }) =>
      signatureField === undefined && signedParts.some(({ kind }) => kind === "body" || kind === "payload"),
  );

const oddBodies: [what: string, bytes: (json: Buffer) => Buffer][] = [
  ["a byte order mark", (json) => Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), json])],
  ["a CRLF at its end", (json) => Buffer.concat([json, Buffer.from("\r\n")])],
  [
    "a Latin-1 byte",
    (json) => Buffer.concat([json.subarray(0, -1), Buffer.from(',"name":"Zo\xeb"}', "latin1")]),
  ],
];
for (const sender of senders.filter(signsRawBody)) {
  for (const [what, bytes] of oddBodies) {
    test(`${sender.title}: a body with ${what}, correctly signed, is accepted byte for byte`, async () => {
      const body = bytes(payloadFor(sender));
      const answer = await deliver(sender, body);
      assert.equal(answer.status, acceptedStatus(sender), receiver.logText());
      assert.deepEqual(handled[0]?.body, body);
    });
  }
}

test("sign() refuses a public key: it can only verify", () => {
  const discord = senders.find(({ name }) => name === "discord");
  assert(discord !== undefined);
  const event = {
    type: "",
    id: "",
    body: Buffer.from("{}"),
    contentType: "application/json",
    url: "",
    now,
  };
  assert.throws(() => sign(discord, ed25519.publicKey, event), TypeError);
});
