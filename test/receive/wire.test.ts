/**
 * What a client sees on the wire, whoever answers: Node's parser, the checks of the head, or the receiver.
 *
 * One row is one connection: the exact bytes, and then everything that came of them: status, headers, problem
 * document, the one log line with its reason, and whether the connection went on. After each row a good delivery
 * on a new connection has to be answered 200. The texts are written out here and not taken from `refusal.ts`.
 */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { after, test } from "node:test";
import {
  exchange,
  openTestReceiver,
  parseAnswers,
  type RawAnswer,
  rawPost,
  secret,
  sign,
  type TestReceiver,
} from "../receiver.ts";

const malformed = "The request is not well-formed HTTP/1.1.";
const unauthorized = "Unauthorized: Signature validation failed.";
const challenge = { "www-authenticate": 'Signature realm="webhook"' };

/** The reason in the log → status, title and detail of the answer. */
const problems = {
  "http-malformed": [400, "Bad Request", malformed],
  "body-incomplete": [400, "Bad Request", "The body ended before Content-Length bytes had arrived."],
  "header-doubled": [400, "Bad Request", "A header that names the event or the delivery is there twice."],
  "body-not-json": [400, "Bad Request", "The body is not valid JSON."],
  "signature-missing": [401, "Unauthorized", unauthorized],
  "signature-ambiguous": [401, "Unauthorized", unauthorized],
  "signature-malformed": [401, "Unauthorized", unauthorized],
  "signature-mismatch": [401, "Unauthorized", unauthorized],
  "path-unknown": [404, "Not Found", "There is nothing at this path."],
  "source-unknown": [404, "Not Found", "There is nothing at this path."],
  "method-not-allowed": [405, "Method Not Allowed", "This method is not allowed here."],
  "request-timeout": [408, "Request Timeout", "The request took too long to arrive."],
  "content-length-missing": [
    411,
    "Length Required",
    "Content-Length is required; chunked bodies are not accepted.",
  ],
  "body-too-large": [413, "Payload Too Large", "The body is larger than this receiver accepts."],
  "content-encoding-unsupported": [415, "Unsupported Media Type", "Compressed bodies are not accepted."],
  "expectation-unknown": [
    417,
    "Expectation Failed",
    "The only expectation this receiver can meet is 100-continue.",
  ],
  "headers-too-large": [
    431,
    "Request Header Fields Too Large",
    "The request head is too large or has too many fields.",
  ],
} as const;
type Reason = keyof typeof problems;

const body = '{"zen":"Keep it logically awesome."}';
const length = String(body.length);
const hex = sign(body).slice("sha256=".length);
const good = rawPost(body);
/** The last request of its connection: the server closes it after the answer. */
const goodLast = rawPost(body, { Connection: "close" });

let handled = 0;
const receiver = await openTestReceiver({
  handlers: {
    "*": () => {
      handled += 1;
    },
  },
});
/** Everything that went out to clients and into logs, for the last test of this file. */
const published: string[] = [];
/** The signatures that would have been right for the bodies of the refused requests. */
const expectedSignatures = new Set<string>();
const receivers = [receiver];
after(() => Promise.all(receivers.map((each) => each.stop())));

/** The good delivery with one piece of it replaced. */
function edited(from: string, to: string, bytes: Buffer = good): Buffer {
  const text = bytes.toString("latin1");
  assert.ok(text.includes(from));
  return Buffer.from(text.replace(from, to), "latin1");
}

function requestLine(line: string): Buffer {
  return edited("POST /webhook HTTP/1.1", line);
}

/** The good delivery with further header lines, or other ones. `undefined` leaves one out. */
function post(headers: Record<string, string | undefined>, path?: string): Buffer {
  return rawPost(body, headers, path);
}

/** The good delivery with as many header fields as wanted: four are there already. */
function fields(count: number): Buffer {
  const more = Array.from({ length: count - 4 }, (_, index) => [`X-${index}`, "a"]);
  return post(Object.fromEntries(more));
}

function bare(line: string, ...headers: string[]): Buffer {
  return Buffer.from([line, ...headers, "", ""].join("\r\n"), "latin1");
}

/** Without this header, or with another value in it. */
function signature(value: string | undefined): Buffer {
  return post({ "X-Hub-Signature-256": value });
}

function bearer(value: string): Buffer {
  return post({ "X-Hub-Signature-256": undefined, Authorization: value });
}

/** Writes, closes the sending side, and reads until the other side closes too. */
async function exchangeThenEnd(port: number, bytes: Buffer): Promise<RawAnswer[]> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  socket.end(bytes);
  await once(socket, "close");
  return parseAnswers(Buffer.concat(chunks));
}

/** Asserts the whole of a refusal: its answer, and the one line that the log has got since `linesBefore`. */
function assertRefused(
  answer: RawAnswer | undefined,
  reason: Reason,
  connection: "close" | "keep-alive",
  special: Record<string, string> = {},
): void {
  const [status, title, detail] = problems[reason];
  assert.ok(answer !== undefined, "no answer");
  assert.equal(answer.status, status);
  assert.deepEqual(JSON.parse(answer.body), { title, status, detail });
  const { date, "keep-alive": _, ...headers } = Object.fromEntries(answer.headers);
  assert.ok(date !== undefined);
  assert.deepEqual(headers, {
    "content-type": "application/problem+json",
    "content-length": String(Buffer.byteLength(answer.body)),
    connection,
    ...(status === 401 ? challenge : {}),
    ...special,
  });
}

