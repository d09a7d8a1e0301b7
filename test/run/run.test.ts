/** Commands as handlers: what they are given, what becomes of how they end, and what is refused at the start. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import type { Handlers } from "../../lib/process/handlers.ts";
import { readyHandlers } from "../../lib/process/loader.ts";
import { type RunOptions, run } from "../../lib/run/run.ts";
import { openTestReceiver, projectFolder, secret, sign } from "../receiver.ts";
import { openFolder, start, writeScript } from "./command.ts";

const messages = (lines: { message: string }[]) => lines.map(({ message }) => message);

async function failureOf(t: TestContext, ...script: string[]): Promise<string> {
  const { failure } = start(run(writeScript(t, ...script)));
  return ((await failure) as Error).message;
}

describe("what a command gets", { concurrency: true }, () => {
  test("the body is on stdin, byte for byte", async (t) => {
    const file = join(openFolder(t), "body");
    const body = randomBytes(3 * 1024 * 1024);
    const { failure } = start(run(writeScript(t, `cat > '${file}'`)), { body });
    assert.equal(await failure, undefined);
    assert.ok(readFileSync(file).equals(body));
  });

  test("an empty body is an empty stdin", async (t) => {
    const work = start(run(writeScript(t, "wc -c")), { body: Buffer.alloc(0) });
    assert.equal(await work.failure, undefined);
    assert.equal(work.lines()[0]?.message.trim(), "0");
  });

  test("the four variables are there, what every program needs, what is named, and nothing else", async (t) => {
    const before = { ...process.env };
    const settings = {
      WEBHOOK_SECRET: secret,
      WEBHOOK_SECRET_STRIPE_PREVIOUS: `${secret}-stripe`,
      WEBHOOK_VERIFY_TOKEN_META: `${secret}-meta`,
      WEBHOOK_SENDER_ACME: "{}",
      WEBHOOK_PORT: "3010",
      WEBHOOK_EVENT: "of somebody else",
      INTERNAL_SECRET: `${secret}-internal`,
      npm_api_token: `${secret}-npm`,
      ...{
        DATABASE_URL: `postgres://${secret}`,
        AWS_ACCESS_KEY_ID: secret,
        GITHUB_PAT: secret,
        SSH_AUTH_SOCK: secret,
      },
      ...{ LANG: "C.UTF-8", LC_TIME: "de_DE.UTF-8", TZ: "Europe/Berlin", XDG_RUNTIME_DIR: "/run/user/0" },
    };
    Object.assign(process.env, settings);
    t.after(() => {
      for (const name of Object.keys(settings)) delete process.env[name];
      Object.assign(process.env, before);
    });
    const handler = run(writeScript(t, "env"), {
      env: { TARGET: "staging", DEPLOY_TO: "a=b c", DEPLOY_TOKEN: "given" },
    });
    const work = start(handler, { source: "github-acme", type: "pull_request.opened", id: "id-1" }, 7);
    assert.equal(await work.failure, undefined);
    const variables = messages(work.lines());
    assert.deepEqual(variables.filter((line) => line.startsWith("WEBHOOK_")).sort(), [
      "WEBHOOK_ATTEMPT=7",
      "WEBHOOK_EVENT=pull_request.opened",
      "WEBHOOK_ID=id-1",
      "WEBHOOK_SOURCE=github-acme",
    ]);
    for (const line of [
      "TZ=Europe/Berlin",
      "LC_TIME=de_DE.UTF-8",
      "XDG_RUNTIME_DIR=/run/user/0",
      "TARGET=staging",
      "DEPLOY_TO=a=b c",
      "DEPLOY_TOKEN=given",
    ])
      assert.ok(variables.includes(line), line);
    assert.equal(variables.join("\n").includes(secret), false);
    const names = variables.map((line) => line.split("=", 1)[0] ?? "");
    const known =
      /^(WEBHOOK_|LC_|PATH$|HOME$|USER$|LOGNAME$|SHELL$|LANG$|TZ$|TMPDIR$|XDG_RUNTIME_DIR$|TARGET$|DEPLOY_)/;
    // The shell that runs the script has a few of its own.
    assert.deepEqual(
      names.filter(
        (name) => !known.test(name) && !["PWD", "OLDPWD", "SHLVL", "_", "NODE_V8_COVERAGE"].includes(name),
      ),
      [],
    );
  });

  test("its own variables stand before those of the receiver", async (t) => {
    process.env.RUN_TEST_TARGET = "production";
    t.after(() => delete process.env.RUN_TEST_TARGET);
    const work = start(
      run(writeScript(t, 'echo "$RUN_TEST_TARGET"'), { env: { RUN_TEST_TARGET: "staging" } }),
    );
    assert.equal(await work.failure, undefined);
    assert.deepEqual(messages(work.lines()), ["staging"]);
  });

  const hostile: [name: string, seen: string][] = [
    ["a\0b", "a\\u0000b"],
    ["a\nWEBHOOK_ID=b", "a\\u000aWEBHOOK_ID=b"],
    ["$(touch oops); `touch oops` && touch oops", "$(touch oops); `touch oops` && touch oops"],
    ["() { :; }; touch oops", "() { :; }; touch oops"],
    ["-rf / *", "-rf / *"],
    ["\ud800", "\ufffd"],
    ["", ""],
  ];
  for (const [name, seen] of hostile) {
    test(`an event and an id of ${JSON.stringify(name)} are text and nothing else`, async (t) => {
      const cwd = openFolder(t);
      const script = writeScript(t, `printf '<%s> <%s>\\n' "$WEBHOOK_EVENT" "$WEBHOOK_ID"`);
      const work = start(run(script, { cwd }), { type: name, id: name });
      assert.equal(await work.failure, undefined);
      assert.deepEqual(messages(work.lines()), [`<${seen}> <${seen}>`]);
      assert.equal(existsSync(join(cwd, "oops")), false);
    });
  }

  test("arguments are those of the handler, and no shell has seen them", async (t) => {
    const args = ["$(id)", "a b", "", "*", "; exit 3", '"'];
    const work = start(run(writeScript(t, `printf '<%s>\\n' "$@"`), { args }));
    assert.equal(await work.failure, undefined);
    assert.deepEqual(
      messages(work.lines()),
      args.map((argument) => `<${argument}>`),
    );
  });

  test("it runs in its folder, where its own path starts from too", async (t) => {
    const cwd = realpathSync(openFolder(t));
    mkdirSync(join(cwd, "bin"));
    writeFileSync(join(cwd, "bin/where"), "#!/bin/sh\npwd\n", { mode: 0o755 });
    const work = start(run("bin/where", { cwd }));
    assert.equal(await work.failure, undefined);
    assert.deepEqual(messages(work.lines()), [cwd]);
  });

  test("without a folder, it runs where the receiver was started", async (t) => {
    const work = start(run(writeScript(t, "pwd -P")));
    assert.equal(await work.failure, undefined);
    assert.deepEqual(messages(work.lines()), [realpathSync(process.cwd())]);
  });

  test("a program without a path is found in PATH, and in the one that it is given", async (t) => {
    const work = start(run("echo", { args: ["hello"] }));
    assert.equal(await work.failure, undefined);
    assert.deepEqual(messages(work.lines()), ["hello"]);

    const folder = openFolder(t);
    writeFileSync(join(folder, "echo"), "#!/bin/sh\necho mine\n", { mode: 0o755 });
    const mine = start(run("echo", { args: ["hello"], env: { PATH: folder } }));
    assert.equal(await mine.failure, undefined);
    assert.deepEqual(messages(mine.lines()), ["mine"]);
  });
});

describe("how a command ends", { concurrency: true }, () => {
  test("0 is success, whether it has read its stdin or not", async (t) => {
    const body = Buffer.alloc(8 * 1024 * 1024);
    for (const script of ["exit 0", "exec <&-; exit 0", "head -c 1 > /dev/null"])
      assert.equal(await start(run(writeScript(t, script)), { body }).failure, undefined);
  });

  test("anything else is a failure that names the exit code and the last line of stderr", async (t) => {
    assert.match(await failureOf(t, "exit 3"), /command\.sh exited with 3$/);
    assert.match(
      await failureOf(t, "echo first >&2; echo 'no such branch' >&2; echo out; exit 255"),
      /exited with 255: no such branch$/,
    );
    assert.match(await failureOf(t, "nowhere-to-be-found"), /exited with 127: .*nowhere-to-be-found/);
  });

  test("a signal is a failure that names it", async (t) => {
    assert.match(await failureOf(t, "kill -KILL $$"), /command\.sh was ended by SIGKILL$/);
    assert.match(await failureOf(t, "echo broken >&2", "kill -SEGV $$"), /was ended by SIGSEGV: broken$/);
  });

  test("what it says in a failure is one line that is safe to show, and short", async (t) => {
    assert.match(
      await failureOf(t, "printf 'red \\033[31m line\\n' >&2", "exit 1"),
      /exited with 1: red \\u001b\[31m line$/,
    );
    const long = await failureOf(t, "printf '%04000d\\n' 0 >&2", "exit 1");
    assert.match(long, /exited with 1: 0{500}$/);
  });

  test("stdout is info, stderr is a warning, and control characters are written as what they are", async (t) => {
    const work = start(run(writeScript(t, "echo out", "printf 'err\\033[2J\\n' >&2", "printf 'no end'")));
    assert.equal(await work.failure, undefined);
    const seen = work.lines().map(({ level, message }) => [level, message]);
    assert.deepEqual(seen.sort(), [
      ["info", "no end"],
      ["info", "out"],
      ["warn", "err\u001b[2J"],
    ]);
    assert.ok(work.text().includes('"err\\u001b[2J"'));
    assert.equal(work.text().includes("\u001b"), false);
  });

  test("a command that is gone since the start fails with the reason, and so does one that cannot be started", async (t) => {
    const script = writeScript(t, "exit 0");
    const handler = run(script);
    chmodSync(script, 0o644);
    assert.match(
      String(await start(handler).failure),
      /cannot be started: .* is not executable \(chmod \+x /,
    );
    rmSync(script);
    assert.match(
      String(await start(handler).failure),
      /cannot be started: there is no file \/.*command\.sh$/,
    );
    writeFileSync(script, "#!/bin/sh\n", { mode: 0o755 });
    assert.equal(await start(handler).failure, undefined);

    const cwd = openFolder(t);
    const elsewhere = run(script, { cwd });
    rmSync(cwd, { recursive: true });
    assert.match(String(await start(elsewhere).failure), /cannot be started: there is no folder \//);
  });

  test("a command that the system refuses to start fails, and nothing else does", async (t) => {
    // One argument of this size is too much for Linux (MAX_ARG_STRLEN), and so are all of them elsewhere.
    const args = ["x".repeat(4 * 1024 * 1024)];
    assert.match(
      String(await start(run(writeScript(t, "exit 0"), { args })).failure),
      /cannot be started: .*E2BIG/,
    );
  });
});

describe("what is refused at the start", { concurrency: true }, () => {
  const wrong: [command: unknown, options: unknown, message: string | RegExp][] = [
    ["", {}, "run: the command is the path of a file"],
    [["ls"], {}, "run: the command is the path of a file"],
    ["/bin/s\0h", {}, "run: the command is the path of a file"],
    ["/nowhere/deploy.sh", {}, "run: there is no file /nowhere/deploy.sh"],
    [
      "no-such-program",
      {},
      /^run: no program no-such-program in PATH \(a file in \/.* is \.\/no-such-program\)$/,
    ],
    ["echo", { env: { PATH: "/nowhere" } }, /^run: no program echo in PATH/],
    ["/bin/sh", 600, "run: the options are an object"],
    ["/bin/sh", null, "run: the options are an object"],
    [
      "/bin/sh",
      { timeout: 600 },
      "run: timeout is none of args, cwd, env, timeoutSeconds, graceSeconds, retries, orderBy",
    ],
    ["/bin/sh", { args: "-c" }, "run: args is a list of texts"],
    ["/bin/sh", { args: [5] }, "run: args is a list of texts"],
    ["/bin/sh", { args: ["\0"] }, "run: args is a list of texts"],
    ["/bin/sh", { cwd: "" }, "run: cwd is the path of a folder"],
    ["/bin/sh", { cwd: "/nowhere" }, "run: there is no folder /nowhere"],
    ["/bin/sh", { timeoutSeconds: 0 }, "run: timeoutSeconds is more than 0 and at most 86335"],
    ["/bin/sh", { timeoutSeconds: 86_336 }, /^run: timeoutSeconds is/],
    ["/bin/sh", { timeoutSeconds: Number.NaN }, /^run: timeoutSeconds is/],
    ["/bin/sh", { timeoutSeconds: "5" }, /^run: timeoutSeconds is/],
    ["/bin/sh", { graceSeconds: 0 }, "run: graceSeconds is more than 0 and at most 60"],
    ["/bin/sh", { graceSeconds: 61 }, /^run: graceSeconds is/],
    ["/bin/sh", { env: "A=b" }, "run: env is an object of texts"],
    ["/bin/sh", { env: null }, "run: env is an object of texts"],
    ["/bin/sh", { env: { TOKEN: undefined } }, "run: env.TOKEN is not a text"],
    ["/bin/sh", { env: { TOKEN: "not\0shown" } }, "run: env.TOKEN is not a text"],
    ["/bin/sh", { env: { "A=B": "" } }, "run: env.A=B is not a text"],
    ["/bin/sh", { env: { "": "" } }, "run: env. is not a text"],
    ["/bin/sh", { env: { WEBHOOK_ID: "1" } }, "run: env.WEBHOOK_ID is set by the receiver"],
  ];
  for (const [command, options, message] of wrong) {
    test(`${JSON.stringify(command)} with ${JSON.stringify(options)}`, () => {
      const start = () => run(command as string, options as RunOptions);
      assert.throws(start, { name: "Error", message, exitCode: 1 });
    });
  }

  test("the longest limits are good, and the worker takes them", () => {
    const handler = run("/bin/sh", { timeoutSeconds: 86_335, graceSeconds: 60 });
    assert.equal(readyHandlers({ push: handler }).get("push")?.timeoutSeconds, 86_400);
  });

  test("a handlers file whose command is not there is one line and exit code 1", (t) => {
    const folder = openFolder(t);
    const lib = join(projectFolder, "lib/run/run.ts");
    writeFileSync(
      join(folder, "mine.ts"),
      `import { run } from ${JSON.stringify(lib)};\nexport const handlers = { push: run("./deploy.sh") };\n`,
    );
    const program = join(projectFolder, "webhook-receiver.ts");
    const { status, stderr } = spawnSync(
      process.execPath,
      [program, "--port", "0", "--handlers", "mine.ts"],
      {
        cwd: folder,
        env: { PATH: process.env.PATH, WEBHOOK_SECRET: secret },
        encoding: "utf8",
      },
    );
    assert.equal(status, 1);
    assert.equal(
      stderr,
      `webhook-receiver: cannot load the handlers from mine.ts: run: there is no file ${join(realpathSync(folder), "deploy.sh")}\n`,
    );
  });

  test("Windows, which has no process groups", () => {
    const pretend = 'data:text/javascript,Object.defineProperty(process,"platform",{value:"win32"})';
    const code = 'import { run } from "./lib/run/run.ts"; run("/bin/sh");';
    const args = ["--import", pretend, "--input-type=module", "--eval", code];
    const { status, stderr } = spawnSync(process.execPath, args, { cwd: projectFolder, encoding: "utf8" });
    assert.equal(status, 1);
    assert.match(stderr, /run: commands cannot be run on Windows/);
  });
});

describe("in a receiver", { concurrency: true }, () => {
  async function openReceiver(t: TestContext, handlers: Handlers) {
    const receiver = await openTestReceiver({ handlers });
    t.after(() => receiver.stop(0));
    const headers = { "X-GitHub-Event": "push", "X-GitHub-Delivery": "id-1" };
    const post = async (body: string) => {
      const signed = { ...headers, "X-Hub-Signature-256": sign(body) };
      const answer = await fetch(receiver.url, { method: "POST", headers: signed, body });
      assert.equal(answer.status, 200);
    };
    return { receiver, post };
  }

  test("a delivery runs the command, whose lines carry the handler, the event and its id", async (t) => {
    const { receiver, post } = await openReceiver(t, { push: run(writeScript(t, "cat")) });
    await post('{"ref":"refs/heads/main"}');
    const [line] = await receiver.waitForLines(1, ({ handler }) => handler === "push");
    const { time: _, ...shown } = line ?? { time: "" };
    assert.deepEqual(shown, {
      level: "info",
      message: '{"ref":"refs/heads/main"}',
      handler: "push",
      event: "push",
      id: "id-1",
    });
  });

  test("one that fails is run again, and knows which attempt it is", async (t) => {
    const script = writeScript(
      t,
      'echo "attempt $WEBHOOK_ATTEMPT"',
      '[ "$WEBHOOK_ATTEMPT" -gt 1 ] || exit 3',
    );
    const { receiver, post } = await openReceiver(t, { push: run(script) });
    await post("{}");
    const lines = await receiver.waitForLines(3, ({ handler }) => handler === "push");
    assert.deepEqual(messages(lines), ["attempt 1", "handler failed", "attempt 2"]);
    assert.match(String(lines[1]?.stack), /command\.sh exited with 3\n/);
  });

  test("one whose retries are used up is dead", async (t) => {
    const { receiver, post } = await openReceiver(t, { push: run(writeScript(t, "exit 3"), { retries: 0 }) });
    await post("{}");
    const [line] = await receiver.waitForLines(1, ({ handler }) => handler === "push");
    assert.equal(line?.message, "handler failed for good; the job is dead");
  });

  test("events with one key run one after the other", async (t) => {
    const lock = join(openFolder(t), "lock");
    const script = writeScript(t, `mkdir '${lock}' && sleep 0.1 && rmdir '${lock}' && echo ready`);
    const { receiver, post } = await openReceiver(t, { push: run(script, { orderBy: () => "deploy" }) });
    await Promise.all(["[1]", "[2]", "[3]"].map(post));
    const lines = await receiver.waitForLines(3, ({ handler }) => handler === "push");
    assert.deepEqual(messages(lines), ["ready", "ready", "ready"]);
  });

  test("one command can be the handler of two receivers at once", async (t) => {
    const handlers = { push: run(writeScript(t, "cat")) };
    const both = await Promise.all([openReceiver(t, handlers), openReceiver(t, handlers)]);
    await Promise.all(both.map(({ post }, index) => post(`[${index}]`)));
    for (const [index, { receiver }] of both.entries()) {
      const lines = await receiver.waitForLines(1, ({ handler }) => handler === "push");
      assert.deepEqual(messages(lines), [`[${index}]`]);
    }
  });
});
