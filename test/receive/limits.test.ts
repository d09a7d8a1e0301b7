/** The server's limits that no single request can show. */
import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { openLog } from "../../lib/log.ts";
import { jsonAnswer } from "../../lib/receive/answer.ts";
import type { Receive } from "../../lib/receive/exchange.ts";
import { type Limits, openServer } from "../../lib/receive/server.ts";
import { exchange, openTestReceiver, parseAnswers, parseLines, rawPost, secret } from "../receiver.ts";

const generous: Limits = {
  requestTimeoutSeconds: 30,
  keepAliveSeconds: 60,
  maxHeldBodyBytes: 1e9,
  maxHeldSmallBodyBytes: 1e9,
  minBodyBytesPerSecond: 1,
  minSpeedSeconds: 60,
  maxConnections: 100,
  maxConnectionsOfAddress: 100,
  silenceSeconds: 60,
  drainSeconds: 0.15,
};

async function open(limits: Partial<Limits>, receive: Receive) {
  let text = "";
  const log = openLog("json", (more) => {
    text += more;
  });
  const server = openServer({ ...generous, ...limits }, log, receive);
  const port = await server.listen(0, "127.0.0.1");
  const lines = () => {
    log.flush();
    return parseLines(text);
  };
  return { port, lines, stop: (deadlineSeconds = 5) => server.stop(deadlineSeconds) };
}

async function connected(port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  return socket;
}

const get = "GET /webhook HTTP/1.1\r\nHost: x\r\n\r\n";

async function answered(socket: Socket): Promise<void> {
  socket.write(get);
  await once(socket, "data");
}

test("with all places taken, a silent connection makes room first, then an idle one, and never one with a request", async () => {
  const release = Promise.withResolvers<void>();
  let arrivals = 0;
  const { promise: isBusy, resolve } = Promise.withResolvers<void>();
  const { port, lines, stop } = await open({ maxConnections: 3 }, async () => {
    arrivals += 1;
    if (arrivals === 2) {
      resolve();
      await release.promise;
    }
    return jsonAnswer(200, {});
  });
  const idle = await connected(port);
  await answered(idle);
  const silent = await connected(port);
  const busy = await connected(port);
  busy.write(get);
  await isBusy;
  const gone: string[] = [];
  for (const [name, socket] of Object.entries({ idle, silent, busy }))
    socket.on("close", () => gone.push(name));

  const first = await connected(port);
  await answered(first);
  assert.deepEqual(gone, ["silent"]);
  const second = await connected(port);
  await answered(second);
  assert.deepEqual(gone, ["silent", "idle"]);
  release.resolve();
  await once(busy, "data");
  for (const socket of [busy, first, second]) socket.destroy();
  await stop();
  assert.equal(
    lines().some(({ message }) => message === "connections dropped"),
    false,
  ); // its line comes each second
});

test("when every place has a request, a newcomer is closed without a byte, and one line a second says how many", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const release = Promise.withResolvers<void>();
  const arrived = Promise.withResolvers<void>();
  const { port, lines, stop } = await open({ maxConnections: 1, drainSeconds: 0 }, async () => {
    arrived.resolve();
    await release.promise;
    return jsonAnswer(200, {});
  });
  const busy = await connected(port);
  busy.write(get);
  await arrived.promise;
  for (let count = 0; count < 50; count += 1) {
    const dropped = connect(port, "127.0.0.1").on("error", () => {});
    await new Promise((resolve) => dropped.on("close", resolve));
    assert.equal(dropped.bytesRead, 0);
  }
  assert.deepEqual(lines(), []);
  t.mock.timers.tick(1000);
  const [line, ...more] = lines();
  assert.deepEqual(
    [line?.message, line?.connections, line?.why],
    ["connections dropped", 50, "already 1 connections"],
  );
  assert.deepEqual(more, []);
  release.resolve();
  await once(busy, "data");
  busy.destroy();
  t.mock.timers.reset();
  await stop();
});

