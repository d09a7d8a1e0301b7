/** The program as a person starts it: processes, exit codes, and what the terminal shows. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { readSettings } from "../lib/settings/settings.ts";
import { firstDelivery } from "../lib/welcome.ts";
import { parseLines, projectFolder, secret, sign, startProgram } from "./receiver.ts";

const program = join(projectFolder, "webhook-receiver.ts");

/** Runs it to its end; for starts that fail. */
function run(args: string[], environment: Record<string, string> = {}, nodeArgs: string[] = []) {
  const folder = mkdtempSync(join(tmpdir(), "program-"));
  const { PATH = "" } = process.env;
  const result = spawnSync(process.execPath, [...nodeArgs, program, ...args], {
    cwd: folder,
    env: { PATH, WEBHOOK_SECRET: secret, ...environment },
    encoding: "utf8",
    timeout: 20_000,
  });
  rmSync(folder, { recursive: true });
  return { code: result.status, stdout: result.stdout, stderr: result.stderr };
}

test("wrong usage is one line on stderr and exit code 2", () => {
  const { code, stdout, stderr } = run(["--port", "eighty"]);
  assert.deepEqual([code, stdout], [2, ""]);
  assert.equal(stderr, 'webhook-receiver: --port: expected a number from 0 to 65535, not "eighty"\n');
  assert.match(
    run(["--verbose"]).stderr,
    /^webhook-receiver: Unknown option '--verbose' \(--help shows what there is\)\n$/,
  );
});

test("an environment file that cannot be read is one line and exit code 1", () => {
  const { code, stderr } = run([], { WEBHOOK_ENV_FILE: "nowhere.env" });
  assert.equal(code, 1);
  assert.match(stderr, /^webhook-receiver: cannot read the environment file: .*nowhere\.env.*\n$/);
});

test("Node itself looks for the file of --env-file and ends with a line of its own when it is missing", () => {
  // https://github.com/nodejs/node/issues/54232: nothing of ours has run by then.
  const { code, stdout, stderr } = run(["--env-file", "nowhere.env"]);
  assert.deepEqual([code, stdout], [9, ""]);
  assert.match(stderr, /^\S*node: nowhere\.env: not found\n$/);
});

test("a handlers file that is not there is one line and exit code 1", () => {
  const { code, stderr } = run(["--handlers", "nowhere.ts", "--port", "0"]);
  assert.equal(code, 1);
  assert.match(stderr, /^webhook-receiver: cannot load the handlers from nowhere\.ts: .*\n$/);
});

test("a port in use is one line and exit code 1", async () => {
  const other = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => other.once("listening", resolve));
  const { port } = other.address() as { port: number };
  const { code, stderr } = run(["--port", String(port)]);
  other.close();
  assert.equal(code, 1);
  assert.equal(
    stderr,
    `webhook-receiver: port ${port} on 127.0.0.1 is in use: stop the other program, or choose another --port\n`,
  );
});

test("an address that is not this machine's is one line and exit code 1", () => {
  const { code, stderr } = run(["--host", "192.0.2.1", "--port", "0"]);
  assert.equal(code, 1);
  assert.match(stderr, /^webhook-receiver: cannot listen on 192\.0\.2\.1, port 0: .*\n$/);
});

test("--help and --version print to stdout and exit with 0", () => {
  assert.match(run(["--help"]).stdout, /^webhook-receiver: .*\n\nUsage: tsx webhook-receiver\.ts/);
  assert.deepEqual(run(["--version"]), { code: 0, stdout: "0.1.0\n", stderr: "" });
});

for (const version of ["18.20.8", "20.19.0", "22.12.0"]) {
  test(`on Node ${version} it says in one line what it needs, and exits with 1`, () => {
    const pretend = `data:text/javascript,Object.defineProperty(process.versions,"node",{value:"${version}"});Object.defineProperty(process,"version",{value:"v${version}"})`;
    const { code, stdout, stderr } = run([], {}, ["--import", pretend]);
    assert.deepEqual([code, stdout], [1, ""]);
    assert.equal(
      stderr,
      `webhook-receiver needs a Node that runs TypeScript, 22.18, 23.6 or newer, and this is v${version}. Run "npm ci --include=dev && npm start" in its folder: that brings a Node of its own.\n`,
    );
  });
}

test("npm run tsx takes nothing from the temp directory, and needs none", () => {
  const home = mkdtempSync(join(tmpdir(), "home-"));
  // A file stands for a /tmp that cannot be written: tsx by itself ends there.
  const printed = execFileSync("npm", ["run", "--silent", "tsx", "--", "webhook-receiver.ts", "--version"], {
    cwd: projectFolder,
    env: { PATH: process.env.PATH, HOME: home, TMPDIR: program, npm_config_update_notifier: "false" },
    encoding: "utf8",
    timeout: 60_000,
  });
  const cache = join(home, ".cache/webhook-tsx");
  assert.deepEqual([printed, statSync(cache).mode & 0o777], ["0.1.0\n", 0o700]);
  assert.match(readdirSync(cache).join(), /^tsx-\d+$/);
  rmSync(home, { recursive: true });
});

