/** `send`: every sender's deliveries at a real receiver, what goes over the wire, and what is shown of the answer. */
import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http";
import { join } from "node:path";
import { after, before, type TestContext, test } from "node:test";
import { send } from "../../lib/commands/send.ts";
import { verifyCapture } from "../../lib/commands/verify.ts";
import type { Sender } from "../../lib/senders/sender.ts";
import { senders } from "../../lib/senders/table.ts";
import { listenLocally, projectFolder, secret, type TestReceiver } from "../receiver.ts";
import { acceptedStatus, type Handled, openForAllSenders, publicUrl } from "../senders/all-senders.ts";
import { ed25519, keys } from "../senders/keys.ts";
import { openFolder } from "./folder.ts";

const program = join(projectFolder, "webhook-receiver.ts");
const pushFile = join(projectFolder, "test/payloads/push.json");
const environment = { WEBHOOK_SECRET: secret };

/** Runs it by the clock of the machine, for a receiver looks at that too. */
async function run(args: readonly string[], variables: Record<string, string> = environment) {
  let text = "";
  const exitCode = await send(args, variables, (more) => {
    text += more;
  });
  return { exitCode, text, lines: text.trimEnd().split("\n") };
}

type Captured = Pick<IncomingMessage, "method" | "url" | "headers" | "rawHeaders"> & { body: Buffer };
type Target = { readonly url: string; readonly requests: Captured[]; readonly longest: () => number };

/**
 * A server that keeps what it gets. `longest` is how many requests there were at the same time. A request of the
 * test's own to `/fence` comes behind all those that were on their way before.
 */
async function openTarget(
  t: TestContext,
  respond: (response: ServerResponse, count: number) => void = (response) => response.end(),
): Promise<Target> {
  const requests: Captured[] = [];
  let [open, longest] = [0, 0];
  const server = createServer(async (request, response) => {
    if (request.url === "/fence") return response.end();
    open += 1;
    longest = Math.max(longest, open);
    response.on("finish", () => {
      open -= 1;
    });
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const { method, url, headers, rawHeaders } = request;
    requests.push({ method, url, headers, rawHeaders, body: Buffer.concat(chunks) });
    respond(response, requests.length);
  });
  const port = await listenLocally(t, server);
  return { url: `http://127.0.0.1:${port}/webhook`, requests, longest: () => longest };
}

function only({ requests }: Target): Captured {
  const [request] = requests;
  assert(request !== undefined && requests.length === 1, `${requests.length} requests`);
  return request;
}

// ---- Every sender, at a receiver that takes them all ----

const handled: Handled[] = [];
let receiver: TestReceiver;
before(async () => {
  receiver = await openForAllSenders(handled);
});
after(() => receiver.stop());

/** A name that the row can carry: two parts need a dot, and messaging-sdk has three events of its own. */
function typeFor(sender: Sender): string {
  if (sender.name === "messaging") return "message.queued";
  return sender.event.length === 2 ? "thing.happened" : "happened";
}

