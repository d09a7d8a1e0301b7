/** One POST at a time, to real servers: what they get, what is made of their answer, and what ends the waiting. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer as createSecureServer } from "node:https";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { getCACertificates, setDefaultCACertificates, type TLSSocket } from "node:tls";
import { openPost, type Post, sharedPost } from "../../lib/send/post.ts";
import { AddressRefused } from "../../lib/send/safe-address.ts";
import { closedPort, listenLocally } from "../receiver.ts";
import { answers, openTargetServer, resets, stalls } from "./target-server.ts";

/** The compiler's word that `fetch` will do where a `Post` is wanted. */
const realFetch: Post = globalThis.fetch;

function open(t: TestContext, resolve?: () => Promise<{ address: string; family: number }[]>) {
  const opened = openPost({ allowPrivate: true, ...(resolve === undefined ? {} : { resolve }) });
  t.after(opened.close);
  return opened;
}

function init(more: { headers?: Record<string, string>; body?: Buffer; signal?: AbortSignal } = {}) {
  const headers = { "X-One": "1" };
  const signal = AbortSignal.timeout(20_000);
  return {
    ...({ method: "POST", redirect: "manual" } as const),
    ...{ headers, body: Buffer.from("{}"), signal, ...more },
  };
}

for (const body of [Buffer.from('{"a":"é"}'), Buffer.alloc(0), Buffer.alloc(300_000, "x")]) {
  test(`the server gets the ${body.length} bytes, their length, its own name, and the headers as written`, async (t) => {
    const server = await openTargetServer(t, answers(201, { "X-Two": "2" }, "thanks"));
    const { post } = open(t);
    const answer = await post(server.url, init({ body, headers: { "X-ONE": "1" } }));
    assert.deepEqual([answer.status, await answer.text()], [201, "thanks"]);
    assert.deepEqual(
      ["X-TWO", "x-two", "x-three", "constructor"].map((name) => answer.headers.get(name)),
      ["2", "2", null, null],
    );
    const [got] = server.received;
    assert.ok(got);
    assert.ok(got.body.equals(body));
    assert.deepEqual([got.method, got.path], ["POST", "/hook"]);
    const { host, "content-length": length } = got.headers;
    assert.deepEqual([host, length], [`127.0.0.1:${server.port}`, String(body.length)]);
    assert.ok(got.rawHeaders.includes("X-ONE"));
  });
}

test("an answer's header that is there twice is one list", async (t) => {
  const server = await openTargetServer(t, (response) => {
    response.setHeader("X-Two", ["a", "b"]);
    response.end();
  });
  const { headers } = await open(t).post(server.url, init());
  assert.equal(headers.get("x-two"), "a, b");
});

test("connections are kept and used again", async (t) => {
  const server = await openTargetServer(t);
  const { post } = open(t);
  for (let count = 0; count < 5; count += 1) await post(server.url, init());
  assert.equal(new Set(server.received.map(({ fromPort }) => fromPort)).size, 1);
});

test("those of sharedPost() are the program's, each kind its own", async (t) => {
  const server = await openTargetServer(t);
  await sharedPost(true)(server.url, init());
  await sharedPost(true)(server.url, init());
  assert.equal(new Set(server.received.map(({ fromPort }) => fromPort)).size, 1);
  await assert.rejects(sharedPost(false)(server.url, init()), AddressRefused);
  // This one through the system's resolver.
  await assert.rejects(sharedPost(false)(`http://localhost:${server.port}/hook`, init()), {
    message: /^refused to call localhost: /,
  });
  assert.equal(server.received.length, 2);
});

for (const status of [301, 302, 303, 307, 308]) {
  test(`a ${status} is an answer, and nobody goes where it points to`, async (t) => {
    const elsewhere = await openTargetServer(t);
    const server = await openTargetServer(t, answers(status, { Location: elsewhere.url }));
    const answer = await open(t).post(server.url, init());
    assert.deepEqual([answer.status, answer.headers.get("location")], [status, elsewhere.url]);
    assert.deepEqual([server.received.length, elsewhere.received.length], [1, 0]);
  });
}

test("of an answer of 64 KiB all is kept, and the connection too", async (t) => {
  const text = `${"x".repeat(65_535)}y`;
  const server = await openTargetServer(t, answers(200, {}, text));
  const { post } = open(t);
  for (let count = 0; count < 2; count += 1) {
    assert.ok((await (await post(server.url, init())).text()) === text);
  }
  assert.equal(new Set(server.received.map(({ fromPort }) => fromPort)).size, 1);
});

test("of a longer answer 64 KiB are kept, and it costs its connection", async (t) => {
  const server = await openTargetServer(t, answers(200, {}, `${"x".repeat(65_536)}y`));
  const { post } = open(t);
  for (let count = 0; count < 2; count += 1) {
    assert.ok((await (await post(server.url, init())).text()) === "x".repeat(65_536));
  }
  assert.equal(new Set(server.received.map(({ fromPort }) => fromPort)).size, 2);
});