test("tsx runs it as node does", () => {
  const tsx = join(projectFolder, "node_modules", ".bin", "tsx");
  assert.equal(execFileSync(tsx, [program, "--version"], { encoding: "utf8" }), "0.1.0\n");
});

test("the first lines say where to post and which sources there are; the secrets are not in them", async () => {
  const receiver = await startProgram({ environment: { WEBHOOK_SECRET_GITHUB_ACME: `${secret}-acme` } });
  const [line] = parseLines(receiver.output());
  assert.deepEqual(
    [line?.message, line?.url, line?.sources, line?.paths],
    ["listening", receiver.url, ["default", "github-acme"], ["/webhook", "/webhook/github-acme"]],
  );
  assert.equal(await receiver.end(), 0);
  assert.equal(receiver.output().includes(secret), false);
});

test("each source checks its own secret", async () => {
  const receiver = await startProgram({ environment: { WEBHOOK_SECRET_GITHUB_ACME: `${secret}-acme` } });
  const post = async (path: string, key: string) => {
    const headers = { "X-Hub-Signature-256": sign("{}", key) };
    return (await fetch(receiver.url.replace("/webhook", path), { method: "POST", headers, body: "{}" }))
      .status;
  };
  assert.equal(await post("/webhook", secret), 200);
  assert.equal(await post("/webhook/github-acme", `${secret}-acme`), 200);
  assert.equal(await post("/webhooks/github-acme", `${secret}-acme`), 200);
  assert.equal(await post("/webhook/github-acme", secret), 401);
  assert.equal(await post("/webhook", `${secret}-acme`), 401);
  assert.equal(await receiver.end(), 0);
});

test("a secret's file, what Kubernetes sets, and a line break too many: it starts, says so, and takes a delivery", async () => {
  const folder = mkdtempSync(join(tmpdir(), "secret-files-"));
  writeFileSync(join(folder, "github"), `${secret}-file\n`);
  const receiver = await startProgram({
    folder,
    environment: {
      WEBHOOK_SECRET_GITHUB_FILE: "github",
      WEBHOOK_SECRET_GITEA: `${secret}-gitea\r`,
      WEBHOOK_PORT: "tcp://10.0.0.1:80",
      WEBHOOK_SERVICE_HOST: "10.0.0.1",
      WEBHOOK_SECRET_SERVICE_PORT: "80",
    },
  });
  const headers = { "X-Hub-Signature-256": sign("{}", `${secret}-file`) };
  const { status } = await fetch(`${receiver.url}/github`, { method: "POST", headers, body: "{}" });
  assert.deepEqual([status, await receiver.end()], [200, 0]);
  assert.deepEqual(
    parseLines(receiver.output())
      .filter(({ level }) => level === "warn")
      .map(({ message }) => message),
    [
      "passed over what Kubernetes sets for a Service: WEBHOOK_PORT, WEBHOOK_SECRET_SERVICE_PORT, WEBHOOK_SERVICE_HOST (enableServiceLinks: false keeps them away)",
      "WEBHOOK_SECRET_GITEA ended with a line break, which was cut off",
    ],
  );
  assert.equal(receiver.output().includes(secret), false);
  rmSync(folder, { recursive: true });
});

test("the first start writes .env and accepts what is signed with the secret in it", async () => {
  const folder = mkdtempSync(join(tmpdir(), "first-start-"));
  // An empty variable would be a slip; the way to have none is to have none.
  const nodeArgs = ["--import", "data:text/javascript,delete process.env.WEBHOOK_SECRET"];
  const receiver = await startProgram({ folder, nodeArgs });
  const written = /^WEBHOOK_SECRET=(.*)$/m.exec(readFileSync(join(folder, ".env"), "utf8"))?.[1] ?? "";
  assert.match(receiver.output(), /wrote \.env with a random WEBHOOK_SECRET/);
  const headers = { "X-Hub-Signature-256": sign("{}", written) };
  assert.equal((await fetch(receiver.url, { method: "POST", headers, body: "{}" })).status, 200);
  assert.equal(await receiver.end("SIGINT"), 0);
  assert.equal(receiver.output().includes(written), false);
  rmSync(folder, { recursive: true });
});

test("--handlers runs a module of one's own in place of the handlers that come along", async () => {
  const folder = mkdtempSync(join(tmpdir(), "own-handlers-"));
  writeFileSync(
    join(folder, "mine.ts"),
    "export const handlers = { push: (event, { log }) => log.info('mine', { seen: event.type }) };\n",
  );
  const receiver = await startProgram({ folder, args: ["--handlers", "mine.ts"] });
  const headers = { "X-Hub-Signature-256": sign("{}"), "X-GitHub-Event": "push" };
  assert.equal((await fetch(receiver.url, { method: "POST", headers, body: "{}" })).status, 200);
  await receiver.waitFor('"message":"mine"');
  await receiver.end();
  assert.deepEqual(
    parseLines(receiver.output())
      .filter((line) => "handler" in line)
      .map((line) => line.message),
    ["mine"],
  );
  rmSync(folder, { recursive: true });
});

