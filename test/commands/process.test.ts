/**
 * Every command, flag and `--help` as a person starts it: the real process, its exit code, stdout and stderr, with a
 * receiver running and without one.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHmac } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { type Program, projectFolder, secret, startProgram } from "../receiver.ts";

const program = join(projectFolder, "webhook-receiver.ts");
const folder = mkdtempSync(join(tmpdir(), "commands-"));
const body = '{"action":"opened","number":7}';
const hex = (key: string) => createHmac("sha256", key).update(body).digest("hex");
/** `--port 0` and `--log json` are given to every receiver of the tests. */
const receiverFlags =
  "--handlers handlers.ts --host 127.0.0.1 --env-file named.env --max-body 1mb --request-timeout 20 --keep-alive 60 " +
  "--stop-timeout 9 --drain 0.1 --inbox inbox.db --keep 2d --concurrency 4";
let receiver: Program;

before(async () => {
  writeFileSync(
    join(folder, "named.env"),
    `WEBHOOK_SECRET=${secret}\nOTHER=${secret}\nSHORT=another-secret\n`,
  );
  writeFileSync(join(folder, "memory.env"), "WEBHOOK_INBOX=:memory:\n");
  writeFileSync(join(folder, "elsewhere.env"), "WEBHOOK_INBOX=nowhere.db\n");
  writeFileSync(join(folder, "broken.env"), "\u{feff}WEBHOOK_SECRET=x\n");
  writeFileSync(
    join(folder, "good.txt"),
    `POST /webhook HTTP/1.1\nX-GitHub-Event: push\nX-Hub-Signature-256: sha256=${hex(secret)}\n`,
  );
  writeFileSync(
    join(folder, "twice.txt"),
    `X-Hub-Signature-256: sha256=${hex(secret)}\nX-DECNET-Signature: sha256=${hex(secret)}\n`,
  );
  writeFileSync(join(folder, "body.json"), body);
  writeFileSync(
    join(folder, "handlers.ts"),
    'export const handlers = { push: () => {}, issues: { handle: () => { throw new Error("no"); }, retries: 0 } };\n',
  );
  receiver = await startProgram({ folder, args: receiverFlags.split(" ") });
  const post = (event: string, id: string, key = secret) =>
    fetch(receiver.url, {
      method: "POST",
      body,
      headers: {
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": id,
        "X-Hub-Signature-256": `sha256=${hex(key)}`,
      },
    });
  assert.equal((await post("push", "one")).status, 200);
  assert.equal((await post("issues", "two")).status, 200);
  assert.equal((await post("push", "three", "wrong")).status, 401);
  await receiver.waitFor("the job is dead");
});
after(() => rmSync(folder, { recursive: true }));

type Ended = { readonly code: number; readonly stdout: string; readonly stderr: string };

function start(args: readonly string[]): Promise<Ended> {
  const { PATH = "" } = process.env;
  const environment = { PATH, WEBHOOK_SECRET: secret, OTHER: secret };
  return new Promise((resolve) => {
    const options = { cwd: folder, env: environment, timeout: 30_000 };
    execFile(process.execPath, [program, ...args], options, (error, stdout, stderr) => {
      resolve({ code: Number(error?.code ?? 0), stdout, stderr });
    });
  });
}

type Case = readonly [args: string, code: number, stdout: RegExp, stderr: RegExp];
const nothing = /^$/;
const usage = (text: string) => new RegExp(`^webhook-receiver: ${text}.*\\n$`);
const files = "--headers good.txt --body body.json";

