/** Secrets as people and machines hand them over: in `.env` lines, in files, with too much or too little in them. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { readSettings, type Settings } from "../../lib/settings/settings.ts";

const secret = "k#Zt9v-a secret of 29 letters";
const startFolder = process.cwd();
let folder = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "secret-"));
  process.chdir(folder);
});

afterEach(() => {
  process.chdir(startFolder);
  rmSync(folder, { recursive: true, force: true });
});

function settingsOf(environment: NodeJS.ProcessEnv, ...argv: string[]): Settings {
  const request = readSettings(argv, environment);
  assert("settings" in request);
  return request.settings;
}

/** The texts of a source's secrets, current one first. */
function textsOf(settings: Settings, source: string): string[] {
  return settings.sources.get(source)?.secrets.map(({ key }) => key.export().toString()) ?? [];
}

function refuses(environment: NodeJS.ProcessEnv, message: string, exitCode = 2, ...argv: string[]): void {
  assert.throws(() => settingsOf({ ...environment }, ...argv), { message, exitCode });
}

const inQuotes = "put the whole secret into 'single quotes'";
const cut = `has a # outside of quotes, and would end in front of it: ${inQuotes}`;
const unclosed = `begins with a quote that does not end on its line: ${inQuotes}`;
const tail = `goes on behind its closing quote, and would end there: ${inQuotes}`;
const wrongLines: [line: string, fault: string][] = [
  ["WEBHOOK_SECRET_STRIPE=k#Zt9v", `WEBHOOK_SECRET_STRIPE ${cut}`],
  ["WEBHOOK_SECRET_STRIPE=k#", `WEBHOOK_SECRET_STRIPE ${cut}`],
  ["WEBHOOK_SECRET_STRIPE= # from the dashboard", `WEBHOOK_SECRET_STRIPE ${cut}`],
  ['  export WEBHOOK_SECRET = a"b#c"', `WEBHOOK_SECRET ${cut}`],
  ["WEBHOOK_SECRET_PREVIOUS=a#b\r", `WEBHOOK_SECRET_PREVIOUS ${cut}`],
  ["WEBHOOK_SECRET_GITHUB_FILE=/run/a#b", `WEBHOOK_SECRET_GITHUB_FILE ${cut}`],
  ["WEBHOOK_VERIFY_TOKEN_META=a#b", `WEBHOOK_VERIFY_TOKEN_META ${cut}`],
  ["INTERNAL_SECRET=a#b", `INTERNAL_SECRET ${cut}`],
  ['WEBHOOK_SECRET="k#Zt9v', `WEBHOOK_SECRET ${unclosed}`],
  ["WEBHOOK_SECRET='k#Zt9v'x", `WEBHOOK_SECRET ${tail}`],
  ['WEBHOOK_SECRET="a"b"', `WEBHOOK_SECRET ${tail}`],
];
for (const [line, fault] of wrongLines) {
  test(`.env with the line ${JSON.stringify(line)} is refused, by line and name`, () => {
    writeFileSync(".env", `# Ours\n${line}\n`);
    refuses({}, `.env, line 2: ${fault}`);
  });
}

for (const line of [
  `'${secret}'`,
  `"${secret}"`,
  `\`${secret}\``,
  `  '${secret}'  # from the dashboard`,
  `'${secret}'\r`,
]) {
  test(`.env with WEBHOOK_SECRET=${JSON.stringify(line)} holds the whole secret`, () => {
    writeFileSync(".env", `# Ours\nWEBHOOK_SECRET=${line}\nWEBHOOK_PORT=4000 # ours too\n`);
    const settings = settingsOf({});
    assert.deepEqual([textsOf(settings, "default"), settings.warnings, settings.port], [[secret], [], 4000]);
  });
}

test("a key of several lines, for a handler, is no secret whose quote does not close", () => {
  writeFileSync(".env", `WEBHOOK_SECRET='${secret}'\nAPP_PRIVATE_KEY="-----BEGIN\n#AAA\n-----END"\n`);
  const environment: NodeJS.ProcessEnv = {};
  settingsOf(environment);
  assert.equal(environment.APP_PRIVATE_KEY, "-----BEGIN\n#AAA\n-----END");
});

