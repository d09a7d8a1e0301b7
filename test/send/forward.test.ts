/** `forward` as a handler, sending to real servers. With an inbox before it and a receiver behind it: `sending-on.test.ts`. */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { type TestContext, test } from "node:test";
import { openLog } from "../../lib/log.ts";
import { Hopeless, Postponed } from "../../lib/process/failure.ts";
import { type ForwardOptions, forward } from "../../lib/send/forward.ts";
import { openPost } from "../../lib/send/post.ts";
import { openTarget } from "../../lib/send/target.ts";
import type { WebhookEvent } from "../../lib/signature/event.ts";
import { closedPort, openTestReceiver, parseLines, sign } from "../receiver.ts";
import { answers, openTargetServer, resets, stalls } from "./target-server.ts";

const secret = "the secret of the next receiver";
const whsec = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const receivedAt = new Date("2026-03-31T14:00:00.123Z");

function eventOf(body: string, more: Partial<WebhookEvent> = {}): WebhookEvent {
  return {
    ...{
      source: "github-acme",
      sender: "github",
      type: "push",
      types: ["push"],
      id: "one",
      payload: JSON.parse(body),
    },
    ...{ body: Buffer.from(body), headers: { "content-type": "application/json" }, ...more },
  };
}

const push = eventOf('{"ref":"refs/heads/main", "commits":[]}');

function open(options: Partial<ForwardOptions> & { url: string }, parts: Parameters<typeof forward>[1] = {}) {
  let text = "";
  const log = openLog("json", (more) => {
    text += more;
  });
  const controller = new AbortController();
  const target = openTarget("the target");
  const handle = forward({ secret, allowPrivate: true, ...options }, { target, ...parts });
  return {
    controller,
    lines: () => {
      log.flush();
      return parseLines(text);
    },
    send: async (event: WebhookEvent = push) =>
      handle(event, { attempt: 1, receivedAt, signal: controller.signal, log }),
  };
}

// ---- Its forms ----

test("in DECNET's form: id and topic are the event's, the payload is the payload, the time when it came", async (t) => {
  const server = await openTargetServer(t);
  const { send, lines } = open({ url: server.url });
  await send();
  const [got] = server.received;
  assert.equal(
    got?.body.toString(),
    '{"id":"one","payload":{"commits":[],"ref":"refs/heads/main"},"topic":"push","ts":"2026-03-31T14:00:00.123Z","type":"push","v":1}',
  );
  assert.equal(got.headers["x-decnet-signature"], sign(got.body, secret));
  assert.deepEqual([got.headers["x-decnet-event-id"], got.headers["x-decnet-event-topic"]], ["one", "push"]);
  assert.deepEqual(
    lines().map(({ level, message, to, status }) => [level, message, to, status]),
    [["info", "forwarded", `http://127.0.0.1:${server.port}`, 200]],
  );
});

test("in DECNET's form: what came from DECNET keeps its bytes", async (t) => {
  const server = await openTargetServer(t);
  const body = '{ "v": 1, "topic": "attacker.seen", "payload": {"n": 12345678901234567890, "f": 1.0} }';
  await open({ url: server.url }).send(eventOf(body, { sender: "decnet", type: "attacker.seen", id: "two" }));
  const [got] = server.received;
  assert.equal(got?.body.toString(), body);
  assert.equal(got.headers["x-decnet-signature"], sign(body, secret));
  assert.deepEqual(
    [got.headers["x-decnet-event-id"], got.headers["x-decnet-event-topic"]],
    ["two", "attacker.seen"],
  );
});

for (const as of ["decnet", "standard-webhooks"] as const) {
  test(`as ${as}: long integers stay whole, with a byte order mark too, and floats are floats`, async (t) => {
    const server = await openTargetServer(t);
    const body =
      '{"a":12345678901234567890,"b":-9223372036854775808,"c":9007199254740993,"d":1e30,"e":"12345678901234567890","f":-1.5}';
    const { send } = open({ url: server.url, as, secret: as === "decnet" ? secret : whsec });
    await send(eventOf(body));
    await send({ ...eventOf(body), body: Buffer.from(`\ufeff${body}`) });
    for (const got of server.received)
      assert.ok(got.body.includes(body.replace("1e30", "1e+30")), got.body.toString());
    assert.equal(server.received.length, 2);
  });
}

test("a form's fields are the payload", async (t) => {
  const server = await openTargetServer(t);
  const payload = { Digits: "12345678901234567890" };
  await open({ url: server.url }).send({
    ...push,
    payload,
    body: Buffer.from("Digits=12345678901234567890"),
  });
  assert.deepEqual(JSON.parse(String(server.received[0]?.body)).payload, payload);
});

