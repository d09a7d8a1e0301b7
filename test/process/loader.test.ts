import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { openLog } from "../../lib/log.ts";
import type { Handlers } from "../../lib/process/handlers.ts";
import { jobsFor, loadHandlers, readyHandlers } from "../../lib/process/loader.ts";
import type { WebhookEvent } from "../../lib/signature/event.ts";
import { openTestReceiver, projectFolder, sign } from "../receiver.ts";

function eventCalled(type: string): WebhookEvent {
  return {
    source: "default",
    sender: "github",
    type,
    types: [type],
    id: "1",
    payload: {},
    body: Buffer.from("{}"),
    headers: {},
  };
}

const nothing = () => {};

test("jobsFor() gives a job to every handler that matches, and to no other", () => {
  const patterns = ["a", "a.b", "a.>", "*", "b", "__proto__", "constructor"];
  const handlers = readyHandlers(Object.fromEntries(patterns.map((pattern) => [pattern, nothing])));
  assert.deepEqual(
    jobsFor(handlers, eventCalled("a.b")),
    ["a", "a.b", "a.>", "*"].map((handler) => ({ handler, orderKey: null })),
  );
});

for (const name of ["__proto__", "constructor", "toString", "valueOf"]) {
  test(`an event called ${name} reaches only the handlers that ask for it`, () => {
    assert.deepEqual(jobsFor(readyHandlers({ push: nothing }), eventCalled(name)), []);
    assert.deepEqual(jobsFor(readyHandlers({ [name]: nothing }), eventCalled(name)), [
      { handler: name, orderKey: null },
    ]);
  });
}

test("orderBy gives the key that jobs are put in order by, as text", () => {
  const handlers = readyHandlers({ push: { handle: nothing, orderBy: ({ id }) => `key-${id}` } });
  assert.deepEqual(jobsFor(handlers, eventCalled("push")), [{ handler: "push", orderKey: "key-1" }]);
});

test("an orderBy that throws costs the order and not the job, and is logged", () => {
  let text = "";
  const log = openLog("json", (more) => {
    text += more;
  });
  const orderBy = (): string => {
    throw new Error("no such field");
  };
  const handlers = readyHandlers({ push: { handle: nothing, orderBy } });
  assert.deepEqual(jobsFor(handlers, eventCalled("push"), log), [{ handler: "push", orderKey: null }]);
  log.flush();
  assert.match(text, /orderBy failed.*no such field/);
});

test("what a handler does not say is 11 retries and 300 seconds", () => {
  const [plain, own] = [
    ...readyHandlers({ a: nothing, b: { handle: nothing, retries: 0, timeoutSeconds: 1.5 } }).values(),
  ];
  assert.deepEqual([plain?.retries, plain?.timeoutSeconds], [11, 300]);
  assert.deepEqual([own?.retries, own?.timeoutSeconds], [0, 1.5]);
});

const wrongOptions: [options: object, fault: RegExp][] = [
  [{}, /its handler is not a function/],
  [{ handle: "x" }, /its handler is not a function/],
  [{ handle: nothing, retries: -1 }, /retries is a whole number from 0 to 100/],
  [{ handle: nothing, retries: 101 }, /retries is/],
  [{ handle: nothing, retries: 1.5 }, /retries is/],
  [{ handle: nothing, timeoutMs: 5 }, /timeoutMs is none of handle, retries, timeoutSeconds, orderBy/],
  [{ handle: nothing, timeoutSeconds: 0 }, /timeoutSeconds is more than 0/],
  [{ handle: nothing, timeoutSeconds: 86_401 }, /timeoutSeconds is/],
  [{ handle: nothing, timeoutSeconds: "5" }, /timeoutSeconds is/],
  [{ handle: nothing, orderBy: "id" }, /orderBy is not a function/],
];
for (const [options, fault] of wrongOptions) {
  test(`the handler ${JSON.stringify(options)} is refused with its pattern`, () => {
    assert.throws(() => readyHandlers({ push: options } as unknown as Handlers), {
      message: fault,
      exitCode: 1,
    });
  });
}

test("loadHandlers() loads the handlers that come along", async () => {
  const handlers = await loadHandlers(undefined);
  const expected = ["*", "attacker.>", "message.delivered", "message.failed", "ping", "pull_request", "push"];
  assert.deepEqual([...handlers.keys()].sort(), expected);
});

