/**
 * The server beyond a single request: failures of our own, and the way it stops.
 *
 * No test here waits for a time to pass. Handlers are held and released by hand; that the receiver has reached a
 * point of its stop is told by something it does there: a line in its log, or a connection it closes.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { openLog } from "../../lib/log.ts";
import type { Answer } from "../../lib/receive/answer.ts";
import type { Receive } from "../../lib/receive/exchange.ts";
import { openServer } from "../../lib/receive/server.ts";
import {
  exchange,
  openTestReceiver,
  parseAnswers,
  parseLines,
  type RawAnswer,
  rawPost,
  startProgram,
} from "../receiver.ts";

const good = rawPost('{"a":1}');
const goodLast = rawPost('{"a":1}', { Connection: "close" });

async function assertAlive(port: number): Promise<void> {
  assert.equal((await exchange(port, goodLast))[0]?.status, 200);
}

// ---- Our own failures -------------------------------------------------------------------------------------------

const internalError = {
  title: "Internal Server Error",
  status: 500,
  detail: "The receiver failed. The delivery was not accepted; send it again.",
};

function assertInternalError(answer: RawAnswer | undefined, connection: "close" | "keep-alive"): void {
  assert.equal(answer?.status, 500);
  assert.equal(answer?.headers.get("content-type"), "application/problem+json");
  assert.equal(answer?.headers.get("connection"), connection);
  assert.deepEqual(JSON.parse(answer?.body ?? ""), internalError);
}

const limits = {
  ...{ requestTimeoutSeconds: 30, keepAliveSeconds: 60, silenceSeconds: 60, drainSeconds: 0.15 },
  ...{ maxHeldBodyBytes: 1e6, maxHeldSmallBodyBytes: 1e6, minBodyBytesPerSecond: 1, minSpeedSeconds: 60 },
  ...{ maxConnections: 100, maxConnectionsOfAddress: 100 },
};

/** A server whose answers are made here. */
async function openBare(receive: Receive) {
  let text = "";
  const log = openLog("json", (more) => {
    text += more;
  });
  const server = openServer(limits, log, receive);
  const port = await server.listen(0, "127.0.0.1");
  const lines = () => {
    log.flush();
    return parseLines(text);
  };
  return { port, lines, stop: server.stop };
}

test("whatever receive() throws, and however, is answered 500, logged and survived", async (t) => {
  let fail: (() => Promise<Answer>) | undefined;
  const receive: Receive = async (arrival) => {
    await arrival.readBody(7);
    return { status: 200, headers: {}, body: "" };
  };
  const { port, lines, stop } = await openBare((arrival) => (fail ?? receive)(arrival));
  t.after(() => stop(5));

  for (const thrown of [
    new Error("a bug"),
    "text",
    undefined,
    null,
    0,
    Symbol("a"),
    new AggregateError([]),
  ]) {
    const throws = (): never => {
      throw thrown;
    };
    for (const way of [throws, () => Promise.reject(thrown)]) {
      fail = way;
      const [answer, ...more] = await exchange(port, Buffer.concat([good, good]));
      assertInternalError(answer, "close");
      assert.deepEqual(more, []);
      const line = lines().findLast(({ message }) => message === "failed");
      assert.deepEqual([line?.level, line?.reason], ["error", "internal-error"]);
      assert.equal(typeof line?.stack, "string");
      fail = undefined;
      await assertAlive(port);
    }
  }
});