for (const sender of senders) {
  const variables = { KEY: keys[sender.key].sign, WEBHOOK_PUBLIC_URL: publicUrl };
  const usual = [sender.name, typeFor(sender), "--secret-from", "KEY"];

  test(`${sender.title}: what send posts is accepted, with this event and this id`, async (t) => {
    openFolder(t);
    handled.length = 0;
    const ids = sender.id.length === 0 ? [] : ["--id", `id-${sender.name}`];
    const to = `${receiver.url}/${sender.name}`;
    const { exitCode, text, lines } = await run([...usual, ...ids, "--to", to], variables);
    assert.equal(exitCode, 0, text + receiver.logText());
    await receiver.allHandled();
    const [event] = handled;
    assert.equal(lines[0], `sent ${typeFor(sender)}, ${event?.body.length} bytes, to ${to}`);
    assert.match(lines[1] ?? "", /^(200 OK|202 Accepted|204 No Content), after \d+\.\d ms$/);
    assert.equal(event?.sender, sender.name);
    assert.equal(event?.type, sender.event.length === 0 ? "unknown" : typeFor(sender));
    const [idAt] = sender.id;
    const body = event?.body ?? Buffer.alloc(0);
    const id = sender.name === "messaging" ? "id-messaging.queued" : `id-${sender.name}`;
    if (idAt?.startsWith("digest"))
      assert.match(body.toString(), new RegExp(`"test_delivery":"id-${sender.name}"`));
    else if (ids.length > 0) assert.equal(event?.id, id);
  });

  test(`${sender.title}: what send posts is right for verify, and wrong when a byte is another`, async (t) => {
    openFolder(t);
    const target = await openTarget(t);
    const to = `${target.url}/${sender.name}`;
    await run([...usual, "--to", to], variables);
    const { url = "", rawHeaders, body } = only(target);
    const fields = rawHeaders.flatMap((name, at) => (at % 2 === 0 ? [`${name}: ${rawHeaders[at + 1]}`] : []));
    writeFileSync("head.txt", [`POST ${url} HTTP/1.1`, ...fields].join("\r\n"), "latin1");
    writeFileSync("body", body);
    const args = [sender.name, "--headers", "head.txt", "--body", "body", "--secret-from", "KEY"];
    const verifying = { KEY: keys[sender.key].verify, WEBHOOK_PUBLIC_URL: publicUrl };
    const verdict = async (): Promise<string> => {
      let text = "";
      await verifyCapture(args, verifying, (more) => {
        text += more;
      });
      return text;
    };
    assert.match(await verdict(), /^yes: signed with KEY\n/);
    const signs = /\{(body|payload|form-sorted)\}/.test(sender.schemes[0]?.signed ?? "");
    if (!signs) return;
    writeFileSync("body", body.toString().replace("a test", "no test"));
    assert.match(await verdict(), /^no: signature-mismatch: /);
  });

  test(`${sender.title}: of 5 deliveries at 2 at a time, each is another one`, async (t) => {
    openFolder(t);
    handled.length = 0;
    const to = `${receiver.url}/${sender.name}`;
    const { exitCode, text, lines } = await run(
      [...usual, "--to", to, "--repeat", "5", "--concurrency", "2"],
      variables,
    );
    assert.equal(exitCode, 0, text + receiver.logText());
    // Discord's sample is a webhook event, and no interaction.
    const status = sender.name === "discord" ? 204 : acceptedStatus(sender);
    const name = `${status} ${STATUS_CODES[status]}`;
    assert.match(lines[0] ?? "", /^5 requests in \d+\.\d\d s, \d+\.\d a second$/);
    assert.equal(lines[1], `  5  ${name}`);
    await receiver.allHandled();
    assert.equal(new Set(handled.map(({ id }) => id)).size, 5);
    assert.equal(handled.length, 5);
  });
}

// ---- The wire, seen by somebody else ----

/** Does openssl say so of these bytes? */
function openssl(input: Buffer, ...args: string[]): string {
  return execFileSync("openssl", args, { input, encoding: "utf8" }).trim().replace(/^.* /, "");
}

test("a file is posted byte for byte, with GitHub's headers and a signature that openssl makes too", async (t) => {
  openFolder(t);
  const target = await openTarget(t);
  const { exitCode } = await run(["github", "push", pushFile, "--to", `${target.url}?a=1`]);
  const { method, url, headers, body } = only(target);
  assert.deepEqual([exitCode, method, url], [0, "POST", "/webhook?a=1"]);
  assert.ok(body.equals(readFileSync(pushFile)));
  assert.equal(headers["x-hub-signature-256"], `sha256=${openssl(body, "dgst", "-sha256", "-hmac", secret)}`);
  assert.equal(headers["x-github-event"], "push");
  assert.match(String(headers["x-github-delivery"]), /^[0-9a-f-]{36}$/);
  assert.equal(headers["content-type"], "application/json");
  assert.equal(headers["content-length"], String(body.length));
});