function assertLogged(at: TestReceiver, linesBefore: number, ...reasons: (Reason | undefined)[]): void {
  const lines = at.lines.slice(linesBefore);
  assert.deepEqual(
    lines.map(({ level, message, status, reason, remoteAddress }) => ({
      level,
      message,
      status,
      reason,
      remoteAddress,
    })),
    reasons.map((reason) => ({
      level: reason === undefined ? "info" : "warn",
      message: reason === undefined ? "accepted" : "refused",
      status: reason === undefined ? 200 : problems[reason][0],
      reason,
      remoteAddress: "127.0.0.1",
    })),
  );
}

async function assertAlive(at: TestReceiver = receiver): Promise<void> {
  const [answer] = await exchange(at.port, goodLast);
  assert.equal(answer?.status, 200);
}

/** Remembers what must not give anything away. */
function remember(bytes: Buffer, answers: RawAnswer[]): void {
  const bodyStart = bytes.indexOf("\r\n\r\n") + 4;
  expectedSignatures.add(createHmac("sha256", secret).update(bytes.subarray(bodyStart)).digest("hex"));
  for (const answer of answers) published.push(JSON.stringify([...answer.headers]), answer.body);
}

type Refused = {
  readonly name: string;
  readonly bytes: Buffer;
  readonly reason: Reason;
  /** Headers that only this kind of answer has. */
  readonly special?: Record<string, string>;
  /** The body was read, or there was none: the connection serves another request. */
  readonly goesOn?: true;
};

function refusesAll(rows: readonly Refused[]): void {
  for (const { name, bytes, reason, special, goesOn } of rows) {
    test(name, async () => {
      const linesBefore = receiver.lines.length;
      await receiver.allHandled();
      const handledBefore = handled;
      const answers = await exchange(receiver.port, goesOn ? Buffer.concat([bytes, goodLast]) : bytes);
      remember(bytes, answers);
      assertRefused(answers[0], reason, goesOn ? "keep-alive" : "close", special);
      assert.deepEqual(
        answers.slice(1).map((answer) => answer.status),
        goesOn ? [200] : [],
      );
      assertLogged(receiver, linesBefore, reason, ...(goesOn ? [undefined] : []));
      await receiver.allHandled();
      assert.equal(handled - handledBefore, goesOn ? 1 : 0);
      await assertAlive();
    });
  }
}

function acceptsAll(rows: readonly { name: string; bytes: Buffer }[]): void {
  for (const { name, bytes } of rows) {
    test(name, async () => {
      const linesBefore = receiver.lines.length;
      await receiver.allHandled();
      const handledBefore = handled;
      const answers = await exchange(receiver.port, bytes);
      assert.deepEqual(
        answers.map((answer) => [answer.status, answer.headers.get("content-type")]),
        [[200, "application/json"]],
      );
      assertLogged(receiver, linesBefore, undefined);
      await receiver.allHandled();
      assert.equal(handled - handledBefore, 1);
      await assertAlive();
    });
  }
}

// ---- The length of the body -------------------------------------------------------------------------------------

refusesAll([
  {
    name: "Content-Length next to Transfer-Encoding is 400: two lengths are how requests are smuggled",
    bytes: post({ "Transfer-Encoding": "chunked" }),
    reason: "http-malformed",
  },
  {
    name: "Transfer-Encoding: identity next to Content-Length is 400",
    bytes: post({ "Transfer-Encoding": "identity" }),
    reason: "http-malformed",
  },
  {
    name: "a Transfer-Encoding that ends in something else than chunked is 400 when it names chunked",
    bytes: post({ "Content-Length": undefined, "Transfer-Encoding": "chunked, gzip" }),
    reason: "http-malformed",
  },
  {
    name: "a doubled Transfer-Encoding is 400",
    bytes: post({
      "Content-Length": undefined,
      "Transfer-Encoding": "chunked",
      "transfer-encoding": "chunked",
    }),
    reason: "http-malformed",
  },
  {
    name: "Transfer-Encoding: identity alone is 411",
    bytes: post({ "Content-Length": undefined, "Transfer-Encoding": "identity" }),
    reason: "content-length-missing",
  },
  {
    name: "an unknown Transfer-Encoding alone is 411",
    bytes: post({ "Content-Length": undefined, "Transfer-Encoding": "xchunked" }),
    reason: "content-length-missing",
  },
  {
    name: "a chunked body is 411",
    bytes: Buffer.concat([
      edited(body, "", post({ "Content-Length": undefined, "Transfer-Encoding": "chunked" })),
      Buffer.from(`24\r\n${body}\r\n0\r\n\r\n`),
    ]),
    reason: "content-length-missing",
  },
  {
    name: "a chunked body with a broken chunk behind its head is 411 all the same",
    bytes: post({ "Content-Length": undefined, "Transfer-Encoding": "chunked" }),
    reason: "content-length-missing",
  },
  {
    name: "chunk extensions of 20 KB are not waited for: 411",
    bytes: Buffer.concat([
      edited(body, "", post({ "Content-Length": undefined, "Transfer-Encoding": "chunked" })),
      Buffer.from(`24;${"a".repeat(20_000)}\r\n${body}\r\n0\r\n\r\n`),
    ]),
    reason: "content-length-missing",
  },
  {
    name: "neither Content-Length nor Transfer-Encoding is 411",
    bytes: post({ "Content-Length": undefined }),
    reason: "content-length-missing",
  },
  {
    name: "two equal Content-Lengths are 400",
    bytes: post({ "content-length": length }),
    reason: "http-malformed",
  },
  {
    name: "two different Content-Lengths are 400",
    bytes: post({ "content-length": "5" }),
    reason: "http-malformed",
  },
  ...[
    { name: "a list", value: `${length}, ${length}` },
    { name: "a plus sign", value: `+${length}` },
    { name: "a minus sign", value: `-${length}` },
    { name: "hexadecimal", value: "0x24" },
    { name: "an empty value", value: "" },
    { name: "an exponent", value: "1e3" },
    { name: "two numbers", value: "3 6" },
    { name: "a decimal point", value: `${length}.0` },
    { name: "an underscore", value: "3_6" },
    { name: "2^64", value: "18446744073709551616" },
  ].map(({ name, value }) => ({
    name: `Content-Length with ${name} is 400`,
    bytes: post({ "Content-Length": value }),
    reason: "http-malformed" as const,
  })),
  {
    name: "Content-Length 2^53 + 1 is 413: no number here is exact, and it is too large anyway",
    bytes: post({ "Content-Length": "9007199254740993" }),
    reason: "body-too-large",
  },
  {
    name: "Content-Length 2^64 - 1, the largest that Node passes on, is 413",
    bytes: post({ "Content-Length": "18446744073709551615" }),
    reason: "body-too-large",
  },
  {
    name: "Content-Length: 0 with the signature of nothing is authentic and no JSON: 400",
    bytes: rawPost(""),
    reason: "body-not-json",
    goesOn: true,
  },
]);

