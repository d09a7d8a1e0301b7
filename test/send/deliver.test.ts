/**
 * Deliveries to real servers that fail in every way there is a rule for. What there is to wait between attempts is
 * written down and not waited for; only time limits, of some tens of milliseconds, are.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createServer, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { type DecnetEvent, type DeliverOptions, deliver } from "../../lib/send/deliver.ts";
import { sharedPost } from "../../lib/send/post.ts";
import type { WebhookEvent } from "../../lib/signature/event.ts";
import { closedPort, openTestReceiver, secret as receiverSecret } from "../receiver.ts";
import { answers, openTargetServer, type Received, resets, stalls } from "./target-server.ts";

const secret = "the secret of the subscription";
const event: DecnetEvent = {
  id: "0d8f2f9c-8a1e-4a53-9f43-2f6a4d0e3b11",
  ts: "2026-03-31T14:00:00.123456+00:00",
  topic: "attacker.session.started",
  type: "session.started",
  payload: { decky: 7, address: "198.51.100.7", größe: [1.5, "\u{1f600}"], "\uffff": 1, "\u{1f600}": 2 },
};
/**
 * Python 3.11, orjson 3.12.0: orjson.dumps({"v": 1, "id": …, "ts": …, "topic": …, "type": …, "payload": {"decky": 7,
 * "address": "198.51.100.7", "größe": [1.5, "\U0001f600"], "\uffff": 1, "\U0001f600": 2}}, option=orjson.OPT_SORT_KEYS)
 */
const knownBody =
  '{"id":"0d8f2f9c-8a1e-4a53-9f43-2f6a4d0e3b11","payload":{"address":"198.51.100.7","decky":7,"größe":[1.5,"\u{1f600}"],"\uffff":1,"\u{1f600}":2},"topic":"attacker.session.started","ts":"2026-03-31T14:00:00.123456+00:00","type":"session.started","v":1}';

/** Delivers with a clock, a die and a bed of the test's own. @returns the result, and what was slept */
async function send(url: string, options: DeliverOptions = {}, what: DecnetEvent = event) {
  const slept: number[] = [];
  const result = await deliver({ url, secret, allowPrivate: true }, what, {
    random: () => 0.5,
    sleep: async (milliseconds) => void slept.push(milliseconds),
    ...options,
  });
  return { result, slept };
}

/** What openssl makes of the bytes that came. */
function openssl(body: Buffer, key: string): string {
  const args = ["dgst", "-sha256", "-mac", "HMAC", "-macopt", `hexkey:${Buffer.from(key).toString("hex")}`];
  const printed = execFileSync("openssl", args, { input: body, encoding: "utf8" });
  return `sha256=${printed.trim().split(/\s/).at(-1)}`;
}

test("the bytes are those that orjson writes, and openssl finds the signature right", async (t) => {
  const server = await openTargetServer(t);
  const { result } = await send(server.url);
  assert.deepEqual(result, { ok: true, statusCode: 200, error: null, attempts: 1 });
  const [got] = server.received;
  assert.equal(got?.body.toString("utf8"), knownBody);
  assert.equal(got.headers["x-decnet-signature"], openssl(got.body, secret));
});

test("the headers are DECNET's, to the letter", async (t) => {
  const server = await openTargetServer(t);
  await send(server.url, { now: () => new Date(1_700_000_000_999) });
  const [got] = server.received;
  const { host: _, connection: __, ...headers } = pairs(got);
  assert.deepEqual(headers, {
    "Content-Type": "application/json",
    "Content-Length": String(Buffer.byteLength(knownBody)),
    "User-Agent": "decnet-webhook/1.0",
    "X-DECNET-Signature": openssl(Buffer.from(knownBody), secret),
    "X-DECNET-Event-Id": event.id,
    "X-DECNET-Event-Topic": event.topic,
    "X-DECNET-Timestamp": "1700000000",
  });
});

