/** Requests that are no deliveries, each by its exact shape, and never in place of a signature. */
import assert from "node:assert/strict";
import { createHmac, generateKeyPairSync, sign as signAsymmetric } from "node:crypto";
import { after, before, test } from "node:test";
import { openTestReceiver, type TestReceiver } from "../receiver.ts";

const secret = "a text that is long enough";
const token = "the token of our own choice";
const pair = generateKeyPairSync("ed25519");
const discordKey = pair.publicKey.export({ format: "der", type: "spki" }).subarray(-32).toString("hex");
let receiver: TestReceiver;
let handlerRuns = 0;

before(async () => {
  receiver = await openTestReceiver({
    environment: {
      WEBHOOK_SECRET: secret,
      WEBHOOK_SECRET_SLACK: secret,
      WEBHOOK_SECRET_ZOOM: secret,
      WEBHOOK_SECRET_META: secret,
      WEBHOOK_SECRET_META_UNSET: secret,
      WEBHOOK_VERIFY_TOKEN_META: token,
      WEBHOOK_SECRET_DROPBOX: secret,
      WEBHOOK_SECRET_MICROSOFT_GRAPH: secret,
      WEBHOOK_SECRET_DISCORD: discordKey,
      WEBHOOK_SECRET_INTERCOM: secret,
      WEBHOOK_SENDER_ACME: '{"signature":"x-acme","encoding":"hex","signed":"{body}","head":true}',
      WEBHOOK_SECRET_ACME: secret,
    },
    handlers: {
      "*": () => {
        handlerRuns += 1;
      },
    },
  });
});
after(() => receiver.stop());

async function send(path: string, init: RequestInit = {}) {
  handlerRuns = 0;
  const answer = await fetch(`http://127.0.0.1:${receiver.port}${path}`, init);
  await receiver.allHandled();
  return {
    status: answer.status,
    type: answer.headers.get("content-type"),
    headers: answer.headers,
    body: await answer.text(),
  };
}

function post(path: string, body: string, headers: Record<string, string> = {}) {
  return send(path, { method: "POST", body, headers: { "content-type": "application/json", ...headers } });
}

const hex = (text: string) => createHmac("sha256", secret).update(text).digest("hex");

function slackHeaders(body: string, prefix = "x-slack"): Record<string, string> {
  const time = String(Math.floor(Date.now() / 1000));
  const [timeName, name] =
    prefix === "x-slack"
      ? ["x-slack-request-timestamp", "x-slack-signature"]
      : ["x-zm-request-timestamp", "x-zm-signature"];
  return { [timeName]: time, [name]: `v0=${hex(`v0:${time}:${body}`)}` };
}

test("Slack's signed url_verification gets its challenge back", async () => {
  const body =
    '{"token":"t","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}';
  const answer = await post("/webhook/slack", body, slackHeaders(body));
  assert.deepEqual(
    [answer.status, answer.type, answer.body],
    [200, "application/json", '{"challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"}'],
  );
  assert.equal(handlerRuns, 0);
});

test("an unsigned or wrongly signed url_verification is refused", async () => {
  const body = '{"challenge":"c","type":"url_verification"}';
  assert.equal((await post("/webhook/slack", body)).status, 401);
  assert.equal((await post("/webhook/slack", body, slackHeaders(`${body} `))).status, 401);
});

for (const challenge of ["5", '{"a":1}', "null", `"${"c".repeat(1025)}"`]) {
  test(`a challenge of ${challenge.slice(0, 20)} is refused with 422`, async () => {
    const body = `{"type":"url_verification","challenge":${challenge}}`;
    assert.equal((await post("/webhook/slack", body, slackHeaders(body))).status, 422);
  });
}

const form = { "content-type": "application/x-www-form-urlencoded" };

test("Slack's unsigned ssl_check=1 gets an empty 200", async () => {
  const answer = await post("/webhook/slack", "token=x&ssl_check=1", form);
  assert.deepEqual([answer.status, answer.body, handlerRuns], [200, "", 0]);
});