test("an answer that goes on for ever is cut off", async (t) => {
  const ended = Promise.withResolvers<void>();
  const server = await openTargetServer(t, (response) => {
    const more = (): void => {
      while (response.write("x".repeat(10_000)));
    };
    response.on("drain", more);
    response.on("close", ended.resolve);
    more();
  });
  const answer = await open(t).post(server.url, init());
  assert.equal((await answer.text()).length, 65_536);
  await ended.promise;
});

/** A server that does with a connection what no HTTP server would. */
async function openRawServer(t: TestContext, talk: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    talk(socket);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

/** Writes a piece every few milliseconds, for ever. */
function dribble(start: string, piece: string): (socket: Socket) => void {
  return (socket) => {
    socket.write(start);
    const timer = setInterval(() => socket.write(piece), 5);
    socket.on("close", () => clearInterval(timer));
  };
}

const endless: Record<string, (t: TestContext) => Promise<string>> = {
  "no answer": async (t) => (await openTargetServer(t, stalls)).url,
  "a head that comes a letter at a time": (t) =>
    openRawServer(t, dribble("HTTP/1.1 200 OK\r\nX-Long: ", "x")),
  "one interim answer after the other": (t) =>
    openRawServer(t, dribble("", "HTTP/1.1 103 Early Hints\r\n\r\n")),
  "a body that stops": async (t) => {
    const half = await openTargetServer(t, (response) => response.write("half"));
    return half.url;
  },
  "a body that comes a letter at a time": (t) =>
    openRawServer(t, dribble("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", "x")),
};
for (const [what, start] of Object.entries(endless)) {
  test(`the signal ends the waiting for ${what}, and its reason is thrown`, async (t) => {
    const url = await start(t);
    const reason = new Error("time is up");
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(reason), 40);
    await assert.rejects(open(t).post(url, init({ signal: controller.signal })), reason);
    clearTimeout(timer);
  });
}

test("nothing is sent when the signal was aborted before", async (t) => {
  const server = await openTargetServer(t);
  const reason = new Error("never mind");
  await assert.rejects(open(t).post(server.url, init({ signal: AbortSignal.abort(reason) })), reason);
  await open(t).post(server.url, init());
  assert.equal(server.received.length, 1);
});

test("the signal ends the waiting for a name that is not resolved", async (t) => {
  const { post } = open(t, () => new Promise(() => {}));
  const controller = new AbortController();
  const reason = new Error("time is up");
  setImmediate(() => setImmediate(() => controller.abort(reason)));
  await assert.rejects(post("http://a.example/", init({ signal: controller.signal })), reason);
});

const broken: Record<string, { start: (t: TestContext) => Promise<string>; error: object }> = {
  "nobody listens": {
    start: async () => `http://127.0.0.1:${await closedPort()}/`,
    error: { code: "ECONNREFUSED" },
  },
  "the connection is reset in the middle of the answer": {
    start: async (t) => (await openTargetServer(t, resets)).url,
    error: { code: "ECONNRESET" },
  },
  "the connection ends before the answer": {
    start: (t) => openRawServer(t, (socket) => socket.once("data", () => socket.end())),
    error: { code: "ECONNRESET" },
  },
  "the answer is no HTTP": {
    start: (t) =>
      openRawServer(t, (socket) => socket.once("data", () => socket.end("220 mail.example\r\n\r\n"))),
    error: { code: "HPE_INVALID_CONSTANT" },
  },
  "the answer's head has no end": {
    start: (t) =>
      openRawServer(t, (socket) =>
        socket.once("data", () => socket.end(`HTTP/1.1 200 OK\r\nX: ${"x".repeat(99_999)}`)),
      ),
    error: { code: "HPE_HEADER_OVERFLOW" },
  },
  "the answer wants to speak another protocol": {
    start: (t) =>
      openRawServer(t, (socket) =>
        socket.once("data", () =>
          socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
        ),
      ),
    error: { message: "the connection ended without an answer" },
  },
};
for (const [what, { start, error }] of Object.entries(broken)) {
  test(`it fails when ${what}`, async (t) => {
    await assert.rejects(open(t).post(await start(t), init()), error);
  });
}

test("a header that cannot be sent is refused before anything is", async (t) => {
  const server = await openTargetServer(t);
  const { post } = open(t);
  for (const value of ["a\r\nX-Two: 2", "日"])
    await assert.rejects(post(server.url, init({ headers: { "X-One": value } })), {
      code: "ERR_INVALID_CHAR",
    });
  await assert.rejects(post(server.url, init({ headers: { "X One": "1" } })), {
    code: "ERR_INVALID_HTTP_TOKEN",
  });
  assert.equal(server.received.length, 0);
});

