/** What passes the gate: no byte behind a request that ended the parser's work, and no more requests than may wait. */
import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep, setImmediate as turn } from "node:timers/promises";
import { openLog } from "../../lib/log.ts";
import { jsonAnswer } from "../../lib/receive/answer.ts";
import type { Receive } from "../../lib/receive/exchange.ts";
import { type Limits, openServer } from "../../lib/receive/server.ts";
import { exchange, openTestReceiver, parseAnswers, rawPost, sign } from "../receiver.ts";

async function open(t: TestContext, receive: Receive, limits: Partial<Limits> = {}): Promise<number> {
  const log = openLog("json", () => {});
  const generous: Limits = {
    ...{ requestTimeoutSeconds: 30, keepAliveSeconds: 60, silenceSeconds: 60, drainSeconds: 0 },
    ...{ maxHeldBodyBytes: 1e6, maxHeldSmallBodyBytes: 1e6, minBodyBytesPerSecond: 1, minSpeedSeconds: 60 },
    ...{ maxConnections: 100, maxConnectionsOfAddress: 100 },
  };
  const server = openServer({ ...generous, ...limits }, log, receive);
  t.after(() => server.stop(0.1));
  return server.listen(0, "127.0.0.1");
}

async function connected(t: TestContext, port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1").on("error", () => {});
  t.after(() => socket.destroy());
  await once(socket, "connect");
  return socket;
}

test("what follows a CONNECT reaches no parser: Node may have given that parser to another connection", async (t) => {
  const release = Promise.withResolvers<void>();
  const waiting = Promise.withResolvers<void>();
  const port = await open(t, async (arrival) => {
    if (arrival.method === "GET") {
      waiting.resolve();
      await release.promise;
      return jsonAnswer(200, {});
    }
    return jsonAnswer(200, { body: String(await arrival.readBody(10)) });
  });
  // Four requests wait, so that the gate closes exactly behind the CONNECT, at the end of its first slice of 2,048 bytes.
  const gets = "GET /webhook HTTP/1.1\r\nHost: a\r\n\r\n".repeat(4);
  const begin = `${gets}CONNECT a:1 HTTP/1.1\r\nHost: a\r\nX: `;
  const attacker = await connected(t, port);
  attacker.resume();
  attacker.write(`${begin}${"x".repeat(2048 - begin.length - 4)}\r\n\r\nEVIL!`);
  await waiting.promise;
  const victim = await connected(t, port);
  const chunks: Buffer[] = [];
  victim.on("data", (chunk: Buffer) => chunks.push(chunk));
  const reading = Promise.withResolvers<void>();
  const onStart = (): void => reading.resolve();
  subscribe("http.server.request.start", onStart);
  victim.write("POST /webhook HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 10\r\n\r\n01234");
  await reading.promise;
  unsubscribe("http.server.request.start", onStart);
  release.resolve();
  await Promise.race([once(attacker, "close"), once(victim, "data")]);
  victim.write("56789");
  await once(victim, "close");
  const answers = parseAnswers(Buffer.concat(chunks));
  assert.deepEqual(
    answers.map(({ status, body }) => [status, JSON.parse(String(body)).body]),
    [[200, "0123456789"]],
  );
});

test("requests behind a body go through by slices too, also when the body begins at a slice's beginning", async (t) => {
  const port = await open(t, async (arrival) => {
    await arrival.readBody(30_000);
    return new Promise(() => {});
  });
  let parsed = 0;
  const count = (): void => {
    parsed += 1;
  };
  subscribe("http.server.request.start", count);
  t.after(() => unsubscribe("http.server.request.start", count));
  const begin = "POST /webhook HTTP/1.1\r\nHost: a\r\nContent-Length: 30000\r\nX: ";
  const socket = await connected(t, port);
  const head = `${begin}${"x".repeat(2048 - begin.length - 4)}\r\n\r\n`;
  socket.write(head + "x".repeat(30_000) + "GET / HTTP/1.1\r\n\r\n".repeat(1_750));
  while (parsed === 0) await turn();
  await sleep(100); // for anything more that might come
  assert.ok(parsed <= 1 + 4 + 2048 / 18, `${parsed} requests are in memory`);
});

test("a body whose answer cannot go out is not held: nobody needs it any more", async (t) => {
  const size = 60_000;
  const answer = { text: "x".repeat(8_000_000) }; // more than the kernel takes for a client that does not read
  let held = 0;
  const port = await open(
    t,
    async (arrival) => {
      await arrival.readBody(size);
      held += 1;
      return jsonAnswer(200, held === 1 ? answer : {});
    },
    { maxHeldSmallBodyBytes: 1.5 * size },
  );
  const unread = await connected(t, port);
  unread.write(rawPost(Buffer.alloc(size)));
  await once(unread, "readable"); // the answer has begun, and is read no further
  const [second] = await exchange(port, rawPost(Buffer.alloc(size), { Connection: "close" }));
  assert.equal(second?.status, 200);
});

test("with a --max-body above what the bodies may hold together, one body of that size is accepted", async (t) => {
  const maxBodyBytes = 81 * 1024 * 1024;
  const receiver = await openTestReceiver({ maxBodyBytes });
  t.after(() => receiver.stop());
  const body = Buffer.alloc(maxBodyBytes, "x");
  body.write('{"a":"');
  body.write('"}', maxBodyBytes - 2);
  const headers = { "X-Hub-Signature-256": sign(body), Connection: "close" };
  assert.equal((await exchange(receiver.port, rawPost(body, headers)))[0]?.status, 200);
});
