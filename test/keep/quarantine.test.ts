/** What was refused is there for a while, and a flood of it can neither fill the disk nor push out what was accepted. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import {
  maxLogBytes,
  maxQuarantineBytes,
  maxQuarantineBytesPerSecond,
  maxQuarantinedBodyBytes,
  maxQuarantinePerSecond,
  maxQuarantineRows,
  openQuarantine,
  quarantineGate,
  type Refused,
} from "../../lib/keep/sqlite/quarantine.ts";
import { openRetention } from "../../lib/keep/sqlite/retention.ts";
import { exchange, openTestReceiver, rawPost, sign } from "../receiver.ts";
import { openHeld } from "./held.ts";

let count = 0;

/** Another request each time, unless its body is said. */
function refused(more: Partial<Refused> = {}): Refused {
  count += 1;
  return {
    source: "default",
    receivedAt: 1,
    reason: "signature-mismatch",
    head: "{}",
    body: Buffer.from(`x${count}`),
    ...more,
  };
}

function openEmpty() {
  const database = openHeld();
  const one = (sql: string) => ({ ...database.prepare(sql).get() });
  return {
    database,
    quarantine: openQuarantine(database),
    count: () => one("SELECT count(*) AS count FROM quarantine").count,
    range: () => one("SELECT min(received_at) AS first, max(received_at) AS last FROM quarantine"),
  };
}

/** A receiver on a file, and what is in the file's quarantine once it has stopped. */
async function withReceiver(
  work: (receiver: Awaited<ReturnType<typeof openTestReceiver>>) => Promise<void>,
  environment?: Record<string, string>,
) {
  const folder = mkdtempSync(join(tmpdir(), "quarantine-"));
  const inboxFile = join(folder, "inbox.db");
  const receiver = await openTestReceiver({
    inboxFile,
    ...(environment === undefined ? {} : { environment }),
  });
  await work(receiver);
  await receiver.stop();
  const database = new DatabaseSync(inboxFile);
  const read = (sql: string) =>
    database
      .prepare(sql)
      .all()
      .map((row) => ({ ...row }));
  const rows = read("SELECT * FROM quarantine ORDER BY number");
  const deliveries = read("SELECT id, CAST(body AS TEXT) AS body FROM deliveries ORDER BY number");
  database.close();
  rmSync(folder, { recursive: true });
  return { rows, deliveries };
}

test("the bounds are what the documentation says", () => {
  assert.deepEqual(
    [maxQuarantineRows, maxQuarantineBytes, maxQuarantinePerSecond, maxQuarantinedBodyBytes],
    [1000, 64 * 1024 * 1024, 20, 1024 * 1024],
  );
});

test("add() keeps the head and the body, byte for byte", () => {
  const { quarantine, database } = openEmpty();
  const body = Buffer.from([0, 255, 1, 128]);
  assert.equal(quarantine.add(refused({ head: '{"method":"POST"}', body, receivedAt: 7 })), true);
  assert.equal(quarantine.add(refused({ body: Buffer.alloc(0) })), true);
  const rows = database.prepare("SELECT source, received_at, reason, head, body FROM quarantine").all();
  assert.deepEqual(
    rows.map((row) => ({ ...row })),
    [
      {
        source: "default",
        received_at: 7,
        reason: "signature-mismatch",
        head: '{"method":"POST"}',
        body: new Uint8Array(body),
      },
      { source: "default", received_at: 1, reason: "signature-mismatch", head: "{}", body: new Uint8Array() },
    ],
  );
});

test("the same request again is no new row; with another head, body or source it is", () => {
  const { quarantine, count } = openEmpty();
  const one = refused({ body: Buffer.from("same") });
  assert.equal(quarantine.add(one), true);
  assert.equal(quarantine.add({ ...one, receivedAt: 2 }), false);
  assert.equal(quarantine.add({ ...one, head: '{"a":1}' }), true);
  assert.equal(quarantine.add({ ...one, body: Buffer.from("other") }), true);
  assert.equal(quarantine.add({ ...one, source: "shopify" }), true);
  assert.equal(count(), 4);
});

test("a flood of one source pushes out its own rows, and none of another's", () => {
  const { quarantine, database } = openEmpty();
  const countOf = (source: string) =>
    database.prepare("SELECT count(*) AS count FROM quarantine WHERE source = ?").get(source)?.count;
  for (let at = 0; at < 300; at += 1) quarantine.add(refused({ source: "shopify" }));
  for (let at = 0; at < 3 * maxQuarantineRows; at += 1) quarantine.add(refused());
  assert.deepEqual([countOf("shopify"), countOf("default")], [300, maxQuarantineRows - 300]);
  // Two that flood share it.
  for (let at = 0; at < 3 * maxQuarantineRows; at += 1) quarantine.add(refused({ source: "stripe" }));
  assert.deepEqual([countOf("shopify"), countOf("stripe")], [300, 350]);
});

