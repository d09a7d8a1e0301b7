/** The head of a captured request: the forms it is pasted in, and what is refused by the number of its line. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseHead } from "../../lib/commands/capture.ts";

const parse = (text: string) => parseHead(Buffer.from(text, "latin1"), "head.txt");
const rawHeaders = ["Host", "example.com", "X-GitHub-Event", "push", "X-Empty", ""];

const forms: Record<string, { text: string; method?: string; target?: string }> = {
  "bare lines": { text: "Host: example.com\nX-GitHub-Event: push\nX-Empty:\n" },
  "no line break at the end": { text: "Host: example.com\nX-GitHub-Event: push\nX-Empty:" },
  "CRLF, a request line, and empty lines around": {
    text: "\r\nPOST /webhook?a=1 HTTP/1.1\r\nHost: example.com\r\nX-GitHub-Event: push\r\nX-Empty: \r\n\r\n\r\n",
    method: "POST",
    target: "/webhook?a=1",
  },
  "spaces and tabs around values": { text: "Host: \t example.com \t\nX-GitHub-Event:push\nX-Empty: \t \n" },
  "a byte order mark": { text: "\u00ef\u00bb\u00bfHost: example.com\nX-GitHub-Event: push\nX-Empty:\n" },
  "HTTP/2 in a request line": {
    text: "POST /webhook HTTP/2\nHost: example.com\nX-GitHub-Event: push\nX-Empty:\n",
    method: "POST",
    target: "/webhook",
  },
  "pseudo-headers, as browsers show HTTP/2": {
    text: ":method: POST\n:authority: example.com\n:scheme: https\n:path: /webhook\nHost: example.com\nX-GitHub-Event: push\nX-Empty:\n",
    method: "POST",
    target: "/webhook",
  },
  "the output of curl -v": {
    text: [
      "* Connected to example.com (192.0.2.1) port 80",
      "> POST https://example.com/webhook HTTP/1.1\r",
      "> Host: example.com\r",
      "> X-GitHub-Event: push\r",
      "> X-Empty:\r",
      "> \r",
      "} [7 bytes data]",
      "< HTTP/1.1 200 OK\r",
      "< Content-Type: application/json\r",
      '{"status":"accepted"}',
    ].join("\n"),
    method: "POST",
    target: "https://example.com/webhook",
  },
};
for (const [what, { text, method, target }] of Object.entries(forms)) {
  test(`a head with ${what} is read`, () => {
    const head = parse(text);
    assert.deepEqual(head.rawHeaders, rawHeaders);
    assert.deepEqual([head.method, head.target], [method, target]);
    assert.deepEqual(head.headers, { host: "example.com", "x-github-event": "push", "x-empty": "" });
  });
}

test("doubled headers are one list, and both are in rawHeaders", () => {
  const { headers, rawHeaders } = parse("A: 1\nB: 2\na: 3");
  assert.deepEqual(headers, { a: "1, 3", b: "2" });
  assert.deepEqual(rawHeaders, ["A", "1", "B", "2", "a", "3"]);
});

test("a value's bytes stay what they are: a trailing byte A0 is no white space", () => {
  assert.equal(parse("X-Name: voil\u00c3\u00a0 ").headers["x-name"], "voil\u00c3\u00a0");
});

test("names that every object has are headers like others", () => {
  const { headers } = parse("__proto__: a\nconstructor: b");
  assert.deepEqual(Object.entries(headers), [
    ["__proto__", "a"],
    ["constructor", "b"],
  ]);
});

const noHeader = "expected a header, such as Content-Type: application/json";
const hostile: Record<string, [text: string, message: string]> = {
  "a NUL": ["A: 1\nB: \0", "head.txt holds a NUL byte: save it as UTF-8 text"],
  "UTF-16": ["A\0:\0 \x001\0", "head.txt holds a NUL byte: save it as UTF-8 text"],
  nothing: ["", "head.txt has no headers"],
  "a request line only": ["POST / HTTP/1.1\n", "head.txt has no headers"],
  "pseudo-headers only": [":method: POST", "head.txt has no headers"],
  "an answer's status line": [
    "HTTP/1.1 200 OK\nA: 1",
    "head.txt, line 1: this is the head of an answer; expected the request's",
  ],
  "a line without a colon": ["A: 1\nAuthorization Bearer", `head.txt, line 2: ${noHeader}`],
  "a name with a space": ["A : 1", `head.txt, line 1: ${noHeader}`],
  "no name": [": 1", `head.txt, line 1: ${noHeader}`],
  "a name that is not ASCII": ["\u00e9: 1", `head.txt, line 1: ${noHeader}`],
  "a folded line (RFC 9112 §5.2)": ["A: 1\n  2", `head.txt, line 2: ${noHeader}`],
  "a carriage return in a value": ["A: 1\rB: 2", `head.txt, line 1: ${noHeader}`],
  "an escape character in a value": ["A: \u001b[2J", `head.txt, line 1: ${noHeader}`],
  "a request line in the middle": ["A: 1\nPOST / HTTP/1.1", `head.txt, line 2: ${noHeader}`],
  "a body behind it": [
    "A: 1\n\n{}",
    "head.txt, line 3: expected nothing behind the empty line; the body has a file of its own",
  ],
  "a second request of curl": [
    "> POST / HTTP/1.1\n> A: 1\n>\n< HTTP/1.1 200 OK\n> POST / HTTP/1.1\n> A: 2\n>",
    "head.txt, line 5: expected nothing behind the empty line; the body has a file of its own",
  ],
};
for (const [what, [text, message]] of Object.entries(hostile)) {
  test(`a head with ${what} is refused`, () => {
    assert.throws(() => parse(text), { message, exitCode: 2 });
  });
}

test("the line that is wrong is not quoted: it may hold a token", () => {
  assert.throws(
    () => parse("Authorization Bearer the-token"),
    (thrown: Error) => !thrown.message.includes("the-token"),
  );
});