test("what is signed with Discord's private key is right for openssl with the public one", async (t) => {
  openFolder(t);
  const target = await openTarget(t);
  await run(["discord", "happened", "--to", target.url, "--secret-from", "KEY"], {
    KEY: keys["ed25519-hex"].sign,
  });
  const { headers, body } = only(target);
  writeFileSync("key.pem", ed25519.publicKey.export({ format: "pem", type: "spki" }));
  writeFileSync("signature", Buffer.from(String(headers["x-signature-ed25519"]), "hex"));
  writeFileSync("signed", Buffer.concat([Buffer.from(String(headers["x-signature-timestamp"])), body]));
  const args = ["pkeyutl", "-verify", "-pubin", "-inkey", "key.pem", "-rawin", "-in", "signed"];
  execFileSync("openssl", [...args, "-sigfile", "signature"], { stdio: "ignore" });
});

test("send test is DECNET's test.ping: signed, in one attempt, with the secret of /webhook", async (t) => {
  openFolder(t);
  const target = await openTarget(t, (response) => response.writeHead(503).end("busy"));
  const { exitCode, lines } = await run(["test", "--to", target.url, "--id", "the-id"]);
  const { headers, body } = only(target);
  const { ts, ...event } = JSON.parse(body.toString());
  assert.deepEqual(event, {
    v: 1,
    id: "the-id",
    topic: "test.ping",
    type: "test",
    payload: { message: "Synthetic test event", triggered_by: "webhook-receiver" },
  });
  assert.match(ts, /^20\d\d-.*Z$/);
  assert.equal(headers["x-decnet-signature"], `sha256=${openssl(body, "dgst", "-sha256", "-hmac", secret)}`);
  assert.equal(headers["x-decnet-event-topic"], "test.ping");
  assert.equal(exitCode, 1);
  assert.equal(lines[0], `sent test.ping, ${body.length} bytes, to ${target.url}`);
  assert.match(lines[1] ?? "", /^503 Service Unavailable, after /);
  assert.equal(lines[2], "  busy");
});

test("send test uses DECNET's own secret when there is one, and --secret-from before that", async (t) => {
  openFolder(t);
  const target = await openTarget(t);
  const all = { ...environment, WEBHOOK_SECRET_DECNET: "the-secret-of-decnet", MINE: "a-secret-of-my-own" };
  await run(["test", "--to", target.url], all);
  await run(["test", "--to", target.url, "--secret-from", "MINE"], all);
  const signatures = target.requests.map(({ headers }) => headers["x-decnet-signature"]);
  const expected = target.requests.map(({ body }, index) => {
    const key = index === 0 ? "the-secret-of-decnet" : "a-secret-of-my-own";
    return `sha256=${openssl(body, "dgst", "-sha256", "-hmac", key)}`;
  });
  assert.deepEqual(signatures, expected);
});

test("a sender that is called test is a sender, when an event is named", async (t) => {
  openFolder(t);
  const target = await openTarget(t);
  const row =
    '{"signature":"X-Test-Signature","encoding":"hex","signed":"{body}","event":["header:x-test-event"]}';
  await run(["test", "happened", "--to", target.url], {
    WEBHOOK_SENDER_TEST: row,
    WEBHOOK_SECRET_TEST: secret,
  });
  assert.equal(only(target).headers["x-test-event"], "happened");
});

test("a source of another name signs with its own secret", async (t) => {
  openFolder(t);
  const target = await openTarget(t);
  const variables = { ...environment, WEBHOOK_SECRET_GITHUB_ACME: "the-secret-of-acme" };
  await run(["github-acme", "push", "--to", target.url], variables);
  const { headers, body } = only(target);
  const mac = openssl(body, "dgst", "-sha256", "-hmac", "the-secret-of-acme");
  assert.equal(headers["x-hub-signature-256"], `sha256=${mac}`);
});