test("while the write-ahead log is large nothing is kept, and afterwards it is", () => {
  const database = openHeld();
  let logBytes = maxLogBytes + 1;
  const quarantine = openQuarantine(database, () => logBytes);
  assert.equal(quarantine.add(refused()), false);
  logBytes = maxLogBytes;
  assert.equal(quarantine.add(refused()), true);
});

test("of more than so many rows the oldest go", () => {
  const { quarantine, count, range } = openEmpty();
  for (let at = 1; at <= maxQuarantineRows; at += 1) quarantine.add(refused({ receivedAt: at }));
  assert.deepEqual([count(), range()], [maxQuarantineRows, { first: 1, last: maxQuarantineRows }]);
  for (let at = 1; at <= 3; at += 1) quarantine.add(refused({ receivedAt: maxQuarantineRows + at }));
  assert.deepEqual([count(), range()], [maxQuarantineRows, { first: 4, last: maxQuarantineRows + 3 }]);
});

test("of more than so many bytes the oldest go, and heads count too", () => {
  const { quarantine, count, range } = openEmpty();
  const parts = maxQuarantineBytes / maxQuarantinedBodyBytes;
  for (let at = 1; at <= parts; at += 1) {
    const body = Buffer.alloc(maxQuarantinedBodyBytes - 2); // with the two bytes of the head exactly a part
    body.writeUInt32BE(at);
    quarantine.add(refused({ receivedAt: at, body }));
  }
  assert.equal(count(), parts);
  quarantine.add(refused({ receivedAt: 100, head: "é", body: Buffer.alloc(0) }));
  assert.deepEqual([count(), range()], [parts, { first: 2, last: 100 }]);
});

test("a large body is not kept at all, and pushes nothing out", () => {
  const { quarantine, count } = openEmpty();
  assert.equal(quarantine.add(refused({ body: Buffer.alloc(maxQuarantinedBodyBytes) })), true);
  assert.equal(quarantine.add(refused({ body: Buffer.alloc(maxQuarantinedBodyBytes + 1) })), false);
  assert.equal(count(), 1);
});

test("the bounds hold after a restart", () => {
  const { database, quarantine, count, range } = openEmpty();
  for (let at = 1; at <= maxQuarantineRows; at += 1) quarantine.add(refused({ receivedAt: at }));
  openQuarantine(database).add(refused({ receivedAt: maxQuarantineRows + 1 }));
  assert.deepEqual([count(), range().first], [maxQuarantineRows, 2]);
});

test("the bounds hold when two receivers fill one quarantine", () => {
  const { database, quarantine, count } = openEmpty();
  const other = openQuarantine(database);
  for (let at = 1; at <= maxQuarantineRows; at += 1) {
    quarantine.add(refused());
    other.add(refused());
  }
  assert.equal(count(), maxQuarantineRows);
});

test("a quarantine that retention has emptied fills again", () => {
  const { database, quarantine, count } = openEmpty();
  for (let at = 1; at <= maxQuarantineRows; at += 1) quarantine.add(refused());
  const retention = openRetention(database);
  while (retention.removeBefore(2) > 0);
  assert.equal(count(), 0);
  quarantine.add(refused({ receivedAt: 3 }));
  quarantine.add(refused({ receivedAt: 4 }));
  assert.equal(count(), 2);
});

test("a quarantine whose rows were rolled back on a full disk fills again", () => {
  const { database, quarantine, count } = openEmpty();
  for (let at = 1; at <= maxQuarantineRows; at += 1) {
    database.exec("BEGIN");
    quarantine.add(refused());
    database.exec("ROLLBACK");
  }
  quarantine.add(refused());
  assert.equal(count(), 1);
});

test("quarantineGate() lets so many of each source in a second pass, and as many in the next", () => {
  const mayEnter = quarantineGate();
  const second = (source: string, milliseconds: number) =>
    Array.from({ length: maxQuarantinePerSecond + 5 }, () => mayEnter(source, 1, milliseconds)).filter(
      Boolean,
    ).length;
  assert.equal(second("default", 1_700_000_000_000), maxQuarantinePerSecond);
  assert.equal(second("default", 1_700_000_000_999), 0);
  assert.equal(second("shopify", 1_700_000_000_999), maxQuarantinePerSecond);
  assert.equal(second("default", 1_700_000_001_000), maxQuarantinePerSecond);
  assert.equal(second("default", 1_700_000_000_999), 0, "a time that goes back begins no new second");
  assert.equal(second("default", 1_700_000_001_001), 0);
});

test("quarantineGate() lets so many bytes of a source in a second pass", () => {
  const mayEnter = quarantineGate();
  const at = 1_700_000_000_000;
  assert.equal(mayEnter("default", maxQuarantineBytesPerSecond - 1, at), true);
  assert.equal(mayEnter("default", 2, at), false);
  assert.equal(mayEnter("default", 1, at), true);
  assert.equal(mayEnter("shopify", maxQuarantineBytesPerSecond, at), true);
});