test("a client that resets its connection, at whatever point, does not end the program", async (t) => {
  const program = await startProgram();
  t.after(() => program.end("SIGKILL"));
  const parts = [good.subarray(0, 40), good.subarray(0, -1)];
  const wholes = [
    Buffer.from("CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n"),
    Buffer.from("garbage\r\n\r\n"),
    Buffer.from("GET /webhook HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
    rawPost("{}", { "X-Hub-Signature-256": undefined }),
    good,
  ];
  for (const bytes of [...wholes, ...parts]) {
    const isWhole = wholes.includes(bytes);
    for (const point of ["written", "answered", "flooded"]) {
      for (let round = 0; round < 4; round += 1) {
        const socket = connect({ port: program.port, host: "127.0.0.1" });
        const closed = new Promise((resolve) => socket.on("close", resolve));
        const answered = new Promise((resolve) => socket.once("data", resolve));
        socket.on("error", () => {}); // the receiver may have been faster, or be gone: that is asserted below
        await new Promise((resolve) => socket.write(bytes, resolve));
        if (point === "flooded") socket.write(Buffer.alloc(100_000, "a"));
        if (point === "answered" && isWhole) await Promise.race([answered, closed]);
        socket.resetAndDestroy();
        await closed;
      }
    }
    assert.equal(program.child.exitCode, null, program.output());
    await assertAlive(program.port);
  }
  assert.equal(await program.end(), 0);
  assert.ok(!program.output().includes("uncaught exception"));
});

// ---- Stopping ---------------------------------------------------------------------------------------------------

/** A connection of which everything it brings is kept, and which stays open when the other side ends its own. */
function converse(port: number): { socket: Socket; closed: Promise<RawAnswer[]> } {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  socket.on("error", () => {}); // a reset: what was read before it counts
  const closed = new Promise<RawAnswer[]>((resolve) => {
    socket.on("close", () => resolve(parseAnswers(Buffer.concat(chunks))));
  });
  return { socket, closed };
}

/** A `receive` that stays where it is until it is released. */
function heldReceive() {
  const entered = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  const receive: Receive = async (arrival) => {
    await arrival.readBody(7);
    entered.resolve();
    await released.promise;
    return { status: 200, headers: {}, body: "" };
  };
  return { receive, entered: entered.promise, release: () => released.resolve() };
}

test("a delivery whose head is completed while stopping is 503 and told to come again", async () => {
  const receiver = await openTestReceiver();
  const half = converse(receiver.port);
  half.socket.write(good.subarray(0, 40));
  const silent = converse(receiver.port);
  await assertAlive(receiver.port); // by now the two connections above are known to the receiver
  const stopped = receiver.stop();
  silent.socket.on("end", () => silent.socket.end());
  await silent.closed; // it never sent a byte, so it is closed when the stop begins to refuse
  half.socket.end(good.subarray(40));
  const [answer, ...more] = await half.closed;
  assert.equal(answer?.status, 503);
  assert.equal(answer?.headers.get("content-type"), "application/problem+json");
  assert.equal(answer?.headers.get("retry-after"), "5");
  assert.equal(answer?.headers.get("connection"), "close");
  assert.deepEqual(JSON.parse(answer?.body ?? ""), {
    title: "Service Unavailable",
    status: 503,
    detail: "The receiver is shutting down. Try again shortly.",
  });
  assert.deepEqual(more, []);
  const line = receiver.lines.at(-1);
  assert.deepEqual(
    [line?.level, line?.message, line?.status, line?.reason],
    ["error", "failed", 503, "stopping"],
  );
  assert.equal(await stopped, true);
});

test("a delivery in flight is answered before the stop ends, and its connection closed", async () => {
  const held = heldReceive();
  const receiver = await openBare(held.receive);
  const answered = exchange(receiver.port, good);
  await held.entered;
  const stopped = receiver.stop(5);
  held.release();
  const [answer] = await answered;
  assert.equal(answer?.status, 200);
  assert.equal(answer?.headers.get("connection"), "close");
  assert.equal(await stopped, true);
});

test("idle kept-alive connections and connections that never sent a byte are closed at once", async () => {
  const receiver = await openTestReceiver();
  const idle = [converse(receiver.port), converse(receiver.port)];
  for (const { socket } of idle) {
    socket.write(good);
    await once(socket, "data");
  }
  const silent = [converse(receiver.port), converse(receiver.port)];
  for (const { socket } of [...idle, ...silent]) socket.on("end", () => socket.end());
  await assertAlive(receiver.port);
  assert.equal(await receiver.stop(), true);
  for (const { closed } of idle) assert.equal((await closed)[0]?.headers.get("connection"), "keep-alive");
  for (const { closed } of silent) assert.deepEqual(await closed, []);
});

test("a delivery that is never answered does not hold the stop beyond its deadline", async () => {
  const held = heldReceive();
  const receiver = await openBare(held.receive);
  const answered = exchange(receiver.port, good);
  await held.entered;
  assert.equal(await receiver.stop(0.2), false);
  assert.deepEqual(await answered, []);
});

test("clients that have their refusal and stay do not hold up the stop", async (t) => {
  const openings = {
    "a refused upload": rawPost("{}", { "X-Hub-Signature-256": undefined }).subarray(0, -1),
    garbage: Buffer.from("garbage\r\n\r\n"),
    CONNECT: Buffer.from(`CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n${"a".repeat(500_000)}`),
  };
  for (const [name, bytes] of Object.entries(openings)) {
    const receiver = await openTestReceiver();
    const { socket } = converse(receiver.port);
    t.after(() => socket.destroy());
    socket.write(bytes);
    await once(socket, "end"); // it has its answer, and does not go away
    assert.equal(await receiver.stop(1), true, name);
  }
});

test("after the stop nobody is listening", async () => {
  const receiver = await openTestReceiver();
  assert.equal(await receiver.stop(), true);
  const socket = connect({ port: receiver.port, host: "127.0.0.1" });
  await assert.rejects(once(socket, "connect"), { code: "ECONNREFUSED" });
});

// ---- Signals ----------------------------------------------------------------------------------------------------

/** Starts the program with a handler that connects here when it runs, and returns when the connection ends. */
async function startWithHeldHandler(t: TestContext) {
  const gate = createServer().listen(0, "127.0.0.1");
  await once(gate, "listening");
  const folder = mkdtempSync(join(tmpdir(), "webhook-receiver-handlers-"));
  const file = join(folder, "handlers.mjs");
  const { port } = gate.address() as AddressInfo;
  writeFileSync(
    file,
    `import { connect } from "node:net";
     const wait = () => new Promise((resolve) => connect(${port}, "127.0.0.1").on("close", resolve).resume());
     let isFailing = false;
     setInterval(() => { if (isFailing) throw new Error("nobody catches this"); }, 20).unref();
     const fail = () => { isFailing = true; };
     export const handlers = { wait, fail };`,
  );
  const entered = once(gate, "connection").then(([socket]: Socket[]) => socket as Socket);
  const program = await startProgram({ args: ["--handlers", file] });
  t.after(async () => {
    await program.end("SIGKILL");
    gate.close();
    rmSync(folder, { recursive: true });
  });
  return { program, entered };
}

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  test(`${signal} waits for the handler that runs, and exits with 0`, async (t) => {
    const { program, entered } = await startWithHeldHandler(t);
    const answered = exchange(program.port, rawPost("{}", { "X-GitHub-Event": "wait", Connection: "close" }));
    const gate = await entered;
    assert.equal((await answered)[0]?.status, 200);
    program.child.kill(signal);
    await program.waitFor('"message":"stopping"');
    gate.end();
    const [code] = await once(program.child, "close");
    assert.equal(code, 0);
    assert.deepEqual(
      parseLines(program.output())
        .slice(-2)
        .map(({ message }) => message),
      ["stopping", "stopped"],
    );
  });
}

