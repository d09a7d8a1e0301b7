/**
 * One request and its answer: the head is checked, `receive` decides, and whatever it throws is answered here.
 *
 * This is the one catch. A `Refusal` is what the world did wrong: its answer, and one line in the log. Anything else is
 * our own mistake: 500 with a fixed text, and the whole stack in the log. Rules: RFC 9110 (semantics), 9112 (messages).
 */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import type { Batch } from "../batch.ts";
import { type Fields, type Log, stackOf } from "../log.ts";
import { Refusal } from "../refusal.ts";
import { type Answer, jsonAnswer, refusalAnswer } from "./answer.ts";
import { readBody } from "./body.ts";
import type { BodyBudget } from "./body-budget.ts";
import type { Connection } from "./connections.ts";
import { checkHead, declaresBody, type Expectation, originFormOf, pathOf } from "./head.ts";
import { lingerAfterAnswer } from "./linger.ts";
import { checkPath, healthPath } from "./route.ts";

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

/** Decides what a request to `/webhook…` means; what it throws is answered, logged and survived. */
export type Receive = (arrival: Arrival) => Promise<Answer>;

/** What the exchanges of one server share. */
export type Shared = {
  readonly receive: Receive;
  readonly log: Log;
  readonly budget: BodyBudget;
  /** Deliveries whose bodies came together go on together, and answers go out together. */
  readonly together: Batch<() => void>;
  /** What has become of the server. While it drains, each answer closes its connection. */
  state(): "running" | "draining" | "stopping";
};

/** Answers one request. It never rejects. */
export async function exchange(
  { receive, log, budget, together, state }: Shared,
  connection: Connection,
  {
    request,
    response,
    expectation,
  }: { request: IncomingMessage; response: ServerResponse; expectation: Expectation },
): Promise<void> {
  const { socket } = connection;
  // Behind an answer with `Connection: close` nothing is processed any more (RFC 9112 §9.6).
  if (socket.destroyed || socket.writableEnded) return;
  const startedAt = performance.now();
  const closed = new Promise<void>((resolve) => response.on("close", resolve));
  response.on("error", () => {}); // the socket broke; "close" follows
  const { remoteAddress } = socket;
  const { method = "", url = "", headers, rawHeaders } = request;
  const path = pathOf(url);
  const trail: Trail & { reason?: string; why?: string; stack?: string } = {};
  let isBodyRead = false;
  let release = (): void => {};

  async function readBodyOf(length: number): Promise<Buffer> {
    if (expectation === "100-continue") response.writeContinue();
    const reading = readBody(request, length, budget, together.stir);
    release = reading.release;
    connection.reading = reading;
    // The parser may have given up on this body while an earlier request was still being answered.
    const { broken } = connection;
    if (broken !== undefined && !reading.isComplete()) reading.breakOff(broken);
    const body = await reading.done;
    isBodyRead = true;
    await new Promise<void>(together.add);
    return body;
  }

  let answer: Answer;
  // Node's parser stops behind a request that asks for an upgrade, though it is served as an ordinary one.
  let isLast = headers.upgrade !== undefined;
  try {
    checkHead(request, expectation);
    if (state() === "stopping") throw new Refusal("stopping", "the receiver is shutting down");
    const target = originFormOf(url);
    const arrival = { method, path, target, headers, rawHeaders, readBody: readBodyOf, trail };
    answer = path === healthPath ? healthAnswer(method) : await toReceive(arrival, receive);
  } catch (thrown) {
    const refusal = thrown instanceof Refusal ? thrown : new Refusal("internal-error", "see the stack");
    trail.reason = refusal.code;
    trail.why = refusal.message;
    if (refusal !== thrown) trail.stack = stackOf(thrown);
    answer = refusalAnswer(refusal);
    // A POST refused for its missing length may bring a body all the same.
    isLast ||= !isBodyRead && method === "POST";
  }
  // What else this client sends is a body that has been refused, or cannot be told from it.
  isLast ||= !isBodyRead && declaresBody(request);
  if (isLast) lingerAfterAnswer(socket);
  const bytes = connection.reading?.received() ?? 0;
  connection.reading = undefined;
  if (path !== healthPath || answer.status >= 400) {
    const milliseconds = Math.round((performance.now() - startedAt) * 100) / 100;
    logAnswer(log, { ...trail, status: answer.status, bytes, milliseconds, remoteAddress });
  }
  // A client that does not read its answer keeps no body in memory.
  release();
  together.add(() => writeAnswer(response, answer, isLast || state() !== "running"));
  await closed;
}

async function toReceive(arrival: Arrival, receive: Receive): Promise<Answer> {
  checkPath(arrival.path);
  return receive(arrival);
}

function healthAnswer(method: string): Answer {
  if (method === "GET" || method === "HEAD") return jsonAnswer(200, { status: "ok" });
  throw new Refusal("method-not-allowed", method, { allow: "GET, HEAD" });
}

function writeAnswer(response: ServerResponse, { status, headers, body }: Answer, isClosing: boolean): void {
  response.writeHead(status, isClosing ? { ...headers, Connection: "close" } : headers);
  response.end(body);
}

/** The one line of a request. */
export function logAnswer(log: Log, fields: Fields & { status: number }): void {
  if (fields.status < 400) log.info("accepted", fields);
  else if (fields.status < 500) log.warn("refused", fields);
  else log.error("failed", fields);
}