test("a request with a bad signature, one that is not JSON and one of the wrong shape are kept whole", async () => {
  const broken = Buffer.from([0x7b, 0xff, 0x00]);
  const shapeless = '{"id":"m1"}';
  const { rows, deliveries } = await withReceiver(
    async ({ port }) => {
      const close = { Connection: "close" };
      const forged = rawPost(
        "{}",
        { "X-Hub-Signature-256": sign("else"), "X-Custom": "caf\u00e9", ...close },
        "/webhook?x=1",
      );
      assert.equal((await exchange(port, forged))[0]?.status, 401);
      assert.equal((await exchange(port, rawPost(broken, close)))[0]?.status, 400);
      assert.equal((await exchange(port, rawPost("", close)))[0]?.status, 400);
      const token = {
        Authorization: `Bearer ${sign(shapeless, "m").slice(7)}`,
        "X-Hub-Signature-256": undefined,
      };
      assert.equal(
        (await exchange(port, rawPost(shapeless, { ...token, ...close }, "/webhook/messaging")))[0]?.status,
        422,
      );
    },
    { WEBHOOK_SECRET: "a-secret-that-only-the-tests-know", WEBHOOK_SECRET_MESSAGING: "m" },
  );
  assert.deepEqual(
    rows.map(({ source, reason, body }) => [source, reason, Buffer.from(body as Uint8Array)]),
    [
      ["default", "signature-mismatch", Buffer.from("{}")],
      ["default", "body-not-json", broken],
      ["default", "body-not-json", Buffer.alloc(0)],
      ["messaging", "shape-invalid", Buffer.from(shapeless)],
    ],
  );
  const head = JSON.parse(String(rows[0]?.head));
  assert.deepEqual([head.method, head.target], ["POST", "/webhook?x=1"]);
  assert.equal(head.headers["x-hub-signature-256"], sign("else"));
  assert.equal(head.headers["x-custom"], "caf\u00e9");
  assert.equal(head.rawHeaders[head.rawHeaders.indexOf("X-Custom") + 1], "caf\u00e9");
  assert.deepEqual(deliveries, []);
});

test("what was refused before its body was read is not kept", async () => {
  const { rows } = await withReceiver(async ({ port }) => {
    const close = { Connection: "close" };
    assert.equal(
      (await exchange(port, rawPost("{}", { "X-Hub-Signature-256": undefined, ...close })))[0]?.status,
      401,
    );
    assert.equal(
      (await exchange(port, rawPost("{}", { "Content-Length": undefined, ...close })))[0]?.status,
      411,
    );
    assert.equal((await exchange(port, rawPost("{}", close, "/elsewhere")))[0]?.status, 404);
  });
  assert.deepEqual(rows, []);
});

test("a flood of forged requests is bounded, and every good delivery in it is accepted and kept", async () => {
  const forged = (name: string) => rawPost(`{"forged":"${name}"}`, { "X-Hub-Signature-256": sign("else") });
  const floodOf = (index: number) =>
    Buffer.concat(Array.from({ length: 200 }, (_, at) => forged(`${index}-${at}`)));
  const begunAt = performance.now();
  const { rows, deliveries } = await withReceiver(async ({ port }) => {
    const floods = Array.from({ length: 10 }, (_, index) =>
      exchange(
        port,
        floodOf(index),
        rawPost("{}", { "X-Hub-Signature-256": sign("else"), Connection: "close" }),
      ),
    );
    const goods = Array.from({ length: 50 }, (_, index) =>
      exchange(
        port,
        rawPost(`{"n":${index}}`, { "X-GitHub-Delivery": `good-${index}`, Connection: "close" }),
      ),
    );
    const statuses = (answers: { status: number }[][]) => new Set(answers.flat().map(({ status }) => status));
    assert.deepEqual([...statuses(await Promise.all(goods))], [200]);
    assert.deepEqual([...statuses(await Promise.all(floods))], [401]);
  });
  const seconds = Math.floor(performance.now() / 1000) - Math.floor(begunAt / 1000) + 1;
  assert.ok(rows.length >= maxQuarantinePerSecond, `${rows.length} rows`);
  assert.ok(rows.length <= maxQuarantinePerSecond * seconds, `${rows.length} rows in ${seconds} seconds`);
  const expected = Array.from({ length: 50 }, (_, index) => ({
    id: `good-${index}`,
    body: `{"n":${index}}`,
  }));
  const byId = (a: { id?: unknown }, b: { id?: unknown }) => String(a.id).localeCompare(String(b.id));
  assert.deepEqual(deliveries.sort(byId), expected.sort(byId));
});
