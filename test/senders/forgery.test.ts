/** What a captured delivery must not be good for: each of these once was, or could have been. */
import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import { after, before, test } from "node:test";
import { readSources } from "../../lib/settings/sources.ts";
import { openTestReceiver, type TestReceiver } from "../receiver.ts";

const secret = "a text that is long enough";
const bytes = Buffer.alloc(24, 3);
const publicUrl = "https://hooks.example.com";
const form = "application/x-www-form-urlencoded";
let receiver: TestReceiver;
let payloads: unknown[] = [];

before(async () => {
  const hmacSenders = ["GITEA", "TWILIO", "MAILGUN", "SLACK", "STRIPE"];
  receiver = await openTestReceiver({
    environment: {
      WEBHOOK_SECRET: secret,
      ...Object.fromEntries(hmacSenders.map((name) => [`WEBHOOK_SECRET_${name}`, secret])),
      WEBHOOK_SECRET_SVIX: `whsec_${bytes.toString("base64")}`,
      WEBHOOK_PUBLIC_URL: publicUrl,
    },
    handlers: {
      "*": ({ payload }) => {
        payloads.push(payload);
      },
    },
  });
});
after(() => receiver.stop());

async function post(path: string, body: string, headers: Record<string, string>) {
  payloads = [];
  const { status } = await fetch(`http://127.0.0.1:${receiver.port}${path}`, {
    method: "POST",
    body,
    headers,
  });
  await receiver.allHandled();
  return { status, payloads, reason: receiver.lines.at(-1)?.reason };
}

const hex = (text: string) => createHmac("sha256", secret).update(text).digest("hex");
const sha1 = (text: string) => createHmac("sha1", secret).update(text).digest("base64");

test("Gitea: a captured signature is not good for a form that hides the captured JSON in other JSON", async () => {
  const captured = '{"ref":"refs/heads/main"}';
  const headers = { "x-gitea-signature": hex(captured), "x-gitea-event": "push", "content-type": form };
  const hidden = `{"ref":"EVIL","x":"&%70ayload=${encodeURIComponent(captured)}&"}`;
  assert.equal((await post("/webhook/gitea", hidden, headers)).status, 401);
  const asForm = await post(
    "/webhook/gitea",
    `payload=${encodeURIComponent(captured)}&payload=%7B%7D`,
    headers,
  );
  assert.deepEqual([asForm.status, asForm.payloads], [200, [{ ref: "refs/heads/main" }]]);
});

test("GitHub and Slack: text inside a signed payload stays text when the content type is flipped", async () => {
  const push = { commits: [{ message: `fix &payload=${encodeURIComponent('{"ref":"EVIL"}')}&` }] };
  const body = JSON.stringify(push);
  const github = await post("/webhook", body, {
    "x-hub-signature-256": `sha256=${hex(body)}`,
    "content-type": form,
  });
  assert.deepEqual([github.status, github.payloads], [200, [push]]);
  const message = {
    type: "event_callback",
    event: { type: "message", text: "&command=/deploy&trigger_id=9&" },
  };
  const text = JSON.stringify(message);
  const time = String(Math.floor(Date.now() / 1000));
  const headers = {
    "x-slack-request-timestamp": time,
    "x-slack-signature": `v0=${hex(`v0:${time}:${text}`)}`,
  };
  const slack = await post("/webhook/slack", text, { ...headers, "content-type": form });
  assert.deepEqual([slack.status, slack.payloads], [200, [message]]);
});

test("Svix: the dots cannot be moved, so an old signature gets no new time, id or body", async () => {
  const now = String(Math.floor(Date.now() / 1000));
  const body = JSON.stringify({ type: "a", note: `.${now}.{}` });
  const signature = `v1,${createHmac("sha256", bytes).update(`msg_1.1700000000.${body}`).digest("base64")}`;
  const at = body.indexOf(`.${now}.`);
  const moved = {
    "svix-id": `msg_1.1700000000.${body.slice(0, at)}`,
    "svix-timestamp": now,
    "svix-signature": signature,
  };
  const { status, reason } = await post("/webhook/svix", body.slice(at + now.length + 2), moved);
  assert.deepEqual([status, reason], [401, "signed-part-missing"]);
});

test("Twilio: a hash in the URL counts whatever the body looks like, and JSON without one is refused", async () => {
  const json = '{"x":1}';
  const path = `/webhook/twilio?bodySHA256=${createHash("sha256").update(json).digest("hex")}`;
  const headers = { "x-twilio-signature": sha1(publicUrl + path) };
  assert.equal((await post(path, json, headers)).status, 204);
  for (const body of ["&", "=", "&&=&", ""]) {
    const { status } = await post(path, body, { ...headers, "content-type": form });
    assert.equal(status, 401, JSON.stringify(body));
  }
  const bare = { "x-twilio-signature": sha1(`${publicUrl}/webhook/twilio`) };
  assert.equal((await post("/webhook/twilio", json, bare)).status, 401);
});

test("Twilio: a field called payload is a field", async () => {
  const body = `Body=&payload=${encodeURIComponent('{"MessageStatus":"EVIL"}')}`;
  const headers = {
    "x-twilio-signature": sha1(`${publicUrl}/webhook/twilioBodypayload{"MessageStatus":"EVIL"}`),
  };
  const { payloads: seen } = await post("/webhook/twilio", body, headers);
  assert.deepEqual(seen, [{ Body: "", payload: '{"MessageStatus":"EVIL"}' }]);
});

test("Mailgun: digits cannot be moved between the time and the token, and the token cannot be empty", async () => {
  const [time, token] = [
    String(Math.floor(Date.now() / 1000)),
    "a8ce0edb2dd8301dee6c2405235584e45aa91d1e9f979f3de0",
  ];
  const attempt = (timestamp: string, other: string, more = {}) => {
    const signature = { timestamp, token: other, signature: hex(time + token) };
    return post(
      "/webhook/mailgun",
      JSON.stringify({ signature, "event-data": { event: "opened" }, ...more }),
      {},
    );
  };
  assert.equal((await attempt(time, token)).status, 200);
  assert.equal((await attempt(time.slice(0, -1), `${time.at(-1)}${token}`)).reason, "timestamp-malformed");
  assert.equal((await attempt(`${time}a`, token.slice(1))).reason, "timestamp-malformed");
  assert.equal((await attempt(time + token, "", { token: "CHOSEN" })).reason, "signed-part-missing");
});

test("a form has at most 1000 fields, so that nobody can stop the loop with one that is not authentic", async () => {
  const fields = (count: number) => Array.from({ length: count }, (_, at) => `f${at}=`).join("&");
  const headers = { "x-twilio-signature": Buffer.alloc(20).toString("base64") };
  assert.deepEqual((await post("/webhook/twilio", fields(1000), headers)).reason, "signature-mismatch");
  const { status, reason } = await post("/webhook/twilio", fields(1001), headers);
  assert.deepEqual([status, reason], [400, "form-too-many-fields"]);
});

test("a sender of one's own has to sign the time that it gives a window", () => {
  const row = { signature: "x-acme", encoding: "hex", signed: "{body}" };
  const refused = (more: object, message: RegExp) => {
    const environment = {
      WEBHOOK_SECRET_ACME: secret,
      WEBHOOK_SENDER_ACME: JSON.stringify({ ...row, ...more }),
    };
    assert.throws(() => readSources(environment, true), { message });
  };
  const time = { at: "header:X-Time", unit: "seconds", toleranceSeconds: 300 };
  refused({ time }, /"time" is at header:X-Time, which is not part of "signed"/);
  refused({ signed: "{param:t}.{body}" }, /"separator" is missing/);
});