test("an id in the body is set by --id and by --repeat, and is the file's otherwise", async (t) => {
  openFolder(t);
  const target = await openTarget(t);
  const file = '{"id": "evt_of_the_file", "type": "charge.failed"}';
  writeFileSync("charge.json", file);
  const args = ["stripe", "charge.failed", "charge.json", "--to", target.url];
  const variables = { WEBHOOK_SECRET_STRIPE: secret };
  await run(args, variables);
  await run([...args, "--id", "evt_of_mine"], variables);
  await run([...args, "--repeat", "2"], variables);
  const [first, second, third, fourth] = target.requests.map(({ body }) => body.toString());
  assert.equal(first, file);
  assert.equal(second, '{"id":"evt_of_mine","type":"charge.failed"}');
  const ids = [third, fourth].map((body) => JSON.parse(body ?? "").id);
  assert.notEqual(ids[0], ids[1]);
  for (const id of ids) assert.match(id, /^[0-9a-f-]{36}$/);
});

test("of several places for an id, the one that the body has is set", async (t) => {
  openFolder(t);
  const target = await openTarget(t);
  writeFileSync("interaction.json", '{"type":"block_actions","trigger_id":"1"}');
  const variables = { WEBHOOK_SECRET_SLACK: secret };
  const file = ["slack", "block_actions", "interaction.json"];
  await run([...file, "--to", target.url, "--id", "2"], variables);
  assert.equal(only(target).body.toString(), '{"type":"block_actions","trigger_id":"2"}');
});

test("a form is posted as one, and its signature is GitHub's for a form", async (t) => {
  openFolder(t);
  const target = await openTarget(t);
  writeFileSync("form", "payload=%7B%7D");
  await run(["github", "push", "form", "--to", target.url]);
  const { headers, body } = only(target);
  assert.equal(headers["content-type"], "application/x-www-form-urlencoded");
  assert.equal(headers["x-hub-signature-256"], `sha256=${openssl(body, "dgst", "-sha256", "-hmac", secret)}`);
});

test("where the URL is signed it is --url, else the public one with the path of --to, else --to", async (t) => {
  openFolder(t);
  const target = await openTarget(t);
  const variables = { WEBHOOK_SECRET_SQUARE: secret };
  const withPublicUrl = { ...variables, WEBHOOK_PUBLIC_URL: publicUrl };
  const origin = target.url.replace("/webhook", "");
  const cases: [args: string[], variables: Record<string, string>, signed: string][] = [
    [["--to", target.url], variables, target.url],
    [["--to", `${target.url}/square?a=1`], withPublicUrl, `${publicUrl}/webhook/square?a=1`],
    [["--to", `${origin}/b/x`], { ...variables, WEBHOOK_PUBLIC_URL: `${origin}/b` }, `${origin}/b/x`],
    [["--to", target.url, "--url", "https://example.com/y"], withPublicUrl, "https://example.com/y"],
  ];
  for (const [args] of cases.entries()) {
    const [given, own] = cases[args] ?? [];
    assert.equal((await run(["square", "happened", ...(given ?? [])], own)).exitCode, 0);
  }
  for (const [index, { headers, body }] of target.requests.entries()) {
    const text = Buffer.concat([Buffer.from(cases[index]?.[2] ?? ""), body]);
    const mac = Buffer.from(openssl(text, "dgst", "-sha256", "-hmac", secret), "hex").toString("base64");
    assert.equal(headers["x-square-hmacsha256-signature"], mac);
  }
  assert.equal(target.requests.length, cases.length);
});

test("--header adds a header, or takes the place of one, in the bytes of the terminal", async (t) => {
  openFolder(t);
  const target = await openTarget(t);
  const headers = [
    "--header",
    "X-GitHub-Event: other",
    "--header",
    "X-Name:  Zoë ",
    "--header",
    "X-Name: Zoé",
  ];
  await run(["github", "push", "--to", target.url, ...headers]);
  const seen = only(target);
  assert.equal(seen.headers["x-github-event"], "other");
  assert.equal(Buffer.from(String(seen.headers["x-name"]), "latin1").toString(), "Zoé");
  assert.equal(seen.rawHeaders.filter((name) => name.toLowerCase() === "x-github-event").length, 1);
});

