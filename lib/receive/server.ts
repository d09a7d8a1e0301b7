/**
 * The one node:http server: time limits, routes, answers, the one catch, and the way to stop.
 *
 * It knows HTTP and nothing about webhooks: what a request means is decided by `receive`, which gets an
 * `Arrival` and returns an `Answer` or throws. What Node's parser answers by itself, and what it leaves to us,
 * is shown by `test/receive/wire.test.ts`. Rules followed: RFC 9110 (semantics), RFC 9112 (messages).
 */
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { setTimeout } from "node:timers/promises";
import { openGathering } from "../batch.ts";
import { type Fields, type Log, stackOf } from "../log.ts";
import { Refusal } from "../refusal.ts";
import { type Answer, jsonAnswer, rawAnswer, refusalAnswer } from "./answer.ts";
import { type BodyReading, openBodyBudget, readBody } from "./body.ts";
import { checkHead, declaresBody, type Expectation, parserRefusal, pathOf, targetOf } from "./head.ts";
import { closeAfterAnswer, halfClose, lingerAfterAnswer } from "./linger.ts";
import { listenOn } from "./listen.ts";

/** One request whose head has arrived. */
export type Arrival = {
  readonly method: string;
  readonly path: string;
  /** The request target as it came: path and query. */
  readonly target: string;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  /** Reads exactly `length` bytes of body; throws a Refusal when that is not possible. */
  readBody(length: number): Promise<Buffer>;
  /** What becomes known about this request on its way: the fields of its one log line. */
  readonly trail: Trail;
};

export type Trail = { source?: string; event?: string; id?: string; outcome?: string; signedWith?: string };

export type Receive = (arrival: Arrival) => Promise<Answer>;

export type Limits = {
  /** From a request's first byte to the last byte of its body. */
  readonly requestTimeoutSeconds: number;
  /** All bodies together. */
  readonly maxHeldBodyBytes: number;
  readonly maxConnections: number;
  /** No byte in either direction for so long, and the connection goes: a client that never reads its answer, say. */
  readonly silenceSeconds: number;
};

export type Server = {
  /** Resolves to the port, which is the free one that was found when 0 was asked for. */
  listen(port: number, host: string): Promise<number>;
  /**
   * Finishes what is in flight and closes the rest.
   * @returns true when everything was answered within `deadlineSeconds`
   */
  stop(deadlineSeconds: number): Promise<boolean>;
};

const healthPath = "/healthz";
/** What a piece of a body costs besides its bytes: a body that comes one byte at a time is many pieces. */
const chunkOverheadBytes = 256;
const maxHeaderBytes = 16 * 1024;
/** Longer than the 60 s after which proxies let go of an idle connection: the proxy must be the one to close. */
const keepAliveSeconds = 65;
/** A body that is there waits at most this long for others, and so does an answer. */
const maxGatherMilliseconds = 2;
/** Connections that the kernel had accepted when the stop came still bring their request in this time. */
const stopGraceMilliseconds = 150;

/** What is known about a connection beside what Node knows. */
type Connection = {
  /** Its latest request: settled once that one is answered or its socket is gone. */
  latest?: Promise<void> | undefined;
  /** While the body of a request is on its way: how to end that. */
  reading?: BodyReading | undefined;
  /** What Node's parser had to say when it gave up. */
  broken?: Refusal;
};

/**
 * @param receive answers whatever comes to `/webhook…`; whatever it throws is answered, logged and survived
 */