test("a .env with a NUL is refused: a variable would end there", () => {
  writeFileSync(".env", `WEBHOOK_SECRET=${"x".repeat(20)}\0y\n`);
  refuses({}, ".env holds a NUL byte: save it as UTF-8", 1);
});

const warned: [value: string, read: string, warnings: string[]][] = [
  [
    `"${secret}"`,
    `"${secret}"`,
    [
      "WEBHOOK_SECRET begins or ends with a quote: is that a part of the secret? (docker --env-file leaves quotes in)",
    ],
  ],
  [
    `${secret} `,
    `${secret} `,
    ["WEBHOOK_SECRET begins or ends with white space: is that a part of the secret?"],
  ],
  [
    `\t${secret}`,
    `\t${secret}`,
    ["WEBHOOK_SECRET begins or ends with white space: is that a part of the secret?"],
  ],
  ...["\n", "\r\n", "\r", "\n\n"].map((end): [string, string, string[]] => [
    secret + end,
    secret,
    ["WEBHOOK_SECRET ended with a line break, which was cut off"],
  ]),
  [
    `'${secret}' \n`,
    `'${secret}' `,
    [
      "WEBHOOK_SECRET ended with a line break, which was cut off",
      "WEBHOOK_SECRET begins or ends with white space: is that a part of the secret?",
      "WEBHOOK_SECRET begins or ends with a quote: is that a part of the secret? (docker --env-file leaves quotes in)",
    ],
  ],
];
for (const [value, read, warnings] of warned) {
  test(`WEBHOOK_SECRET=${JSON.stringify(value)} in the environment is warned about by name`, () => {
    const settings = settingsOf({ WEBHOOK_SECRET: value });
    assert.deepEqual([textsOf(settings, "default"), settings.warnings], [[read], warnings]);
  });
}

test("a published secret in quotes is one all the same", () => {
  refuses(
    { WEBHOOK_SECRET: '"dev-secret-12345"' },
    "WEBHOOK_SECRET holds a secret published as an example; anybody could sign with it",
    2,
    "--host=0.0.0.0",
  );
});

// ---- How long a key has to be ----

const base64 = (bytes: number): string => Buffer.alloc(bytes, "0").toString("base64");
const lengths: [variable: string, good: string, short: string, bytes: number][] = [
  ["WEBHOOK_SECRET", "x".repeat(16), "x".repeat(15), 15],
  ["WEBHOOK_SECRET_GITHUB", "ä".repeat(8), `${"ä".repeat(7)}x`, 15],
  ["WEBHOOK_SECRET_SVIX", `whsec_${base64(16)}`, `whsec_${base64(15)}`, 15],
  ["WEBHOOK_SECRET_SVIX", base64(16), base64(12), 12],
  ["WEBHOOK_SECRET_GITLAB_SIGNING", `whsec_${base64(16)}`, `whsec_${base64(1)}`, 1],
  ["WEBHOOK_SECRET_STRIPE", `whsec_${"x".repeat(16)}`, `whsec_${"x".repeat(15)}`, 15],
];
for (const [variable, good, short, bytes] of lengths) {
  test(`${variable}=${short}: a key of ${bytes} bytes is refused off loopback, and warned about on it`, () => {
    const fault = `${variable} is short: its key has ${bytes} bytes, and fewer than 16 can be guessed`;
    refuses({ [variable]: short }, `${fault} (openssl rand -hex 32 makes a good one)`, 2, "--host=0.0.0.0");
    assert.deepEqual(settingsOf({ [variable]: short }).warnings, [fault]);
    for (const host of ["--host=0.0.0.0", "--host=127.0.0.1"])
      assert.deepEqual(settingsOf({ [variable]: good }, host).warnings, []);
  });
}