/** What can be asked with a receiver and without one, with the same answer. */
const always: readonly Case[] = [
  ...["list", "show", "replay", "reverify", "send", "verify"].flatMap((name): Case[] => [
    [`${name} --help`, 0, new RegExp(`^${name}: .*\\n\\nUsage: `), nothing],
    [`${name} -h`, 0, new RegExp(`^${name}: `), nothing],
    [`${name} --nonsense`, 2, nothing, usage("Unknown option '--nonsense'")],
  ]),
  ["--help", 0, /^webhook-receiver: .*\n\nUsage: /, nothing],
  ["--version", 0, /^\d+\.\d+\.\d+\n$/, nothing],
  [
    "lst",
    2,
    nothing,
    usage('there is no command "lst": expected list, show, replay, reverify, send, verify'),
  ],
  ["port 3010", 2, nothing, usage('there is no command "port"')],
  ["--port 0 list", 2, nothing, usage("Unexpected argument 'list'")],
  ["--port eighty", 2, nothing, usage("--port: expected a number from 0 to 65535")],
  ["--port 0 --port eighty", 2, nothing, usage("--port: expected a number from 0 to 65535")],
  ["--port", 2, nothing, usage("Option '--port <value>' argument missing")],
  ["--port --log json", 2, nothing, usage("Option '--port' argument is ambiguous")],
  ["--host a/b", 2, nothing, usage("--host: expected an address")],
  ["--env-file broken.env", 1, nothing, usage("broken.env begins with a byte order mark")],
  ["--handlers nowhere.ts --port 0", 1, nothing, usage("cannot load the handlers from nowhere.ts")],
  ["--max-body 0", 2, nothing, usage("--max-body: expected 1 to 256mb")],
  ["--request-timeout 0", 2, nothing, usage("--request-timeout: expected 0.1 to 3600 seconds")],
  ["--keep-alive 0", 2, nothing, usage("--keep-alive: expected 0.1 to 3600 seconds")],
  ["--stop-timeout x", 2, nothing, usage("--stop-timeout: expected 0.1 to 3600 seconds")],
  ["--drain 3601", 2, nothing, usage("--drain: expected 0.1 to 3600 seconds")],
  ["--inbox file:x.db", 2, nothing, usage("--inbox: expected a plain file name")],
  ["--keep soon", 2, nothing, usage("--keep: expected a time")],
  ["--concurrency 0", 2, nothing, usage("--concurrency: expected a number from 1 to 1000")],
  ["--log odd", 2, nothing, usage("--log: expected json or pretty")],

  ["list --state --json", 2, nothing, usage("Option '--state' argument is ambiguous")],
  ["list --json=true", 2, nothing, usage("Option '--json' does not take an argument")],

  ["list", 0, /^number .*\n2 .* two .* dead .*\n1 .* one .* done .*\n$/, nothing],
  ["list --json", 0, /^\{"number":2,.*\}\n\{"number":1,.*\}\n$/, nothing],
  ["list --state dead --json", 0, /^\{"number":2,.*\}\n$/, nothing],
  ["list --state pending --source nowhere", 0, /^nothing found\n$/, nothing],
  ["list --state pending --source nowhere --json", 0, nothing, nothing],
  ["list --state odd", 2, nothing, usage("--state: expected pending, running, done or dead")],
  ["list --state", 2, nothing, usage("Option '--state <value>' argument missing")],
  ["list --source default --event push --since 1h --limit 1", 0, /^number .*\n1 .*\n$/, nothing],
  ["list --limit 1", 0, /\nthere are more than 1: /, nothing],
  ["list --limit 0", 2, nothing, usage("--limit: expected a number from 1 to")],
  ["list --since yesterday", 2, nothing, usage("--since: expected a time")],
  ["list --event a..b", 2, nothing, usage('--event "a..b": ')],
  ["list --inbox inbox.db", 0, /^number /, nothing],
  ["list --inbox nowhere.db", 1, nothing, usage("cannot open the inbox nowhere.db: there is no such file")],
  ["list --inbox body.json", 1, nothing, usage("cannot open the inbox body.json|body.json is not an inbox")],
  ["list --inbox file:inbox.db", 2, nothing, usage("--inbox: expected a plain file name")],
  ["list --inbox :memory:", 2, nothing, usage("--inbox: an inbox in memory")],
  ["list --env-file named.env", 0, /^number /, nothing],
  ["list --env-file memory.env", 2, nothing, usage("WEBHOOK_INBOX: an inbox in memory")],
  ["list --env-file elsewhere.env", 1, nothing, usage("cannot open the inbox nowhere.db: there is no")],
  ["list --env-file broken.env", 1, nothing, usage("broken.env begins with a byte order mark")],
  ["list more", 2, nothing, usage("Unexpected argument 'more'")],
  ["list --state done --state dead", 0, /^number .*\n2 .*\n$/, nothing],

  ["show one", 0, /^delivery 1\n.*\n {2}event {5}push\.opened\n/s, nothing],
  ["show 2", 0, /\njobs\n {2}issues {2}dead /, nothing],
  ["show", 2, nothing, usage("show: expected one ID")],
  ["show one two", 2, nothing, usage("show: expected one ID")],
  ["show nowhere", 1, nothing, usage('no delivery in inbox.db is called "nowhere"')],
  ["show one --inbox nowhere.db", 1, nothing, usage("cannot open the inbox nowhere.db")],
  ["show one --env-file named.env", 0, /^delivery 1\n/, nothing],

  ["replay", 2, nothing, usage("replay: expected ids, --dead or --since")],
  ["replay one --dead", 2, nothing, usage("replay: expected ids, or --dead and --since, not both")],
  ["replay nowhere --handlers handlers.ts", 1, nothing, usage('.*"nowhere"')],
  ["replay one --handlers nowhere.ts", 1, nothing, usage("cannot load the handlers from nowhere.ts")],
  [
    "replay one --handlers handlers.ts --inbox nowhere.db",
    1,
    nothing,
    usage("cannot open the inbox nowhere.db"),
  ],
  ["reverify --inbox nowhere.db", 1, nothing, usage("cannot open the inbox nowhere.db")],
  [
    "reverify --handlers handlers.ts --env-file named.env",
    0,
    /^refused .* signature-mismatch\n0 admitted; 1 still refused\n$/,
    nothing,
  ],
  ["reverify --env-file broken.env", 1, nothing, usage("broken.env begins with a byte order mark")],

  ["send", 2, nothing, usage("send: expected a sender, an event and perhaps a file; or test")],
  ["send github push", 2, nothing, usage("send: expected --to URL")],
  ["send nobody push --to http://127.0.0.1:1/", 2, nothing, usage('no such sender: "nobody"')],
  ["send github push --to nowhere", 2, nothing, usage("--to: expected a URL")],
  [
    "send github push --to http://127.0.0.1:1/ --secret-from NO_SUCH",
    2,
    nothing,
    usage("--secret-from: expected the name"),
  ],
  ["send github push --to http://127.0.0.1:1/ --timeout 0", 2, nothing, usage("--timeout: expected")],
  ["send github push --to http://127.0.0.1:1/ --repeat x", 2, nothing, usage("--repeat: expected")],
  ["send github push --to http://127.0.0.1:1/ --concurrency 0", 2, nothing, usage("--concurrency: expected")],
  ["send github push --to http://127.0.0.1:1/ --header x", 2, nothing, usage("--header: expected a header")],
  [
    "send github push --to http://127.0.0.1:1/ --env-file broken.env",
    1,
    nothing,
    usage("broken.env begins with"),
  ],
  [
    "send twilio x --to http://127.0.0.1:1/ --secret-from OTHER --url nowhere",
    2,
    nothing,
    usage("--url: expected a URL"),
  ],
  ["send github push --to http://127.0.0.1:1/", 1, /^sent push, .*\nno answer: .*\n$/, nothing],
  [
    "send github push nowhere.json --to http://127.0.0.1:1/",
    2,
    nothing,
    usage("cannot read nowhere.json: there is no such file"),
  ],

  [`verify github ${files}`, 0, /^yes: signed with WEBHOOK_SECRET\nevent {2}push\.opened\n/, nothing],
  [
    `verify github ${files} --secret-from OTHER --url http://127.0.0.1/ --method POST --at 2026-11-22`,
    0,
    /^yes: signed with OTHER\n/,
    nothing,
  ],
  [
    `verify github ${files} --secret-from SHORT --env-file named.env`,
    1,
    /^no: signature-mismatch: /,
    nothing,
  ],
  ["verify github --headers twice.txt --body body.json", 1, /^no: signature-ambiguous: /, nothing],
  ["verify decnet --headers twice.txt --body body.json", 1, /^no: signature-ambiguous: /, nothing],
  ["verify", 2, nothing, usage("verify: expected a sender, --headers FILE and --body FILE")],
  [
    "verify github --headers nowhere --body body.json",
    2,
    nothing,
    usage("cannot read nowhere: there is no such file"),
  ],
  [`verify github ${files} --method get`, 2, nothing, usage("--method: expected a method")],
  [`verify twilio ${files} --secret-from OTHER --url x`, 2, nothing, usage("--url: expected a URL")],
  [`verify github ${files} --at tomorrow`, 2, nothing, usage("--at: expected a time")],
];

