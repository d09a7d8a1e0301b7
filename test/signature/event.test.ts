/** What is made of an authentic body. The deliveries here are signed and verified: there is no other way to one. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { sourceAt } from "../../lib/receive/route.ts";
import { readSources } from "../../lib/settings/sources.ts";
import { readClaim } from "../../lib/signature/claim.ts";
import { maxTypes, readEvent, type WebhookEvent } from "../../lib/signature/event.ts";
import { verify } from "../../lib/signature/verify.ts";
import { secret, sign } from "../receiver.ts";

const source = sourceAt(readSources({ WEBHOOK_SECRET: secret }, true).sources, "/webhook");

function eventOf(
  body: string | Buffer,
  headers: Record<string, string> = {},
  carrier = "x-hub-signature-256",
): WebhookEvent {
  const bytes = Buffer.from(body as string);
  const value = carrier === "authorization" ? sign(bytes).replace("sha256=", "Bearer ") : sign(bytes);
  const all = { [carrier]: value, ...headers };
  const claim = readClaim(source, {
    headers: all,
    rawHeaders: Object.entries(all).flat(),
    method: "POST",
    target: "/webhook",
  });
  return readEvent(verify(claim, bytes, new Date()));
}

const message = (body: unknown) => eventOf(JSON.stringify(body), {}, "authorization");

test("a GitHub event is named by its header, and by its action when it has one", () => {
  assert.equal(eventOf("{}", { "x-github-event": "push" }).type, "push");
  assert.equal(
    eventOf('{"action":"opened"}', { "x-github-event": "pull_request" }).type,
    "pull_request.opened",
  );
});

test("a number is a name too: some senders number their events", () => {
  assert.equal(eventOf('{"action":5}', { "x-github-event": "issues" }).type, "issues.5");
});

for (const action of ["5.5", "1e300", "null", "true", '["opened"]', '{"a":1}', '""']) {
  test(`an action of ${action} is no part of the name`, () => {
    assert.equal(eventOf(`{"action":${action}}`, { "x-github-event": "issues" }).type, "issues");
  });
}

test("without an event header the event is unknown, whatever the action says", () => {
  assert.equal(eventOf('{"action":"opened"}').type, "unknown");
  assert.equal(eventOf("{}", { "x-github-event": "" }).type, "unknown");
});

test("a DECNET event is named by its topic and identified by its header", () => {
  const headers = { "x-decnet-event-topic": "attacker.session.started", "x-decnet-event-id": "evt_1" };
  const event = eventOf('{"v":1}', headers, "x-decnet-signature");
  assert.deepEqual([event.type, event.id, event.sender], ["attacker.session.started", "evt_1", "decnet"]);
});

test("the event headers of another sender than the one that signed do not count", () => {
  assert.equal(eventOf("{}", { "x-decnet-event-topic": "node.up" }).type, "unknown");
});

test("a messaging event is named by its status; message and status together are its id", () => {
  const event = message({ id: "msg_1", status: "delivered", deliveredAt: "2026-01-01T00:00:00Z" });
  assert.deepEqual(
    [event.type, event.id, event.sender],
    ["message.delivered", "msg_1.delivered", "messaging"],
  );
});

test("the delivery's id is the sender's, or random", () => {
  assert.equal(eventOf("{}", { "x-github-delivery": "72d3162e" }).id, "72d3162e");
  assert.match(eventOf("{}").id, /^[0-9a-f]{8}-[0-9a-f]{4}-4/);
  assert.notEqual(eventOf("{}").id, eventOf("{}").id);
});

for (const name of ["__proto__", "constructor", "toString", "hasOwnProperty"]) {
  test(`an event called ${name} is an event like any other`, () => {
    assert.equal(eventOf(`{"action":"${name}"}`, { "x-github-event": name }).type, `${name}.${name}`);
  });
}

test("a NUL in a name is written out: no two names become one where texts end at a NUL", () => {
  assert.equal(eventOf('{"action":"a\\u0000b"}', { "x-github-event": "push" }).type, "push.a\\u0000b");
  const ids = ["x", "y"].map(
    (end) => message({ id: `m\0${end}`, status: "queued", deliveredAt: "2026-01-01T00:00:00Z" }).id,
  );
  assert.deepEqual(ids, ["m\\u0000x.queued", "m\\u0000y.queued"]);
});

test("a payload without own fields has no inherited ones either", () => {
  assert.throws(() => message({ __proto__: { id: "x", status: "queued" } }), { code: "shape-invalid" });
  assert.equal(eventOf('"a string"', { "x-github-event": "push" }).type, "push");
  assert.equal(eventOf("null", { "x-github-event": "push" }).type, "push");
});

test("a form that begins with the field payload holds JSON in it, and the event keeps the raw form", () => {
  const body = "payload=%7B%22zen%22%3A%22Speak+like+a+human.%22%7D&other=1&payload=%5B%5D";
  const event = eventOf(body, { "content-type": "application/x-www-form-urlencoded" });
  assert.deepEqual(event.payload, { zen: "Speak like a human." });
  assert.equal(event.body.toString(), body);
});

// Nobody signs the Content-Type: whoever captured a delivery could choose it.
for (const type of ["application/json", "application/x-www-form-urlencoded", "text/plain", ""]) {
  test(`the content type ${JSON.stringify(type)} does not change what is read`, () => {
    const headers = { "content-type": type };
    const text = '{"a":"b&payload=%7B%22evil%22%3Atrue%7D&"}';
    assert.deepEqual(eventOf(text, headers).payload, { a: "b&payload=%7B%22evil%22%3Atrue%7D&" });
    assert.deepEqual(eventOf("payload=%7B%7D", headers).payload, {});
  });
}

test("a sender that sends no forms is not read as one", () => {
  assert.throws(() => eventOf("payload=%7B%7D", {}, "x-decnet-signature"), { code: "body-not-json" });
  assert.throws(() => eventOf("payload=%7B%7D", {}, "authorization"), { code: "body-not-json" });
});

test("a byte order mark is dropped for parsing and kept in the bytes", () => {
  const event = eventOf("\ufeff{}");
  assert.deepEqual(event.payload, {});
  assert.deepEqual([...event.body.subarray(0, 3)], [0xef, 0xbb, 0xbf]);
});

test("a byte that is no UTF-8 becomes U+FFFD in the payload and stays itself in the bytes", () => {
  const event = eventOf(Buffer.from('{"name":"Zo\xeb"}', "latin1"));
  assert.deepEqual(event.payload, { name: "Zo\ufffd" });
  assert.equal(event.body[11], 0xeb);
});

for (const body of [
  "",
  " ",
  "{",
  "{'a':1}",
  "undefined",
  "[1,]",
  "\ufeff\ufeff{}",
  "payload={",
  "payload=",
  "a=1&payload={}",
  "{}{}",
]) {
  test(`the authentic body ${JSON.stringify(body)} is refused as body-not-json`, () => {
    assert.throws(() => eventOf(body), { code: "body-not-json", status: 400 });
  });
}

test("the refusal of a body does not quote it", () => {
  assert.throws(
    () => eventOf("my-password"),
    (error: Error) => !error.message.includes("password"),
  );
});

const status = 'Input should be "queued", "delivered" or "failed"';
const shapes: [unknown, string, { pointer: string; detail: string }[]][] = [
  [{ id: "m", status: "lost" }, `status: ${status}`, [{ pointer: "#/status", detail: status }]],
  [{ id: "m", status: 5 }, `status: ${status}`, [{ pointer: "#/status", detail: status }]],
  [{ id: "m" }, "status: Field required", [{ pointer: "#/status", detail: "Field required" }]],
  [
    { id: "", status: "queued" },
    "id: Input should be a non-empty string",
    [{ pointer: "#/id", detail: "Input should be a non-empty string" }],
  ],
  [
    {},
    "id: Field required",
    [
      { pointer: "#/id", detail: "Field required" },
      { pointer: "#/status", detail: "Field required" },
    ],
  ],
];
for (const [payload, detail, faults] of shapes) {
  test(`the messaging payload ${JSON.stringify(payload)} is refused: ${detail}`, () => {
    assert.throws(() => message(payload), { code: "shape-invalid", status: 422, detail, faults });
  });
}
for (const payload of [null, 5, "text", [], [{ id: "m", status: "queued" }]]) {
  test(`the messaging payload ${JSON.stringify(payload)} has the wrong shape`, () => {
    assert.throws(() => message(payload), { code: "shape-invalid", detail: "id: Field required" });
  });
}

const times: [time: unknown, isGood: boolean][] = [
  ["2026-01-01T00:00:00Z", true],
  ["2026-02-28T23:59:60.123456+05:30", true],
  ["2024-02-29 12:00:00", true],
  ["2026-01-01t00:00:00z", true],
  ["2026-02-30T00:00:00Z", false],
  ["2026-13-01T00:00:00Z", false],
  ["2026-01-01T24:00:00Z", false],
  ["2026-01-01", false],
  ["yesterday", false],
  ["", false],
  [1767225600, false],
  [null, false],
];
for (const [deliveredAt, isGood] of times) {
  test(`a deliveredAt of ${JSON.stringify(deliveredAt)} is ${isGood ? "accepted" : "refused"}`, () => {
    const attempt = () => message({ id: "m", status: "delivered", deliveredAt });
    if (isGood) assert.equal(attempt().type, "message.delivered");
    else assert.throws(attempt, { detail: "deliveredAt: Input should be an ISO 8601 date and time" });
  });
}

test("event types and delivery ids have at most 255 characters", () => {
  assert.equal(eventOf("{}", { "x-github-event": "e".repeat(255) }).type.length, 255);
  assert.equal(eventOf("{}", { "x-github-delivery": "d".repeat(255) }).id.length, 255);
  assert.throws(() => eventOf("{}", { "x-github-event": "e".repeat(256) }), { code: "shape-invalid" });
  assert.throws(() => eventOf("{}", { "x-github-delivery": "d".repeat(256) }), { code: "shape-invalid" });
  assert.throws(() => message({ id: "m".repeat(250), status: "queued" }), { code: "shape-invalid" });
});

/** What Meta's batches are called: of an array of changes, one after the other. */
function batchOf(...fields: unknown[]): WebhookEvent {
  const meta = sourceAt(readSources({ WEBHOOK_SECRET_META: secret }, true).sources, "/webhook/meta");
  const bytes = Buffer.from(
    JSON.stringify({ object: "page", entry: [{ changes: fields.map((field) => ({ field })) }] }),
  );
  const headers = { "x-hub-signature-256": sign(bytes) };
  const head = {
    headers,
    rawHeaders: Object.entries(headers).flat(),
    method: "POST",
    target: "/webhook/meta",
  };
  return readEvent(verify(readClaim(meta, head), bytes, new Date()));
}