// ---- Answers ----

test("a redirect is shown and not followed", async (t) => {
  openFolder(t);
  const other = await openTarget(t);
  const target = await openTarget(t, (response) => response.writeHead(301, { Location: other.url }).end());
  const { exitCode, lines } = await run(["github", "push", "--to", target.url]);
  assert.equal(exitCode, 1);
  assert.match(lines[1] ?? "", /^301 Moved Permanently, after /);
  assert.equal(lines[2], `not followed: ${other.url}`);
  assert.equal(other.requests.length, 0);
});

test("nobody there, nobody who answers, and somebody who hangs up: each is said, with exit code 1", async (t) => {
  openFolder(t);
  const stalling = await openTarget(t, () => {});
  const resetting = await openTarget(t, (response) => response.socket?.resetAndDestroy());
  const outcomes = [
    [["--to", "http://127.0.0.1:1/"], /^no answer: connect ECONNREFUSED 127\.0\.0\.1:1, after /],
    [["--to", stalling.url, "--timeout", "0.1"], /^no answer: no answer within 0\.1 s, after /],
    [["--to", resetting.url], /^no answer: (read ECONNRESET|socket hang up), after /],
  ] as const;
  for (const [args, expected] of outcomes) {
    const { exitCode, lines } = await run(["github", "push", ...args]);
    assert.equal(exitCode, 1);
    assert.match(lines[1] ?? "", expected);
  }
});

test("an answer can neither move the cursor nor pass for a line of ours, and is cut after 2000 characters", async (t) => {
  openFolder(t);
  const answers = [
    "\u001b[2J\r\n200 OK, after 0.0 ms\n",
    "x".repeat(2000),
    "x".repeat(2001),
    "",
    "x".repeat(100_000),
  ];
  const target = await openTarget(t, (response, count) => response.end(answers[count - 1]));
  const shown = [];
  for (const _ of answers) shown.push((await run(["github", "push", "--to", target.url])).lines.slice(2));
  const cut = `  ${"x".repeat(2000)}`;
  assert.deepEqual(shown, [
    ["  \\u001b[2J", "  200 OK, after 0.0 ms"],
    [cut],
    [cut, "  … and 1 more characters"],
    [],
    [cut, `  … and ${65_536 - 2000} more characters`],
  ]);
});

test("an answer of 202 is good, one of 401 is not", async (t) => {
  openFolder(t);
  const target = await openTarget(t, (response, count) => response.writeHead(count === 1 ? 202 : 401).end());
  assert.equal((await run(["github", "push", "--to", target.url])).exitCode, 0);
  assert.equal((await run(["github", "push", "--to", target.url])).exitCode, 1);
});

// ---- Many ----

test("--concurrency 4 has four on their way at once, and never five", async (t) => {
  openFolder(t);
  const waiting: ServerResponse[] = [];
  const target = await openTarget(t, async (response, count) => {
    waiting.push(response);
    // Nobody is answered before there are four and a fifth has had its chance; the last ones are fewer.
    if (waiting.length !== 4 && count !== 10) return;
    await fetch(new URL("/fence", target.url));
    for (const one of waiting.splice(0)) one.end();
  });
  const many = ["--repeat", "10", "--concurrency", "4"];
  const { exitCode } = await run(["github", "push", "--to", target.url, ...many]);
  assert.deepEqual([exitCode, target.requests.length, target.longest()], [0, 10, 4]);
});

test("more at the same time than there are in all is no mistake", async (t) => {
  openFolder(t);
  const target = await openTarget(t);
  await run(["github", "push", "--to", target.url, "--repeat", "2", "--concurrency", "1000"]);
  assert.equal(target.requests.length, 2);
});

