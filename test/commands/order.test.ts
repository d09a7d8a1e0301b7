/** What `send` refuses to be asked for, by the words of the error. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import { readOrder } from "../../lib/commands/order.ts";
import { send } from "../../lib/commands/send.ts";
import { senders } from "../../lib/senders/table.ts";
import { secret } from "../receiver.ts";
import { keys } from "../senders/keys.ts";
import { openFolder, run } from "./folder.ts";

const environment = { WEBHOOK_SECRET: secret };
const to = ["--to", "http://127.0.0.1:1/"];
const push = ["github", "push", ...to];
const usage = "send: expected a sender, an event and perhaps a file; or test";
const noUrl = "--to: expected a URL such as http://127.0.0.1:3010/webhook, without user and #";
const noHeader = '--header: expected a header, such as "Content-Type: text/plain"';
const mistakes: [
  what: string,
  args: string[],
  variables: Record<string, string>,
  message: string | RegExp,
][] = [
  ["nothing", [], {}, usage],
  ["no event", ["github", ...to], {}, usage],
  ["two files", ["github", "push", "a", "b", ...to], {}, usage],
  ["no URL", ["github", "push"], {}, "send: expected --to URL"],
  ["a URL without a scheme", ["github", "push", "--to", "127.0.0.1:3010"], {}, noUrl],
  ["a URL of another scheme", ["github", "push", "--to", "file:///etc/passwd"], {}, noUrl],
  ["a URL with a fragment", ["github", "push", "--to", "http://127.0.0.1/#a"], {}, noUrl],
  ["an unknown sender", ["githup", "push", ...to], {}, /^no such sender: "githup"; expected one of/],
  [
    "an event that is no header",
    ["github", "a\nb", ...to],
    {},
    /^the event: expected 1 to 255 printable ASCII/,
  ],
  ["an empty event", ["github", "", ...to], {}, /^the event: expected 1 to 255 printable ASCII/],
  [
    "an event too long",
    ["github", "a".repeat(256), ...to],
    {},
    /^the event: expected 1 to 255 .*, not "a{40}…"$/,
  ],
  [
    "an id that is no header",
    [...push, "--id", "é"],
    {},
    '--id: expected 1 to 255 printable ASCII characters, not "é"',
  ],
  [
    "an id for many",
    [...push, "--id", "a", "--repeat", "2"],
    {},
    "--id: with --repeat every delivery has an id of its own",
  ],
  [
    "an id where there is none",
    ["dropbox", "x", ...to, "--id", "a"],
    {},
    "--id: Dropbox gives its deliveries none",
  ],
  ["--repeat 0", [...push, "--repeat", "0"], {}, '--repeat: expected a number from 1 to 1000000, not "0"'],
  [
    "--repeat 1000001",
    [...push, "--repeat", "1000001"],
    {},
    '--repeat: expected a number from 1 to 1000000, not "1000001"',
  ],
  [
    "--repeat 1e3",
    [...push, "--repeat", "1e3"],
    {},
    '--repeat: expected a number from 1 to 1000000, not "1e3"',
  ],
  [
    "--concurrency 0",
    [...push, "--concurrency", "0"],
    {},
    '--concurrency: expected a number from 1 to 1000, not "0"',
  ],
  [
    "--concurrency 1001",
    [...push, "--concurrency", "1001"],
    {},
    '--concurrency: expected a number from 1 to 1000, not "1001"',
  ],
  [
    "--timeout 0.09",
    [...push, "--timeout", "0.09"],
    {},
    '--timeout: expected 0.1 to 3600 seconds, not "0.09"',
  ],
  [
    "--timeout 3601",
    [...push, "--timeout", "3601"],
    {},
    '--timeout: expected 0.1 to 3600 seconds, not "3601"',
  ],
  ["a header without a colon", [...push, "--header", "Authorization Bearer"], {}, noHeader],
  ["a header with a line break", [...push, "--header", "A: 1\r\nB: 2"], {}, noHeader],
  ["a pseudo-header", [...push, "--header", ":path: /"], {}, noHeader],
  [
    "a length of its own",
    [...push, "--header", "Content-Length: 1"],
    {},
    "--header: Content-Length is said by the body itself",
  ],
  [
    "a coding of its own",
    [...push, "--header", "transfer-encoding: chunked"],
    {},
    "--header: transfer-encoding is said by the body itself",
  ],
  ["no secret", push, {}, /^WEBHOOK_SECRET_GITHUB is not set: put the secret into it/],
  [
    "an empty secret",
    push,
    { WEBHOOK_SECRET: "" },
    "WEBHOOK_SECRET is empty: give it a secret, or remove the line",
  ],
  [
    "a file that is not there",
    ["github", "push", "nowhere", ...to],
    environment,
    "cannot read nowhere: there is no such file",
  ],
  [
    "a body that Linear cannot stamp",
    ["linear", "a.b", "text", ...to],
    { WEBHOOK_SECRET_LINEAR: secret },
    "Linear cannot sign this body: 7 bytes are not JSON",
  ],
  [
    "an id in a body that has no place for it",
    ["stripe", "x", "text", ...to, "--id", "a"],
    { WEBHOOK_SECRET_STRIPE: secret },
    "Stripe has the delivery's id in the body: this one is no JSON object, so --id and --repeat cannot set it",
  ],
  [
    "an id in a body that is a list",
    ["stripe", "x", "list", ...to, "--id", "a"],
    { WEBHOOK_SECRET_STRIPE: secret },
    "Stripe has the delivery's id in the body: this one is no JSON object, so --id and --repeat cannot set it",
  ],
];
for (const [what, args, variables, message] of mistakes) {
  test(`send with ${what} is wrong usage`, async (t) => {
    openFolder(t);
    writeFileSync("text", "no JSON");
    writeFileSync("list", "[]");
    await assert.rejects(run(send, args, variables), { message, exitCode: 2 });
  });
}

/** A private key in the right form, on a curve that SendGrid does not use. */
const otherCurve = generateKeyPairSync("ec", { namedCurve: "P-384" })
  .privateKey.export({ format: "der", type: "pkcs8" })
  .toString("base64");