test("a batch has each of its names once, in the order of their first event", () => {
  const { types, type } = batchOf("feed", "mention", "feed", undefined, 7);
  assert.deepEqual(types, ["page.feed", "page.mention", "page", "page.7"]);
  assert.equal(type, "page.feed,page.mention,page,page.7");
  assert.deepEqual(batchOf().types, ["page"]);
});

test("a comma in a name does not make two of it", () => {
  assert.deepEqual(batchOf("a,b").types, ["page.a\\u002cb"]);
  assert.deepEqual(eventOf("{}", { "x-github-event": "push,pull" }).types, ["push\\u002cpull"]);
});

test("a batch may have 50 types, and with one more it is refused", () => {
  const names = Array.from({ length: maxTypes }, (_, index) => `f${index}`);
  assert.equal(batchOf(...names).types.length, 50);
  assert.throws(() => batchOf(...names, "one more"), { code: "shape-invalid" });
});

test("two ids that differ in half a surrogate pair, or in a NUL, stay two", () => {
  const idOf = (id: string) => eventOf(JSON.stringify({ id, status: "queued" }), {}, "authorization").id;
  assert.equal(idOf("a\ud800"), "a\\ud800.queued");
  assert.equal(idOf("a\udc00\ud800"), "a\\udc00\\ud800.queued");
  assert.equal(idOf("a\ud83d\ude00"), "a😀.queued");
  assert.equal(idOf("a\0"), "a\\u0000.queued");
});