acceptsAll([
  {
    name: "Content-Length with leading zeros is the number it says",
    bytes: post({ "Content-Length": `00${length}`, Connection: "close" }),
  },
  {
    name: "blanks round Content-Length do not count",
    bytes: post({ "Content-Length": ` \t ${length} \t`, Connection: "close" }),
  },
]);

// ---- The head ---------------------------------------------------------------------------------------------------

const noted = post({ "X-Note": "a", Connection: "close" });

refusesAll([
  ...[
    { name: "a header folded over two lines", to: "X-Note: a\r\n b\r\n" },
    { name: "a header line that ends in a bare LF", to: "X-Note: a\n" },
    { name: "a header line that ends in a bare CR", to: "X-Note: a\r" },
    { name: "NUL in a header value", to: "X-Note: a\0b\r\n" },
    { name: "NUL in a header name", to: "X-\0Note: a\r\n" },
    { name: "0x01 in a header value", to: "X-Note: a\x01b\r\n" },
    { name: "DEL in a header value", to: "X-Note: a\x7fb\r\n" },
    { name: "a blank before the colon", to: "X-Note : a\r\n" },
    { name: "a header line without a colon", to: "X-Note\r\n" },
    { name: "a header name that is no token", to: "X(Note): a\r\n" },
  ].map(({ name, to }) => ({
    name: `${name} is 400`,
    bytes: edited("X-Note: a\r\n", to, noted),
    reason: "http-malformed" as const,
  })),
  {
    name: "bare LFs throughout are 400",
    bytes: Buffer.from(good.toString("latin1").replaceAll("\r\n", "\n"), "latin1"),
    reason: "http-malformed",
  },
  {
    name: "a head of more than 16 KiB is 431",
    bytes: post({ "X-Note": "a".repeat(16 * 1024) }),
    reason: "headers-too-large",
  },
  {
    name: "a request target of more than 16 KiB is 431",
    bytes: requestLine(`POST /webhook?${"a".repeat(16 * 1024)} HTTP/1.1`),
    reason: "headers-too-large",
  },
  { name: "101 header fields are 431", bytes: fields(101), reason: "headers-too-large" },
  {
    name: "1,100 header fields are 431, more than Node itself counts in some versions",
    bytes: fields(1100),
    reason: "headers-too-large",
  },
  { name: "two Hosts are 400", bytes: post({ host: "localhost" }), reason: "http-malformed" },
  { name: "no Host is 400", bytes: post({ Host: undefined }), reason: "http-malformed" },
  { name: "a Host with a slash is 400", bytes: post({ Host: "localhost/a" }), reason: "http-malformed" },
  { name: "a Host with a blank is 400", bytes: post({ Host: "a b" }), reason: "http-malformed" },
  { name: "a Host in latin-1 is 400", bytes: post({ Host: "caf\xe9" }), reason: "http-malformed" },
  {
    name: "an expectation other than 100-continue is 417",
    bytes: post({ Expect: "something" }),
    reason: "expectation-unknown",
  },
  {
    name: "Expect: 100-continue on a refused request is answered once, without a 100",
    bytes: post({ Expect: "100-continue", "X-Hub-Signature-256": undefined }),
    reason: "signature-missing",
  },
  {
    name: "Expect: 100-continue is no invitation to send a body that is too large",
    bytes: bare(
      "POST /webhook HTTP/1.1",
      "Host: localhost",
      "Content-Length: 99999999",
      "Expect: 100-continue",
    ),
    reason: "body-too-large",
  },
]);

acceptsAll([
  {
    name: "latin-1 bytes in a header value pass",
    bytes: post({ "X-Note": "caf\xe9 \xff", Connection: "close" }),
  },
  { name: "a head of just under 16 KiB passes", bytes: edited("a\r\n", `${"a".repeat(16_000)}\r\n`, noted) },
  {
    name: "100 header fields pass",
    bytes: edited("X-0: a", "Connection: close", fields(100)),
  },
  { name: "an empty Host passes", bytes: post({ Host: "", Connection: "close" }) },
  { name: "a Host of an IPv6 address passes", bytes: post({ Host: "[::1]:3010", Connection: "close" }) },
  {
    name: "empty lines before the request line are skipped",
    bytes: Buffer.concat([Buffer.from("\r\n\r\n"), goodLast]),
  },
  {
    name: "an Upgrade on a POST is not taken up: it is a delivery like any other",
    bytes: post({ Connection: "Upgrade, close", Upgrade: "websocket" }),
  },
  {
    name: "headers named __proto__ and constructor are only headers",
    bytes: post({ ["__proto__"]: "a", constructor: "b", toString: "c", Connection: "close" }),
  },
]);