const broken: [text: string, message: RegExp][] = [
  ["export const other = {}", /exports no object named "handlers"/],
  ["export const handlers = []", /exports no object named "handlers"/],
  ["export const handlers = 5", /exports no object named "handlers"/],
  ["export const handlers = { push: 'deploy.sh' }", /"push": its handler is not a function/],
  ["export const handlers = { 'a..b': () => {} }", /"a\.\.b": a pattern is made of names/],
  ["export const handlers = {", /cannot load the handlers from .*: /],
  ["throw new Error('on load')", /cannot load the handlers from .*: on load$/],
];
for (const [text, message] of broken) {
  test(`loadHandlers() refuses a module of ${JSON.stringify(text)} in one line`, async () => {
    const file = join(mkdtempSync(join(tmpdir(), "handlers-")), "mine.mjs");
    writeFileSync(file, text);
    await assert.rejects(loadHandlers(file), (error: Error & { exitCode: number }) => {
      assert.match(error.message, message);
      assert.equal(error.message.includes("\n"), false);
      assert.equal(error.exitCode, 1);
      return true;
    });
  });
}

test("loadHandlers() refuses a file that is not there", async () => {
  await assert.rejects(loadHandlers("/nowhere/handlers.ts"), {
    exitCode: 1,
    message: /cannot load .*\/nowhere\/handlers\.ts/,
  });
});

test("loadHandlers() names the handlers that come along when those are broken", async () => {
  const folder = mkdtempSync(join(tmpdir(), "handlers-"));
  cpSync(join(projectFolder, "lib"), join(folder, "lib"), { recursive: true });
  writeFileSync(join(folder, "package.json"), '{"type":"module"}');
  writeFileSync(join(folder, "lib/process/handlers.ts"), "throw new Error('on load')");
  const loader = await import(pathToFileURL(join(folder, "lib/process/loader.ts")).href);
  await assert.rejects(loader.loadHandlers(undefined), {
    message: "cannot load the handlers from lib/process/handlers.ts: on load",
  });
  rmSync(folder, { recursive: true });
});

const deliveries: { file: string; event: string; expected: (string | RegExp)[] }[] = [
  {
    file: "push",
    event: "push",
    expected: [
      "octocat pushed 2 commits to octo-org/octo-repo",
      "commit 0123456",
      "commit 89abcde",
      "received push from github",
    ],
  },
  {
    file: "pull_request",
    event: "pull_request",
    expected: ["pull request octo-org/octo-repo#7 opened", "received pull_request.opened from github"],
  },
];
for (const { file, event, expected } of deliveries) {
  test(`a real GitHub ${event} delivery of more than 5 KB runs through its handlers`, async () => {
    const receiver = await openTestReceiver({ handlers: await loadHandlers(undefined) });
    const body = readFileSync(new URL(`../payloads/${file}.json`, import.meta.url));
    assert.ok(body.length > 5000);
    const headers = {
      "X-GitHub-Event": event,
      "X-GitHub-Delivery": `${file}-1`,
      "X-Hub-Signature-256": sign(body),
    };
    const answer = await fetch(receiver.url, { method: "POST", headers, body });
    assert.equal(answer.status, 200);
    const type = event === "push" ? "push" : "pull_request.opened";
    assert.deepEqual(await answer.json(), { status: "accepted", id: `${file}-1`, event: type });
    const handled = await receiver.waitForLines(expected.length, (line) => "handler" in line);
    assert.deepEqual(
      handled.map((line) => line.message),
      expected,
    );
    assert.ok(handled.every((line) => line.event === type && line.id === `${file}-1`));
    await receiver.stop();
  });
}

test("the example handlers survive authentic payloads that lack every field", async () => {
  const handlers = await loadHandlers(undefined);
  const log = openLog("json", () => {});
  const context = { attempt: 1, receivedAt: new Date(), signal: new AbortController().signal, log };
  for (const [type, { handle }] of handlers) {
    for (const payload of [{}, null, "text", 5, [], { commits: {} }, { commits: [{ message: 5 }, null] }]) {
      await handle({ ...eventCalled(type), payload }, context);
    }
  }
});
