/**
 * The one node:http server: its limits, its connections, and the way to stop.
 *
 * It knows HTTP and nothing about webhooks: one request and its answer are in `exchange.ts`, what a path means in
 * `route.ts`. What Node's parser answers by itself, and what it leaves to us, is shown by `test/receive/wire.test.ts`.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { setTimeout } from "node:timers/promises";
import { openBatch } from "../batch.ts";
import type { Log } from "../log.ts";
import { Refusal } from "../refusal.ts";
import { rawAnswer, refusalAnswer } from "./answer.ts";
import { type BodyLimits, openBodyBudget } from "./body-budget.ts";
import { type Connection, openConnections, type Places } from "./connections.ts";
import { exchange, logAnswer, type Receive, type Shared } from "./exchange.ts";
import { gateRequests } from "./gate.ts";
import { type Expectation, maxHeadBytes, parserRefusal } from "./head.ts";
import { closeAfterAnswer, halfClose } from "./linger.ts";
import { listenOn } from "./listen.ts";

export type Limits = Places &
  BodyLimits & {
    /** From a request's first byte to the last byte of its body. */
    readonly requestTimeoutSeconds: number;
    /** How long a connection between two requests stays open. */
    readonly keepAliveSeconds: number;
    /** No byte in either direction for so long, and the connection goes: a client that never reads its answer, say. */
    readonly silenceSeconds: number;
    /** When a stop begins, requests are still taken for so long: those of connections that are there already. */
    readonly drainSeconds: number;
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

/** A body that is there waits at most this long for others, and so does an answer. */
const maxGatherMilliseconds = 2;
/** @param receive answers what comes to `/webhook…` */
export function openServer(limits: Limits, log: Log, receive: Receive): Server {
  const budget = openBodyBudget(limits);
  const together = openBatch<() => void>({ maxWaitMilliseconds: maxGatherMilliseconds }, (steps) => {
    for (const step of steps) step();
  });
  const connections = openConnections(limits, log);
  /** Every exchange that is under way, also those whose client has gone. */
  const unfinished = new Set<Promise<void>>();
  let state: "running" | "draining" | "stopping" = "running";
  const shared: Shared = { receive, log, budget, together, state: () => state };

  const server = createServer(nodeOptions(limits));
  server.timeout = limits.silenceSeconds * 1000;
  server.maxHeadersCount = 0; // counted by `checkHead`: what Node does beyond its own limit depends on its version
  // A client may close its sending side right after its request (`nc` does). Without this property, which Node
  // has had from its beginning but does not document, it would never see its answer.
  Object.assign(server, { httpAllowHalfOpen: true });

  server.on("connection", (socket) => {
    together.stir();
    // Node takes its own listener away when its parser gives up, and for a CONNECT: a reset must not end the program.
    socket.on("error", () => {});
    const connection = connections.add(socket);
    if (connection === undefined) return;
    closeAfterAnswer(socket);
    connection.goOn = gateRequests(socket, connection);
  });
  server.on("request", (request, response) => begin(request, response, "none"));
  // Listened to so that a refused request is answered without inviting its body by a 100 (RFC 9110 §10.1.1).
  server.on("checkContinue", (request, response) => begin(request, response, "100-continue"));
  server.on("checkExpectation", (request, response) => begin(request, response, "unknown"));
  server.on("clientError", (error, socket) => void refuseUnparsed(socket as Socket, parserRefusal(error)));
  // Node closes the socket of a CONNECT without a word unless it is listened to.
  server.on("connect", (_, socket) => {
    const refusal = new Refusal("method-not-allowed", "CONNECT", { allow: "POST" });
    void refuseUnparsed(socket as Socket, refusal);
  });

  /** Requests of one connection are answered one after the other, also when they were sent without waiting. */
  function begin(request: IncomingMessage, response: ServerResponse, expectation: Expectation): void {
    together.stir();
    const connection = connections.get(request.socket);
    if (connection === undefined) return; // it has just lost its place
    const start = () => exchange(shared, connection, { request, response, expectation });
    connections.isBusy(connection, true);
    connection.unanswered += 1;
    const done = connection.latest === undefined ? start() : connection.latest.then(start);
    connection.latest = done;
    unfinished.add(done);
    void done.then(() => end(connection, done));
  }

  function end(connection: Connection, done: Promise<void>): void {
    unfinished.delete(done);
    connection.unanswered -= 1;
    if (connection.latest === done) {
      connection.latest = undefined;
      connections.isBusy(connection, false);
    }
    connection.goOn();
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
    logAnswer(log, { reason: code, why: message, status, remoteAddress: socket.remoteAddress });
    halfClose(socket, rawAnswer(refusalAnswer(refusal)));
  }

  async function stop(deadlineSeconds: number): Promise<boolean> {
    state = "draining"; // from here on every answer closes its connection
    await setTimeout(limits.drainSeconds * 1000);
    state = "stopping";
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeIdleConnections();
    // To Node a connection that never sent a byte is not idle, and would hold the stop up.
    // Neither is one that has had its last answer and stays.
    for (const socket of connections.sockets())
      if (socket.bytesRead === 0 || socket.writableEnded) socket.destroy();
    // A delivery may still be on its way to the disk although its client has gone.
    const finished = Promise.all([closed, ...unfinished]).then(() => true);
    const isFinished = await Promise.race([
      finished,
      setTimeout(deadlineSeconds * 1000, false, { ref: false }),
    ]);
    if (!isFinished) server.closeAllConnections();
    budget.close();
    return isFinished;
  }

  return { listen: (port, host) => listenOn(server, log, port, host), stop };
}

function nodeOptions({ requestTimeoutSeconds, keepAliveSeconds }: Limits) {
  const requestTimeout = requestTimeoutSeconds * 1000;
  return {
    requestTimeout,
    headersTimeout: Math.min(requestTimeout, 20_000),
    // Node looks for late requests only this often; its default makes every 408 up to 30 s late.
    connectionsCheckingInterval: Math.min(1000, requestTimeout / 2),
    keepAliveTimeout: keepAliveSeconds * 1000,
    maxHeaderSize: maxHeadBytes,
    noDelay: true,
    // Said here, so that NODE_OPTIONS cannot switch the lenient parser on.
    insecureHTTPParser: false,
    // A missing Host is answered by `checkHead`, with a problem document.
    requireHostHeader: false,
  };
}