test("Expect: 100-continue on a delivery that will be read is answered 100, and then 200", async () => {
  for (const expectation of ["100-continue", "100-CONTINUE"]) {
    const answers = await exchange(receiver.port, post({ Expect: expectation, Connection: "close" }));
    assert.deepEqual(
      answers.map((answer) => answer.status),
      [100, 200],
    );
  }
  await assertAlive();
});

test("Expect: 100-continue that is refused only after its body has had its 100", async () => {
  const linesBefore = receiver.lines.length;
  const bytes = post({ Expect: "100-continue", "X-Hub-Signature-256": sign("other"), Connection: "close" });
  const [first, second, ...more] = await exchange(receiver.port, bytes);
  remember(bytes, second === undefined ? [] : [second]);
  assert.equal(first?.status, 100);
  assertRefused(second, "signature-mismatch", "close");
  assert.deepEqual(more, []);
  assertLogged(receiver, linesBefore, "signature-mismatch");
  await assertAlive();
});

// ---- The request line -------------------------------------------------------------------------------------------

refusesAll([
  ...["HTTP/2.0", "HTTP/1.2", "HTTP/1.10", "HTTP/3.0", "http/1.1", "XTTP/1.1"].map((version) => ({
    name: `${version} in the request line is 400`,
    bytes: requestLine(`POST /webhook ${version}`),
    reason: "http-malformed" as const,
  })),
  {
    name: "a request line of HTTP/0.9, without a version, is 400",
    bytes: requestLine("POST /webhook"),
    reason: "http-malformed",
  },
  { name: "HTTP/0.9 by name is 400", bytes: bare("GET /webhook HTTP/0.9"), reason: "http-malformed" },
  {
    name: "a TLS ClientHello is 400",
    bytes: Buffer.from("16030100a5010000a10303", "hex"),
    reason: "http-malformed",
  },
  {
    name: "the HTTP/2 preface is 400",
    bytes: Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    reason: "http-malformed",
  },
  {
    name: "a lower-case method is 400",
    bytes: requestLine("post /webhook HTTP/1.1"),
    reason: "http-malformed",
  },
  {
    name: "a method that nobody knows is 400",
    bytes: requestLine("BREW /webhook HTTP/1.1"),
    reason: "http-malformed",
  },
  { name: "a missing target is 400", bytes: requestLine("POST  HTTP/1.1"), reason: "http-malformed" },
  {
    name: "a blank in the target is 400",
    bytes: requestLine("POST /web hook HTTP/1.1"),
    reason: "http-malformed",
  },
  {
    name: "a control character in the target is 400",
    bytes: requestLine("POST /web\x01hook HTTP/1.1"),
    reason: "http-malformed",
  },
  {
    name: "latin-1 in the target is 400",
    bytes: requestLine("POST /caf\xe9 HTTP/1.1"),
    reason: "http-malformed",
  },
  {
    name: "authority-form with POST is 400",
    bytes: requestLine("POST example.com:80 HTTP/1.1"),
    reason: "http-malformed",
  },
  { name: "the target * is 404", bytes: requestLine("POST * HTTP/1.1"), reason: "path-unknown" },
  { name: "the target // is 404", bytes: requestLine("POST // HTTP/1.1"), reason: "path-unknown" },
  { name: "//webhook is not /webhook: 404", bytes: post({}, "//webhook"), reason: "path-unknown" },
  {
    name: "a target that no URL parser takes is 404",
    bytes: requestLine("POST http://[::1 HTTP/1.1"),
    reason: "path-unknown",
  },
  {
    name: "CONNECT is 405",
    bytes: bare("CONNECT example.com:443 HTTP/1.1", "Host: example.com"),
    reason: "method-not-allowed",
    special: { allow: "POST" },
  },
]);

acceptsAll([
  {
    name: "absolute-form is served: RFC 9112 asks every server for that",
    bytes: edited("POST /webhook", "POST http://example.com/webhook", goodLast),
  },
  { name: "HTTP/1.0 is served, without a Host", bytes: edited("1.1\r\nHost: localhost", "1.0") },
  // Node shows version 1.0 and not the name before it, so the receiver cannot tell.
  { name: "RTSP/1.0 cannot be told from HTTP/1.0", bytes: requestLine("POST /webhook RTSP/1.0") },
  {
    name: "HTTP/1.0 ignores Expect: 100-continue, which it does not know",
    bytes: edited("HTTP/1.1\r\n", "HTTP/1.0\r\nExpect: 100-continue\r\n"),
  },
]);

// ---- Paths and methods ------------------------------------------------------------------------------------------