test("as Standard Webhooks: type, timestamp and data, signed over id, time and body", async (t) => {
  const server = await openTargetServer(t);
  const before = Math.floor(Date.now() / 1000);
  await open({ url: server.url, as: "standard-webhooks", secret: whsec }).send();
  const [got] = server.received;
  assert.ok(got);
  assert.equal(
    got.body.toString(),
    '{"data":{"commits":[],"ref":"refs/heads/main"},"timestamp":"2026-03-31T14:00:00.123Z","type":"push"}',
  );
  const { "webhook-id": id, "webhook-timestamp": time, "webhook-signature": signature } = got.headers;
  const key = Buffer.from(whsec.slice("whsec_".length), "base64");
  const expected = createHmac("sha256", key).update(`one.${time}.${got.body}`).digest("base64");
  assert.deepEqual(
    [id, signature, got.headers["content-type"]],
    ["one", `v1,${expected}`, "application/json"],
  );
  assert.ok(Number(time) >= before && Number(time) <= Date.now() / 1000);
});

test("as the original: bytes and headers as they came, but for those that are between two neighbours", async (t) => {
  const server = await openTargetServer(t);
  const body = '{"ref" : "refs/heads/main"}';
  const kept = {
    "content-type": "application/json; charset=utf-8",
    "user-agent": "GitHub-Hookshot/1",
    "x-hub-signature-256": sign(body),
    "x-github-event": "push",
    authorization: "Bearer abc",
    cookie: "a=1; b=2",
    "x-two": "a, b",
    "x-empty": "",
    "x-latin": "gr\u00f6\u00dfe",
  };
  const dropped = {
    host: "first.example",
    "content-length": "9999",
    connection: "close, X-Private , x-other",
    "x-private": "1",
    "x-other": "2",
    ...{
      "keep-alive": "timeout=5",
      "transfer-encoding": "chunked",
      te: "trailers",
      trailer: "X",
      upgrade: "h2c",
    },
    ...{ expect: "100-continue", "proxy-connection": "close", "proxy-authorization": "Basic abc" },
  };
  await open({ url: server.url, as: "original", secret: undefined }).send(
    eventOf(body, { headers: { ...dropped, ...kept } }),
  );
  const [got] = server.received;
  assert.equal(got?.body.toString(), body);
  assert.deepEqual(got.headers, {
    ...kept,
    host: `127.0.0.1:${server.port}`,
    "content-length": String(body.length),
    connection: "keep-alive",
  });
});

test("as the original: no other fetch has anything against the headers", async (t) => {
  const server = await openTargetServer(t);
  const headers = { "content-length": "9999", expect: "100-continue", "x-two": "2" };
  const { send } = open({ url: server.url, as: "original" }, { fetch: globalThis.fetch });
  await send({ ...push, headers });
  assert.equal(server.received[0]?.headers["x-two"], "2");
});

test("as the original: a body that is no text passes whole, and so does none", async (t) => {
  const server = await openTargetServer(t);
  const { send } = open({ url: server.url, as: "original" });
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
  for (const body of [bytes, Buffer.alloc(0)]) {
    await send({ ...push, body });
    assert.ok(server.received.at(-1)?.body.equals(body));
  }
});

for (const [as, path, key] of [
  ["decnet", "/webhook/decnet", secret],
  ["standard-webhooks", "/webhook/standard-webhooks", whsec],
  ["original", "/webhook/github", ""],
] as const) {
  test(`what is sent as ${as} is taken by the receiver here, and known again when it comes twice`, async () => {
    const body = '{"ref":"refs/heads/main"}';
    const receiver = await openTestReceiver({
      environment: {
        ...{ WEBHOOK_SECRET_DECNET: secret, WEBHOOK_SECRET_STANDARD_WEBHOOKS: whsec },
        WEBHOOK_SECRET_GITHUB: "the secret of the first sender",
      },
    });
    const headers = {
      "x-hub-signature-256": sign(body, "the secret of the first sender"),
      ...{ "x-github-event": "push", "x-github-delivery": "one", "content-type": "application/json" },
    };
    const { send } = open({ url: receiver.url.replace("/webhook", path), as, secret: key });
    await send(eventOf(body, { headers }));
    await send(eventOf(body, { headers }));
    await receiver.stop();
    assert.deepEqual(
      receiver.lines.map(({ outcome, event, id }) => [outcome, event, id]),
      [
        ["accepted", "push", "one"],
        ["duplicate", "push", "one"],
      ],
    );
  });
}

// ---- Which events ----

