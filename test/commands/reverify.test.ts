/** `reverify`: what is admitted from quarantine, what stays there, and by which clock. */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { reverify } from "../../lib/commands/reverify.ts";
import { openQuarantine } from "../../lib/keep/sqlite/quarantine.ts";
import { exchange, rawPost, secret, sign, startProgram } from "../receiver.ts";
import { beat, type Folder, now, openFolder, run } from "./folder.ts";

const environment = { WEBHOOK_SECRET: secret };
const receivedAt = now.getTime() - 86_400_000;
const time = "2026-11-21T12:00:00.000Z";
const idle = "; no receiver is running: their handlers run when one is started";

/** Puts a request into quarantine as a receiver with another secret would. */
function putAway(
  { database }: Folder,
  body: string,
  headers: Record<string, string>,
  more: { source?: string; receivedAt?: number } = {},
): void {
  const all: Record<string, string> = { "content-type": "application/json", ...headers };
  const head = { method: "POST", target: "/webhook", headers: all, rawHeaders: Object.entries(all).flat() };
  openQuarantine(database).add({
    source: "default",
    receivedAt,
    reason: "signature-mismatch",
    head: JSON.stringify(head),
    body: Buffer.from(body),
    ...more,
  });
}

/** A push that is signed with today's secret. */
function putPush(folder: Folder, id: string, body = "{}"): void {
  putAway(folder, body, {
    "x-hub-signature-256": sign(body),
    "x-github-event": "push",
    "x-github-delivery": id,
  });
}

function stripeHeaders(body: string, seconds: number): Record<string, string> {
  const mac = createHmac("sha256", secret).update(`${seconds}.${body}`).digest("hex");
  return { "stripe-signature": `t=${seconds},v1=${mac}` };
}

function rowsOf({ database }: Folder, table: "deliveries" | "quarantine"): unknown[] {
  const rows = database.prepare(`SELECT source, received_at FROM ${table} ORDER BY number`).all();
  return rows.map((row) => Object.values(row));
}

test("what verifies is admitted with the time it came, and the rest stays", async (t) => {
  const folder = openFolder(t);
  beat(folder, 0);
  putPush(folder, "good");
  putAway(folder, "{}", { "x-hub-signature-256": sign("{}", "another-secret") });
  assert.equal(
    await run(reverify, [], environment),
    `admitted   ${time}  default  push  good  accepted\n` +
      `refused    ${time}  default  signature-mismatch\n` +
      "1 admitted; 1 still refused\n",
  );
  assert.deepEqual(rowsOf(folder, "deliveries"), [["default", receivedAt]]);
  assert.deepEqual(rowsOf(folder, "quarantine"), [["default", receivedAt]]);
  const jobs = folder.database
    .prepare("SELECT handler, state, next_attempt_at AS at FROM jobs ORDER BY number")
    .all();
  assert.deepEqual(
    jobs.map((job) => ({ ...job })),
    [
      { handler: "push", state: "pending", at: receivedAt },
      { handler: "*", state: "pending", at: receivedAt },
    ],
  );
  assert.match(await run(reverify, [], environment), /\n0 admitted; 1 still refused\n$/);
});

test("a time window is judged at the time the request came", async (t) => {
  const folder = openFolder(t);
  const second = receivedAt / 1000;
  for (const [id, age] of [
    ["evt_1", 300],
    ["evt_2", 301],
    ["evt_3", -300],
    ["evt_4", -301],
  ] as const) {
    const body = JSON.stringify({ id, type: "charge.failed" });
    putAway(folder, body, stripeHeaders(body, second - age), { source: "stripe" });
  }
  assert.equal(
    await run(reverify, [], { WEBHOOK_SECRET_STRIPE: secret }),
    `admitted   ${time}  stripe  charge.failed  evt_1  accepted\n` +
      `refused    ${time}  stripe  timestamp-too-old\n` +
      `admitted   ${time}  stripe  charge.failed  evt_3  accepted\n` +
      `refused    ${time}  stripe  timestamp-in-future\n` +
      `2 admitted; 2 still refused${idle}\n`,
  );
});

test("what has come a second time meanwhile is a duplicate, and revives what is dead", async (t) => {
  const folder = openFolder(t);
  for (const id of ["done", "dead"]) putPush(folder, id);
  assert.match(await run(reverify, [], environment), /2 admitted/);
  folder.database.exec("UPDATE jobs SET state = iif(delivery = 1, 'done', 'dead')");
  for (const id of ["done", "dead"]) putPush(folder, id);
  assert.equal(
    await run(reverify, [], environment),
    `admitted   ${time}  default  push  done  duplicate\n` +
      `admitted   ${time}  default  push  dead  revived\n` +
      `2 admitted; 0 still refused${idle}\n`,
  );
  assert.equal(rowsOf(folder, "deliveries").length, 2);
  assert.deepEqual(rowsOf(folder, "quarantine"), []);
});

test("an authentic handshake is no delivery, and is removed", async (t) => {
  const folder = openFolder(t);
  const body = '{"type":"url_verification","challenge":"c"}';
  const second = receivedAt / 1000;
  const mac = createHmac("sha256", secret).update(`v0:${second}:${body}`).digest("hex");
  const headers = { "x-slack-request-timestamp": String(second), "x-slack-signature": `v0=${mac}` };
  putAway(folder, body, headers, { source: "slack" });
  assert.equal(
    await run(reverify, [], { WEBHOOK_SECRET_SLACK: secret }),
    `handshake  ${time}  slack  removed\n0 admitted; 0 still refused; 1 no deliveries but handshakes, removed\n`,
  );
  assert.deepEqual([rowsOf(folder, "deliveries"), rowsOf(folder, "quarantine")], [[], []]);
});