refusesAll([
  { name: "POST / is 404", bytes: post({}, "/"), reason: "path-unknown" },
  { name: "/webhookx is 404", bytes: post({}, "/webhookx"), reason: "path-unknown" },
  { name: "/WEBHOOK is 404", bytes: post({}, "/WEBHOOK"), reason: "path-unknown" },
  { name: "a dot segment is not resolved: 404", bytes: post({}, "/a/../webhook"), reason: "path-unknown" },
  { name: "two trailing slashes are 404", bytes: post({}, "/webhook//"), reason: "source-unknown" },
  { name: "/webhook/unknown is 404", bytes: post({}, "/webhook/unknown"), reason: "source-unknown" },
  {
    name: "/webhook/default is 404: the default source has one path",
    bytes: post({}, "/webhook/default"),
    reason: "source-unknown",
  },
  { name: "/webhooks/default is 404", bytes: post({}, "/webhooks/default"), reason: "source-unknown" },
  { name: "/webhook/constructor is 404", bytes: post({}, "/webhook/constructor"), reason: "source-unknown" },
  { name: "/webhook/__proto__ is 404", bytes: post({}, "/webhook/__proto__"), reason: "source-unknown" },
  {
    name: "a path of 404 is answered before the length is looked at",
    bytes: post({ "Content-Length": undefined }, "/webhook/unknown"),
    reason: "source-unknown",
  },
  {
    name: "GET / is 404, and the connection goes on",
    bytes: bare("GET / HTTP/1.1", "Host: localhost"),
    reason: "path-unknown",
    goesOn: true,
  },
  {
    name: "OPTIONS * is 404",
    bytes: bare("OPTIONS * HTTP/1.1", "Host: localhost"),
    reason: "path-unknown",
    goesOn: true,
  },
  {
    name: "GET /webhook is 405 and allows POST",
    bytes: bare("GET /webhook HTTP/1.1", "Host: localhost"),
    reason: "method-not-allowed",
    special: { allow: "POST" },
    goesOn: true,
  },
  {
    name: "PUT with a body is 405 and closes: nobody reads the body",
    bytes: requestLine("PUT /webhook HTTP/1.1"),
    reason: "method-not-allowed",
    special: { allow: "POST" },
  },
  {
    name: "POST /healthz is 405 and allows GET and HEAD",
    bytes: post({}, "/healthz"),
    reason: "method-not-allowed",
    special: { allow: "GET, HEAD" },
  },
]);

acceptsAll([
  { name: "/webhooks is /webhook", bytes: post({ Connection: "close" }, "/webhooks") },
  { name: "the query is ignored", bytes: post({ Connection: "close" }, "/webhook?source=/unknown#a") },
]);

test("HEAD /webhook is 405 with the headers of the answer and without its body", async () => {
  const linesBefore = receiver.lines.length;
  const [answer] = await exchange(
    receiver.port,
    bare("HEAD /webhook HTTP/1.1", "Host: localhost", "Connection: close"),
  );
  assert.equal(answer?.status, 405);
  assert.equal(answer?.headers.get("allow"), "POST");
  assert.equal(answer?.headers.get("content-type"), "application/problem+json");
  assert.equal(answer?.body, "");
  assertLogged(receiver, linesBefore, "method-not-allowed");
  await assertAlive();
});

test("GET and HEAD /healthz are 200, and not worth a line in the log", async () => {
  const linesBefore = receiver.lines.length;
  for (const method of ["GET", "HEAD"]) {
    const [answer] = await exchange(
      receiver.port,
      bare(`${method} /healthz?a=b HTTP/1.1`, "Host: localhost", "Connection: close"),
    );
    assert.equal(answer?.status, 200);
    assert.equal(answer?.headers.get("content-type"), "application/json");
    assert.equal(answer?.headers.get("content-length"), "15");
    assert.equal(answer?.body, method === "GET" ? '{"status":"ok"}' : "");
  }
  assertLogged(receiver, linesBefore);
});

// ---- The signature's header -------------------------------------------------------------------------------------

