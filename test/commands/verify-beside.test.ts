/**
 * `verify` beside a receiver: both get the same bytes, and both say yes, or no for the same reason.
 *
 * What is refused before it is a request at all has other words (Node's parser is not asked offline), and a capture
 * may have lost its Content-Length; these are named below.
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { verifyCapture } from "../../lib/commands/verify.ts";
import { openTestReceiver, parseAnswers, secret, sign, type TestReceiver } from "../receiver.ts";
import { openFolder, runToEnd } from "./folder.ts";

const maxBodyBytes = 1000;
const environment = {
  WEBHOOK_SECRET: secret,
  WEBHOOK_SECRET_SLACK: secret,
  WEBHOOK_SECRET_META: secret,
  WEBHOOK_VERIFY_TOKEN_META: "a-token-that-meta-sends",
  WEBHOOK_SECRET_DROPBOX: secret,
};
let receiver: TestReceiver;
before(async () => {
  receiver = await openTestReceiver({ environment, maxBodyBytes });
});
after(() => receiver.stop());

const body = '{"action":"opened"}';
const host = "Host: localhost";
const length = `Content-Length: ${body.length}`;
const event = "X-GitHub-Event: push";
const github = `X-Hub-Signature-256: ${sign(body)}`;
const decnet = `X-DECNET-Signature: ${sign(body)}`;
const bearer = `Authorization: Bearer ${sign(body).slice("sha256=".length)}`;
const good = [host, length, event, github];
/** The parser counts the target, the names and the values: this is so many bytes of them. */
const headOf = (bytes: number): string[] => {
  const head = ["/webhook", ...good.flatMap((line) => line.split(": ")), "X-Pad"];
  return [...good, `X-Pad: ${"a".repeat(bytes - head.join("").length)}`];
};
const large = JSON.stringify("a".repeat(maxBodyBytes - 2));
const echo = "/webhook/meta?hub.mode=subscribe&hub.challenge=1&hub.verify_token=";

type Case = {
  readonly what: string;
  readonly sender?: string;
  readonly line?: string;
  readonly head: readonly string[];
  readonly body?: string;
  /** undefined: yes */
  readonly reason?: string;
  /** What `verify` says where the parser has no name for it. */
  readonly offline?: string;
};