test("a source that is gone, a body that is no JSON, and a head that is none stay and stop nobody", async (t) => {
  const folder = openFolder(t);
  putAway(folder, "{}", {}, { source: "gone" });
  putPush(folder, "text", "no JSON");
  putAway(folder, "{}", { accept: "*/*" });
  folder.database.exec("UPDATE quarantine SET head = 'no head' WHERE number = 3");
  putPush(folder, "good");
  const lines = (await run(reverify, [], environment)).split("\n");
  assert.deepEqual(lines, [
    `refused    ${time}  gone  source-unknown`,
    `refused    ${time}  default  body-not-json`,
    `refused    ${time}  default  Unexpected token 'o', "no head" is not valid JSON`,
    `admitted   ${time}  default  push  good  accepted`,
    `1 admitted; 3 still refused${idle}`,
    "",
  ]);
});

test("a handler that cannot say its order lets the request stay", async (t) => {
  const folder = openFolder(t);
  putPush(folder, "good");
  const handlers = join(folder.folder, "handlers.ts");
  writeFileSync(
    handlers,
    'export const handlers = { push: { handle() {}, orderBy() { throw new Error("no\\norder"); } } };',
  );
  assert.equal(
    await run(reverify, ["--handlers", handlers], environment),
    `refused    ${time}  default  no\n0 admitted; 1 still refused\n`,
  );
  assert.equal(rowsOf(folder, "quarantine").length, 1);
});

test("what another reverify has admitted meanwhile is not admitted twice, whatever its id", async (t) => {
  const folder = openFolder(t);
  // Without an id of the sender's each admission would get a random one, and nothing else would tell them apart.
  putAway(folder, "{}", { "x-hub-signature-256": sign("{}"), "x-github-event": "push" });
  const handlers = join(folder.folder, "handlers.ts");
  writeFileSync(
    handlers,
    `import { DatabaseSync } from "node:sqlite";
     export const handlers = { push: { handle() {}, orderBy() {
       const database = new DatabaseSync(${JSON.stringify(folder.file)});
       database.exec("DELETE FROM quarantine");
       database.close();
       return "";
     } } };`,
  );
  assert.equal(await run(reverify, ["--handlers", handlers], environment), "the quarantine is empty\n");
  assert.deepEqual(rowsOf(folder, "deliveries"), []);
});

test("an id from outside can neither move the cursor nor forge a line", async (t) => {
  const folder = openFolder(t);
  const body = '{"id":"a\\n\\u001b[2J","type":"b"}';
  putAway(folder, body, stripeHeaders(body, receivedAt / 1000), { source: "stripe" });
  const [line] = (await run(reverify, [], { WEBHOOK_SECRET_STRIPE: secret })).split("\n");
  assert.equal(line, `admitted   ${time}  stripe  b  a\\u000a\\u001b[2J  accepted`);
});

test("reverify says when there is nothing", async (t) => {
  openFolder(t);
  assert.equal(await run(reverify, [], environment), "the quarantine is empty\n");
});

test("without a secret nothing is tried, and no .env is written", async (t) => {
  const folder = openFolder(t);
  putPush(folder, "good");
  await assert.rejects(run(reverify, []), {
    message: "no secret is set: there is nothing to verify with",
    exitCode: 2,
  });
  assert.equal(existsSync(".env"), false);
});

test("a secret that everybody knows admits nothing where others can reach the receiver", async (t) => {
  const folder = openFolder(t);
  putPush(folder, "good");
  await assert.rejects(run(reverify, [], { WEBHOOK_SECRET: "mysecret", WEBHOOK_HOST: "0.0.0.0" }), {
    message: "WEBHOOK_SECRET holds a secret published as an example; anybody could sign with it",
    exitCode: 2,
  });
});

test("while a receiver runs, what it refused is admitted and handled", async (t) => {
  const folder = openFolder(t);
  const program = await startProgram({
    args: ["--inbox", folder.file],
    environment: { WEBHOOK_SECRET: "a-secret-with-a-slip-of-the-pen" },
  });
  t.after(() => program.end());
  const body = '{"zen":"Keep it logically awesome."}';
  const headers = { Connection: "close", "X-GitHub-Event": "ping", "X-GitHub-Delivery": "the-id" };
  const [answer] = await exchange(program.port, rawPost(body, headers));
  assert.equal(answer?.status, 401);
  // A healthy answer to a delivery proves that the one before it is in the file: calls are in order.
  const good = {
    ...headers,
    "X-GitHub-Delivery": "other",
    "X-Hub-Signature-256": sign(body, "a-secret-with-a-slip-of-the-pen"),
  };
  assert.equal((await exchange(program.port, rawPost(body, good)))[0]?.status, 200);
  let text = "";
  await reverify(["--inbox", folder.file], environment, (more) => {
    text += more;
  });
  assert.match(
    text,
    /^admitted {3}\S+ {2}default {2}ping {2}the-id {2}accepted\n1 admitted; 0 still refused\n$/,
  );
  await program.waitFor('"message":"the sender says hello","handler":"ping","event":"ping","id":"the-id"');
});