/** The headers as they were written, but for the two that are every client's own. */
function pairs(got: Received | undefined): Record<string, string> {
  const raw = got?.rawHeaders ?? [];
  const all = raw.flatMap((name, index) => (index % 2 === 0 ? [[name, raw[index + 1] ?? ""] as const] : []));
  return Object.fromEntries(
    all.map(([name, value]) => [/^(Host|Connection)$/.test(name) ? name.toLowerCase() : name, value]),
  );
}

test("the receiver here takes it, and its handler gets what was sent", async () => {
  const got: WebhookEvent[] = [];
  const receiver = await openTestReceiver({ handlers: { "attacker.>": (one) => void got.push(one) } });
  const result = await deliver({ url: receiver.url, secret: receiverSecret, allowPrivate: true }, event);
  assert.deepEqual(result, { ok: true, statusCode: 200, error: null, attempts: 1 });
  await receiver.allHandled();
  const wrong = await deliver({ url: receiver.url, secret, allowPrivate: true }, event);
  assert.deepEqual(wrong, { ok: false, statusCode: 401, error: "non-retryable 401", attempts: 1 });
  await receiver.stop();
  assert.deepEqual(
    got.map(({ sender, type, id, payload }) => ({ sender, type, id, payload })),
    [{ sender: "decnet", type: event.topic, id: event.id, payload: { v: 1, ...event } }],
  );
});

// ---- What is tried again, and what is not ----

/** Something that fails each time, and the error that is told. */
const failures: Record<
  string,
  { start: (t: TestContext) => Promise<string>; error: RegExp; timeoutMs?: number }
> = {
  "a refused connection": {
    start: async () => `http://127.0.0.1:${await closedPort()}/`,
    error: /^connect ECONNREFUSED 127\.0\.0\.1:\d+$/,
  },
  "a reset in the middle of the answer": {
    start: async (t) => (await openTargetServer(t, resets)).url,
    error: /^aborted$/,
  },
  "a reset before the answer": {
    start: async (t) => (await openTargetServer(t, (response) => response.socket?.resetAndDestroy())).url,
    error: /ECONNRESET/,
  },
  "a stall before the answer": {
    start: async (t) => (await openTargetServer(t, stalls)).url,
    error: /^no answer within 0\.03 s$/,
    timeoutMs: 30,
  },
  "a stall in the middle of the answer": {
    start: async (t) => (await openTargetServer(t, (response) => response.write("half"))).url,
    error: /^no answer within 0\.03 s$/,
    timeoutMs: 30,
  },
  "headers that come a letter at a time": {
    start: openSlowServer,
    error: /^no answer within 0\.03 s$/,
    timeoutMs: 30,
  },
};
for (const [what, { start, error, ...options }] of Object.entries(failures)) {
  test(`${what} is tried again after 1, 2 and 4 seconds, and then given up`, async (t) => {
    const { result, slept } = await send(await start(t), options);
    assert.match(result.error ?? "", error);
    assert.deepEqual({ ...result, error: null }, { ok: false, statusCode: null, error: null, attempts: 4 });
    assert.deepEqual(slept, [1000, 2000, 4000]);
  });
}