test("a short previous secret is refused off loopback too: it still opens the door", () => {
  refuses(
    { WEBHOOK_SECRET: secret, WEBHOOK_SECRET_PREVIOUS: "x" },
    "WEBHOOK_SECRET_PREVIOUS is short: its key has 1 bytes, and fewer than 16 can be guessed (openssl rand -hex 32 makes a good one)",
    2,
    "--host=::",
  );
});

test("a public key is no secret, and as long as it is", () => {
  const key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
  assert.deepEqual(settingsOf({ WEBHOOK_SECRET_DISCORD: key }, "--host=0.0.0.0").warnings, []);
});

test("a short verify token is warned about: it signs nothing", () => {
  const environment = { WEBHOOK_SECRET_META: secret, WEBHOOK_VERIFY_TOKEN_META: "hello" };
  assert.deepEqual(settingsOf(environment, "--host=0.0.0.0").warnings, [
    "WEBHOOK_VERIFY_TOKEN_META is short: its key has 5 bytes, and fewer than 16 can be guessed",
  ]);
});

const notBase64: [value: string, why: string][] = [
  ["whsec_", "there is nothing to decode"],
  [
    "whsec_abcdefghijklmnopqrstu-__",
    "it does not decode: character 22 of the base64 is of the URL alphabet (- and _ in place of + and /)",
  ],
  ["whsec_abcd efgh", "it does not decode: character 5 of the base64 is white space"],
  ["whsec_abc!", "it does not decode: character 4 of the base64 is not of base64"],
  ["whsec_ab=d", "it does not decode: character 3 of the base64 is not of base64"],
  ["whsec_abcde", "it does not decode: 5 characters are one too many or too few"],
  ["whsec_AAAAAA", "it does not decode: == has to stand at its end"],
  ["whsec_AAAAAA=", "it does not decode: == has to stand at its end"],
  ["whsec_AAAAAAA", "it does not decode: = has to stand at its end"],
  ["whsec_AAAAAAAA=", "it does not decode: no = has to stand at its end"],
  ["whsec_AAAAAB==", "it does not decode: its last character cannot be right"],
  ['"whsec_AAAAAAAAAAAAAAAAAAAAAA=="', "the quotes around it are a part of it"],
];
for (const [value, why] of notBase64) {
  test(`WEBHOOK_SECRET_SVIX=${value} says why it does not decode`, () => {
    refuses(
      { WEBHOOK_SECRET_SVIX: value },
      `WEBHOOK_SECRET_SVIX: expected whsec_ and base64, as the sender shows it; ${why}`,
    );
  });
}

// ---- …_FILE ----

test("…_FILE is the content of that file, for every secret and token, in the environment and in .env", () => {
  mkdirSync("run");
  writeFileSync("run/github", `${secret} one\n`);
  writeFileSync("run/github-old", `${secret} two\r\n`);
  writeFileSync("run/default", `${secret} three`);
  writeFileSync("run/meta", `${secret} four\n`);
  writeFileSync("run/token", `${secret} five\n`);
  writeFileSync(
    ".env",
    "WEBHOOK_SECRET_GITHUB_PREVIOUS_FILE=run/github-old\nWEBHOOK_VERIFY_TOKEN_META_FILE=run/token\n",
  );
  const environment: NodeJS.ProcessEnv = {
    WEBHOOK_SECRET_FILE: "run/default",
    WEBHOOK_SECRET_GITHUB_FILE: join(folder, "run/github"),
    WEBHOOK_SECRET_META_FILE: "run/meta",
  };
  const settings = settingsOf(environment);
  assert.deepEqual([...settings.sources.keys()], ["default", "github", "meta"]);
  assert.deepEqual(textsOf(settings, "github"), [`${secret} one`, `${secret} two`]);
  assert.deepEqual(textsOf(settings, "default"), [`${secret} three`]);
  assert.equal(settings.sources.get("meta")?.verifyToken?.export().toString(), `${secret} five`);
  assert.deepEqual([settings.warnings, settings.isFirstStart], [[], false]);
  assert.equal(settings.secretInShell, `"$(cat 'run/default')"`);
  assert.equal(
    Object.keys(environment).some((name) => name.endsWith("_FILE")),
    false,
  );
  assert.deepEqual(textsOf(settingsOf(environment), "github"), [`${secret} one`, `${secret} two`]);
});