test("the name stays in Host while the connection goes to its address", async (t) => {
  const server = await openTargetServer(t);
  const { post } = open(t, async () => [{ address: "127.0.0.1", family: 4 }]);
  await post(`http://hooks.example:${server.port}/hook`, init());
  assert.equal(server.received[0]?.headers.host, `hooks.example:${server.port}`);
});

test("a connection is not kept for longer than 10 seconds: an address that has moved is looked up again", async (t) => {
  const server = await openTargetServer(t);
  let now = 0;
  let lookups = 0;
  const resolve = async () => {
    lookups += 1;
    return [{ address: "127.0.0.1", family: 4 }];
  };
  const { post, close } = openPost({ allowPrivate: true, resolve, now: () => now });
  t.after(close);
  const url = server.url.replace("127.0.0.1", "receiver.example");
  for (const time of [0, 4000, 9999, 10_000, 11_000, 12_000]) {
    now = time;
    const init = {
      method: "POST",
      headers: {},
      body: Buffer.from("{}"),
      redirect: "manual",
      signal: AbortSignal.timeout(5000),
    } as const;
    await (await post(url, init)).text();
    await new Promise(setImmediate);
  }
  assert.deepEqual(
    [server.received.length, new Set(server.received.map(({ fromPort }) => fromPort)).size],
    [6, 2],
  );
  assert.equal(lookups, 2);
});

test("a name is resolved once for a connection, and not again while that is kept", async (t) => {
  const server = await openTargetServer(t);
  let calls = 0;
  const { post } = open(t, async () => {
    calls += 1;
    return [{ address: "127.0.0.1", family: 4 }];
  });
  for (let count = 0; count < 3; count += 1) await post(`http://hooks.example:${server.port}/hook`, init());
  assert.deepEqual([server.received.length, calls], [3, 1]);
});

/** A server that speaks TLS as hooks.example, with a certificate that this process then trusts. */
async function openSecureServer(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), "post-tls-"));
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const subject = ["-subj", "/CN=hooks.example", "-addext", "subjectAltName=DNS:hooks.example"];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  execFileSync("openssl", ["req", "-x509", ...kind, ...subject, "-keyout", key, "-out", cert], {
    stdio: "ignore",
  });
  const pem = { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") };
  rmSync(folder, { recursive: true });
  const before = getCACertificates();
  setDefaultCACertificates([...before, pem.cert]);
  const seen: { servername: unknown; host: unknown; fromPort: unknown }[] = [];
  const server = createSecureServer(pem, (request, response) => {
    const { servername, remotePort } = request.socket as TLSSocket & { servername: unknown };
    seen.push({ servername, host: request.headers.host, fromPort: remotePort });
    request.resume().on("end", () => response.end());
  });
  server.on("tlsClientError", () => {});
  t.after(() => setDefaultCACertificates(before));
  return { port: await listenLocally(t, server), seen };
}

test("over TLS the server is asked for by its name, and its certificate has to be for that", async (t) => {
  const server = await openSecureServer(t);
  const { post } = open(t, async () => [{ address: "127.0.0.1", family: 4 }]);
  for (let count = 0; count < 2; count += 1)
    assert.equal((await post(`https://hooks.example:${server.port}/`, init())).status, 200);
  const host = `hooks.example:${server.port}`;
  assert.deepEqual(
    server.seen.map(({ servername, host }) => ({ servername, host })),
    [
      { servername: "hooks.example", host },
      { servername: "hooks.example", host },
    ],
  );
  assert.equal(server.seen[0]?.fromPort, server.seen[1]?.fromPort);
  for (const url of [`https://other.example:${server.port}/`, `https://127.0.0.1:${server.port}/`])
    await assert.rejects(post(url, init()), { code: "ERR_TLS_CERT_ALTNAME_INVALID" });
  assert.equal(server.seen.length, 2);
});

test("what is refused is never connected to", async (t) => {
  const server = await openTargetServer(t);
  const { post, close } = openPost({
    allowPrivate: false,
    resolve: async () => [
      { address: "127.0.0.1", family: 4 },
      { address: "93.184.216.34", family: 4 },
    ],
  });
  t.after(close);
  for (const host of ["127.0.0.1", "localhost", "hooks.example", "[::ffff:127.0.0.1]", "2130706433"])
    await assert.rejects(post(`http://${host}:${server.port}/hook`, init()), AddressRefused);
  await open(t).post(server.url, init());
  assert.equal(server.received.length, 1);
});

test("fetch itself can be used in its place", async (t) => {
  const server = await openTargetServer(t, answers(301, { Location: "/elsewhere", "X-Two": "2" }, "moved"));
  const answer = await realFetch(server.url, init());
  assert.deepEqual([answer.status, answer.headers.get("x-two"), await answer.text()], [301, "2", "moved"]);
  assert.equal(server.received.length, 1);
});
