/**
 * Where the commands' text goes: a pipe that closes early and a full disk, from the real process in a real shell. What a
 * command does and how it ends may not depend on who reads it.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openQuarantine } from "../../lib/keep/sqlite/quarantine.ts";
import { projectFolder, secret, sign } from "../receiver.ts";
import { openFolder } from "./folder.ts";

/** @returns the exit code of the program, whatever reads its stdout, and what the shell's own stdout and stderr got */
function shell(command: string): { code: number | null; stdout: string; stderr: string } {
  const { PATH = "" } = process.env;
  const program = `"${process.execPath}" "${join(projectFolder, "webhook-receiver.ts")}"`;
  // POSIX sh has no `pipefail`: the exit code goes through a file descriptor of its own.
  const [left = "", right] = command.split(" | ");
  const script =
    right === undefined
      ? `${program} ${left}`
      : `{ { { ${program} ${left}; echo $? >&3; } | ${right} >&4; } 3>&1; } 4>&1`;
  const { status, stdout, stderr } = spawnSync("/bin/sh", ["-c", script], {
    env: { PATH, WEBHOOK_SECRET: secret },
    encoding: "utf8",
    timeout: 60_000,
  });
  if (right === undefined) return { code: status, stdout, stderr };
  const lines = stdout.split("\n");
  const code = lines.findIndex((line) => /^\d+$/.test(line));
  const [own = ""] = lines.splice(code, 1);
  return { code: Number(own), stdout: lines.join("\n"), stderr };
}

for (const call of ["--help", "--version", "list --help", "lst", "list"]) {
  test(`${call} ends as ever when nobody reads it`, (t) => {
    openFolder(t);
    assert.deepEqual(shell(`${call} | true`), {
      code: call === "lst" ? 2 : 0,
      stdout: "",
      stderr:
        call === "lst"
          ? 'webhook-receiver: there is no command "lst": expected list, show, replay, reverify, send, verify, or flags to start the receiver (--help shows them)\n'
          : "",
    });
  });
}

test("a long list into head is its first line", (t) => {
  const { keep } = openFolder(t);
  for (let count = 0; count < 600; count += 1) keep({ id: `id-${count}`, event: "e".repeat(200) });
  const { code, stdout, stderr } = shell("list --json --limit 1000 | head -n 1");
  assert.match(stdout, /^\{"number":600,[^\n]*\}\n$/);
  assert.deepEqual([code, stderr], [0, ""]);
});

test("the verdict of verify is its exit code, also when nobody reads it", (t) => {
  openFolder(t);
  writeFileSync("body", "{}");
  writeFileSync("good", `X-GitHub-Event: push\nX-Hub-Signature-256: ${sign("{}")}\n`);
  writeFileSync("bad", `X-GitHub-Event: push\nX-Hub-Signature-256: ${sign("{}", "another")}\n`);
  assert.equal(shell("verify github --headers good --body body | true").code, 0);
  assert.equal(shell("verify github --headers bad --body body | true").code, 1);
});

test("reverify goes on to its end when its reader has left", (t) => {
  const { database } = openFolder(t);
  const quarantine = openQuarantine(database);
  for (let count = 0; count < 12; count += 1) {
    const body = `{"count":${count}}`;
    const headers = { "x-github-event": "push", "x-hub-signature-256": sign(body) };
    const head = { method: "POST", target: "/webhook", headers, rawHeaders: Object.entries(headers).flat() };
    quarantine.add({
      source: "default",
      receivedAt: Date.now(),
      reason: "signature-mismatch",
      head: JSON.stringify(head),
      body: Buffer.from(body),
    });
  }
  const { code, stdout, stderr } = shell("reverify | head -n 1");
  assert.match(stdout, /^admitted {3}[^\n]*\n$/);
  assert.deepEqual([code, stderr], [0, ""]);
  const count = (table: string) => database.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.n;
  assert.deepEqual([count("quarantine"), count("deliveries")], [0, 12]);
});

// Linux and FreeBSD have this file: every write to it finds the disk full.
const fullDisk = { skip: existsSync("/dev/full") ? false : "there is no /dev/full" };
for (const call of ["--help", "--version", "list --help", "list"]) {
  test(`${call} onto a full disk is one line and exit code 1`, fullDisk, (t) => {
    openFolder(t);
    const { code, stderr } = shell(`${call} >/dev/full`);
    assert.match(stderr, /^webhook-receiver: cannot write to stdout: ENOSPC: [^\n]*\n$/);
    assert.equal(code, 1);
  });
}
