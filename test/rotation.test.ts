/** While a secret is being replaced, both the old and the new one are good, and the log says which one was used. */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";
import { openTestReceiver, type TestReceiver } from "./receiver.ts";

const key = (letter: string) => `whsec_${Buffer.alloc(24, letter).toString("base64")}`;
const [oldSecret, newSecret, strange] = [key("o"), key("n"), key("s")];
const body = '{"type":"thing.happened","id":"1"}';
const now = () => String(Math.floor(Date.now() / 1000));

type Signer = (secrets: string[]) => Record<string, string>;

const hex = (secret: string, text: string) => createHmac("sha256", secret).update(text).digest("hex");
const standard = (secret: string, text: string) =>
  createHmac("sha256", Buffer.from(secret.slice("whsec_".length), "base64"))
    .update(text)
    .digest("base64");

/** Senders whose header can hold several signatures: one for each secret that is active on their side. */
const listSigners: Record<string, Signer> = {
  stripe: (secrets) => {
    const time = now();
    return {
      "stripe-signature": [`t=${time}`, ...secrets.map((one) => `v1=${hex(one, `${time}.${body}`)}`)].join(
        ",",
      ),
    };
  },
  paddle: (secrets) => {
    const time = now();
    return {
      "paddle-signature": [`ts=${time}`, ...secrets.map((one) => `h1=${hex(one, `${time}:${body}`)}`)].join(
        ";",
      ),
    };
  },
  "standard-webhooks": (secrets) => standardHeaders(secrets),
  "gitlab-signing": (secrets) => standardHeaders(secrets),
  pagerduty: (secrets) => ({
    "x-pagerduty-signature": secrets.map((one) => `v1=${hex(one, body)}`).join(","),
  }),
};

function standardHeaders(secrets: string[]): Record<string, string> {
  const time = now();
  const list = secrets.map((one) => `v1,${standard(one, `msg_1.${time}.${body}`)}`);
  return { "webhook-id": "msg_1", "webhook-timestamp": time, "webhook-signature": list.join(" ") };
}

async function post(receiver: TestReceiver, name: string, headers: Record<string, string>): Promise<number> {
  return (await fetch(`${receiver.url}/${name}`, { method: "POST", headers, body })).status;
}

for (const [name, signer] of Object.entries(listSigners)) {
  const variable = `WEBHOOK_SECRET_${name.toUpperCase().replaceAll("-", "_")}`;

  test(`${name}: of two signatures in one header either may be the good one`, async () => {
    const receiver = await openTestReceiver({ environment: { [variable]: newSecret } });
    assert.equal(await post(receiver, name, signer([oldSecret, newSecret])), 200);
    assert.equal(await post(receiver, name, signer([newSecret, oldSecret])), 200);
    assert.equal(await post(receiver, name, signer([oldSecret, strange])), 401);
    await receiver.stop();
  });

  test(`${name}: of two configured secrets either is good, and the log says when it was the previous one`, async () => {
    const receiver = await openTestReceiver({
      environment: { [variable]: newSecret, [`${variable}_PREVIOUS`]: oldSecret },
    });
    assert.equal(await post(receiver, name, signer([newSecret])), 200);
    assert.equal(receiver.lines.at(-1)?.signedWith, undefined);
    assert.equal(await post(receiver, name, signer([oldSecret])), 200);
    assert.equal(receiver.lines.at(-1)?.signedWith, "previous secret");
    assert.equal(await post(receiver, name, signer([strange])), 401);
    await receiver.stop();
  });

  test(`${name}: at most ten signatures are tried`, async () => {
    const receiver = await openTestReceiver({ environment: { [variable]: newSecret } });
    const strangers = (count: number) => Array.from({ length: count }, () => strange);
    assert.equal(await post(receiver, name, signer([...strangers(9), newSecret])), 200);
    assert.equal(await post(receiver, name, signer([...strangers(10), newSecret])), 401);
    assert.match(String(receiver.lines.at(-1)?.why), /11 signatures; at most 10 are tried/);
    await receiver.stop();
  });
}
