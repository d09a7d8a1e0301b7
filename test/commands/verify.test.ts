/** `verify`: yes for every known answer, no for each of them spoilt, and what it says about it. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { verifyCapture } from "../../lib/commands/verify.ts";
import { senders } from "../../lib/senders/table.ts";
import { projectFolder, secret } from "../receiver.ts";
import { coversBody, flipByte, otherSecret, schemeOf, timeOf, vectorsOf } from "../senders/vectors.ts";
import { now, openFolder, run, runToEnd } from "./folder.ts";

const files = ["--headers", "head.txt", "--body", "body"];
const wrong = "no: signature-mismatch: the body was signed with another secret, or changed on its way\n";
const hint = "hint: without the line break at the end of the body the signature is right\n";

function writeHead(headers: Record<string, string>, ...before: string[]): void {
  const lines = [...before, ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`)];
  writeFileSync("head.txt", `${lines.join("\r\n")}\r\n`, "latin1");
}

/** What a digest of openssl's looks like in hex. */
function openssl(message: string | Buffer, ...args: string[]): string {
  const text = execFileSync("openssl", ["dgst", ...args], { input: message, encoding: "utf8" });
  return text.trim().replace(/^.* /, "");
}

const hmac = (message: string | Buffer, key = secret): string => openssl(message, "-sha256", "-hmac", key);

/** A push of GitHub's, signed by openssl, in `head.txt` and `body`. */
function writePush(body: string, key = secret): void {
  const id = "72d3162e-cc78-11e3-81ab-4c9367dc0958";
  const signature = `sha256=${hmac(body, key)}`;
  writeHead({ "X-GitHub-Event": "push", "X-GitHub-Delivery": id, "X-Hub-Signature-256": signature });
  writeFileSync("body", body);
}

function writeStripe(body: string, time: number): void {
  writeHead({ "Stripe-Signature": `t=${time},v1=${hmac(`${time}.${body}`)}` });
  writeFileSync("body", body);
}

for (const sender of senders) {
  const variable = `WEBHOOK_SECRET_${sender.name.toUpperCase().replaceAll("-", "_")}`;
  for (const vector of vectorsOf(sender)) {
    const usual = [sender.name, ...files, ...(vector.url === undefined ? [] : ["--url", vector.url])];
    const key = vector.publicKey ?? vector.secret ?? "";
    const title = `${sender.name}/${vector.name}`;

    if (vector.refused !== undefined) {
      test(`no to ${title}, which is refused by design`, async (t) => {
        openFolder(t);
        writeHead(vector.headers);
        writeFileSync("body", vector.body);
        const { exitCode, text } = await runToEnd(verifyCapture, usual, { [variable]: key });
        assert.equal(exitCode, 1);
        assert.ok(text.startsWith(`no: ${vector.refused}: `), text);
      });
      continue;
    }

    const args = [...usual, "--at", timeOf(sender, vector).toISOString()];
    test(`yes to ${title}, and no with another secret or another body`, async (t) => {
      openFolder(t);
      writeHead(vector.headers, "POST /webhook HTTP/1.1");
      writeFileSync("body", vector.body);
      const good = await runToEnd(verifyCapture, args, { [variable]: key });
      // Some published answers are for texts such as "Hello, World!".
      if (/^[A-Z]/.test(vector.body) && !vector.body.includes("="))
        assert.match(good.text, /^no: body-not-json: .*\nthe signature itself is right\n$/);
      else assert.match(good.text, new RegExp(`^yes: signed with ${variable}\nevent  .+\nid     .+\n$`));

      const bad = await runToEnd(verifyCapture, args, { [variable]: otherSecret(sender, vector) });
      assert.deepEqual(bad, { exitCode: 1, text: wrong });

      const scheme = schemeOf(sender, vector);
      if (!coversBody(scheme)) return;
      writeFileSync("body", flipByte(vector));
      const tampered = await runToEnd(verifyCapture, args, { [variable]: key });
      assert.equal(tampered.exitCode, 1);
      assert.match(tampered.text, /^no: signature-mismatch: .*\n$/);
    });
  }
}