test("with patterns only those events are sent; the others are done", async (t) => {
  const server = await openTargetServer(t);
  const { send, lines } = open({ url: server.url, patterns: ["push", "pull_request.*", "attacker.>"] });
  for (const type of ["push", "ping", "pull_request.opened", "pull_request", "attacker.a.b", "attackers"])
    await send({ ...push, type });
  assert.deepEqual(
    server.received.map(({ headers }) => headers["x-decnet-event-topic"]),
    ["push", "pull_request.opened", "attacker.a.b"],
  );
  assert.equal(lines().length, 3);
});

// ---- What goes wrong ----

for (const status of [301, 400, 404, 410, 429, 500, 503]) {
  test(`a ${status} fails the attempt, of which there is one`, async (t) => {
    const server = await openTargetServer(t, answers(status, { Location: "/elsewhere" }));
    const error = new Error(`http://127.0.0.1:${server.port} answered ${status}`);
    await assert.rejects(open({ url: server.url }).send(), error);
    assert.equal(server.received.length, 1);
  });
}

const broken: [what: string, start: (t: TestContext) => Promise<string>, error: RegExp][] = [
  [
    "a refused connection",
    async () => `http://127.0.0.1:${await closedPort()}/`,
    /^http:\/\/127\.0\.0\.1:\d+: connect ECONNREFUSED/,
  ],
  ["a reset", async (t) => (await openTargetServer(t, resets)).url, /^http:\/\/127\.0\.0\.1:\d+: aborted$/],
];
for (const [what, start, message] of broken) {
  test(`${what} fails the attempt`, async (t) => {
    await assert.rejects(open({ url: await start(t) }).send(), (thrown: Error) => {
      assert.match(thrown.message, message);
      return !(thrown instanceof Hopeless) && !(thrown instanceof Postponed);
    });
  });
}

test("the handler's signal ends an attempt", async (t) => {
  const server = await openTargetServer(t, stalls);
  const { send, controller } = open({ url: server.url });
  const reason = new Error("the receiver is shutting down");
  void server.reaches(1).then(() => controller.abort(reason));
  await assert.rejects(send(), reason);
});

test("after five failures the target rests, and the attempt is postponed", async (t) => {
  const server = await openTargetServer(t, answers(500));
  const { send, lines } = open({ url: server.url });
  for (let count = 0; count < 5; count += 1) await assert.rejects(send(), /answered 500$/);
  await assert.rejects(send(), Postponed);
  assert.deepEqual(
    [server.received.length, lines().at(-1)?.message],
    [5, "the target rests, and its jobs wait"],
  );
});

test("two forwards to one URL share its record, whatever they send", async (t) => {
  const server = await openTargetServer(t, answers(500));
  const [first, second] = [{}, { as: "original" as const }].map((more) =>
    forward({ url: server.url, secret, allowPrivate: true, ...more }),
  );
  const log = openLog("json", () => {});
  const context = { attempt: 1, receivedAt, signal: new AbortController().signal, log };
  for (let count = 0; count < 5; count += 1) await assert.rejects(async () => first?.(push, context), /500$/);
  await assert.rejects(async () => second?.(push, context), Postponed);
});

test("a name that turns out to be private is hopeless", async (t) => {
  const { post, close } = openPost({
    allowPrivate: false,
    resolve: async () => [{ address: "10.0.0.1", family: 4 }],
  });
  t.after(close);
  const { send } = open({ url: "https://a.example/hook", allowPrivate: false }, { fetch: post });
  await assert.rejects(send(), (thrown: Error) => {
    const why = "refused to call a.example: 10.0.0.1 is in a private network (RFC 1918)";
    assert.equal(thrown.message, `https://a.example: ${why}`);
    return thrown instanceof Hopeless;
  });
});

const deep = `${"[".repeat(300)}${"]".repeat(300)}`;
const unsendable: [what: string, as: "decnet" | "standard-webhooks", event: WebhookEvent, why: RegExp][] = [
  [
    "a type that is no header",
    "decnet",
    { ...push, type: "grö\u{df}e" },
    /the topic cannot be written into a header$/,
  ],
  ["an id that is no header", "decnet", { ...push, id: "a\nb" }, /the id cannot be written into a header$/],
  [
    "an id that is no header",
    "standard-webhooks",
    { ...push, id: "a\nb" },
    /the id cannot be written into a header$/,
  ],
  [
    "a payload that nests too deeply",
    "decnet",
    eventOf(deep),
    /more than 254 objects and arrays inside each other$/,
  ],
  ["an integer beyond 64 bits", "standard-webhooks", eventOf("[99999999999999999999]"), /more than 64 bits$/],
];
for (const [what, as, event, why] of unsendable) {
  test(`${what} is hopeless as ${as}`, async (t) => {
    const server = await openTargetServer(t);
    const { send } = open({ url: server.url, as, secret: as === "decnet" ? secret : whsec });
    await assert.rejects(send(event), (thrown: Error) => {
      assert.match(thrown.message, why);
      return thrown instanceof Hopeless;
    });
    assert.equal(server.received.length, 0);
  });
}