test("a connection on which nothing moves any more is closed", async () => {
  const { port, stop } = await open({ silenceSeconds: 0.2 }, () => new Promise(() => {}));
  assert.deepEqual(await exchange(port, rawPost("{}")), []);
  await stop(0.1); // its answer will never come
});

test("bodies that together hold too much memory are refused with 503, and there is room again afterwards", async () => {
  const size = 100_000;
  let held = 0;
  const { promise: bothHold, resolve } = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  const { port, lines, stop } = await open({ maxHeldBodyBytes: 2.5 * size }, async (arrival) => {
    await arrival.readBody(size);
    held += 1;
    if (held === 2) resolve();
    await release.promise;
    return jsonAnswer(200, {});
  });
  const post = () => exchange(port, rawPost(Buffer.alloc(size), { Connection: "close" }));
  const first = [post(), post()];
  await bothHold;
  const [refused] = await post();
  assert.equal(refused?.status, 503);
  assert.equal(refused?.headers.get("retry-after"), "5");
  assert.equal(refused?.headers.get("connection"), "close");
  assert.equal(lines().at(-1)?.reason, "memory-exhausted");
  release.resolve();
  for (const answers of await Promise.all(first)) assert.equal(answers[0]?.status, 200);
  assert.equal((await post())[0]?.status, 200);
  await stop();
});

const unreadAnswers: [what: string, head: string, status: number][] = [
  ["a health check with a body", "GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n", 200],
  [
    "a handshake that announces an endless body",
    "POST /webhook/microsoft-graph?validationToken=x HTTP/1.1\r\nHost: a\r\nContent-Length: 9007199254740991\r\n\r\n",
    200,
  ],
  [
    "a chunked handshake",
    "GET /webhook/dropbox?challenge=x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    200,
  ],
];
for (const [what, head, status] of unreadAnswers) {
  test(`${what} gets one answer, and its connection is closed`, async () => {
    const environment = { WEBHOOK_SECRET_DROPBOX: secret, WEBHOOK_SECRET_MICROSOFT_GRAPH: secret };
    const receiver = await openTestReceiver({ environment, requestTimeoutSeconds: 0.2 });
    const socket = await connected(receiver.port);
    socket.end(head); // our side ends: the answer is all that can still come
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    await once(socket, "close");
    const answers = parseAnswers(Buffer.concat(chunks));
    assert.deepEqual(
      answers.map((answer) => [answer.status, answer.headers.get("connection")]),
      [[status, "close"]],
    );
    await receiver.stop();
  });
}

test("a body that comes one byte at a time costs what its pieces cost, not only its bytes", async () => {
  const { port, stop } = await open({ maxHeldSmallBodyBytes: 3 * 256 }, async (arrival) => {
    await arrival.readBody(5);
    return jsonAnswer(200, {});
  });
  const whole = rawPost("12345", { Connection: "close" });
  assert.equal((await exchange(port, whole))[0]?.status, 200);
  let socket: Socket | undefined;
  const onSocket = (message: unknown) => {
    socket = (message as { socket: Socket }).socket;
  };
  subscribe("net.server.socket", onSocket);
  /** Resolves once the server has read the request up to `left` bytes before its end. */
  const untilRead = (left: number) => async (): Promise<void> => {
    while ((socket?.bytesRead ?? 0) < whole.length - left) await setImmediate();
    await setImmediate();
  };
  const [head, first, second, rest] = [[0, -5], [-5, -4], [-4, -3], [-3]].map(([from, to]) =>
    whole.subarray(from, to),
  );
  assert(head && first && second && rest);
  const [answer] = await exchange(port, head, untilRead(5), first, untilRead(4), second, untilRead(3), rest);
  unsubscribe("net.server.socket", onSocket);
  assert.equal(answer?.status, 503);
  await stop();
});