test("a secret of the environment beats one of .env, by its text or from a file", () => {
  writeFileSync("secret", secret);
  for (const [environment, line] of [
    [{ WEBHOOK_SECRET: secret }, "WEBHOOK_SECRET_FILE=nowhere"],
    [{ WEBHOOK_SECRET_FILE: "secret" }, "WEBHOOK_SECRET='another one that is long enough'"],
  ] as const) {
    writeFileSync(".env", `${line}\n`);
    assert.deepEqual(textsOf(settingsOf({ ...environment }), "default"), [secret]);
  }
  writeFileSync(".env", "WEBHOOK_SECRET_FILE=secret\nWEBHOOK_SECRET='another one that is long enough'\n");
  refuses({}, "WEBHOOK_SECRET and WEBHOOK_SECRET_FILE are both set: keep one of them");
});

test("a file may be a pipe, as `<(pass show github)` is one", () => {
  execFileSync("mkfifo", ["pipe"]);
  const writer = execFileSync("sh", ["-c", `(printf '%s' '${secret}' > pipe) > /dev/null 2>&1 & echo $!`]);
  assert.match(writer.toString(), /^\d+\n$/);
  assert.deepEqual(textsOf(settingsOf({ WEBHOOK_SECRET_FILE: "pipe" }), "default"), [secret]);
});

test("two line breaks at the end of a file are one too many, and warned about", () => {
  writeFileSync("secret", `${secret}\n\n`);
  const settings = settingsOf({ WEBHOOK_SECRET_FILE: "secret" });
  assert.deepEqual(
    [textsOf(settings, "default"), settings.warnings],
    [[secret], ["WEBHOOK_SECRET ended with a line break, which was cut off"]],
  );
});

test("a secret's file of 16 KiB is read, and one byte more is refused", () => {
  writeFileSync("secret", "x".repeat(16_384));
  assert.equal(textsOf(settingsOf({ WEBHOOK_SECRET_FILE: "secret" }), "default")[0]?.length, 16_384);
  writeFileSync("secret", "x".repeat(16_385));
  refuses(
    { WEBHOOK_SECRET_FILE: "secret" },
    "WEBHOOK_SECRET_FILE: the file is longer than 16384 bytes: that is no secret",
    1,
  );
});

const plain = "WEBHOOK_SECRET_FILE: the file is not plain UTF-8 text without a byte order mark";
const wrongFiles: [what: string, bytes: Buffer, message: string][] = [
  ["nothing", Buffer.alloc(0), "WEBHOOK_SECRET_FILE: the file is empty"],
  ["a line break", Buffer.from("\n"), "WEBHOOK_SECRET_FILE: the file is empty"],
  ["UTF-16", Buffer.from(secret, "utf16le"), plain],
  ["a byte order mark", Buffer.from(`\ufeff${secret}`), plain],
  ["Latin-1", Buffer.from("geheimnis für alle tage", "latin1"), plain],
];
for (const [what, bytes, message] of wrongFiles) {
  test(`a secret's file with ${what} in it is refused`, () => {
    writeFileSync("secret", bytes);
    refuses({ WEBHOOK_SECRET_FILE: "secret" }, message, 1);
  });
}