// ---- At the start ----

const url = "https://a.example/hook";
const senseless: [options: ForwardOptions, message: string][] = [
  [{ url: "a.example", secret }, "forward: expected a URL such as https://example.com/hook"],
  [{ url: "ftp://a.example/", secret }, "forward: expected http or https, not ftp:"],
  [
    { url: "https://a:b@a.example/", secret },
    "forward: a.example: a URL with a user name or a password is not called",
  ],
  [
    { url: "http://127.0.0.1/hook", secret },
    "forward: refused to call 127.0.0.1: it is this machine itself (RFC 1122 §3.2.1.3)",
  ],
  [{ url }, "forward to https://a.example: the secret is empty"],
  [{ url, secret: undefined }, "forward to https://a.example: the secret is empty"],
  [{ url, secret: "  " }, "forward to https://a.example: the secret is empty"],
  [
    { url, secret, as: "standard-webhooks" },
    "forward to https://a.example: the secret: expected whsec_ and base64, as the sender shows it",
  ],
  [
    { url, secret: "whsec_", as: "standard-webhooks" },
    "forward to https://a.example: the secret: expected whsec_ and base64, as the sender shows it",
  ],
  [
    { url, as: "standard-webhooks" },
    "forward to https://a.example: the secret: expected whsec_ and base64, as the sender shows it",
  ],
  [
    { url, secret, as: "github" as "decnet" },
    'forward to https://a.example: as: expected decnet, standard-webhooks or original, not "github"',
  ],
  [
    { url, secret, timeoutMs: 5 } as never,
    "forward to https://a.example: timeoutMs is none of url, secret, as, patterns, headers, timeoutSeconds, allowPrivate",
  ],
  [
    { url, secret, timeoutSeconds: 0 },
    "forward to https://a.example: timeoutSeconds: expected more than 0 and at most 240",
  ],
  [
    { url, secret, timeoutSeconds: 241 },
    "forward to https://a.example: timeoutSeconds: expected more than 0 and at most 240",
  ],
  [
    { url, secret, headers: { Host: "b" } },
    "forward to https://a.example: headers: Host belongs to the connection",
  ],
  [
    { url, secret, headers: { "Content-Length": "1" } },
    "forward to https://a.example: headers: Content-Length belongs to the connection",
  ],
  [
    { url, secret, headers: { "a b": "1" } },
    "forward to https://a.example: headers: a name is no header's name",
  ],
  [
    { url, secret, headers: { "X-A": "a\nb" } },
    "forward to https://a.example: the header X-A cannot be written into a header",
  ],
  [{ url, secret, patterns: [] }, "forward to https://a.example: patterns is empty: nothing would be sent"],
  [
    { url, secret, patterns: ["push", "a..b"] },
    'forward to https://a.example: pattern "a..b": a pattern is made of names with single dots between them',
  ],
];
for (const [options, message] of senseless) {
  test(`it is refused at once: ${message}`, () => {
    assert.throws(() => forward(options), { name: "TypeError", message });
  });
}

test("private targets are refused at once unless WEBHOOK_ALLOW_PRIVATE or the forward opens them", (t) => {
  t.after(() => delete process.env.WEBHOOK_ALLOW_PRIVATE);
  const options = { url: "http://10.0.0.1/hook", secret };
  assert.throws(() => forward(options), /private network/);
  assert.equal(typeof forward({ ...options, allowPrivate: true }), "function");
  process.env.WEBHOOK_ALLOW_PRIVATE = "true";
  assert.equal(typeof forward(options), "function");
  assert.throws(() => forward({ ...options, allowPrivate: false }), /private network/);
  process.env.WEBHOOK_ALLOW_PRIVATE = "1";
  assert.throws(() => forward(options), {
    exitCode: 2,
    message: /^WEBHOOK_ALLOW_PRIVATE: expected true or false/,
  });
});

test("no line and no error holds the secret, the signature or the path", async (t) => {
  const server = await openTargetServer(t, answers(200), answers(500));
  const { send, lines } = open({ url: `http://127.0.0.1:${server.port}/hush?hush`, secret: "hush-hush" });
  await send();
  const texts = [];
  for (let count = 0; count < 6; count += 1) texts.push(await send().catch((thrown: Error) => thrown.stack));
  const said = JSON.stringify([lines(), texts]);
  for (const { headers } of server.received)
    assert.equal(said.includes(String(headers["x-decnet-signature"])), false);
  assert.equal(said.includes("hush"), false);
  assert.throws(
    () => forward({ url, secret: "whsec_hush!", as: "standard-webhooks" }),
    (thrown: Error) => !String(thrown.stack).includes("hush"),
  );
});
