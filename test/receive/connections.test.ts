/** Who has a place, and how many requests of one connection are taken out of the kernel. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep, setImmediate as turn } from "node:timers/promises";
import { openLog } from "../../lib/log.ts";
import { jsonAnswer } from "../../lib/receive/answer.ts";
import { type Connection, openConnections, shareOf } from "../../lib/receive/connections.ts";
import { openServer } from "../../lib/receive/server.ts";
import { exchange, openTestReceiver } from "../receiver.ts";

for (const address of [
  ...[
    "127.0.0.1",
    "127.8.8.8",
    "10.1.2.3",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.0.1",
    "100.64.0.1",
  ],
  ...["::1", "fe80::1%eth0", "fd00::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1"],
]) {
  test(`${address} is close by: a proxy may stand there, and it has no share of its own`, () => {
    assert.equal(shareOf(address), undefined);
  });
}

for (const [address, share] of [
  ["203.0.113.9", "203.0.113.9"],
  ["::ffff:203.0.113.9", "203.0.113.9"],
  ["172.32.0.1", "172.32.0.1"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
  ["2001:db8::5", "2001:db8:0:0::/64"],
  ["2001:db8:1:2::", "2001:db8:1:2::/64"],
] as const) {
  test(`${address} takes from the share of ${share}`, () => {
    assert.equal(shareOf(address), share);
  });
}

/** Real sockets, each from an address that the test gives it. */
async function openPlaces(
  t: TestContext,
  addresses: string[],
  places: { maxConnections: number; maxConnectionsOfAddress: number },
) {
  const log = openLog("json", () => {});
  const connections = openConnections(places, log, () => addresses.shift());
  const taken: (Connection | undefined)[] = [];
  const server = createServer((socket) => taken.push(connections.add(socket)));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const sockets: Socket[] = [];
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address() as { port: number };
  const open = async (): Promise<Socket> => {
    const count = taken.length;
    const socket = connect(port, "127.0.0.1").on("error", () => {});
    sockets.push(socket);
    await once(socket, "connect");
    while (taken.length === count) await turn();
    return socket;
  };
  return { open, taken, connections };
}

test("a public address that has its share makes room among its own connections only", async (t) => {
  const [many, other] = ["203.0.113.9", "198.51.100.1"];
  const { open, taken, connections } = await openPlaces(t, [other, many, many, many], {
    maxConnections: 10,
    maxConnectionsOfAddress: 2,
  });
  const stranger = await open();
  const first = await open();
  await open();
  const closed = once(first, "close");
  await open();
  await closed;
  assert.equal(stranger.destroyed, false);
  assert.deepEqual(
    taken.map((connection) => connection !== undefined),
    [true, true, true, true],
  );
  assert.equal([...connections.sockets()].length, 3);
});

test("a public address whose share has requests only gets no more places, and others do", async (t) => {
  const [many, other] = ["203.0.113.9", "198.51.100.1"];
  const { open, taken, connections } = await openPlaces(t, [many, many, other], {
    maxConnections: 10,
    maxConnectionsOfAddress: 1,
  });
  await open();
  const [busy] = taken;
  assert(busy !== undefined);
  connections.isBusy(busy, true);
  await open();
  await open();
  assert.deepEqual(
    taken.map((connection) => connection !== undefined),
    [true, false, true],
  );
});

const health = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";

test("10,000 requests sent without waiting are all answered", async (t) => {
  const receiver = await openTestReceiver();
  t.after(() => receiver.stop());
  const last = health.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
  const answers = await exchange(receiver.port, Buffer.from(health.repeat(9_999) + last));
  assert.equal(answers.length, 10_000);
  assert.ok(answers.every(({ status }) => status === 200));
});

test("an upload has a read or two in each turn of the loop, however fast it comes", async (t) => {
  const receiver = await openTestReceiver({ maxBodyBytes: 8_000_000 });
  t.after(() => receiver.stop());
  let server: Socket | undefined;
  const onSocket = (message: unknown) => {
    server ??= (message as { socket: Socket }).socket;
  };
  subscribe("net.server.socket", onSocket);
  t.after(() => unsubscribe("net.server.socket", onSocket));
  // Another process, so that the kernel's buffers are full whenever this one has a turn.
  const program = `
    const socket = require("node:net").connect(${receiver.port}, "127.0.0.1");
    const fields = "X-Hub-Signature-256: sha256=${"0".repeat(64)}\\r\\nContent-Length: 8000000";
    socket.write("POST /webhook HTTP/1.1\\r\\nHost: a\\r\\n" + fields + "\\r\\nConnection: close\\r\\n\\r\\n");
    socket.write(Buffer.alloc(8000000));
    socket.on("data", (answer) => process.stdout.write(answer.subarray(9, 12)));`;
  const upload = spawn(process.execPath, ["-e", program]);
  const answered = once(upload.stdout, "data");
  let [most, before, isOver] = [0, 0, false];
  void answered.then(() => {
    isOver = true;
  });
  for (; !isOver; await turn()) {
    const read = server?.bytesRead ?? 0;
    most = Math.max(most, read - before);
    before = read;
    for (const until = performance.now() + 2; performance.now() < until; ); // others have work to do, and bytes gather
  }
  assert.equal(String(await answered), "401");
  assert.ok(before > 8_000_000, `${before} bytes were read`);
  assert.ok(most <= 4 * 65_536, `${most} bytes in one turn`);
});

test("of 300,000 requests behind one without an answer, a slice is taken and the rest stays in the kernel", async (t) => {
  const release = Promise.withResolvers<void>();
  const log = openLog("json", () => {});
  const limits = {
    ...{ requestTimeoutSeconds: 30, keepAliveSeconds: 60, silenceSeconds: 60, drainSeconds: 0 },
    ...{ maxHeldBodyBytes: 1e6, maxHeldSmallBodyBytes: 1e6, minBodyBytesPerSecond: 1, minSpeedSeconds: 60 },
    ...{ maxConnections: 100, maxConnectionsOfAddress: 100 },
  };
  const server = openServer(limits, log, async () => {
    await release.promise;
    return jsonAnswer(200, {});
  });
  const port = await server.listen(0, "127.0.0.1");
  let parsed = 0;
  const count = () => {
    parsed += 1;
  };
  subscribe("http.server.request.start", count);
  t.after(() => unsubscribe("http.server.request.start", count));
  const socket = connect(port, "127.0.0.1").on("error", () => {});
  const bytes = Buffer.from(health.replace("/healthz", "/webhook").repeat(300_000));
  socket.write(bytes);
  // Until the kernel takes no more of it: both sides' buffers are full.
  for (let before = -1; before !== socket.bytesWritten - socket.writableLength; await sleep(50))
    before = socket.bytesWritten - socket.writableLength;
  assert.ok(
    socket.writableLength > 1_000_000,
    `${socket.writableLength} of ${bytes.length} bytes are still here`,
  );
  assert.ok(parsed >= 1 && parsed <= 1 + Math.ceil(4096 / 34), `${parsed} requests are in memory`);
  socket.destroy();
  release.resolve();
  await server.stop(5);
});