for (const signal of ["SIGHUP", "SIGUSR1", "SIGUSR2"] as const) {
  test(`${signal} says in the log that nothing is done, opens no inspector, and the receiver goes on`, async () => {
    const receiver = await startProgram();
    receiver.child.kill(signal);
    await receiver.waitFor(`"signal":"${signal}"`);
    const headers = { "X-Hub-Signature-256": sign("{}") };
    assert.equal((await fetch(receiver.url, { method: "POST", headers, body: "{}" })).status, 200);
    assert.equal(await receiver.end(), 0);
    const lines = parseLines(receiver.output()); // throws for Node's own "Debugger listening on …"
    assert.deepEqual(
      lines.filter((line) => line.signal === signal).map(({ level, message }) => [level, message]),
      [["info", "nothing is done: settings are read at the start only"]],
    );
  });
}

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  test(`${signal} while handlers load ends the program at once, with 0`, () => {
    const folder = mkdtempSync(join(tmpdir(), "early-"));
    const never = `process.kill(process.pid, "${signal}"); setInterval(() => {}, 1000); await new Promise(() => {});`;
    writeFileSync(join(folder, "mine.ts"), `${never}\nexport const handlers = {};\n`);
    const { code, stdout, stderr } = run(["--port", "0", "--handlers", join(folder, "mine.ts")]);
    assert.deepEqual([code, stderr], [0, ""]);
    assert.deepEqual(
      parseLines(stdout).map(({ message }) => message),
      ["stopping", "stopped"],
    );
    rmSync(folder, { recursive: true });
  });
}

for (const milliseconds of [0, 4, 8, 16, 32, 64, 128]) {
  test(`SIGTERM ${milliseconds} ms after handlers have loaded ends the program with 0, whatever it was about to do`, () => {
    const folder = mkdtempSync(join(tmpdir(), "early-"));
    const later = `setTimeout(() => process.kill(process.pid, "SIGTERM"), ${milliseconds});`;
    writeFileSync(join(folder, "mine.ts"), `${later}\nexport const handlers = {};\n`);
    const { code, stdout, stderr } = run(["--port", "0", "--handlers", join(folder, "mine.ts")]);
    assert.deepEqual([code, stderr], [0, ""]);
    const messages = parseLines(stdout).map(({ message }) => message);
    assert.deepEqual(
      messages.filter((message) => message !== "listening"),
      ["stopping", "stopped"],
    );
    rmSync(folder, { recursive: true });
  });
}

test("an uncaught exception of no handler is logged with its stack, and ends the program with 1", async () => {
  const folder = mkdtempSync(join(tmpdir(), "uncaught-"));
  writeFileSync(
    join(folder, "mine.ts"),
    "process.once('SIGUSR2', () => { throw new Error('much later') });\nexport const handlers = { '*': () => {} };\n",
  );
  const receiver = await startProgram({ folder, args: ["--handlers", "mine.ts"] });
  assert.equal(await receiver.end("SIGUSR2"), 1);
  const line = parseLines(receiver.output()).find(({ message }) => message === "uncaught exception");
  assert.match(String(line?.stack), /Error: much later\n\s+at /);
  rmSync(folder, { recursive: true });
});

test("the signed curl of the first lines is accepted when pasted, and holds neither secret nor signature", async () => {
  const folder = mkdtempSync(join(tmpdir(), "first-delivery-"));
  writeFileSync(join(folder, ".env"), `WEBHOOK_SECRET=${secret}\n`);
  const receiver = await startProgram({ folder });
  writeFileSync(join(folder, "it's.txt"), `${secret}\n`);
  const starts: [args: string[], environment: Record<string, string>][] = [
    [[], { WEBHOOK_SECRET: secret }],
    [["--env-file", join(folder, ".env")], {}],
    [[], { WEBHOOK_SECRET_FILE: join(folder, "it's.txt") }],
  ];
  for (const [args, environment] of starts) {
    const request = readSettings(args, { ...environment });
    assert("settings" in request);
    const text: string = firstDelivery(request.settings, receiver.port) ?? "";
    assert.equal(text.includes(secret), false);
    const commands = text.slice(text.indexOf("body="));
    const printed = execFileSync("sh", ["-c", commands], {
      cwd: folder,
      env: { PATH: process.env.PATH, ...environment },
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    assert.match(printed, /^HTTP\/1\.1 200 OK\r\n/);
    assert.match(printed, /"event":"ping"/);
  }
  await receiver.end();
  rmSync(folder, { recursive: true });
});