refusesAll([
  { name: "no signature is 401", bytes: signature(undefined), reason: "signature-missing" },
  ...[
    { name: "an empty signature", value: "" },
    { name: "sha256= alone", value: "sha256=" },
    { name: "64 digits without sha256=", value: hex },
    { name: "SHA256= in capitals", value: `SHA256=${hex}` },
    { name: "a blank behind sha256=", value: `sha256= ${hex}` },
    { name: "63 digits", value: `sha256=${hex.slice(1)}` },
    { name: "65 digits", value: `sha256=${hex}0` },
    { name: "a digit that is none", value: `sha256=${hex.slice(1)}g` },
    { name: "40 digits of SHA-1", value: `sha1=${hex.slice(0, 40)}` },
    { name: "64 digits called SHA-1", value: `sha1=${hex}` },
    { name: "two signatures joined by a comma", value: `sha256=${hex}, sha256=${hex}` },
    { name: "two signatures joined by a bare comma", value: `sha256=${hex},sha256=${hex}` },
    { name: "64 characters that are more bytes in UTF-8", value: `sha256=${"\xe9".repeat(64)}` },
    { name: "71 characters, one of them more bytes in UTF-8", value: `sha256=${hex.slice(1)}\xe9` },
    { name: "the word of another language", value: "undefined" },
  ].map(({ name, value }) => ({
    name: `${name}: 401, before the body`,
    bytes: signature(value),
    reason: "signature-malformed" as const,
  })),
  {
    name: "the same signature header twice is 401",
    bytes: post({ "x-hub-signature-256": sign(body) }),
    reason: "signature-ambiguous",
  },
  {
    name: "a wrong signature in front of a right one is 401",
    bytes: post({ "X-Hub-Signature-256": sign("other"), "x-hub-signature-256": sign(body) }),
    reason: "signature-ambiguous",
  },
  {
    name: "the signature headers of two senders are 401, even if both are right",
    bytes: post({ "X-DECNET-Signature": sign(body) }),
    reason: "signature-ambiguous",
  },
  {
    name: "a hub signature and a Bearer are 401, even if both are right",
    bytes: post({ Authorization: `Bearer ${hex}` }),
    reason: "signature-ambiguous",
  },
  ...["X-GitHub-Event", "X-GitHub-Delivery"].map((header) => ({
    name: `${header} twice is 400: the two together are no name`,
    bytes: post({ [header]: "push", [header.toLowerCase()]: "push" }),
    reason: "header-doubled" as const,
  })),
  ...["gzip", "br", "deflate", "GZIP", "identity, gzip"].map((encoding) => ({
    name: `Content-Encoding: ${encoding} is 415`,
    bytes: post({ "Content-Encoding": encoding }),
    reason: "content-encoding-unsupported" as const,
  })),
  {
    name: "two Bearers are 401, although Node shows only the first",
    bytes: post({
      "X-Hub-Signature-256": undefined,
      Authorization: `Bearer ${hex}`,
      authorization: `Bearer ${hex}`,
    }),
    reason: "signature-ambiguous",
  },
  {
    name: "a Bearer behind a Basic is 401",
    bytes: post({
      "X-Hub-Signature-256": undefined,
      Authorization: "Basic dXNlcjpwYXNz",
      authorization: `Bearer ${hex}`,
    }),
    reason: "signature-missing",
  },
  { name: "Bearer alone is 401", bytes: bearer("Bearer"), reason: "signature-malformed" },
  {
    name: "Bearer with 63 digits is 401",
    bytes: bearer(`Bearer ${hex.slice(1)}`),
    reason: "signature-malformed",
  },
  {
    name: "Bearer with sha256= is 401",
    bytes: bearer(`Bearer sha256=${hex}`),
    reason: "signature-malformed",
  },
  {
    name: "Bearer without a blank is no Bearer: 401",
    bytes: bearer(`Bearer${hex}`),
    reason: "signature-missing",
  },
  { name: "Basic alone is 401", bytes: bearer("Basic dXNlcjpwYXNz"), reason: "signature-missing" },
  {
    name: "a signature of another body is 401, after the body",
    bytes: signature(sign("other")),
    reason: "signature-mismatch",
    goesOn: true,
  },
  {
    name: "a signature with another secret is 401",
    bytes: signature(sign(body, "another-secret")),
    reason: "signature-mismatch",
    goesOn: true,
  },
  {
    name: "a signature with one digit changed is 401",
    bytes: signature(`sha256=${hex.slice(0, -1)}${hex.endsWith("0") ? "1" : "0"}`),
    reason: "signature-mismatch",
    goesOn: true,
  },
  {
    name: "64 zeros are 401",
    bytes: signature(`sha256=${"0".repeat(64)}`),
    reason: "signature-mismatch",
    goesOn: true,
  },
  {
    name: "a body that is not JSON and not authentic is 401, not 400: nothing is parsed before it is authentic",
    bytes: rawPost("{not json", { "X-Hub-Signature-256": sign("other") }),
    reason: "signature-mismatch",
    goesOn: true,
  },
  {
    name: "a body that is authentic and not JSON is 400",
    bytes: rawPost("{not json"),
    reason: "body-not-json",
    goesOn: true,
  },
]);

acceptsAll([
  {
    name: "a signature in capital digits is the same number",
    bytes: post({ "X-Hub-Signature-256": `sha256=${hex.toUpperCase()}`, Connection: "close" }),
  },
  {
    name: "Authorization: Basic next to a hub signature belongs to somebody else",
    bytes: post({ Authorization: "Basic dXNlcjpwYXNz", Connection: "close" }),
  },
  ...["Bearer eyJhbGciOiJIUzI1NiJ9.e30.c2ln", `Bearer ${"0".repeat(63)}`, "bearer x", "Digest a=b"].map(
    (value) => ({
      name: `a gateway's Authorization: ${value.slice(0, 30)} next to a hub signature belongs to the gateway`,
      bytes: post({ Authorization: value, Connection: "close" }),
    }),
  ),
  {
    name: "an identity coding is none",
    bytes: post({ "Content-Encoding": "identity", Connection: "close" }),
  },
  ...["/webhook/", "/webhooks/"].map((path) => ({
    name: `${path} is the same path`,
    bytes: Buffer.from(
      post({ Connection: "close" }).toString("latin1").replace("POST /webhook ", `POST ${path} `),
      "latin1",
    ),
  })),
  {
    name: "the SHA-1 twin of GitHub's header is ignored",
    bytes: post({ "X-Hub-Signature": "sha1=0", Connection: "close" }),
  },
]);

test("the word Bearer is read in any case, and with more than one blank behind it", async () => {
  const message = '{"id":"m1","status":"delivered"}';
  const digits = sign(message).slice("sha256=".length);
  for (const value of [`Bearer ${digits}`, `bearer ${digits}`, `BEARER ${digits}`, `Bearer  ${digits}`]) {
    const [answer] = await exchange(
      receiver.port,
      rawPost(message, { "X-Hub-Signature-256": undefined, Authorization: value, Connection: "close" }),
    );
    assert.equal(answer?.status, 200, value.slice(0, 8));
    assert.equal(answer?.body, '{"message":"Webhook processed successfully."}');
  }
});

// ---- Several requests on one connection -------------------------------------------------------------------------