test("a push that openssl has signed is authentic: event, id and secret are named", async (t) => {
  openFolder(t);
  writePush('{"ref":"refs/heads/main"}');
  assert.deepEqual(await runToEnd(verifyCapture, ["github", ...files], { WEBHOOK_SECRET_GITHUB: secret }), {
    exitCode: 0,
    text: "yes: signed with WEBHOOK_SECRET_GITHUB\nevent  push\nid     72d3162e-cc78-11e3-81ab-4c9367dc0958\n",
  });
});

test("a DER signature that openssl has made with a P-256 key is right for SendGrid", async (t) => {
  openFolder(t);
  execFileSync("openssl", ["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "key.pem"]);
  const args = ["ec", "-in", "key.pem", "-pubout", "-outform", "DER"];
  const publicKey = execFileSync("openssl", args, { stdio: ["ignore", "pipe", "ignore"] }).toString("base64");
  const body = '[{"event":"delivered"}]\r\n';
  writeFileSync("signed", `1700000000${body}`);
  const signature = execFileSync("openssl", ["dgst", "-sha256", "-sign", "key.pem", "signed"]);
  writeHead({
    "X-Twilio-Email-Event-Webhook-Signature": signature.toString("base64"),
    "X-Twilio-Email-Event-Webhook-Timestamp": "1700000000",
  });
  writeFileSync("body", body);
  assert.equal(
    await run(verifyCapture, ["sendgrid", ...files, "--at", "2023-11-14T22:14"], {
      WEBHOOK_SECRET_SENDGRID: publicKey,
    }),
    `yes: signed with WEBHOOK_SECRET_SENDGRID\nevent  delivered\nid     ${createHash("sha256").update(body).digest("hex")}\n`,
  );
});

test("the senders of /webhook use WEBHOOK_SECRET when they have no variable of their own", async (t) => {
  openFolder(t);
  writePush("{}");
  const environment = { WEBHOOK_SECRET: secret };
  assert.match(
    await run(verifyCapture, ["github", ...files], environment),
    /^yes: signed with WEBHOOK_SECRET\n/,
  );
  const own = { ...environment, WEBHOOK_SECRET_GITHUB: "another-secret-of-its-own" };
  assert.equal(await run(verifyCapture, ["github", ...files], own), wrong);
  await assert.rejects(run(verifyCapture, ["gitea", ...files], environment), {
    message:
      "WEBHOOK_SECRET_GITEA is not set: put the secret into it, or name another variable with --secret-from",
    exitCode: 2,
  });
});

test("a source of another name has its own secret", async (t) => {
  openFolder(t);
  writePush("{}");
  const environment = { WEBHOOK_SECRET: "another-secret-of-its-own", WEBHOOK_SECRET_GITHUB_ACME: secret };
  assert.match(
    await run(verifyCapture, ["github-acme", ...files], environment),
    /^yes: signed with WEBHOOK_SECRET_GITHUB_ACME\n/,
  );
});

test("the previous secret is tried too, and named when it fits", async (t) => {
  openFolder(t);
  writePush("{}");
  const environment = { WEBHOOK_SECRET: "the-secret-of-tomorrow", WEBHOOK_SECRET_PREVIOUS: secret };
  assert.match(
    await run(verifyCapture, ["github", ...files], environment),
    /^yes: signed with WEBHOOK_SECRET_PREVIOUS, the previous secret\n/,
  );
});

test("--secret-from names any variable, and the one before it", async (t) => {
  openFolder(t);
  writePush("{}");
  const args = ["github", ...files, "--secret-from", "MINE"];
  const both = {
    MINE: "the-secret-of-tomorrow",
    MINE_PREVIOUS: secret,
    WEBHOOK_SECRET: "neither-of-the-two",
  };
  assert.match(await run(verifyCapture, args, { MINE: secret }), /^yes: signed with MINE\n/);
  assert.match(
    await run(verifyCapture, args, both),
    /^yes: signed with MINE_PREVIOUS, the previous secret\n/,
  );
});

test("a sender that a variable describes is verified like one of the table", async (t) => {
  openFolder(t);
  writeHead({ "X-Acme-Signature": hmac("{}") });
  writeFileSync("body", "{}");
  const environment = {
    WEBHOOK_SENDER_ACME: '{"signature":"X-Acme-Signature","encoding":"hex","signed":"{body}"}',
    WEBHOOK_SECRET_ACME: secret,
  };
  assert.match(
    await run(verifyCapture, ["acme", ...files], environment),
    /^yes: signed with WEBHOOK_SECRET_ACME\nevent {2}unknown\n/,
  );
});

for (const lineBreak of ["\n", "\r\n"]) {
  const name = JSON.stringify(lineBreak);
  test(`a body that would be right without a ${name} at its end is refused, with a hint`, async (t) => {
    openFolder(t);
    writePush("{}");
    writeFileSync("body", `{}${lineBreak}`);
    const result = await runToEnd(verifyCapture, ["github", ...files], { WEBHOOK_SECRET: secret });
    assert.deepEqual(result, { exitCode: 1, text: wrong + hint });
  });

  test(`a body that was signed with the ${name} at its end is right with it, and only with it`, async (t) => {
    openFolder(t);
    writePush(`{}${lineBreak}`);
    assert.match(await run(verifyCapture, ["github", ...files], { WEBHOOK_SECRET: secret }), /^yes: /);
    writeFileSync("body", "{}");
    assert.equal(await run(verifyCapture, ["github", ...files], { WEBHOOK_SECRET: secret }), wrong);
  });
}

test("a line break is no hint when the signature does not fit without it either", async (t) => {
  openFolder(t);
  writePush("{}", "another-secret-of-its-own");
  writeFileSync("body", "{}\n");
  assert.equal(await run(verifyCapture, ["github", ...files], { WEBHOOK_SECRET: secret }), wrong);
});

const second = now.getTime() / 1000;
const late = "--at says when it came";
for (const [age, code, words] of [
  [301, "timestamp-too-old", "signed 301 seconds ago; 300 are allowed"],
  [-301, "timestamp-in-future", "signed 301 seconds ahead of this clock; 300 are allowed"],
] as const) {
  test(`a time ${age} seconds old is refused by the clock, and right at --at`, async (t) => {
    openFolder(t);
    writeStripe('{"id":"evt_1","type":"charge.failed"}', second - age);
    const environment = { WEBHOOK_SECRET_STRIPE: secret };
    assert.deepEqual(await runToEnd(verifyCapture, ["stripe", ...files], environment), {
      exitCode: 1,
      text: `no: ${code}: ${words}\nthe signature itself is right\njudged at ${now.toISOString()}; ${late}\n`,
    });
    const at = new Date((second - age) * 1000).toISOString();
    assert.equal(
      await run(verifyCapture, ["stripe", ...files, "--at", at], environment),
      "yes: signed with WEBHOOK_SECRET_STRIPE\nevent  charge.failed\nid     evt_1\n",
    );
    const wider = { ...environment, WEBHOOK_TOLERANCE_STRIPE: "301" };
    assert.match(await run(verifyCapture, ["stripe", ...files], wider), /^yes: /);
  });
}

test("a time 300 seconds old is right, and --at 1s makes it too old", async (t) => {
  openFolder(t);
  writeStripe("{}", second - 300);
  const environment = { WEBHOOK_SECRET_STRIPE: secret };
  assert.match(await run(verifyCapture, ["stripe", ...files], environment), /^yes: /);
  writeStripe("{}", second + 300);
  assert.match(
    await run(verifyCapture, ["stripe", ...files, "--at", "1s"], environment),
    /^no: timestamp-in-future: signed 301 seconds ahead/,
  );
});

test("the line break's hint holds for a body whose time is over by now", async (t) => {
  openFolder(t);
  writeStripe("{}", second - 86_400);
  writeFileSync("body", "{}\n");
  assert.equal(
    await run(verifyCapture, ["stripe", ...files], { WEBHOOK_SECRET_STRIPE: secret }),
    wrong + hint,
  );
});

test("what is authentic and refused all the same: no JSON, and the wrong shape", async (t) => {
  openFolder(t);
  writePush("no JSON");
  assert.deepEqual(await runToEnd(verifyCapture, ["github", ...files], { WEBHOOK_SECRET: secret }), {
    exitCode: 1,
    text: "no: body-not-json: 7 bytes are not JSON\nthe signature itself is right\n",
  });
  writeHead({ Authorization: `Bearer ${hmac("{}")}` });
  writeFileSync("body", "{}");
  assert.deepEqual(await runToEnd(verifyCapture, ["messaging", ...files], { WEBHOOK_SECRET: secret }), {
    exitCode: 1,
    text: "no: shape-invalid: these fields are not as documented: #/id, #/status\nthe signature itself is right\n",
  });
});

test("a signature that is missing, doubled or malformed has the reason of the log", async (t) => {
  openFolder(t);
  writeFileSync("body", "{}");
  const reasonOf = async (head: string): Promise<string> => {
    writeFileSync("head.txt", head);
    return run(verifyCapture, ["github", ...files], { WEBHOOK_SECRET: secret });
  };
  const [missing, doubled, malformed] = [
    "no: signature-missing: expected one of these headers: x-hub-signature-256, x-decnet-signature, authorization\n",
    "no: signature-ambiguous: 2 x-hub-signature-256 headers\n",
    'no: signature-malformed: x-hub-signature-256 is not "sha256=" and 64 hex digits\n',
  ];
  assert.equal(await reasonOf("A: 1"), missing);
  assert.equal(await reasonOf("X-Hub-Signature-256: sha256=0\nX-Hub-Signature-256: sha256=0"), doubled);
  assert.equal(await reasonOf("X-Hub-Signature-256: sha256=0"), malformed);
});

test("an authentic handshake is a yes, and no event", async (t) => {
  openFolder(t);
  const body = '{"type":"url_verification","challenge":"c"}';
  const signature = `v0=${hmac(`v0:${second}:${body}`)}`;
  writeHead({ "X-Slack-Request-Timestamp": String(second), "X-Slack-Signature": signature });
  writeFileSync("body", body);
  assert.match(
    await run(verifyCapture, ["slack", ...files], { WEBHOOK_SECRET_SLACK: secret }),
    /\nevent {2}none: a handshake, which reaches no handler\n/,
  );
});

test("where the URL is signed, it is --url, or the public URL and the request line", async (t) => {
  openFolder(t);
  const url = "https://hooks.example.com/base/webhook/square?a=%20b";
  const signature = Buffer.from(hmac(`${url}{}`), "hex").toString("base64");
  const headers = { "X-Square-HmacSha256-Signature": signature };
  const environment = { WEBHOOK_SECRET_SQUARE: secret };
  const withPublicUrl = { ...environment, WEBHOOK_PUBLIC_URL: "https://hooks.example.com/base" };
  writeFileSync("body", "{}");
  writeHead(headers);
  assert.match(await run(verifyCapture, ["square", ...files, "--url", url], environment), /^yes: /);
  assert.equal(await run(verifyCapture, ["square", ...files, "--url", `${url}/`], environment), wrong);
  const message = "verify: Square signs the URL; expected --url, or WEBHOOK_PUBLIC_URL and a request line";
  await assert.rejects(run(verifyCapture, ["square", ...files], withPublicUrl), { message, exitCode: 2 });
  writeHead(headers, "POST /webhook/square?a=%20b HTTP/1.1");
  assert.match(await run(verifyCapture, ["square", ...files], withPublicUrl), /^yes: /);
  await assert.rejects(run(verifyCapture, ["square", ...files], environment), { message, exitCode: 2 });
  writeHead(headers, "POST http://127.0.0.1:3010/webhook/square?a=%20b HTTP/1.1");
  assert.match(await run(verifyCapture, ["square", ...files], withPublicUrl), /^yes: /);
});

test("where the method is signed, it is --method, the request line's, or POST, and only a POST is a delivery", async (t) => {
  openFolder(t);
  const url = "https://example.com/webhook/hubspot";
  const mac = Buffer.from(hmac(`POST${url}{}${now.getTime()}`), "hex").toString("base64");
  const headers = { "X-HubSpot-Signature-V3": mac, "X-HubSpot-Request-Timestamp": String(now.getTime()) };
  const args = ["hubspot", ...files, "--url", url];
  const environment = { WEBHOOK_SECRET_HUBSPOT: secret };
  const notAllowed = "no: method-not-allowed: PUT; allowed is POST\n";
  writeFileSync("body", "{}");
  writeHead(headers);
  assert.match(await run(verifyCapture, args, environment), /^yes: /);
  assert.equal(await run(verifyCapture, [...args, "--method", "PUT"], environment), notAllowed);
  writeHead(headers, "PUT /webhook/hubspot HTTP/1.1");
  assert.equal(await run(verifyCapture, args, environment), notAllowed);
  assert.match(await run(verifyCapture, [...args, "--method", "POST"], environment), /^yes: /);
});

test("an event and an id from outside can neither move the cursor nor forge a line", async (t) => {
  openFolder(t);
  writeStripe('{"id":"a\\nyes: b","type":"\\u001b[2J"}', second);
  assert.equal(
    await run(verifyCapture, ["stripe", ...files], { WEBHOOK_SECRET_STRIPE: secret }),
    "yes: signed with WEBHOOK_SECRET_STRIPE\nevent  \\u001b[2J\nid     a\\u000ayes: b\n",
  );
});

test("a no shows neither the secret nor the signature that was expected", async (t) => {
  openFolder(t);
  writePush("{}", "another-secret-of-its-own");
  const text = await run(verifyCapture, ["github", ...files], { WEBHOOK_SECRET: secret });
  for (const hidden of [secret, hmac("{}"), Buffer.from(hmac("{}"), "hex").toString("base64")])
    assert.equal(text.includes(hidden), false);
});

const refusals: [
  what: string,
  args: string[],
  environment: Record<string, string>,
  message: string | RegExp,
][] = [
  ["no sender", files, {}, "verify: expected a sender, --headers FILE and --body FILE"],
  [
    "two senders",
    ["github", "gitea", ...files],
    {},
    "verify: expected a sender, --headers FILE and --body FILE",
  ],
  [
    "no headers",
    ["github", "--body", "body"],
    {},
    "verify: expected a sender, --headers FILE and --body FILE",
  ],
  [
    "no body",
    ["github", "--headers", "head.txt"],
    {},
    "verify: expected a sender, --headers FILE and --body FILE",
  ],
  [
    "stdin for both",
    ["github", "--headers", "-", "--body", "-"],
    {},
    "verify: only one of --headers and --body can be stdin",
  ],
  [
    "an unknown sender",
    ["githup", ...files],
    {},
    /^no such sender: "githup"; expected one of bitbucket, .*, zoom, alone/,
  ],
  [
    "a sender in capitals",
    ["GitHub", ...files],
    {},
    /^no such sender: "GitHub"; expected one of bitbucket, /,
  ],
  [
    "an empty secret",
    ["github", ...files],
    { WEBHOOK_SECRET: " " },
    "WEBHOOK_SECRET is empty: give it a secret, or remove the line",
  ],
  [
    "an empty previous secret",
    ["github", ...files],
    { WEBHOOK_SECRET: secret, WEBHOOK_SECRET_PREVIOUS: "" },
    "WEBHOOK_SECRET_PREVIOUS is empty: give it a secret, or remove the line",
  ],
  [
    "a secret that does not decode",
    ["svix", ...files],
    { WEBHOOK_SECRET_SVIX: "whsec_!" },
    "WEBHOOK_SECRET_SVIX: expected whsec_ and base64, as the sender shows it; it does not decode: character 1 of the base64 is not of base64",
  ],
  [
    "a variable that is not set",
    ["github", ...files, "--secret-from", "constructor"],
    { WEBHOOK_SECRET: secret },
    "--secret-from: expected the name of a variable that is set, in the environment or .env (a name, not the secret)",
  ],
  [
    "a time that is none",
    ["github", ...files, "--at", "then"],
    { WEBHOOK_SECRET: secret },
    /^--at: expected a time such as/,
  ],
  [
    "a method in small letters",
    ["github", ...files, "--method", "post"],
    { WEBHOOK_SECRET: secret },
    "--method: expected a method such as POST, in capitals",
  ],
  [
    "a URL with a password",
    ["github", ...files, "--url", "https://a:the-password@example.com/"],
    { WEBHOOK_SECRET: secret },
    "--url: expected a URL such as http://127.0.0.1:3010/webhook, without user and #",
  ],
];
for (const [what, args, environment, message] of refusals) {
  test(`verify with ${what} is wrong usage`, async (t) => {
    openFolder(t);
    writePush("{}");
    await assert.rejects(run(verifyCapture, args, environment), { message, exitCode: 2 });
  });
}

test("heads of 64 KiB are read, and bodies as large as the sender's may be; one byte more is refused", async (t) => {
  openFolder(t);
  writePush("{}");
  const environment = { WEBHOOK_SECRET: secret };
  truncateSync("head.txt", 64 * 1024 + 1);
  await assert.rejects(run(verifyCapture, ["github", ...files], environment), {
    message: "head.txt holds more than 65536 bytes",
  });
  truncateSync("head.txt", 64 * 1024);
  await assert.rejects(run(verifyCapture, ["github", ...files], environment), { message: /NUL/ });
  const json = JSON.stringify({ value: [{ clientState: secret }] });
  const graph = { WEBHOOK_SECRET_MICROSOFT_GRAPH: secret };
  writePush(json.padEnd(1024 * 1024));
  assert.match(await run(verifyCapture, ["microsoft-graph", ...files], graph), /^yes: /);
  truncateSync("body", 1024 * 1024 + 1);
  assert.equal(
    await run(verifyCapture, ["microsoft-graph", ...files], graph),
    "no: body-too-large: 1048577 bytes; the limit is 1048576\n",
  );
  truncateSync("body", 25 * 1024 * 1024 + 1);
  assert.equal(
    await run(verifyCapture, ["gitea", ...files], { WEBHOOK_SECRET_GITEA: secret }),
    "no: body-too-large: 26214401 bytes; the limit is 26214400\n",
  );
  truncateSync("body", 256 * 1024 * 1024 + 1);
  await assert.rejects(run(verifyCapture, ["gitea", ...files], { WEBHOOK_SECRET_GITEA: secret }), {
    message: "body holds more than 268435456 bytes",
  });
});

test("as a program: the body from stdin, the secret from .env, the exit code says yes or no", (t) => {
  openFolder(t);
  writePush("{}");
  writeFileSync(".env", `WEBHOOK_SECRET=${secret}\n`);
  const runProgram = (input: string, ...args: string[]) => {
    const program = join(projectFolder, "webhook-receiver.ts");
    const { PATH = "" } = process.env;
    const { status, stdout, stderr } = spawnSync(process.execPath, [program, "verify", ...args], {
      input,
      env: { PATH },
      encoding: "utf8",
    });
    return [status, stdout.split("\n")[0], stderr];
  };
  const args = ["github", "--headers", "head.txt", "--body", "-"];
  assert.deepEqual(runProgram("{}", ...args), [0, "yes: signed with WEBHOOK_SECRET", ""]);
  assert.deepEqual(runProgram("{ }", ...args), [1, wrong.trim(), ""]);
  assert.deepEqual(runProgram("", "github"), [
    2,
    "",
    "webhook-receiver: verify: expected a sender, --headers FILE and --body FILE\n",
  ]);
});

test("verify --help says how it is used", async (t) => {
  openFolder(t);
  const { exitCode, text } = await runToEnd(verifyCapture, ["--help"]);
  assert.equal(exitCode, 0);
  assert.match(text, /^verify: .*\n\nUsage: tsx webhook-receiver\.ts verify SENDER .*--env-file FILE .*\n$/s);
});
