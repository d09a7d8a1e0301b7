/**
 * The body: how long it may be, what is held of it, what is left of it after a refusal, and that nothing looks
 * into it before it is authentic. What the parser makes of a Content-Length is in `wire.test.ts`.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { mock, test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { openLog } from "../../lib/log.ts";
import { readContentLength } from "../../lib/receive/body.ts";
import { type BodyLimits, openBodyBudget, smallBodyBytes } from "../../lib/receive/body-budget.ts";
import { readSettings } from "../../lib/settings/settings.ts";
import { openReceiver } from "../../webhook-receiver.ts";
import {
  exchange,
  openTestReceiver,
  parseAnswers,
  type RawAnswer,
  rawPost,
  secret,
  sign,
} from "../receiver.ts";

const limit = 1024;
const tooLarge = {
  title: "Payload Too Large",
  status: 413,
  detail: "The body is larger than this receiver accepts.",
};

/** JSON of exactly so many bytes. */
function jsonOf(bytes: number): string {
  return JSON.stringify("a".repeat(bytes - 2));
}

test("readContentLength() returns whole numbers up to the limit", () => {
  for (const [text, expected] of [
    ["0", 0],
    ["7", 7],
    ["007", 7],
    ["1024", limit],
  ] as const) {
    assert.equal(readContentLength({ "content-length": text }, limit), expected);
  }
});

test("readContentLength() refuses anything that is no whole number", () => {
  for (const text of [
    "",
    " ",
    "+7",
    "-7",
    "7.0",
    "1e3",
    "0x7",
    "7, 7",
    "7 7",
    " 7",
    "7\n",
    "Infinity",
    "٧",
  ]) {
    assert.throws(() => readContentLength({ "content-length": text }, limit), {
      code: "content-length-invalid",
      status: 400,
    });
  }
});

test("readContentLength() refuses what is above the limit, however large", () => {
  for (const text of ["1025", "9007199254740993", "9".repeat(400)]) {
    assert.throws(() => readContentLength({ "content-length": text }, limit), {
      code: "body-too-large",
      status: 413,
    });
  }
});

test("readContentLength() refuses a head without a length", () => {
  for (const headers of [{}, { "transfer-encoding": "chunked" }]) {
    assert.throws(() => readContentLength(headers, limit), { code: "content-length-missing", status: 411 });
  }
});

/** A budget, and the bodies that it has broken off. */
function budgetOf(limits: Partial<BodyLimits>) {
  const broken: [name: string, code: string][] = [];
  const budget = openBodyBudget({
    ...{
      maxHeldBodyBytes: 10_000,
      maxHeldSmallBodyBytes: 10_000,
      minBodyBytesPerSecond: 1,
      minSpeedSeconds: 60,
    },
    ...limits,
  });
  const open = (name: string, length: number) =>
    budget.open(length, ({ code }) => void broken.push([name, code]));
  return { ...budget, open, broken };
}

test("a body budget breaks off the largest body that is still arriving, and there is room again", () => {
  const { open, broken } = budgetOf({ maxHeldBodyBytes: 10_000 });
  const [whole, largest, small] = [open("whole", 1e6), open("largest", 1e6), open("small", 1e6)];
  whole.add(6000 - 256);
  whole.complete(); // it waits for its answer: nothing is taken from it
  largest.add(3000 - 256);
  small.add(1000 - 256);
  assert.deepEqual(broken, []);
  small.add(1);
  assert.deepEqual(broken, [["largest", "memory-exhausted"]]);
  largest.release();
  small.add(2000);
  assert.equal(broken.length, 1);
});

test("where nothing else is arriving, the body that is too much is broken off itself", () => {
  const { open, broken } = budgetOf({ maxHeldBodyBytes: 1000 });
  const whole = open("whole", 1e6);
  whole.add(700);
  whole.complete();
  open("own", 1e6).add(100);
  assert.deepEqual(broken, [["own", "memory-exhausted"]]);
});

test("small bodies have room of their own, whatever uploads hold", () => {
  const { open, broken } = budgetOf({ maxHeldBodyBytes: 1000, maxHeldSmallBodyBytes: 1000 });
  open("upload", smallBodyBytes + 1).add(1000 - 256);
  open("delivery", smallBodyBytes).add(1000 - 256);
  assert.deepEqual(broken, []);
  open("another", 10).add(1);
  assert.deepEqual(broken, [["delivery", "memory-exhausted"]]);
});

test("a body has to bring so many bytes a second, or the last of them", (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const { open, broken } = budgetOf({ minBodyBytesPerSecond: 100, minSpeedSeconds: 5 });
  const [slow, fast, last, done] = [
    open("slow", 1e6),
    open("fast", 1e6),
    open("last", 600),
    open("done", 1e6),
  ];
  done.add(1);
  done.complete();
  for (const held of [slow, fast, last]) held.add(10);
  t.mock.timers.tick(5000); // the first look only counts
  assert.deepEqual(broken, []);
  slow.add(499);
  fast.add(500);
  last.add(500);
  t.mock.timers.tick(5000);
  assert.deepEqual(broken, [["slow", "request-timeout"]]);
  fast.add(500);
  last.add(90);
  t.mock.timers.tick(5000);
  assert.equal(broken.length, 1);
  fast.add(500);
  t.mock.timers.tick(5000); // the last ten bytes of the third did not come
  assert.deepEqual(broken, [["slow", "request-timeout"]]);
});