export function openServer(limits: Limits, log: Log, receive: Receive): Server {
  const budget = openBodyBudget(limits.maxHeldBodyBytes);
  const together = openGathering<() => void>({ maxWaitMilliseconds: maxGatherMilliseconds }, (steps) => {
    for (const step of steps) step();
  });
  const connections = new Map<Socket, Connection>();
  /** Every exchange that is under way, also those whose client has gone. */
  const unfinished = new Set<Promise<void>>();
  let state: "running" | "draining" | "stopping" = "running";

  const requestTimeout = limits.requestTimeoutSeconds * 1000;
  const server = createServer({
    requestTimeout,
    headersTimeout: Math.min(requestTimeout, 20_000),
    // Node looks for late requests only this often; its default makes every 408 up to 30 s late.
    connectionsCheckingInterval: Math.min(1000, requestTimeout / 2),
    keepAliveTimeout: keepAliveSeconds * 1000,
    maxHeaderSize: maxHeaderBytes,
    noDelay: true,
    // Said here, so that NODE_OPTIONS cannot switch the lenient parser on.
    insecureHTTPParser: false,
    // A missing Host is answered below, with a problem document.
    requireHostHeader: false,
  });
  server.timeout = limits.silenceSeconds * 1000;
  server.maxConnections = limits.maxConnections;
  server.maxHeadersCount = 0; // counted below: what Node does beyond its own limit depends on its version
  // A client may close its sending side right after its request (`nc` does). Without this property, which Node
  // has had from its beginning but does not document, it would never see its answer.
  Object.assign(server, { httpAllowHalfOpen: true });

  server.on("connection", (socket) => {
    together.stir();
    connections.set(socket, {});
    closeAfterAnswer(socket);
    // Node takes its own listener away when its parser gives up, and for a CONNECT: a reset must not end the program.
    socket.on("error", () => {});
    socket.on("close", () => connections.delete(socket));
  });
  server.on("drop", () =>
    log.warn("connection dropped", { why: `already ${limits.maxConnections} connections` }),
  );
  server.on("request", (request, response) => begin(request, response, "none"));
  // Listened to so that a refused request is answered without inviting its body by a 100 (RFC 9110 §10.1.1).
  server.on("checkContinue", (request, response) => begin(request, response, "100-continue"));
  server.on("checkExpectation", (request, response) => begin(request, response, "unknown"));
  server.on("clientError", (error, socket) => void refuseUnparsed(socket as Socket, parserRefusal(error)));
  // Node closes the socket of a CONNECT without a word unless somebody listens.
  server.on("connect", (_, socket) => {
    const refusal = new Refusal("method-not-allowed", "CONNECT", { allow: "POST" });
    void refuseUnparsed(socket as Socket, refusal);
  });

  /** Requests of one connection are answered one after the other, also when they were sent without waiting. */
  function begin(request: IncomingMessage, response: ServerResponse, expectation: Expectation): void {
    together.stir();
    const connection = connections.get(request.socket) ?? {};
    const start = () => exchange(connection, request, response, expectation);
    const done = connection.latest === undefined ? start() : connection.latest.then(start);
    connection.latest = done;
    unfinished.add(done);
    void done.then(() => {
      unfinished.delete(done);
      if (connection.latest === done) connection.latest = undefined;
    });
  }

  /** One request and its answer. It never rejects. */
  async function exchange(
    connection: Connection,
    request: IncomingMessage,
    response: ServerResponse,
    expectation: Expectation,
  ) {
    const { socket } = request;
    const { remoteAddress } = socket;
    // Behind an answer with `Connection: close` nothing is processed any more (RFC 9112 §9.6).
    if (socket.destroyed || socket.writableEnded) return;
    const startedAt = performance.now();
    const closed = new Promise<void>((resolve) => response.on("close", resolve));
    response.on("error", () => {}); // the socket broke; "close" follows
    let bodyBytes = 0;
    let heldBytes = 0;
    let isBodyRead = false;

    async function readBodyOf(length: number): Promise<Buffer> {
      if (expectation === "100-continue") response.writeContinue();
      const hold = (bytes: number): boolean => {
        together.stir();
        bodyBytes += bytes;
        heldBytes += bytes + chunkOverheadBytes;
        return budget.hold(bytes + chunkOverheadBytes);
      };
      const reading = readBody(request, length, hold);
      connection.reading = reading;
      // The parser may have given up on this body while an earlier request was still being answered.
      const { broken } = connection;
      if (broken !== undefined && !reading.isComplete()) reading.breakOff(broken);
      const body = await reading.done;
      isBodyRead = true;
      await new Promise<void>(together.add); // those whose bodies came together go on together
      return body;
    }

    const { method = "", url: target = "", headers, rawHeaders } = request;
    const path = pathOf(target);
    const trail: Trail & { reason?: string; why?: string; stack?: string } = {};
    const arrival = {
      method,
      path,
      target: targetOf(target),
      headers,
      rawHeaders,
      readBody: readBodyOf,
      trail,
    };
    let answer: Answer;
    // Node's parser stops behind a request that asks for an upgrade, though it is served as an ordinary one.
    let isLast = headers.upgrade !== undefined;
    try {
      checkHead(request, expectation);
      answer = await routeFor(path, method)(arrival);
    } catch (thrown) {
      const refusal = thrown instanceof Refusal ? thrown : new Refusal("internal-error", "see the stack");
      trail.reason = refusal.code;
      trail.why = refusal.message;
      if (refusal !== thrown) trail.stack = stackOf(thrown);
      answer = refusalAnswer(refusal);
      // A POST refused for its missing length may bring a body all the same.
      isLast ||= !isBodyRead && method === "POST";
    }
    // Whatever else this client sends is the body that nobody wants, or cannot be told from it.
    isLast ||= !isBodyRead && declaresBody(request);
    if (isLast) lingerAfterAnswer(socket);
    connection.reading = undefined;
    if (path !== healthPath || answer.status >= 400) {
      const milliseconds = Math.round((performance.now() - startedAt) * 100) / 100;
      logAnswer({ ...trail, status: answer.status, bytes: bodyBytes, milliseconds, remoteAddress });
    }
    together.add(() => writeAnswer(response, answer, isLast));
    await closed;
    budget.release(heldBytes);
  }

  /** A literal map from path and method to a function; the map of sources is the receiver's own. */
  function routeFor(path: string, method: string): Receive {
    if (state === "stopping") throw new Refusal("stopping", "the receiver is shutting down");
    if (path === healthPath) {
      if (method === "GET" || method === "HEAD") return async () => jsonAnswer(200, { status: "ok" });
      throw new Refusal("method-not-allowed", method, { allow: "GET, HEAD" });
    }
    if (!/^\/webhooks?(\/|$)/.test(path))
      throw new Refusal("path-unknown", `no route for ${path.slice(0, 200)}`);
    return receive;
  }

  function writeAnswer(response: ServerResponse, { status, headers, body }: Answer, isLast: boolean): void {
    const isClosing = isLast || state !== "running";
    response.writeHead(status, isClosing ? { ...headers, Connection: "close" } : headers);
    response.end(body);
  }

  /** Node's parser gave up on a connection: on a request's head, on what follows one, or on a late body. */
  async function refuseUnparsed(socket: Socket, refusal: Refusal): Promise<void> {
    const connection = connections.get(socket);
    // Every further chunk fails in the parser again.
    if (connection === undefined || connection.broken !== undefined || socket.writableEnded) return;
    connection.broken = refusal;
    const { reading, latest } = connection;
    if (reading?.isComplete() === false) return reading.breakOff(refusal); // its exchange answers
    await latest; // good requests before it on this connection still get their answers
    if (socket.writableEnded) return;
    if (!socket.writable) return void socket.destroy();
    const { status, code, message } = refusal;
    logAnswer({ reason: code, why: message, status, remoteAddress: socket.remoteAddress });
    halfClose(socket, rawAnswer(refusalAnswer(refusal)));
  }

  function logAnswer(fields: Fields & { status: number }): void {
    if (fields.status < 400) log.info("accepted", fields);
    else if (fields.status < 500) log.warn("refused", fields);
    else log.error("failed", fields);
  }

  async function stop(deadlineSeconds: number): Promise<boolean> {
    state = "draining"; // from here on every answer closes its connection
    await setTimeout(stopGraceMilliseconds);
    state = "stopping";
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeIdleConnections();
    // To Node a connection that never sent a byte is not idle, and would hold the stop up.
    // Neither is one that has had its last answer and stays.
    for (const socket of connections.keys())
      if (socket.bytesRead === 0 || socket.writableEnded) socket.destroy();
    // A delivery may still be on its way to the disk although its client has gone.
    const finished = Promise.all([closed, ...unfinished]).then(() => true);
    const isFinished = await Promise.race([
      finished,
      setTimeout(deadlineSeconds * 1000, false, { ref: false }),
    ]);
    if (!isFinished) server.closeAllConnections();
    return isFinished;
  }

  return { listen: (port, host) => listenOn(server, log, port, host), stop };
}