async function openSlowServer(t: TestContext): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.write("HTTP/1.1 200 OK\r\nX-Slow: ");
    const timer = setInterval(() => socket.write("x"), 5);
    socket.on("close", () => clearInterval(timer));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as { port: number }).port}/`;
}

test("every kind of failure, one after the other, and then it is delivered", async (t) => {
  const ways = [resets, answers(500), answers(429), answers(503), answers(204)];
  const server = await openTargetServer(t, ...ways);
  const { result, slept } = await send(server.url, { retrySchedule: [1, 1, 1, 1] });
  assert.deepEqual(result, { ok: true, statusCode: 204, error: null, attempts: 5 });
  assert.equal(slept.length, 4);
});

test("500, then 200: delivered by the second attempt", async (t) => {
  const server = await openTargetServer(t, answers(500), answers(200));
  const { result, slept } = await send(server.url);
  assert.deepEqual(result, { ok: true, statusCode: 200, error: null, attempts: 2 });
  assert.deepEqual(slept, [1000]);
});

test("500 for ever: four attempts, and the last status is told", async (t) => {
  const server = await openTargetServer(t, answers(500), answers(502), answers(503), answers(504));
  const { result, slept } = await send(server.url);
  assert.deepEqual(result, { ok: false, statusCode: 504, error: "status 504", attempts: 4 });
  assert.deepEqual(slept, [1000, 2000, 4000]);
});

const waits: [status: number, retryAfter: string, slept: number][] = [
  [429, "3", 3000],
  [503, "3", 3000],
  [429, "0", 1000], // never sooner than by the schedule
  [429, "60", 60_000],
  [429, "3600", 60_000], // and never later than in a minute
  [503, "Tue, 31 Mar 2026 14:00:07 GMT", 7000],
  [503, "Tue, 31 Mar 2026 13:00:00 GMT", 1000],
  [429, "soon", 1000],
];
for (const [status, retryAfter, milliseconds] of waits) {
  test(`${status} with Retry-After: ${retryAfter} is tried again after ${milliseconds} ms`, async (t) => {
    const server = await openTargetServer(t, answers(status, { "Retry-After": retryAfter }), answers(200));
    const { result, slept } = await send(server.url, { now: () => new Date("2026-03-31T14:00:00Z") });
    assert.deepEqual([result.ok, result.attempts, slept], [true, 2, [milliseconds]]);
  });
}

for (const status of [301, 302, 304, 307, 308, 400, 401, 404, 410, 413, 422]) {
  test(`${status} is final, and leads nowhere`, async (t) => {
    const elsewhere = await openTargetServer(t);
    const server = await openTargetServer(
      t,
      answers(status, { Location: elsewhere.url, "Retry-After": "1" }),
    );
    const { result, slept } = await send(server.url);
    assert.deepEqual(result, {
      ok: false,
      statusCode: status,
      error: `non-retryable ${status}`,
      attempts: 1,
    });
    assert.deepEqual([slept, server.received.length, elsewhere.received.length], [[], 1, 0]);
  });
}

for (const [url, error] of [
  ["http://127.0.0.1/", "refused to call 127.0.0.1: it is this machine itself (RFC 1122 §3.2.1.3)"],
  ["http://user:word@example.com/", "example.com: a URL with a user name or a password is not called"],
  ["ftp://example.com/", "expected http or https, not ftp:"],
  ["nowhere", "expected a URL such as https://example.com/hook"],
] as const) {
  test(`a refused address is final: ${url}`, async () => {
    const sleep = () => assert.fail("slept");
    const result = await deliver({ url, secret, allowPrivate: false }, event, { sleep });
    assert.deepEqual(result, { ok: false, statusCode: null, error, attempts: 1 });
  });
}

test("private addresses are refused unless WEBHOOK_ALLOW_PRIVATE or the subscription opens them", async (t) => {
  const { url } = await openTargetServer(t);
  const attempted = async (allowPrivate?: boolean) =>
    (await deliver({ url, secret, ...(allowPrivate === undefined ? {} : { allowPrivate }) }, event)).ok;
  assert.equal(process.env.WEBHOOK_ALLOW_PRIVATE, undefined);
  t.after(() => delete process.env.WEBHOOK_ALLOW_PRIVATE);
  assert.deepEqual([await attempted(), await attempted(true)], [false, true]);
  process.env.WEBHOOK_ALLOW_PRIVATE = "true";
  assert.deepEqual([await attempted(), await attempted(false)], [true, false]);
  process.env.WEBHOOK_ALLOW_PRIVATE = "false";
  assert.equal(await attempted(), false);
  process.env.WEBHOOK_ALLOW_PRIVATE = "yes";
  await assert.rejects(attempted(), {
    exitCode: 2,
    message: 'WEBHOOK_ALLOW_PRIVATE: expected true or false, not "yes"',
  });
});

// ---- The schedule ----

test("without a schedule there is one attempt", async (t) => {
  const server = await openTargetServer(t, answers(500));
  const { result, slept } = await send(server.url, { retrySchedule: [] });
  assert.deepEqual(result, { ok: false, statusCode: 500, error: "status 500", attempts: 1 });
  assert.deepEqual([slept, server.received.length], [[], 1]);
});

for (const [random, slept] of [
  [0, [800, 1600, 3200]],
  [0.25, [900, 1800, 3600]],
  [1 - Number.EPSILON / 2, [1200, 2400, 4800]],
] as const) {
  test(`the delays vary from 0.8 to 1.2 times: ${slept.join(", ")} ms`, async (t) => {
    const server = await openTargetServer(t, answers(500));
    assert.deepEqual((await send(server.url, { random: () => random })).slept, slept);
  });
}

test("a schedule of one's own is kept to", async (t) => {
  const server = await openTargetServer(t, answers(500));
  const { result, slept } = await send(server.url, { retrySchedule: [0, 0.5, 3600] });
  assert.deepEqual([result.attempts, slept], [4, [0, 500, 3_600_000]]);
});

test("id and bytes are the same in every attempt, and the timestamp is that of the attempt", async (t) => {
  const server = await openTargetServer(t, answers(500), answers(500), answers(200));
  let seconds = 1_700_000_000;
  const now = () => new Date(seconds * 1000);
  const sleep = async (milliseconds: number) => {
    seconds += milliseconds / 1000;
  };
  const { id: _, ts: __, ...rest } = event;
  await send(server.url, { now, sleep }, rest);
  const [first] = server.received;
  assert.match(
    String(first?.headers["x-decnet-event-id"]),
    /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-/,
  );
  assert.deepEqual(JSON.parse(String(first?.body)), {
    v: 1,
    id: first?.headers["x-decnet-event-id"],
    ts: "2023-11-14T22:13:20.000Z",
    ...rest,
  });
  for (const { headers, body } of server.received) {
    assert.ok(first !== undefined && body.equals(first.body));
    assert.equal(headers["x-decnet-event-id"], first.headers["x-decnet-event-id"]);
    assert.equal(headers["x-decnet-signature"], first.headers["x-decnet-signature"]);
  }
  assert.deepEqual(
    server.received.map(({ headers }) => headers["x-decnet-timestamp"]),
    ["1700000000", "1700000001", "1700000003"],
  );
});

test("the attempts share a connection", async (t) => {
  const server = await openTargetServer(t, answers(500), answers(500), answers(200));
  await send(server.url);
  assert.deepEqual(
    [server.received.length, new Set(server.received.map(({ fromPort }) => fromPort)).size],
    [3, 1],
  );
});

test("two deliveries without an id have two", async (t) => {
  const server = await openTargetServer(t);
  const { id: _, ...rest } = event;
  for (let count = 0; count < 2; count += 1) await send(server.url, {}, rest);
  assert.equal(new Set(server.received.map(({ headers }) => headers["x-decnet-event-id"])).size, 2);
});

// ---- What comes in ----

const times: [ts: number | string, expected: string][] = [
  [0, "1970-01-01T00:00:00.000Z"],
  [1_700_000_000, "2023-11-14T22:13:20.000Z"],
  [1_700_000_000.001, "2023-11-14T22:13:20.001Z"],
  [1.001, "1970-01-01T00:00:01.001Z"],
  ["2026-03-31T14:00:00Z", "2026-03-31T14:00:00Z"],
  ["2026-03-31T14:00:00.123456+00:00", "2026-03-31T14:00:00.123456+00:00"],
  ["2026-03-31T14:00:00.123456", "2026-03-31T14:00:00.123456Z"],
  ["2026-03-31 14:00:00", "2026-03-31 14:00:00Z"],
  ["2026-03-31T14:00:00+02:00", "2026-03-31T12:00:00.000Z"],
  ["2026-03-31T14:00:00-0530", "2026-03-31T19:30:00.000Z"],
];
for (const [ts, expected] of times) {
  test(`the time ${ts} is sent as ${expected}`, async (t) => {
    const server = await openTargetServer(t);
    await send(server.url, {}, { ...event, ts });
    assert.equal(JSON.parse(String(server.received[0]?.body)).ts, expected);
  });
}

const refused: [what: string, more: Partial<DecnetEvent>, error: object][] = [
  ["a time that is no number", { ts: Number.NaN }, { name: "RangeError" }],
  ["a time beyond all times", { ts: 1e300 }, { name: "RangeError" }],
  ["a text that is no time", { ts: "yesterday" }, { name: "RangeError", message: /^ts: expected/ }],
  [
    "a day that there is not",
    { ts: "2026-02-30T00:00:00Z" },
    { name: "RangeError", message: /^ts: expected/ },
  ],
  [
    "a topic with a line break",
    { topic: "a\r\nX-Two: 2" },
    { name: "TypeError", message: /^the topic cannot/ },
  ],
  ["a topic that is not ASCII", { topic: "größe" }, { name: "TypeError", message: /^the topic cannot/ }],
  ["an empty topic", { topic: "" }, { name: "TypeError", message: /^the topic cannot/ }],
  ["an id with a space at its end", { id: "a " }, { name: "TypeError", message: /^the id cannot/ }],
  ["an empty id", { id: "" }, { name: "TypeError", message: /^the id cannot/ }],
  [
    "a payload that is no JSON",
    { payload: () => {} },
    { name: "TypeError", message: /function is no JSON$/ },
  ],
  ["an integer beyond 64 bits", { payload: 2n ** 64n }, { name: "TypeError", message: /more than 64 bits$/ }],
];
for (const [what, more, error] of refused) {
  test(`${what} is refused before anything is sent`, async (t) => {
    const server = await openTargetServer(t);
    await assert.rejects(send(server.url, {}, { ...event, ...more }), error);
    assert.equal(server.received.length, 0);
  });
}

for (const empty of ["", "  ", "\n"]) {
  test(`the secret ${JSON.stringify(empty)} is refused`, async () => {
    const sent = deliver({ url: "https://example.com/", secret: empty }, event);
    await assert.rejects(sent, { name: "TypeError", message: "the secret is empty" });
  });
}

for (const options of [
  { retrySchedule: [1, Number.NaN] },
  { retrySchedule: [-1] },
  { retrySchedule: [Number.POSITIVE_INFINITY] },
  { timeoutMs: 0 },
  { timeoutMs: Number.NaN },
  { timeoutMs: 2 ** 31 },
]) {
  test(`${JSON.stringify(options)} is refused`, async () => {
    await assert.rejects(send("https://example.com/", options), { name: "RangeError" });
  });
}

test("another fetch is used in place of ours", async (t) => {
  const server = await openTargetServer(t, answers(500), answers(200, {}, "thanks"));
  const { result } = await send(server.url, { fetch: globalThis.fetch });
  assert.deepEqual(result, { ok: true, statusCode: 200, error: null, attempts: 2 });
});

test("the signal ends a delivery in an attempt, and between two", async (t) => {
  const reason = new Error("nobody waits any more");
  const stalling = await openTargetServer(t, stalls);
  const inside = new AbortController();
  void stalling.reaches(1).then(() => inside.abort(reason));
  await assert.rejects(send(stalling.url, { signal: inside.signal }), reason);

  const failing = await openTargetServer(t, answers(500));
  const between = new AbortController();
  const sleeping = deliver({ url: failing.url, secret, allowPrivate: true }, event, {
    retrySchedule: [3600],
    signal: between.signal,
    fetch: async (...request) => {
      const answer = await sharedPost(true)(...request);
      setImmediate(() => between.abort(reason)); // by then it sleeps
      return answer;
    },
  });
  await assert.rejects(sleeping, reason);
  assert.equal(failing.received.length, 1);
});

test("nothing that is told holds the secret or the path", async (t) => {
  const server = await openTargetServer(t, answers(404));
  for (const url of [
    `${server.url}/hush?hush`,
    `http://127.0.0.1:${await closedPort()}/hush`,
    "http://10.0.0.1:1/hush",
  ]) {
    const result = await deliver(
      { url, secret: "hush-hush", allowPrivate: url !== "http://10.0.0.1:1/hush" },
      event,
      {
        retrySchedule: [],
      },
    );
    assert.equal(result.ok, false);
    assert.equal(JSON.stringify(result).includes("hush"), false);
  }
});