test("a body of exactly the limit is accepted, one byte more is 413", async (t) => {
  const receiver = await openTestReceiver({ maxBodyBytes: limit });
  t.after(() => receiver.stop());
  const [accepted] = await exchange(receiver.port, rawPost(jsonOf(limit), { Connection: "close" }));
  assert.equal(accepted?.status, 200);
  const [refused, ...more] = await exchange(receiver.port, rawPost(jsonOf(limit + 1)));
  assert.equal(refused?.status, 413);
  assert.equal(refused?.headers.get("connection"), "close");
  assert.equal(refused?.headers.get("content-type"), "application/problem+json");
  assert.deepEqual(JSON.parse(refused?.body ?? ""), tooLarge);
  assert.deepEqual(more, []);
  assert.deepEqual(
    receiver.lines.map(({ status, reason, bytes }) => ({ status, reason, bytes })),
    [
      { status: 200, reason: undefined, bytes: limit },
      { status: 413, reason: "body-too-large", bytes: 0 },
    ],
  );
});

test("a body that comes in many pieces reaches the handler byte for byte", async (t) => {
  const body = Buffer.from(JSON.stringify({ text: "ä\u0000🙂".repeat(20_000) }));
  let received: Buffer | undefined;
  const receiver = await openTestReceiver({
    handlers: {
      "*": (event) => {
        received = event.body;
      },
    },
  });
  t.after(() => receiver.stop());
  const bytes = rawPost(body, { Connection: "close" });
  // Pieces of 4,099 bytes: they cut through characters, too.
  const pieces = Array.from({ length: Math.ceil(bytes.length / 4099) }, (_, index) =>
    bytes.subarray(index * 4099, (index + 1) * 4099),
  );
  const [answer] = await exchange(receiver.port, ...pieces.flatMap((piece) => [piece, () => nextTurn()]));
  assert.equal(answer?.status, 200);
  await receiver.allHandled();
  assert.ok(received?.equals(body));
});

/** Sends everything before it looks for an answer, as many HTTP clients do. */
async function uploadBlindly(port: number, bytes: Buffer): Promise<RawAnswer[]> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  await once(socket, "connect");
  await new Promise<void>((resolve, reject) => {
    socket.write(bytes, (error) => (error ? reject(error) : resolve()));
  });
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  socket.on("end", () => socket.end());
  await once(socket, "close");
  return parseAnswers(Buffer.concat(chunks));
}

const noLength = { "Content-Length": undefined };
const chunked = { ...noLength, "Transfer-Encoding": "chunked" };
const large = Buffer.alloc(8_000_000, "a");
const blindly: { kind: string; head: Buffer; status: number; times: number }[] = [
  { kind: "too much", head: rawPost("", { "Content-Length": "8000000" }), status: 413, times: 10 },
  { kind: "to no path", head: rawPost("", { "Content-Length": "8000000" }, "/no"), status: 404, times: 1 },
  {
    kind: "in one chunk",
    head: Buffer.concat([rawPost("", chunked), Buffer.from("7A1200\r\n")]),
    status: 411,
    times: 1,
  },
  { kind: "in broken chunks", head: rawPost("", chunked), status: 411, times: 1 },
  { kind: "of no announced length", head: rawPost("", noLength), status: 411, times: 1 },
  { kind: "of garbage", head: Buffer.from("garbage\r\n\r\n"), status: 400, times: 1 },
];
for (const { kind, head, status, times } of blindly) {
  test(`a client that uploads 8 MB ${kind} without looking still reads its ${status}`, async (t) => {
    const receiver = await openTestReceiver({ maxBodyBytes: limit });
    t.after(() => receiver.stop());
    for (let round = 0; round < times; round += 1) {
      const answers = await uploadBlindly(receiver.port, Buffer.concat([head, large]));
      assert.deepEqual(
        answers.map(({ status, headers }) => [status, headers.get("connection")]),
        [[status, "close"]],
      );
    }
    const [good] = await exchange(receiver.port, rawPost("{}", { Connection: "close" }));
    assert.equal(good?.status, 200);
  });
}

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** What is still held once everything has been let go of: sockets and buffers take some turns. What leaks stays. */
async function heldBytes(): Promise<number> {
  let least = Infinity;
  for (let turns = 0; turns < 10; turns += 1) {
    await nextTurn();
    collectGarbage();
    const { heapUsed, external } = process.memoryUsage(); // `external` has the ArrayBuffers in it
    if (heapUsed + external < least) turns = 0;
    least = Math.min(least, heapUsed + external);
  }
  return least;
}