const cases: readonly Case[] = [
  { what: "a good push", head: good },
  { what: "a push that another sender of the path signs", head: [host, length, decnet] },
  { what: "an Authorization of a gateway", head: [...good, "Authorization: Bearer abc"] },
  { what: "a GET", line: "GET /webhook", head: good, reason: "method-not-allowed" },
  { what: "a PUT", line: "PUT /webhook", head: good, reason: "method-not-allowed" },
  { what: "no signature", head: [host, length, event], reason: "signature-missing" },
  { what: "two kinds of signature", head: [...good, decnet], reason: "signature-ambiguous" },
  {
    what: "two kinds, for the other",
    sender: "decnet",
    head: [...good, decnet],
    reason: "signature-ambiguous",
  },
  { what: "a third kind", sender: "messaging", head: [...good, bearer], reason: "signature-ambiguous" },
  { what: "a doubled signature", head: [...good, github], reason: "signature-ambiguous" },
  {
    what: "a doubled Authorization",
    sender: "messaging",
    head: [host, length, bearer, bearer],
    reason: "signature-ambiguous",
  },
  { what: "a doubled event", head: [...good, event], reason: "header-doubled" },
  {
    what: "a doubled id",
    head: [...good, "X-GitHub-Delivery: a", "x-github-delivery: b"],
    reason: "header-doubled",
  },
  { what: "a doubled Content-Type", head: [...good, "Content-Type: a/b", "Content-Type: c/d"] },
  { what: "a doubled Host", head: [...good, host], reason: "http-malformed" },
  { what: "a Host that is none", head: ["Host: a/b", length, event, github], reason: "http-malformed" },
  { what: "an odd Expect", head: [...good, "Expect: tea"], reason: "expectation-unknown" },
  {
    what: "chunks",
    head: [host, "Transfer-Encoding: chunked", event, github],
    reason: "content-length-missing",
  },
  {
    what: "chunks and a length",
    head: [...good, "Transfer-Encoding: chunked"],
    reason: "http-malformed",
  },
  {
    what: "a length with a sign",
    head: [host, "Content-Length: +19", event, github],
    reason: "http-malformed",
    offline: "content-length-invalid",
  },
  {
    what: "a doubled length",
    head: [...good, length],
    reason: "http-malformed",
    offline: "content-length-invalid",
  },
  {
    what: "a body that is too short",
    head: [host, `Content-Length: ${body.length + 1}`, event, github],
    reason: "body-incomplete",
  },
  {
    what: "a body at the operator's limit",
    head: [host, `Content-Length: ${large.length}`, event, `X-Hub-Signature-256: ${sign(large)}`],
    body: large,
  },
  {
    what: "a body beyond it",
    head: [host, `Content-Length: ${large.length + 1}`, event, `X-Hub-Signature-256: ${sign(`${large} `)}`],
    body: `${large} `,
    reason: "body-too-large",
  },
  {
    what: "100 headers",
    head: [...good, ...Array.from({ length: 96 }, (_, index) => `X-${index}: a`)],
  },
  {
    what: "101 headers",
    head: [...good, ...Array.from({ length: 97 }, (_, index) => `X-${index}: a`)],
    reason: "headers-too-large",
  },
  { what: "a head of 16 KiB but one byte", head: headOf(16 * 1024 - 1) },
  { what: "a head of 16 KiB", head: headOf(16 * 1024), reason: "headers-too-large" },
  {
    what: "a body that is no JSON",
    head: [host, "Content-Length: 1", event, `X-Hub-Signature-256: ${sign("x")}`],
    body: "x",
    reason: "body-not-json",
  },
  {
    what: "the wrong shape",
    sender: "messaging",
    head: [host, length, bearer],
    reason: "shape-invalid",
  },
  {
    what: "Slack's unsigned form",
    sender: "slack",
    line: "POST /webhook/slack",
    head: [host, "Content-Length: 11"],
    body: "ssl_check=1",
  },
  {
    what: "another unsigned form",
    sender: "slack",
    line: "POST /webhook/slack",
    head: [host, "Content-Length: 11"],
    body: "ssl_check=2",
    reason: "signature-missing",
  },
  {
    what: "Meta's question",
    sender: "meta",
    line: `GET ${echo}a-token-that-meta-sends`,
    head: [host],
    body: "",
  },
  {
    what: "Meta's question with another token",
    sender: "meta",
    line: `GET ${echo}another`,
    head: [host],
    body: "",
    reason: "verify-token-mismatch",
  },
  {
    what: "Dropbox's question",
    sender: "dropbox",
    line: "GET /webhook/dropbox?challenge=1",
    head: [host],
    body: "",
  },
];

/** Our side of the connection ends behind the request: the answer, and a body that is too short, need that. */
async function post(text: string) {
  const socket = connect(receiver.port, "127.0.0.1").end(text);
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk);
  return parseAnswers(Buffer.concat(chunks));
}

async function offline({ sender = "github", line = "POST /webhook", head, body: sent = body }: Case) {
  writeFileSync("head", `${line} HTTP/1.1\n${head.join("\n")}\n`, "latin1");
  writeFileSync("body", sent);
  const { exitCode, text } = await runToEnd(verifyCapture, [sender, "--headers", "head", "--body", "body"], {
    ...environment,
    WEBHOOK_MAX_BODY: String(maxBodyBytes),
  });
  const reason = /^no: ([a-z-]+): /.exec(text)?.[1];
  assert.equal(exitCode, reason === undefined ? 0 : 1, text);
  if (reason === undefined) assert.match(text, /^yes: /);
  return reason;
}

for (const one of cases) {
  const { what, line = "POST /webhook", head, body: sent = body, reason, offline: own = reason } = one;
  test(`${what}: ${reason ?? "yes"}, from both`, async (t) => {
    openFolder(t);
    const before = receiver.lines.length;
    const [answer] = await post(`${line} HTTP/1.1\r\n${head.join("\r\n")}\r\n\r\n${sent}`);
    const logged = receiver.lines.slice(before).find(({ status }) => status !== undefined);
    assert.equal(logged?.reason, reason);
    assert.equal((answer?.status ?? 0) < 400, reason === undefined);
    assert.equal(await offline(one), own);
  });
}

test("a capture that has lost Content-Length and Host is judged by its file", async (t) => {
  openFolder(t);
  const what = "";
  assert.equal(await offline({ what, head: [event, github] }), undefined);
  assert.equal(await offline({ what, head: [event, github], body: `${body} ` }), "signature-mismatch");
  assert.equal(await offline({ what, head: [event, github], body: `${large} ` }), "body-too-large");
});