const withReceiver: readonly Case[] = [
  ["replay one --handlers handlers.ts", 0, /^1 delivery: /, nothing],
  [
    "replay --dead --since 1h --source default --event issues --handlers handlers.ts --env-file named.env",
    0,
    /^1 delivery: /,
    nothing,
  ],
  [
    "send github push body.json --to RECEIVER --id four --timeout 5 --header X-Odd:1 --env-file named.env",
    0,
    /^sent push, 30 bytes, to .*\n200 OK, after .* ms\n {2}\{"status":"accepted","id":"four","event":"push\.opened"\}\n$/,
    nothing,
  ],
  ["send test --to RECEIVER --secret-from OTHER", 0, /^sent test\.ping, .*\n200 OK, /, nothing],
  ["send github push --to RECEIVER/nowhere --url RECEIVER", 1, /\n404 Not Found, /, nothing],
  [
    "send github push --to RECEIVER --repeat 600 --concurrency 8",
    0,
    /^600 requests in .*\n {2}600 {2}200 OK\n/,
    nothing,
  ],
];
const withoutReceiver: readonly Case[] = [
  [
    "replay --since 1h --event nothing --inbox inbox.db --handlers handlers.ts",
    0,
    /^no delivery is like this: nothing is replayed\n$/,
    nothing,
  ],
];