const wrongNames: [environment: NodeJS.ProcessEnv, message: string, exitCode: number][] = [
  [
    { WEBHOOK_SECRET_GITHUB_FILE: "nowhere" },
    "WEBHOOK_SECRET_GITHUB_FILE: cannot read the file: ENOENT: no such file or directory, open 'nowhere'",
    1,
  ],
  [
    { WEBHOOK_SECRET_GITHUB_FILE: "." },
    "WEBHOOK_SECRET_GITHUB_FILE: cannot read the file: EISDIR: illegal operation on a directory, read",
    1,
  ],
  [{ WEBHOOK_SECRET_FILE: "" }, "WEBHOOK_SECRET_FILE: expected a file name", 2],
  [
    { WEBHOOK_SECRET: secret, WEBHOOK_SECRET_FILE: "secret" },
    "WEBHOOK_SECRET and WEBHOOK_SECRET_FILE are both set: keep one of them",
    2,
  ],
  [
    { WEBHOOK_SECRET: secret, WEBHOOK_SECRET_FILE_PREVIOUS: "secret" },
    "WEBHOOK_SECRET_FILE_PREVIOUS: expected WEBHOOK_SECRET_PREVIOUS_FILE",
    2,
  ],
  [
    { WEBHOOK_SECRET_GITHUB_PREVIOUS_FILE: "secret" },
    "WEBHOOK_SECRET_GITHUB_PREVIOUS is set without WEBHOOK_SECRET_GITHUB, the secret that replaces it",
    2,
  ],
  [
    { WEBHOOK_SECRET: secret, WEBHOOK_SENDER_LOG_FILE: "{}" },
    "WEBHOOK_SENDER_LOG_FILE: a name cannot end in FILE or PREVIOUS, which have a meaning",
    2,
  ],
];
for (const [environment, message, exitCode] of wrongNames) {
  test(`${Object.keys(environment).join(" and ")}: ${message}`, () => {
    writeFileSync("secret", secret);
    chmodSync("secret", 0o600);
    refuses(environment, message, exitCode);
  });
}

// ---- Kubernetes ----

/** What the kubelet sets for one Service. https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables */
function serviceVariables(service: string, address = "10.0.0.11"): Record<string, string> {
  const url = address.includes(":") ? `tcp://[${address}]:80` : `tcp://${address}:80`;
  return {
    [`${service}_SERVICE_HOST`]: address,
    [`${service}_SERVICE_PORT`]: "80",
    [`${service}_SERVICE_PORT_HTTP`]: "80",
    [`${service}_PORT`]: url,
    [`${service}_PORT_80_TCP`]: url,
    [`${service}_PORT_80_TCP_PROTO`]: "tcp",
    [`${service}_PORT_80_TCP_PORT`]: "80",
    [`${service}_PORT_80_TCP_ADDR`]: address,
  };
}

for (const service of [
  "WEBHOOK",
  "WEBHOOK_RECEIVER",
  "WEBHOOK_SECRET",
  "WEBHOOK_SECRET_GITHUB",
  "WEBHOOK_SENDER",
  "WEBHOOK_TOLERANCE",
  "WEBHOOK_VERIFY_TOKEN",
  "WEBHOOK_PUBLIC_URL",
  "WEBHOOK_MAX_BODY",
]) {
  test(`what Kubernetes sets for a Service ${service} is passed over with one line`, () => {
    for (const address of ["10.0.0.11", "fd00::11"]) {
      const settings = settingsOf({ WEBHOOK_SECRET: secret, ...serviceVariables(service, address) });
      assert.deepEqual([...settings.sources.keys()], ["default"]);
      assert.equal(settings.port, 3010);
      assert.deepEqual(settings.warnings, [
        `passed over what Kubernetes sets for a Service: ${service}_PORT, ${service}_PORT_80_TCP, ${service}_PORT_80_TCP_ADDR and 5 more (enableServiceLinks: false keeps them away)`,
      ]);
    }
  });
}

test("WEBHOOK_PORT of Kubernetes leaves the one in .env in force", () => {
  writeFileSync(".env", `WEBHOOK_SECRET='${secret}'\nWEBHOOK_PORT=4000\n`);
  const settings = settingsOf({ WEBHOOK_PORT: "tcp://10.0.0.1:80" });
  assert.deepEqual(
    [settings.port, settings.warnings],
    [
      4000,
      [
        "passed over what Kubernetes sets for a Service: WEBHOOK_PORT (enableServiceLinks: false keeps them away)",
      ],
    ],
  );
});

test("a WEBHOOK_PORT that is neither a port nor of Kubernetes is refused", () => {
  refuses(
    { WEBHOOK_SECRET: secret, WEBHOOK_PORT: "http://10.0.0.1:80" },
    'WEBHOOK_PORT: expected a number from 0 to 65535, not "http://10.0.0.1:80"',
  );
});