for (const [signal, code] of [
  ["SIGTERM", 143],
  ["SIGINT", 130],
] as const) {
  test(`a second signal, ${signal}, ends the program at once with ${code}`, async (t) => {
    const { program, entered } = await startWithHeldHandler(t);
    const answered = exchange(program.port, rawPost("{}", { "X-GitHub-Event": "wait", Connection: "close" }));
    const gate = await entered;
    gate.on("error", () => {});
    program.child.kill("SIGTERM");
    await program.waitFor('"message":"stopping"');
    // The echo of the first one, as npm and tsx send it, does not count: it has to come a moment later.
    const again = setInterval(() => program.child.kill(signal), 50);
    const [ended] = await once(program.child, "close");
    clearInterval(again);
    assert.equal(ended, code);
    assert.equal((await answered)[0]?.status, 200);
    assert.ok(!program.output().includes('"message":"stopped"'));
  });
}

test("an exception that nobody catches is logged with its stack, and the program exits with 1", async (t) => {
  const { program } = await startWithHeldHandler(t);
  const closed = once(program.child, "close");
  await exchange(program.port, rawPost("{}", { "X-GitHub-Event": "fail" }));
  const [code] = await closed;
  assert.equal(code, 1);
  const line = parseLines(program.output()).find(({ message }) => message === "uncaught exception");
  assert.equal(line?.level, "error");
  assert.match(String(line?.stack), /^Error: nobody catches this\n {4}at /);
});
