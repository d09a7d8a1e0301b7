/**
 * What the senders' own payloads are called here: the documents' examples, signed, posted, and asked for their names.
 *
 * `test/payloads/<sender>/<name>.json` has the page it is `from`, the `body` (JSON, or a text as it is sent), the
 * `headers` that the sender sets besides the signature, and the `types` and the `id` that a user of it expects.
 */
import assert from "node:assert/strict";
import type { KeyObject } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { senderNamed } from "../../lib/senders/table.ts";
import type { WebhookEvent } from "../../lib/signature/event.ts";
import { setField } from "../../lib/signature/field.ts";
import { readSigningKey } from "../../lib/signature/key.ts";
import { readySender } from "../../lib/signature/ready.ts";
import { sign } from "../../lib/signature/sign.ts";
import { openTestReceiver, type TestReceiver } from "../receiver.ts";
import { publicUrl } from "./all-senders.ts";
import { keys, secretVariables } from "./keys.ts";

type Example = {
  readonly from: string;
  readonly body: unknown;
  readonly headers?: Record<string, string>;
  readonly contentType?: string;
  readonly types: readonly string[];
  readonly id?: string;
};

const folder = new URL("../payloads/", import.meta.url);
const named = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
const handled: WebhookEvent[] = [];
let receiver: TestReceiver;
before(async () => {
  receiver = await openTestReceiver({
    environment: { ...secretVariables, WEBHOOK_PUBLIC_URL: publicUrl },
    handlers: { "*": (event) => void handled.push(event) },
  });
});
after(() => receiver.stop());

for (const { name } of named) {
  for (const file of readdirSync(new URL(`${name}/`, folder))) {
    const example = JSON.parse(readFileSync(new URL(`${name}/${file}`, folder), "utf8")) as Example;
    test(`${name}/${file.replace(".json", "")} is ${example.types.join(" and ")}`, async () => {
      const event = await deliver(name, example);
      assert.deepEqual(event?.types, example.types, receiver.logText());
      assert.equal(event?.type, example.types.join(","));
      if (example.id !== undefined) assert.equal(event?.id, example.id);
    });
  }
}

/** Signs the example as its sender would now, and posts it. @returns the event that reached the handler */
async function deliver(name: string, { body, headers = {}, contentType }: Example) {
  const sender = senderNamed(name);
  const now = new Date();
  for (const { timeAt } of readySender(sender).schemes) {
    for (const { kind, name: path } of timeAt) if (kind === "field") setField(body, path, now.getTime());
  }
  const bytes = Buffer.from(typeof body === "string" ? body : JSON.stringify(body));
  const signed = sign(sender, readSigningKey(sender.key, keys[sender.key].sign) as KeyObject, {
    ...{ type: "", id: "", body: bytes, contentType: contentType ?? "application/json" },
    ...{ url: `${publicUrl}/webhook/${name}`, now },
  });
  handled.length = 0;
  const answer = await fetch(signed.url.replace(publicUrl, `http://127.0.0.1:${receiver.port}`), {
    method: "POST",
    headers: { ...signed.headers, ...headers },
    body: new Uint8Array(signed.body),
  });
  assert.equal(answer.ok, true, `${answer.status} ${receiver.logText()}`);
  await receiver.allHandled();
  return handled[0];
}