function runAll(cases: readonly Case[]): void {
  for (const [args, code, stdout, stderr] of cases) {
    test(args, async () => {
      const ended = await start(args.replaceAll("RECEIVER", receiver.url).split(" "));
      assert.match(ended.stderr, stderr);
      assert.match(ended.stdout, stdout);
      assert.equal(ended.code, code);
      assert.doesNotMatch(ended.stdout + ended.stderr, /\n {4}at |Warning|TypeError/);
    });
  }
}

describe("commands beside a receiver", { concurrency: 3 }, () => {
  runAll(always);
  runAll(withReceiver);
});

describe("commands without a receiver", { concurrency: 3 }, () => {
  before(async () => {
    assert.equal(await receiver.end(), 0);
  });
  test("a long list into a pipe is whole", async () => {
    const { code, stdout } = await start(["list", "--json", "--limit", "1000"]);
    const lines = stdout.trimEnd().split("\n");
    assert.ok(stdout.length > 100_000, `${stdout.length}`); // more than a pipe holds
    assert.ok(lines.length >= 600);
    for (const line of lines) JSON.parse(line);
    assert.equal(code, 0);
  });
  runAll(withoutReceiver);
  runAll(
    always.filter(
      ([args]) =>
        /^(list|show|reverify)\b/.test(args) &&
        !args.includes("--help") &&
        !/^list( --json)?$/.test(args) &&
        !args.includes("--limit 1") &&
        !args.includes("--event push"),
    ),
  );
});

test("each flag that a --help names is in a call above that does something", async () => {
  const served = ["", ...receiverFlags.split(" "), "--port", "--log"]; // the receiver's own start
  const calls = [...always, ...withReceiver, ...withoutReceiver]
    .filter(([, code]) => code !== 2)
    .map(([args]) => args.split(" "));
  for (const name of ["", "list", "show", "replay", "reverify", "send", "verify"]) {
    const { stdout } = await start([name, "--help"].filter((one) => one !== ""));
    const flags = [...stdout.matchAll(/^ {2}(?:-h, )?(--[a-z-]+)/gm)].map(([, flag]) => flag ?? "");
    assert.ok(flags.length >= 2, stdout);
    const own =
      name === ""
        ? [...calls.filter(([first = ""]) => first.startsWith("-")), served]
        : calls.filter(([first]) => first === name);
    for (const flag of flags)
      assert.ok(
        own.some((call) => call.includes(flag)),
        `${name} ${flag}`,
      );
  }
});
