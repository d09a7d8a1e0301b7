/** `show`: everything about a delivery, except what opens doors. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { show } from "../../lib/commands/show.ts";
import type { FormUse } from "../../lib/senders/sender.ts";
import { senders } from "../../lib/senders/table.ts";
import { now, openFolder, run, setJob } from "./folder.ts";

test("show has the delivery, its headers, its body and its jobs", async (t) => {
  const folder = openFolder(t);
  const number = folder.keep({
    id: "72d3162e",
    event: "pull_request.opened",
    headers: JSON.stringify({
      host: "hooks.example.com",
      authorization: "Bearer abc",
      cookie: "session=abc",
      "content-type": "application/json",
      "x-hub-signature-256": "sha256=abc",
    }),
    body: Buffer.from('{"action":"opened","number":7,"labels":[]}'),
    receivedAt: now.getTime(),
    jobs: ["a", "b", "c", "d"].map((handler) => ({ handler, orderKey: null })),
  });
  setJob(folder, number, "dead", {
    handler: "b",
    attempts: 12,
    lastError: "Error: no\n    at deploy (handlers.ts:1:2)",
    finishedAt: now.getTime() + 1,
  });
  setJob(folder, number, "done", { handler: "c", finishedAt: now.getTime() + 2 });
  setJob(folder, number, "running", { handler: "d", attempts: 2 });
  assert.equal(
    await run(show, ["72d3162e"]),
    `delivery 1
  id        72d3162e
  event     pull_request.opened
  source    default (github)
  received  2026-11-22T12:00:00.000Z
  state     dead
  repeats   0
headers
  host: hooks.example.com
  authorization: [redacted]
  cookie: [redacted]
  content-type: application/json
  x-hub-signature-256: [redacted]
body (42 bytes)
  {
    "action": "opened",
    "number": 7,
    "labels": []
  }
jobs
  a  pending  0 attempts  next 2026-11-22T12:00:00.000Z
  b  dead  12 attempts  finished 2026-11-22T12:00:00.001Z
    last error:
      Error: no
          at deploy (handlers.ts:1:2)
  c  done  1 attempt  finished 2026-11-22T12:00:00.002Z
  d  running  2 attempts
`,
  );
});

test("show says of a job that waits for an earlier one of its key what it waits for", async (t) => {
  const { keep } = openFolder(t);
  const jobs = [{ handler: "push", orderKey: "k" }];
  keep({ id: "first", isIdSigned: true, jobs });
  keep({ id: "second", isIdSigned: true, jobs });
  assert.match(
    await run(show, ["second"]),
    /^ {2}push {2}pending {2}0 attempts {2}behind an earlier one of its key$/m,
  );
});

test("show knows a delivery by its number, and shows all that have one id", async (t) => {
  const { keep } = openFolder(t);
  keep({ id: "same", isIdSigned: false, body: Buffer.from("1"), jobs: [] });
  keep({ id: "same", isIdSigned: false, body: Buffer.from("2") });
  keep({ id: "same", isIdSigned: false, source: "stripe", sender: "stripe", body: Buffer.from("3") });
  const text = await run(show, ["same"]);
  assert.deepEqual(text.match(/^delivery .*$/gm), ["delivery 1", "delivery 2", "delivery 3"]);
  assert.deepEqual(text.match(/^ {2}twin .*$/gm), ["  twin      another body had come under this id before"]);
  assert.deepEqual(text.match(/^ {2}none: .*$/gm), ["  none: no handler matched"]);
  assert.match(text, /\n\ndelivery 2\n/);
  assert.match(await run(show, ["3"]), /^delivery 3\n.*source {4}stripe \(stripe\)/s);
});

test("an id that looks like a number beats the number", async (t) => {
  const { keep } = openFolder(t);
  keep({ id: "2" });
  keep({ id: "other" });
  assert.match(await run(show, ["2"]), /^delivery 1\n/);
});

test("show redacts a described sender's only header of that name", async (t) => {
  const { keep } = openFolder(t);
  keep({ sender: "acme", headers: '{"x-acme-mac":"TOPSECRET"}' });
  const description = '{"signature":"X-Acme-Mac","encoding":"hex","signed":"{body}"}';
  assert.match(
    await run(show, ["1"], { WEBHOOK_SENDER_ACME: description }),
    /\n {2}x-acme-mac: \[redacted\]\n/,
  );
});

test("show refuses an id that is not there, none, and two", async (t) => {
  const { keep } = openFolder(t);
  keep();
  for (const id of ["nowhere", "2", "0", "01", "1.0"])
    await assert.rejects(run(show, [id]), {
      message: `no delivery in inbox.db is called "${id}"`,
      exitCode: 1,
    });
  await assert.rejects(run(show, []), { message: "show: expected one ID", exitCode: 2 });
  await assert.rejects(run(show, ["1", "2"]), { message: "show: expected one ID", exitCode: 2 });
});

const leaks: [name: string, sender: string, headers: Record<string, string>, body: string, form?: FormUse][] =
  [
    ["Shopify's HMAC", "shopify", { "x-shopify-hmac-sha256": "TOPSECRET" }, "{}"],
    ["GitLab's token", "gitlab-token", { "x-gitlab-token": "TOPSECRET" }, "{}"],
    ["DocuSign's numbered signatures", "docusign", { "x-docusign-signature-2": "TOPSECRET" }, "{}"],
    [
      "Microsoft Graph's clientState",
      "microsoft-graph",
      {},
      '{"value":[{"id":1,"clientState":"TOPSECRET"}]}',
    ],
    ["Mailgun's signature", "mailgun", {}, '{"signature":{"token":"t","signature":"TOPSECRET"}}'],
    [
      "Mailgun's form",
      "mailgun",
      { "content-type": "application/x-www-form-urlencoded" },
      "event=opened&signature=TOPSECRET&token=TOPSECRET",
      "fields",
    ],
    [
      "a body that holds the signature and cannot be read any more",
      "mailgun",
      {},
      "{event=opened&signature=TOPSECRET",
      "fields",
    ],
    ["a password deep in a payload", "github", {}, '{"a":[{"b":{"Password":"TOPSECRET"}}]}'],
    ["the header of a sender that nobody describes any more", "gone", { "x-gone-mac": "TOPSECRET" }, "{}"],
  ];
for (const [name, sender, headers, body, form = null] of leaks) {
  test(`show redacts ${name}`, async (t) => {
    const { keep } = openFolder(t);
    keep({
      sender,
      source: sender,
      form,
      headers: JSON.stringify({ "content-type": "application/json", ...headers }),
      body: Buffer.from(body),
    });
    const text = await run(show, ["1"]);
    assert.doesNotMatch(text, /TOPSECRET/);
    assert.match(text, /\[redacted\]/);
    assert.match(text, /content-type: application/);
  });
}

for (const sender of senders) {
  test(`show redacts every signature of ${sender.title}`, async (t) => {
    const { keep } = openFolder(t);
    for (const { signature } of sender.schemes) {
      const field = signature.startsWith("field:") ? signature.slice("field:".length).split(".") : [];
      const payload = field.reduceRight<unknown>(
        (inner, name) => (name === "*" ? [inner] : { [name]: inner }),
        "TOPSECRET",
      );
      keep({
        id: signature,
        sender: sender.name,
        headers: JSON.stringify(field.length === 0 ? { [signature.replace("*", "1")]: "TOPSECRET" } : {}),
        body: Buffer.from(JSON.stringify(field.length === 0 ? {} : payload)),
      });
      const text = await run(show, [signature]);
      assert.match(text, /\[redacted\]/);
      assert.doesNotMatch(text, /TOPSECRET/);
    }
  });
}

test("show redacts the signature of a sender that a variable describes", async (t) => {
  const { keep } = openFolder(t);
  keep({
    sender: "acme",
    source: "acme-2",
    headers: '{"x-acme-mac-1":"TOPSECRET","x-acme-event":"door.opened"}',
  });
  const description = '{"signature":"X-Acme-Mac-*","encoding":"hex","signed":"{body}"}';
  const text = await run(show, ["1"], { WEBHOOK_SENDER_ACME: description });
  assert.match(text, /\n {2}x-acme-mac-1: \[redacted\]\n {2}x-acme-event: door\.opened\n/);
});

const bodies: [name: string, body: Buffer, shown: string][] = [
  ["a form whose payload is JSON", Buffer.from("payload=%7B%22a%22%3A1%7D"), '  {\n    "a": 1\n  }'],
  ["a text", Buffer.from("one\r\ntwo\tthree\u009b"), "  one\n  two\tthree\\u009b"],
  ["64 bytes that are no text", Buffer.alloc(64, 0xff), `  ${"ff".repeat(64)}`],
  ["65 bytes that are no text", Buffer.alloc(65, 0xff), `  ${"ff".repeat(64)}…`],
  ["UTF-8 with a zero byte", Buffer.from("a\u0000b"), "  610062"],
  ["nothing", Buffer.alloc(0), "  "],
  [
    "JSON of 100000 brackets",
    Buffer.from("[".repeat(1e5) + "]".repeat(1e5)),
    "  JSON, nested too deeply to be shown",
  ],
];
for (const [name, body, shown] of bodies) {
  test(`show shows ${name}`, async (t) => {
    const { keep } = openFolder(t);
    keep({ body, form: "payload" });
    const text = await run(show, ["1"]);
    assert.equal(/^body [^\n]*\n(.*)\njobs$/ms.exec(text)?.[1], shown);
  });
}

test("nothing from outside can pass for a heading or move the cursor", async (t) => {
  const folder = openFolder(t);
  const trap = "x\njobs\n\u001b[2J\u2028";
  const number = folder.keep({
    id: trap,
    event: trap,
    headers: JSON.stringify({ "x-trap": trap, "set-cookie": [trap], accept: trap }),
    body: Buffer.from(JSON.stringify({ [trap]: trap })),
  });
  setJob(folder, number, "dead", { lastError: trap });
  const text = await run(show, ["1"]);
  assert.deepEqual(text.match(/^\S.*$/gm), ["delivery 1", "headers", "body (49 bytes)", "jobs"]);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this looks for
  assert.doesNotMatch(text, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029]/);
});