test("any other unsigned form is refused, and a signed ssl_check has to be signed right", async () => {
  assert.equal((await post("/webhook/slack", "ssl_check=0", form)).status, 401);
  assert.equal((await post("/webhook/slack", "command=%2Fdeploy", form)).status, 401);
  const wrong = { ...form, ...slackHeaders("something else") };
  assert.equal((await post("/webhook/slack", "ssl_check=1", wrong)).status, 401);
  assert.equal((await post("/webhook", "ssl_check=1", form)).status, 401);
});

test("HEAD is answered 200 where the sender asks so whether the URL is right, and 405 elsewhere", async () => {
  for (const path of ["/webhook/intercom", "/webhook/acme"]) {
    const answer = await send(path, { method: "HEAD" });
    assert.deepEqual(
      [answer.status, answer.body, answer.headers.get("content-length"), handlerRuns],
      [200, "", "0", 0],
    );
    const get = await send(path);
    assert.deepEqual([get.status, get.headers.get("allow")], [405, "HEAD, POST"]);
  }
  assert.equal((await send("/webhook", { method: "HEAD" })).status, 405);
});

test("a signed ssl_check is no delivery: it gets an empty 200, and no handler runs", async () => {
  const body = "token=x&ssl_check=1";
  const answer = await post("/webhook/slack", body, { ...form, ...slackHeaders(body) });
  assert.deepEqual([answer.status, answer.body, handlerRuns], [200, "", 0]);
});

test("an unsigned form is only looked at up to 4096 bytes", async () => {
  const atLimit = `ssl_check=1&x=${"x".repeat(4096 - 14)}`;
  assert.equal((await post("/webhook/slack", atLimit, form)).status, 200);
  assert.equal((await post("/webhook/slack", `${atLimit}x`, form)).status, 401);
});

test("Slack's signed slash command is an event, and its answer is empty: Slack would show a body to the user", async () => {
  const body = "command=%2Fdeploy&text=now&trigger_id=1.2";
  const answer = await post("/webhook/slack", body, { ...form, ...slackHeaders(body) });
  assert.deepEqual([answer.status, answer.body, handlerRuns], [200, "", 1]);
  assert.equal(receiver.lines.at(-1)?.event, "/deploy");
});

test("Zoom's endpoint.url_validation gets its token back, and the HMAC of it", async () => {
  const body =
    '{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"},"event_ts":1654503849680}';
  const answer = await post("/webhook/zoom", body, slackHeaders(body, "x-zm"));
  assert.deepEqual(JSON.parse(answer.body), {
    plainToken: "qgg8vlvZRS6UYooatFL8Aw",
    encryptedToken: hex("qgg8vlvZRS6UYooatFL8Aw"),
  });
  assert.deepEqual([answer.status, handlerRuns], [200, 0]);
  assert.equal((await post("/webhook/zoom", body)).status, 401);
});

function discordHeaders(body: string): Record<string, string> {
  const time = String(Math.floor(Date.now() / 1000));
  const signature = signAsymmetric(null, Buffer.from(time + body), pair.privateKey).toString("hex");
  return { "x-signature-timestamp": time, "x-signature-ed25519": signature };
}

test("Discord's PING of type 1 gets type 1 back, the one of type 0 a 204", async () => {
  const interaction = '{"application_id":"1","id":"2","token":"t","type":1,"version":1}';
  const first = await post("/webhook/discord", interaction, discordHeaders(interaction));
  assert.deepEqual([first.status, first.type, first.body], [200, "application/json", '{"type":1}']);
  const webhookEvents = '{"version":1,"application_id":"1","type":0}';
  const second = await post("/webhook/discord", webhookEvents, discordHeaders(webhookEvents));
  assert.deepEqual([second.status, second.body, second.headers.get("content-length")], [204, "", null]);
  assert.equal(handlerRuns, 0);
});