for (const sender of senders.filter(({ key }) => keys[key].sign !== keys[key].verify)) {
  const own = `WEBHOOK_SECRET_${sender.name.toUpperCase().replaceAll("-", "_")}`;
  const formats: Record<string, string> = {
    discord: "the private key's seed: 64 hex digits",
    sendgrid: "the base64 of a P-256 private key in PKCS #8, without the lines before and after it",
    "standard-webhooks-v1a": "whsk_ and the base64 of the private key's seed and the public key, 64 bytes",
  };
  test(`${sender.title}: the public key signs nothing, and the error says which key does`, async (t) => {
    openFolder(t);
    const args = [sender.name, "x", ...to];
    const { verify: publicKey } = keys[sender.key];
    const message = `${sender.title} signs with a private key, and ${own} is for the public one: name a variable that holds the private one with --secret-from (${formats[sender.name]})`;
    await assert.rejects(run(send, args, { [own]: publicKey }), { message, exitCode: 2 });
    await assert.rejects(run(send, [...args, "--secret-from", own], { [own]: publicKey }), {
      message,
      exitCode: 2,
    });
    const faults = [
      [
        "no key",
        sender.key === "ed25519-hex" ? "" : "; it does not decode: character 3 of the base64 is white space",
      ],
      [otherCurve, ""],
    ] as const;
    for (const [text, fault] of faults) {
      await assert.rejects(run(send, [...args, "--secret-from", "KEY"], { KEY: text }), {
        message: `KEY: expected ${formats[sender.name]}${fault}`,
        exitCode: 2,
      });
    }
  });
}

test("three senders sign with a private key", () => {
  const names = senders.filter(({ key }) => keys[key].sign !== keys[key].verify).map(({ name }) => name);
  assert.deepEqual(names, ["discord", "sendgrid", "standard-webhooks-v1a"]);
});

test("the largest numbers and the longest names are taken", () => {
  const name = "a".repeat(255);
  const largest = ["--repeat", "1000000", "--concurrency", "1000", "--timeout", "3600"];
  const order = readOrder(["github", name, ...to, ...largest]);
  assert.deepEqual(
    [order?.event, order?.repeat, order?.concurrency, order?.timeoutMilliseconds],
    [name, 1_000_000, 1000, 3_600_000],
  );
  assert.equal(readOrder(["github", "push", ...to, "--id", name])?.id, name);
});