test("the summary counts every kind of answer, and one that is not 2xx makes exit code 1", async (t) => {
  openFolder(t);
  const target = await openTarget(t, (response, count) => {
    if (count === 1) response.socket?.resetAndDestroy();
    else response.writeHead(count <= 4 ? 503 : 200).end();
  });
  const { exitCode, lines } = await run(["github", "push", "--to", target.url, "--repeat", "12"]);
  assert.equal(exitCode, 1);
  assert.deepEqual(lines.slice(1, 3), ["  8  200 OK", "  3  503 Service Unavailable"]);
  assert.match(lines[3] ?? "", /^ {2}1 {2}no answer: (read ECONNRESET|socket hang up)$/);
  assert.match(lines[4] ?? "", /^answers took, in ms: min \d+\.\d, p50 .*, p95 .*, p99 .*, max \d+\.\d$/);
});

test("Ctrl+C in the middle shows the summary of what has come back", async (t) => {
  const { folder } = openFolder(t);
  let reached = (): void => {};
  const third = new Promise<void>((resolve) => {
    reached = resolve;
  });
  const target = await openTarget(t, (response, count) => {
    if (count < 3) response.end();
    else reached();
  });
  const args = ["send", "github", "push", "--to", target.url, "--repeat", "1000000"];
  const child = spawn(process.execPath, [program, ...args], {
    cwd: folder,
    env: { PATH: process.env.PATH, ...environment },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  child.stdout.on("data", (chunk: Buffer) => {
    text += chunk;
  });
  const closed = once(child, "close");
  await Promise.race([third, closed]); // should it end before, what it wrote says why
  child.kill("SIGINT");
  const [exitCode] = await closed;
  assert.equal(exitCode, 130);
  assert.match(
    text,
    /^2 requests in .*\n {2}2 {2}200 OK\n.*\ninterrupted: 999998 were not sent, or got no answer\n$/,
  );
});

// ---- As a program, and its usage ----

test("as a program it takes the body from stdin and the secret from .env, and ends with the exit code", async (t) => {
  const { folder } = openFolder(t);
  const target = await openTarget(t, (response, count) => response.writeHead(count === 1 ? 200 : 500).end());
  writeFileSync(".env", `WEBHOOK_SECRET=${secret}\n`);
  const runProgram = async (...args: string[]) => {
    const child = spawn(process.execPath, [program, "send", ...args], {
      cwd: folder,
      env: { PATH: process.env.PATH },
      stdio: ["pipe", "pipe", "pipe"],
    });
    child.stdin.end("{ }");
    let stderr = "";
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk;
    });
    const [exitCode] = await once(child, "close");
    return [exitCode, stderr];
  };
  assert.deepEqual(await runProgram("github", "push", "-", "--to", target.url), [0, ""]);
  assert.equal(only(target).body.toString(), "{ }");
  assert.deepEqual(await runProgram("github", "push", "-", "--to", target.url), [1, ""]);
  assert.deepEqual(await runProgram("github", "push"), [2, "webhook-receiver: send: expected --to URL\n"]);
});

test("a secret in a URL's user info, and a secret given for a name, are in no error", () => {
  const runProgram = (...args: string[]): string =>
    spawnSync(process.execPath, [program, "send", "github", "push", ...args], { encoding: "utf8" }).stderr;
  assert.equal(runProgram("--to", "http://a:the-password@127.0.0.1/").includes("the-password"), false);
  const named = runProgram("--to", "http://127.0.0.1/", "--secret-from", "the-password");
  assert.match(named, /^webhook-receiver: --secret-from: expected the name of a variable/);
  assert.equal(named.includes("the-password"), false);
});

test("send --help says how it is used", async (t) => {
  openFolder(t);
  const { exitCode, text } = await run(["--help"]);
  assert.equal(exitCode, 0);
  assert.match(
    text,
    /^send: .*\n\nUsage: tsx webhook-receiver\.ts send SENDER EVENT .*--env-file FILE .*\n$/s,
  );
});