function acmeIdOf(body: string): string {
  const acme = {
    WEBHOOK_SENDER_ACME: '{"signature":"x-acme","encoding":"hex","signed":"{body}","id":["field:id"]}',
    WEBHOOK_SECRET_ACME: secret,
  };
  const own = sourceAt(readSources(acme, true).sources, "/webhook/acme");
  const bytes = Buffer.from(body);
  const headers = { "x-acme": sign(bytes).replace("sha256=", "") };
  const head = {
    headers,
    rawHeaders: Object.entries(headers).flat(),
    method: "POST",
    target: "/webhook/acme",
  };
  return readEvent(verify(readClaim(own, head), bytes, new Date())).id;
}

test("an id beyond 2^53 is told by the bytes: the same on each repeat, another for its neighbour", () => {
  const [one, next] = ['{"id":9007199254740993}', '{"id":9007199254740992}'];
  assert.equal(acmeIdOf(one), acmeIdOf(one));
  assert.equal(acmeIdOf(one), createHash("sha256").update(one).digest("hex"));
  assert.notEqual(acmeIdOf(one), acmeIdOf(next));
  assert.equal(acmeIdOf('{"id":9007199254740991}'), "9007199254740991");
  assert.notEqual(acmeIdOf("{}"), acmeIdOf("{}")); // no id at all is a random one
});