test("two deliveries sent without waiting are answered in their order", async () => {
  const linesBefore = receiver.lines.length;
  await receiver.allHandled();
  const handledBefore = handled;
  const first = post({ "X-GitHub-Delivery": "first" });
  const second = post({ "X-GitHub-Delivery": "second", Connection: "close" });
  const answers = await exchange(receiver.port, Buffer.concat([first, second]));
  assert.deepEqual(
    answers.map(({ status, body }) => [status, JSON.parse(body).id]),
    [
      [200, "first"],
      [200, "second"],
    ],
  );
  assertLogged(receiver, linesBefore, undefined, undefined);
  await receiver.allHandled();
  assert.equal(handled - handledBefore, 2);
});

test("a delivery is answered 200 also when garbage follows it, which is answered 400", async () => {
  for (const garbage of ["garbage", "post /webhook HTTP/1.1", "\0", "POST /webhook HTTP/1.1\r\nNo colon"]) {
    const linesBefore = receiver.lines.length;
    await receiver.allHandled();
    const handledBefore = handled;
    const bytes = Buffer.concat([good, Buffer.from(`${garbage}\r\n\r\n`)]);
    const [first, second, ...more] = await exchange(receiver.port, bytes);
    assert.equal(first?.status, 200);
    assertRefused(second, "http-malformed", "close");
    assert.deepEqual(more, []);
    assertLogged(receiver, linesBefore, undefined, "http-malformed");
    await receiver.allHandled();
    assert.equal(handled - handledBefore, 1);
    await assertAlive();
  }
});

test("more body than Content-Length says is garbage behind the delivery: 200, then 400", async () => {
  const linesBefore = receiver.lines.length;
  const [first, second] = await exchange(receiver.port, Buffer.concat([good, Buffer.from("more")]));
  assert.equal(first?.status, 200);
  assertRefused(second, "http-malformed", "close");
  assertLogged(receiver, linesBefore, undefined, "http-malformed");
  await assertAlive();
});

/** A messaging-sdk delivery, as its guide posts it: with curl's form content type. */
function message(text: string): Buffer {
  const authorization = `Bearer ${sign(text).slice("sha256=".length)}`;
  const headers = { "X-Hub-Signature-256": undefined, Authorization: authorization, Connection: "close" };
  return rawPost(text, { ...headers, "Content-Type": "application/x-www-form-urlencoded" }, "/webhooks");
}

test("a messaging-sdk delivery has the answer that its client expects, at /webhooks too", async () => {
  const [answer] = await exchange(receiver.port, message('{"id":"m-1","status":"delivered"}'));
  assert.equal(answer?.status, 200);
  assert.equal(answer?.headers.get("content-type"), "application/json");
  assert.deepEqual(JSON.parse(answer?.body ?? ""), { message: "Webhook processed successfully." });
});

test("an authentic delivery of the wrong shape is 422, and its problem document names the fields", async () => {
  const linesBefore = receiver.lines.length;
  const [answer] = await exchange(receiver.port, message('{"id":"","status":"lost"}'));
  assert.equal(answer?.status, 422);
  assert.equal(answer?.headers.get("content-type"), "application/problem+json");
  const status = 'Input should be "queued", "delivered" or "failed"';
  assert.deepEqual(JSON.parse(answer?.body ?? ""), {
    title: "Unprocessable Entity",
    status: 422,
    detail: "id: Input should be a non-empty string",
    errors: [
      { pointer: "#/id", detail: "Input should be a non-empty string" },
      { pointer: "#/status", detail: status },
    ],
  });
  const [line] = receiver.lines.slice(linesBefore);
  assert.deepEqual([line?.message, line?.reason, line?.status], ["refused", "shape-invalid", 422]);
  await assertAlive();
});

// Node's parser stops behind a request with an Upgrade, whether it is taken up or not.
test("an answer to a request with an Upgrade closes: what follows it in the same write is lost", async () => {
  const upgrades = [
    bare("GET /webhook HTTP/1.1", "Host: localhost", "Connection: Upgrade", "Upgrade: websocket"),
    post({ Connection: "Upgrade", Upgrade: "websocket" }),
  ];
  for (const bytes of upgrades) {
    const socket = connect({ port: receiver.port, host: "127.0.0.1" });
    socket.write(Buffer.concat([bytes, good]));
    const [chunk] = (await once(socket, "data")) as [Buffer];
    socket.destroy();
    assert.equal(parseAnswers(chunk)[0]?.headers.get("connection"), "close");
  }
});

test("a delivery behind one that was refused before its body was read is never processed", async () => {
  const refusals: { bytes: Buffer; reason: Reason }[] = [
    { bytes: signature(undefined), reason: "signature-missing" },
    { bytes: post({ "Content-Length": undefined }), reason: "content-length-missing" },
    { bytes: bare("POST /webhook HTTP/1.1", "Host: a", "Content-Length: 0"), reason: "signature-missing" },
    { bytes: post({}, "/unknown"), reason: "path-unknown" },
    { bytes: post({ Host: "a b" }), reason: "http-malformed" },
    { bytes: post({ Expect: "something" }), reason: "expectation-unknown" },
  ];
  for (const { bytes, reason } of refusals) {
    const linesBefore = receiver.lines.length;
    await receiver.allHandled();
    const handledBefore = handled;
    const [answer, ...more] = await exchange(receiver.port, Buffer.concat([bytes, good, good]));
    assertRefused(answer, reason, "close");
    assert.deepEqual(more, []);
    assertLogged(receiver, linesBefore, reason);
    await receiver.allHandled();
    assert.equal(handled, handledBefore);
    await assertAlive();
  }
});

// ---- Connections that end or stall ------------------------------------------------------------------------------

