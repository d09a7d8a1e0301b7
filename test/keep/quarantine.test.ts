/** What was refused is there for a while, and a flood of it can neither fill the disk nor push out what was accepted. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import {
  maxQuarantineBytes,
  maxQuarantinePerSecond,
  maxQuarantineRows,
  openQuarantine,
  quarantineGate,
  type Refused,
} from "../../lib/keep/sqlite/quarantine.ts";
import { openRetention } from "../../lib/keep/sqlite/retention.ts";
import { exchange, openTestReceiver, rawPost, sign } from "../receiver.ts";
import { openHeld } from "./held.ts";

function refused(more: Partial<Refused> = {}): Refused {
  return {
    source: "default",
    receivedAt: 1,
    reason: "signature-mismatch",
    head: "{}",
    body: Buffer.from("x"),
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
    [maxQuarantineRows, maxQuarantineBytes, maxQuarantinePerSecond],
    [1000, 64 * 1024 * 1024, 20],
  );
});

test("add() keeps the head and the body, byte for byte", () => {
  const { quarantine, database } = openEmpty();
  const body = Buffer.from([0, 255, 1, 128]);
  assert.equal(quarantine.add(refused({ head: '{"method":"POST"}', body, receivedAt: 7 })), true);
  assert.equal(quarantine.add(refused({ body: Buffer.alloc(0) })), true);
  assert.deepEqual(
    database
      .prepare("SELECT * FROM quarantine")
      .all()
      .map((row) => ({ ...row })),
    [
      {
        ...refused(),
        receivedAt: undefined,
        number: 1,
        received_at: 7,
        head: '{"method":"POST"}',
        body: new Uint8Array(body),
      },
      { ...refused(), receivedAt: undefined, number: 2, received_at: 1, body: new Uint8Array() },
    ].map(({ receivedAt: _, ...row }) => row),
  );
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
  const half = Buffer.alloc(maxQuarantineBytes / 2 - 2); // with the two bytes of the head exactly a half
  quarantine.add(refused({ receivedAt: 1, body: half }));
  quarantine.add(refused({ receivedAt: 2, body: half }));
  assert.equal(count(), 2);
  quarantine.add(refused({ receivedAt: 3, head: "é", body: Buffer.alloc(0) }));
  assert.deepEqual([count(), range()], [2, { first: 2, last: 3 }]);
});

test("what is larger than the whole quarantine is not kept, and pushes nothing out", () => {
  const { quarantine, count } = openEmpty();
  quarantine.add(refused());
  assert.equal(quarantine.add(refused({ body: Buffer.alloc(maxQuarantineBytes - 1) })), false);
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
  for (let at = 1; at <= maxQuarantineRows; at += 1) quarantine.add(refused({ receivedAt: 1 }));
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

test("quarantineGate() lets so many in a second pass, and as many in the next", () => {
  const mayEnter = quarantineGate();
  const second = (milliseconds: number) =>
    Array.from({ length: maxQuarantinePerSecond + 5 }, () => mayEnter(new Date(milliseconds))).filter(Boolean)
      .length;
  assert.equal(second(1_700_000_000_000), maxQuarantinePerSecond);
  assert.equal(second(1_700_000_000_999), 0);
  assert.equal(second(1_700_000_001_000), maxQuarantinePerSecond);
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
  const forged = rawPost("{}", { "X-Hub-Signature-256": sign("else") });
  const flood = Buffer.concat(Array.from({ length: 200 }, () => forged));
  const seconds = new Set<number>();
  const { rows, deliveries } = await withReceiver(async ({ port }) => {
    const floods = Array.from({ length: 10 }, () =>
      exchange(port, flood, rawPost("{}", { "X-Hub-Signature-256": sign("else"), Connection: "close" })),
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
  for (const { received_at } of rows) seconds.add(Math.floor(Number(received_at) / 1000));
  assert.ok(rows.length >= maxQuarantinePerSecond, `${rows.length} rows`);
  assert.ok(
    rows.length <= maxQuarantinePerSecond * seconds.size,
    `${rows.length} rows in ${seconds.size} seconds`,
  );
  const expected = Array.from({ length: 50 }, (_, index) => ({
    id: `good-${index}`,
    body: `{"n":${index}}`,
  }));
  const byId = (a: { id?: unknown }, b: { id?: unknown }) => String(a.id).localeCompare(String(b.id));
  assert.deepEqual(deliveries.sort(byId), expected.sort(byId));
});
