/** Flags over environment over .env over default, what is refused, and the sources that come of it. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { inspect } from "node:util";
import { sourceAt } from "../../lib/receive/route.ts";
import { isPrivateAllowed } from "../../lib/settings/allow-private.ts";
import { readSettings, type Settings } from "../../lib/settings/settings.ts";
import { readSources } from "../../lib/settings/sources.ts";
import { secret } from "../receiver.ts";

const startFolder = process.cwd();
const startEnvironment = { ...process.env };
const inEnvFile = "\"$(sed -n 's/^WEBHOOK_SECRET=//p' '.env')\"";
let folder = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "settings-"));
  process.chdir(folder);
});

afterEach(() => {
  process.chdir(startFolder);
  rmSync(folder, { recursive: true, force: true });
  // loadEnvFile writes into the process's own environment.
  for (const name of Object.keys(process.env)) if (!(name in startEnvironment)) delete process.env[name];
});

function settingsOf(
  argv: string[],
  environment: Record<string, string> = { WEBHOOK_SECRET: secret },
): Settings {
  Object.assign(process.env, environment);
  const request = readSettings(argv, process.env);
  assert("settings" in request);
  return request.settings;
}

function refusalOf(argv: string[], environment: Record<string, string> = { WEBHOOK_SECRET: secret }): string {
  try {
    settingsOf(argv, environment);
  } catch (thrown) {
    const { message, exitCode } = thrown as Error & { exitCode: number };
    assert.equal(exitCode, 2);
    assert.equal(message.includes("\n"), false);
    return message;
  }
  return assert.fail(`${argv.join(" ")} was accepted`);
}

test("the defaults are a loopback host, port 3010, 25 MiB and 30 seconds", () => {
  const { host, port, maxBodyBytes, requestTimeoutSeconds, handlersFile } = settingsOf([]);
  assert.deepEqual(
    [host, port, maxBodyBytes, requestTimeoutSeconds, handlersFile],
    ["127.0.0.1", 3010, 26_214_400, 30, undefined],
  );
});

test("a flag beats the environment, the environment beats .env, .env beats the default", () => {
  writeFileSync(
    ".env",
    `WEBHOOK_SECRET=${secret}\nWEBHOOK_PORT=1001\nWEBHOOK_HOST=127.0.0.9\nWEBHOOK_MAX_BODY=1kb\n`,
  );
  const settings = settingsOf(["--port", "1003"], { WEBHOOK_PORT: "1002", WEBHOOK_HOST: "127.0.0.8" });
  assert.deepEqual([settings.port, settings.host, settings.maxBodyBytes], [1003, "127.0.0.8", 1024]);
  assert.deepEqual([settings.isFirstStart, settings.secretInShell], [false, inEnvFile]);
});

test("the file that has the secret is only named when a shell can read the secret there", () => {
  writeFileSync("quoted.env", `WEBHOOK_SECRET="${secret}"\n`);
  assert.equal(settingsOf(["--env-file", "quoted.env"], {}).secretInShell, '"$WEBHOOK_SECRET"');
  assert.equal(settingsOf([]).secretInShell, '"$WEBHOOK_SECRET"');
});

test("--env-file names another file, which has to exist", () => {
  writeFileSync("mine.env", `WEBHOOK_SECRET=${secret}\n`);
  assert.equal(settingsOf(["--env-file", "mine.env"], {}).sources.size, 1);
  assert.throws(() => settingsOf(["--env-file", "missing.env"]), { exitCode: 1, message: /missing\.env/ });
});

const good: [argv: string[], read: (settings: Settings) => unknown, expected: unknown][] = [
  [["--port", "0"], (settings) => settings.port, 0],
  [["--port", "65535"], (settings) => settings.port, 65_535],
  [["--max-body", "1"], (settings) => settings.maxBodyBytes, 1],
  [["--max-body", "1048576"], (settings) => settings.maxBodyBytes, 1_048_576],
  [["--max-body", "512kb"], (settings) => settings.maxBodyBytes, 524_288],
  [["--max-body", "256MB"], (settings) => settings.maxBodyBytes, 268_435_456],
  [["--keep-alive", "15"], (settings) => settings.keepAliveSeconds, 15],
  [["--stop-timeout", "25"], (settings) => settings.stopSeconds, 25],
  [["--drain", "0.5"], (settings) => settings.drainSeconds, 0.5],
  [["--request-timeout", "0.1"], (settings) => settings.requestTimeoutSeconds, 0.1],
  [["--request-timeout", "3600"], (settings) => settings.requestTimeoutSeconds, 3600],
  [["--log", "json"], (settings) => settings.logFormat, "json"],
  [["--log", "pretty"], (settings) => settings.logFormat, "pretty"],
  [["--handlers", "mine.ts"], (settings) => settings.handlersFile, "mine.ts"],
  [["--host", "localhost"], (settings) => settings.host, "localhost"],
  [["--host=::1"], (settings) => settings.host, "::1"],
];
for (const [argv, read, expected] of good) {
  test(`${argv.join(" ")} is read as ${expected}`, () => {
    assert.equal(read(settingsOf(argv)), expected);
  });
}

const wrong: [argv: string[], message: RegExp][] = [
  [["--port", "65536"], /^--port: expected a number from 0 to 65535, not "65536"$/],
  [["--port", "-1"], /--port/],
  [["--port", "80x"], /^--port: /],
  [["--port", ""], /^--port: /],
  [["--port"], /--port/],
  [["--max-body", "0"], /^--max-body: /],
  [["--max-body", "257mb"], /^--max-body: .* not "257mb"$/],
  [["--max-body", "268435457"], /^--max-body: /],
  [["--max-body", "1gb"], /^--max-body: /],
  [["--max-body", "-1"], /--max-body/],
  [["--max-body", "1e6"], /^--max-body: /],
  [["--keep-alive", "0"], /^--keep-alive: /],
  [["--stop-timeout", "x"], /^--stop-timeout: /],
  [["--drain", "3601"], /^--drain: /],
  [["--inbox", "file:x.db"], /^--inbox: expected a plain file name/],
  [["--inbox", "file:x.db?mode=memory"], /^--inbox: expected a plain file name/],
  [["--inbox", "FILE:///tmp/x.db"], /^--inbox: expected a plain file name/],
  [["--request-timeout", "0"], /^--request-timeout: /],
  [["--request-timeout", "0.09"], /^--request-timeout: /],
  [["--request-timeout", "3601"], /^--request-timeout: /],
  [["--request-timeout", "Infinity"], /^--request-timeout: /],
  [["--log", "xml"], /^--log: expected json or pretty, not "xml"$/],
  [["--host", "a b"], /^--host: /],
  [["--host", ""], /^--host: /],
  [["--colour"], /--colour/],
  [["start"], /start/],
];
for (const [argv, message] of wrong) {
  test(`${argv.join(" ")} is refused with the flag's name`, () => {
    assert.match(refusalOf(argv), message);
  });
}

test("a wrong value in a variable is refused with the variable's name", () => {
  assert.match(refusalOf([], { WEBHOOK_SECRET: secret, WEBHOOK_PORT: "x" }), /^WEBHOOK_PORT: /);
});

test("a long wrong value is cut: somebody may have pasted the wrong thing", () => {
  assert.ok(refusalOf(["--port", "x".repeat(1000)]).length < 120);
});

test("--help names every flag and its variable; --version is the package's", () => {
  const help = readSettings(["--help"], {});
  assert("text" in help);
  for (const flag of [
    "port",
    "host",
    "env-file",
    "handlers",
    "max-body",
    "request-timeout",
    "keep-alive",
    "stop-timeout",
    "drain",
    "log",
  ]) {
    assert.ok(help.text.includes(`--${flag} `), flag);
    assert.ok(help.text.includes(`WEBHOOK_${flag.toUpperCase().replaceAll("-", "_")};`), flag);
  }
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
  assert.deepEqual(readSettings(["--version"], {}), { text: version });
});

test("the first start writes .env once, with a random secret that only its owner can read", () => {
  const first = settingsOf([], {});
  assert.deepEqual([first.isFirstStart, first.secretInShell], [true, inEnvFile]);
  assert.equal(statSync(".env").mode & 0o777, 0o600);
  const text = readFileSync(".env", "utf8");
  assert.match(text, /^WEBHOOK_SECRET=[0-9a-f]{64}$/m);
  delete process.env.WEBHOOK_SECRET;
  assert.equal(settingsOf([], {}).isFirstStart, false);
  assert.equal(readFileSync(".env", "utf8"), text);
});

test("a .env without a secret is never changed: its owner is told what to add", () => {
  writeFileSync(".env", "WEBHOOK_PORT=4000\n");
  assert.match(refusalOf([], {}), /add a line WEBHOOK_SECRET=<random text> to \.env/);
  assert.equal(readFileSync(".env", "utf8"), "WEBHOOK_PORT=4000\n");
});

test("off loopback no secret is made up", () => {
  assert.match(refusalOf(["--host", "0.0.0.0"], {}), /no secret is set/);
  assert.equal(existsSync(".env"), false);
});

test("a folder where .env cannot be written is named as the reason", () => {
  rmdirSync(process.cwd());
  assert.throws(() => settingsOf([], {}), { exitCode: 1, message: /\.env cannot be written: ENOENT/ });
});

for (const value of ["", " ", "\t"]) {
  test(`the secret ${JSON.stringify(value)} is refused on loopback too`, () => {
    assert.match(refusalOf([], { WEBHOOK_SECRET: value }), /^WEBHOOK_SECRET is empty/);
  });
}

for (const value of [
  "dev-secret-12345",
  "mySecret",
  "development",
  "It's a Secret to Everybody",
  "CHANGEME",
]) {
  test(`the published secret ${value} is refused off loopback, and warned about on it`, () => {
    const message = refusalOf(["--host", "0.0.0.0"], { WEBHOOK_SECRET: value });
    assert.match(message, /^WEBHOOK_SECRET holds a secret published as an example/);
    assert.equal(message.includes(value), false);
    assert.match(settingsOf([], { WEBHOOK_SECRET: value }).warnings.join(), /published as an example/);
  });
}

test("a variable that looks like ours and is not is warned about", () => {
  const { warnings } = settingsOf([], { WEBHOOK_SECRET: secret, WEBHOOK_MAXBODY: "1" });
  assert.deepEqual(warnings, ["WEBHOOK_MAXBODY is not a setting of this receiver (--help lists them)"]);
});

for (const value of ["true", "false"]) {
  test(`WEBHOOK_ALLOW_PRIVATE=${value} is one of ours, in .env too`, () => {
    assert.deepEqual(settingsOf([], { WEBHOOK_SECRET: secret, WEBHOOK_ALLOW_PRIVATE: value }).warnings, []);
    delete process.env.WEBHOOK_ALLOW_PRIVATE;
    writeFileSync(".env", `WEBHOOK_ALLOW_PRIVATE=${value}\n`);
    assert.deepEqual(settingsOf([]).warnings, []);
    assert.equal(isPrivateAllowed(), value === "true");
  });
}

test("without WEBHOOK_ALLOW_PRIVATE nothing private is allowed", () => {
  assert.equal(isPrivateAllowed({}), false);
});

for (const value of ["", "1", "yes", "TRUE", " true"]) {
  test(`WEBHOOK_ALLOW_PRIVATE=${JSON.stringify(value)} is refused, in .env too`, () => {
    const message = `WEBHOOK_ALLOW_PRIVATE: expected true or false, not ${JSON.stringify(value)}`;
    assert.equal(refusalOf([], { WEBHOOK_SECRET: secret, WEBHOOK_ALLOW_PRIVATE: value }), message);
    delete process.env.WEBHOOK_ALLOW_PRIVATE;
    writeFileSync(".env", `WEBHOOK_ALLOW_PRIVATE="${value}"\n`);
    assert.equal(refusalOf([]), message);
  });
}

test("a variable that is nearly WEBHOOK_ALLOW_PRIVATE is warned about", () => {
  const { warnings } = settingsOf([], { WEBHOOK_SECRET: secret, WEBHOOK_ALLOW_PRIVATE_X: "true" });
  assert.deepEqual(warnings, [
    "WEBHOOK_ALLOW_PRIVATE_X is not a setting of this receiver (--help lists them)",
  ]);
});

test("a .env with a byte order mark is refused in words that help", () => {
  writeFileSync(".env", `\ufeffWEBHOOK_SECRET=${secret}\n`);
  assert.throws(() => settingsOf([], {}), { exitCode: 1, message: /\.env begins with a byte order mark/ });
});

test("each variable is a source at a path of its own, its sender the longest name that fits", () => {
  const { sources } = readSources(
    {
      WEBHOOK_SECRET: secret,
      WEBHOOK_SECRET_GITHUB: secret,
      WEBHOOK_SECRET_GITHUB_ACME_2: secret,
      OTHER: "x",
    },
    true,
  );
  assert.deepEqual([...sources.keys()], ["default", "github", "github-acme-2"]);
  assert.equal(sourceAt(sources, "/webhook/github-acme-2").senders[0]?.name, "github");
  for (const path of ["/webhook", "/webhooks"]) assert.equal(sourceAt(sources, path).name, "default");
  for (const path of ["/webhook/github", "/webhooks/github"])
    assert.equal(sourceAt(sources, path).name, "github");
});

for (const path of [
  "/webhook//",
  "/webhook/default",
  "/webhook/none",
  "/webhook/github//",
  "/webhook/GITHUB",
  "/webhookx",
  "/webhook/__proto__",
  "/webhook/constructor",
  "/Webhook",
  "//webhook",
]) {
  test(`there is no source at ${path}`, () => {
    const { sources } = readSources({ WEBHOOK_SECRET: secret, WEBHOOK_SECRET_GITHUB: secret }, true);
    assert.throws(() => sourceAt(sources, path), { code: "source-unknown", status: 404 });
  });
}

test("without WEBHOOK_SECRET there is nothing at /webhook", () => {
  const { sources } = readSources({ WEBHOOK_SECRET_DECNET: secret }, true);
  assert.throws(() => sourceAt(sources, "/webhook"), { code: "source-unknown" });
});

test("a source has its current secret first and the previous one second", () => {
  const { sources } = readSources(
    { WEBHOOK_SECRET_GITHUB_PREVIOUS: secret, WEBHOOK_SECRET_GITHUB: secret },
    true,
  );
  assert.deepEqual(
    sources.get("github")?.secrets.map(({ age }) => age),
    ["current", "previous"],
  );
});

const wrongVariables: [variable: string, message: RegExp][] = [
  [
    "WEBHOOK_SECRET_NOBODY",
    /WEBHOOK_SECRET_NOBODY: no such sender; expected one of BITBUCKET, .*GITHUB, GITLAB_SIGNING, .*, alone or with/,
  ],
  ["WEBHOOK_SECRET_GITHUBX", /no such sender/],
  ["WEBHOOK_SECRET_DEFAULT", /no such sender/],
  ["WEBHOOK_SECRET_", /expected WEBHOOK_SECRET_<NAME>/],
  ["WEBHOOK_SECRET_github", /expected WEBHOOK_SECRET_<NAME>/],
  ["WEBHOOK_SECRET_GITHUB__X", /expected WEBHOOK_SECRET_<NAME>/],
  ["WEBHOOK_SECRET_GITHUB_PREVIOUS", /WEBHOOK_SECRET_GITHUB_PREVIOUS is set without WEBHOOK_SECRET_GITHUB,/],
  ["WEBHOOK_SECRET_PREVIOUS", /WEBHOOK_SECRET_PREVIOUS is set without WEBHOOK_SECRET,/],
];
for (const [variable, message] of wrongVariables) {
  test(`the variable ${variable} is refused by name, without its value`, () => {
    assert.throws(
      () => readSources({ [variable]: secret }, true),
      (error: Error & { exitCode: number }) => {
        assert.match(error.message, message);
        assert.equal(error.message.includes(secret), false);
        assert.equal(error.exitCode, 2);
        return true;
      },
    );
  });
}

test("the settings can be printed whole without showing a secret", () => {
  const settings = settingsOf([]);
  assert.equal(inspect(settings, { depth: 9, showHidden: true }).includes(secret), false);
  assert.equal(JSON.stringify([...settings.sources]).includes(secret), false);
});