test("nothing is held of an upload that was refused before its body", async (t) => {
  const receiver = await openTestReceiver({ maxBodyBytes: 100_000_000 });
  const piece = Buffer.alloc(1024 * 1024, "a");
  const socket = connect({ port: receiver.port, host: "127.0.0.1", allowHalfOpen: true });
  t.after(() => {
    socket.destroy();
    return receiver.stop();
  });
  socket.write(
    rawPost("", { "Content-Length": String(100 * piece.length), "X-Hub-Signature-256": "sha256=no" }),
  );
  await once(socket, "data");
  const before = await heldBytes();
  // Below the 32 MiB after which the receiver stops listening at all. The upload is still open afterwards.
  for (let count = 0; count < 24; count += 1) await new Promise((resolve) => socket.write(piece, resolve));
  const growth = (await heldBytes()) - before;
  assert.ok(growth < 4 * piece.length, `${growth} bytes are held of ${24 * piece.length}`);
  assert.equal(receiver.lines.at(-1)?.bytes, 0);
});

test("10,000 refused requests leave memory where it was", async (t) => {
  // A receiver whose log lines go nowhere: kept, they would be the leak.
  const request = readSettings(["--env-file", "/dev/null", "--port", "0", "--inbox", ":memory:"], {
    WEBHOOK_SECRET: secret,
  });
  assert.ok("settings" in request);
  const silent = openLog("json", () => {});
  const receiver = await openReceiver(request.settings, new Map(), silent);
  const port = await receiver.listen();
  t.after(() => receiver.stop(5));

  const kinds: { status: number; bytes: Buffer }[] = [
    { status: 401, bytes: rawPost("{}", { "X-Hub-Signature-256": undefined }) },
    { status: 401, bytes: rawPost("{}", { "X-Hub-Signature-256": "sha256=no" }) },
    { status: 401, bytes: rawPost("{}", { "X-Hub-Signature-256": sign("other"), Connection: "close" }) },
    { status: 411, bytes: rawPost("{}", { "Content-Length": undefined }) },
    { status: 404, bytes: rawPost("{}", {}, "/unknown") },
    { status: 413, bytes: rawPost("{}", { "Content-Length": "99999999" }) },
    { status: 400, bytes: rawPost("{}", { Host: "a b" }) },
    { status: 400, bytes: rawPost("{}", { "Content-Length": "+2" }) },
  ];
  let sent = 0;
  async function refuse(until: number): Promise<void> {
    while (sent < until) {
      const { status, bytes } = kinds[sent % kinds.length] as (typeof kinds)[number];
      sent += 1;
      const [answer] = await exchange(port, bytes);
      assert.equal(answer?.status, status);
    }
  }
  const refuseUntil = (until: number) => Promise.all(Array.from({ length: 16 }, () => refuse(until)));

  await refuseUntil(4000); // until everything is compiled, and every pool has its size
  const before = await heldBytes();
  await refuseUntil(14_000);
  const bound = 512 * 1024; // 52 bytes for each request; some 60 KB in all are usual
  const growth = (await heldBytes()) - before;
  assert.ok(growth < bound, `${growth} bytes more than before`);
});

test("nothing of a body is parsed before its signature has been checked", async (t) => {
  const receiver = await openTestReceiver();
  t.after(() => receiver.stop());
  const refused = [
    rawPost('{"action":1}', { "X-Hub-Signature-256": undefined }),
    rawPost('{"action":1}', { "X-Hub-Signature-256": "sha256=no" }),
    rawPost('{"action":1}', { "X-Hub-Signature-256": sign("other"), Connection: "close" }),
    rawPost("{not json", { "X-Hub-Signature-256": sign("other"), Connection: "close" }),
    rawPost("payload=%7B%7D", {
      "X-Hub-Signature-256": sign("other"),
      "Content-Type": "application/x-www-form-urlencoded",
      Connection: "close",
    }),
  ];
  const parse = mock.method(JSON, "parse");
  const statuses: number[] = [];
  for (const bytes of refused) statuses.push((await exchange(receiver.port, bytes))[0]?.status ?? 0);
  const callsForRefused = parse.mock.callCount();
  await exchange(receiver.port, rawPost('{"action":1}', { "X-GitHub-Event": "push", Connection: "close" }));
  const callsForAccepted = parse.mock.callCount() - callsForRefused;
  parse.mock.restore();
  assert.deepEqual(statuses, [401, 401, 401, 401, 401]);
  assert.equal(callsForRefused, 0);
  assert.equal(callsForAccepted, 1);
});

test("a body that its sender gives up is 400 in the log, and the receiver goes on", async (t) => {
  const receiver = await openTestReceiver();
  t.after(() => receiver.stop());
  const socket: Socket = connect({ port: receiver.port, host: "127.0.0.1" });
  await once(socket, "connect");
  await new Promise((resolve) => socket.write(rawPost(jsonOf(1000)).subarray(0, -1), resolve));
  await exchange(receiver.port, rawPost("{}", { Connection: "close" })); // the body above has been read by now
  socket.resetAndDestroy();
  while (receiver.lines.length < 2) await nextTurn();
  const [, line] = receiver.lines;
  assert.deepEqual([line?.status, line?.reason, line?.bytes], [400, "body-incomplete", 999]);
  assert.equal((await exchange(receiver.port, rawPost("{}", { Connection: "close" })))[0]?.status, 200);
});
