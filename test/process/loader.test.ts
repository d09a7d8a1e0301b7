import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openLog } from "../../lib/log.ts";
import { dispatch, loadHandlers } from "../../lib/process/dispatch.ts";
import type { Handlers } from "../../lib/process/handlers.ts";
import type { WebhookEvent } from "../../lib/receive/event.ts";
import { openTestReceiver, parseLines, sign } from "../receiver.ts";

function eventCalled(type: string): WebhookEvent {
  return {
    source: "default",
    sender: "github",
    type,
    id: "1",
    payload: {},
    body: Buffer.from("{}"),
    headers: {},
  };
}

function openMemoryLog() {
  let text = "";
  const log = openLog("json", (more) => {
    text += more;
  });
  return {
    log,
    lines: () => {
      log.flush();
      return parseLines(text);
    },
  };
}

test("dispatch() runs every handler that matches, and no other", async () => {
  const ran: string[] = [];
  const handlers: Handlers = Object.fromEntries(
    ["a", "a.b", "a.>", "*", "b", "__proto__", "constructor"].map((pattern) => [
      pattern,
      () => void ran.push(pattern),
    ]),
  );
  await dispatch(handlers, eventCalled("a.b"), openMemoryLog().log);
  assert.deepEqual(ran.sort(), ["*", "a", "a.>", "a.b"]);
});

for (const name of ["__proto__", "constructor", "toString", "valueOf"]) {
  test(`an event called ${name} reaches only the handlers that ask for it`, async () => {
    const ran: string[] = [];
    await dispatch({ push: () => void ran.push("push") }, eventCalled(name), openMemoryLog().log);
    await dispatch({ [name]: () => void ran.push(name) }, eventCalled(name), openMemoryLog().log);
    assert.deepEqual(ran, [name]);
  });
}

const failures: [what: string, thrown: unknown, logged: RegExp][] = [
  ["an error", new Error("no disk"), /Error: no disk\n\s+at /],
  ["a string", "no disk", /thrown without a stack: no disk/],
  ["undefined", undefined, /thrown without a stack: undefined/],
  ["null", null, /thrown without a stack: null/],
];
for (const [what, thrown, logged] of failures) {
  for (const isAsync of [false, true]) {
    test(`a handler that ${isAsync ? "rejects with" : "throws"} ${what} fails the delivery after the others ran`, async () => {
      let others = 0;
      const { log, lines } = openMemoryLog();
      const failing = isAsync
        ? () => Promise.reject(thrown)
        : () => {
            throw thrown;
          };
      const other = () => {
        others += 1;
      };
      await assert.rejects(dispatch({ ">": other, push: failing, "*": other }, eventCalled("push"), log), {
        errors: [thrown],
      });
      assert.equal(others, 2);
      const [line] = lines();
      assert.deepEqual([line?.message, line?.handler, line?.id], ["handler failed", "push", "1"]);
      assert.match(String(line?.stack), logged);
    });
  }
}

test("loadHandlers() loads the handlers that come along", async () => {
  const handlers = await loadHandlers(undefined);
  const expected = ["*", "attacker.>", "message.delivered", "message.failed", "ping", "pull_request", "push"];
  assert.deepEqual(Object.keys(handlers).sort(), expected);
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
    const handled = receiver.lines.filter((line) => "handler" in line);
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
  for (const type of [
    "ping",
    "push",
    "pull_request",
    "message.delivered",
    "message.failed",
    "attacker.observed",
  ]) {
    for (const payload of [{}, null, "text", 5, [], { commits: {} }, { commits: [{ message: 5 }, null] }]) {
      await dispatch(handlers, { ...eventCalled(type), payload }, openMemoryLog().log);
    }
  }
});