test("a Discord webhook event has type 1 too, and is an event: `event` is beside it", async () => {
  const body = '{"version":1,"application_id":"1","type":1,"event":{"type":"APPLICATION_AUTHORIZED"}}';
  const answer = await post("/webhook/discord", body, discordHeaders(body));
  assert.deepEqual([answer.status, answer.body, handlerRuns], [204, "", 1]);
  assert.equal(receiver.lines.at(-1)?.event, "APPLICATION_AUTHORIZED");
});

test("Discord's deliberately wrong signatures get 401", async () => {
  const body = '{"type":1}';
  assert.equal((await post("/webhook/discord", body, discordHeaders(`${body} `))).status, 401);
  assert.equal((await post("/webhook/discord", body)).status, 401);
});

const subscribe = (given: string, challenge = "1158201444") =>
  `/webhook/meta?hub.mode=subscribe&hub.challenge=${challenge}&hub.verify_token=${encodeURIComponent(given)}`;

test("Meta's subscription gets its challenge back as plain text when the verify token is ours", async () => {
  const answer = await send(subscribe(token));
  assert.deepEqual(
    [answer.status, answer.type, answer.body],
    [200, "text/plain; charset=utf-8", "1158201444"],
  );
  assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
});

test("a wrong, empty or missing verify token is 401, and so is a token that was never set", async () => {
  assert.equal((await send(subscribe(`${token}x`))).status, 401);
  assert.equal((await send(subscribe(""))).status, 401);
  assert.equal((await send("/webhook/meta?hub.mode=subscribe&hub.challenge=1")).status, 401);
  assert.equal((await send(subscribe(token).replace("meta", "meta-unset"))).status, 401);
  assert.match(String(receiver.lines.at(-1)?.why), /WEBHOOK_VERIFY_TOKEN_META_UNSET is not set/);
  assert.equal(receiver.logText().includes(token), false);
});

test("another mode than subscribe is no handshake", async () => {
  assert.equal((await send(subscribe(token).replace("subscribe", "unsubscribe"))).status, 405);
});

test("Dropbox's challenge comes back as plain text, whatever it holds", async () => {
  const answer = await send(`/webhook/dropbox?challenge=${encodeURIComponent("<script>✓</script>")}`);
  assert.deepEqual(
    [answer.status, answer.type, answer.body],
    [200, "text/plain; charset=utf-8", "<script>✓</script>"],
  );
  assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
});

test("what is echoed has at most 1024 characters, and is there once", async () => {
  assert.equal((await send(`/webhook/dropbox?challenge=${"c".repeat(1024)}`)).body.length, 1024);
  assert.equal((await send(`/webhook/dropbox?challenge=${"c".repeat(1025)}`)).status, 400);
  assert.equal((await send("/webhook/dropbox?challenge=a&challenge=b")).status, 400);
});

test("Microsoft Graph's validationToken is echoed to a POST", async () => {
  const answer = await send("/webhook/microsoft-graph?validationToken=Validation%3A+Testing", {
    method: "POST",
  });
  assert.deepEqual(
    [answer.status, answer.type, answer.body],
    [200, "text/plain; charset=utf-8", "Validation: Testing"],
  );
});

test("a handshake is answered on its own sender's path only, and with its own method only", async () => {
  assert.equal((await send("/webhook?challenge=x")).status, 405);
  assert.equal((await send("/webhook/zoom?challenge=x")).status, 405);
  assert.equal((await send("/webhook/dropbox?challenge=x", { method: "POST" })).status, 401);
  assert.equal((await send("/webhook/microsoft-graph?validationToken=x")).status, 405);
});

test("a request that carries a signature is never answered by an echo", async () => {
  const headers = { "x-dropbox-signature": "0".repeat(64) };
  assert.equal((await send("/webhook/dropbox?challenge=x", { headers })).status, 405);
});