const ended: { name: string; bytes: Buffer; reason: Reason }[] = [
  {
    name: "a connection that ends one byte before its body does is 400",
    bytes: good.subarray(0, -1),
    reason: "body-incomplete",
  },
  {
    name: "a connection that ends right behind its head is 400",
    bytes: edited(body, ""),
    reason: "body-incomplete",
  },
  {
    name: "a connection that ends in the middle of its head is 400",
    bytes: good.subarray(0, 40),
    reason: "http-malformed",
  },
  {
    name: "a connection that ends in the middle of a body that nobody wants keeps its 401",
    bytes: signature("wrong").subarray(0, -1),
    reason: "signature-malformed",
  },
];
for (const { name, bytes, reason } of ended) {
  test(name, async () => {
    const linesBefore = receiver.lines.length;
    await receiver.allHandled();
    const handledBefore = handled;
    const [answer, ...more] = await exchangeThenEnd(receiver.port, bytes);
    remember(bytes, answer === undefined ? [] : [answer]);
    assertRefused(answer, reason, "close");
    assert.deepEqual(more, []);
    assertLogged(receiver, linesBefore, reason);
    await receiver.allHandled();
    assert.equal(handled, handledBefore);
    await assertAlive();
  });
}

test("a connection that ends right behind a whole delivery still gets its answer", async () => {
  const linesBefore = receiver.lines.length;
  const answers = await exchangeThenEnd(receiver.port, good);
  assert.deepEqual(
    answers.map((answer) => answer.status),
    [200],
  );
  assertLogged(receiver, linesBefore, undefined);
});

test("a connection that ends right behind two whole deliveries gets both answers", async () => {
  const answers = await exchangeThenEnd(receiver.port, Buffer.concat([good, good]));
  assert.deepEqual(
    answers.map((answer) => answer.status),
    [200, 200],
  );
});

test("a connection that is opened and ended without a byte is nothing to talk about", async () => {
  const linesBefore = receiver.lines.length;
  assert.deepEqual(await exchangeThenEnd(receiver.port, Buffer.alloc(0)), []);
  assertLogged(receiver, linesBefore);
  await assertAlive();
});

const hurried = await openTestReceiver({ requestTimeoutSeconds: 0.3 });
receivers.push(hurried);

const stalled: { name: string; bytes: Buffer }[] = [
  { name: "a body that stalls is 408", bytes: good.subarray(0, -1) },
  { name: "a body of which nothing comes is 408", bytes: edited(body, "") },
  { name: "a head that stalls is 408", bytes: good.subarray(0, 40) },
  { name: "a connection that sends nothing is 408", bytes: Buffer.alloc(0) },
];
for (const { name, bytes } of stalled) {
  test(name, async () => {
    const linesBefore = hurried.lines.length;
    const [answer, ...more] = await exchange(hurried.port, bytes);
    remember(bytes, answer === undefined ? [] : [answer]);
    assertRefused(answer, "request-timeout", "close");
    assert.deepEqual(more, []);
    assertLogged(hurried, linesBefore, "request-timeout");
    await assertAlive(hurried);
  });
}

test("a body that stalls behind a good delivery is 408, and the good one 200", async () => {
  const linesBefore = hurried.lines.length;
  const [first, second, ...more] = await exchange(hurried.port, Buffer.concat([good, good.subarray(0, -1)]));
  assert.equal(first?.status, 200);
  assertRefused(second, "request-timeout", "close");
  assert.deepEqual(more, []);
  assertLogged(hurried, linesBefore, undefined, "request-timeout");
  await assertAlive(hurried);
});

test("a body that ends early behind a delivery still being handled is 400, once that one has its 200", {
  timeout: 10_000,
}, async () => {
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  const slow = await openTestReceiver({ handlers: { "*": () => released } });
  receivers.push(slow);
  const socket = connect({ port: slow.port, host: "127.0.0.1", allowHalfOpen: true });
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  socket.end(Buffer.concat([good, good.subarray(0, -1)]));
  const closed = once(socket, "close");
  // Its answer comes after the server has read the end of the connection above.
  await exchange(slow.port, signature(undefined));
  release();
  await closed;
  const [first, second, ...more] = parseAnswers(Buffer.concat(chunks));
  assert.equal(first?.status, 200);
  assertRefused(second, "body-incomplete", "close");
  assert.deepEqual(more, []);
});

test("a body that stalls behind a delivery still being handled is 408, once that one has its 200", {
  timeout: 10_000,
}, async () => {
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  const slow = await openTestReceiver({ requestTimeoutSeconds: 0.3, handlers: { "*": () => released } });
  receivers.push(slow);
  const answered = exchange(slow.port, Buffer.concat([good, good.subarray(0, -1)]));
  // A connection that began later has its 408: the time of the one above is over too.
  await exchange(slow.port, signature(undefined));
  await exchange(slow.port);
  release();
  const [first, second, ...more] = await answered;
  assert.equal(first?.status, 200);
  assertRefused(second, "request-timeout", "close");
  assert.deepEqual(more, []);
});

test("no answer and no log line holds the secret or a signature, sent or expected", () => {
  const everything = [...published, ...receivers.map((each) => each.logText())].join("\n");
  assert.ok(published.length > 200 && expectedSignatures.size >= 5);
  assert.ok(!everything.includes(secret));
  for (const expected of expectedSignatures) assert.ok(!everything.toLowerCase().includes(expected));
  assert.doesNotMatch(everything, /[0-9a-f]{63}/i);
  assert.ok(!everything.includes("dXNlcjpwYXNz"));
});
