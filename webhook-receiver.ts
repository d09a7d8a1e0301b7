/**
 * webhook-receiver: receives webhooks with nothing but Node's own modules.
 *
 * A webhook is an HTTP POST that another system sends when something has happened there. Anybody can send a
 * POST, so the sender signs it: it computes an HMAC of the body with a secret that only the two sides know.
 * The receiver computes the same over the bytes that arrived. Equal: authentic, and unchanged on its way.
 *
 * This file is the lesson: `receive` below is the whole journey of one request, in the order it happens, and
 * each step is a file of its own to read on in. What is deliberately not here: routers, middleware, frameworks.
 *
 *     tsx webhook-receiver.ts --port 3010
 */
import "./lib/node-version.js";
import { realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { startRetention } from "./lib/keep/sqlite/retention.ts";
import { openStore } from "./lib/keep/sqlite/store.ts";
import type { Log } from "./lib/log.ts";
import { type Keeper, openKeeper } from "./lib/process/keeper.ts";
import type { ReadyHandlers } from "./lib/process/loader.ts";
import { openWorker } from "./lib/process/worker.ts";
import { type Answer, jsonAnswer } from "./lib/receive/answer.ts";
import { readContentLength } from "./lib/receive/body.ts";
import type { Arrival } from "./lib/receive/exchange.ts";
import { sourceAt } from "./lib/receive/route.ts";
import { openServer } from "./lib/receive/server.ts";
import {
  acceptedAnswer,
  allowedMethods,
  answerEcho,
  answerForm,
  answerSigned,
  mayBeFormHandshake,
} from "./lib/receive/verification-request.ts";
import { Refusal } from "./lib/refusal.ts";
import type { Settings } from "./lib/settings/settings.ts";
import { readClaim } from "./lib/signature/claim.ts";
import { start } from "./lib/start.ts";
import { logLeftover, logWelcome } from "./lib/welcome.ts";

/** The journey of one request. Each step hands the next one what it needs, or throws a Refusal. */
async function receive(arrival: Arrival, settings: Settings, keeper: Keeper): Promise<Answer> {
  const { method, path, headers, trail } = arrival;
  const receivedAt = new Date();

  // 1. Who sends? The path names the source: a header would let the caller choose the weakest. Else 404.
  const source = sourceAt(settings.sources, path);
  trail.source = source.name;

  // 2. Some senders first ask whether we are there. That is no delivery; everything else is a POST (405).
  const echo = answerEcho(source, arrival);
  if (echo !== undefined) return echo;
  if (method !== "POST") throw new Refusal("method-not-allowed", method, { allow: allowedMethods(source) });

  // 3. How long is the body (411, 413: the operator's limit or the sender's), and what do the headers claim (401)?
  // All before we hold a byte of it.
  const length = readContentLength(headers, Math.min(settings.maxBodyBytes, source.maxBodyBytes));
  if (mayBeFormHandshake(source, arrival, length)) {
    return answerForm(source, await arrival.readBody(length));
  }
  const claim = readClaim(source, arrival);

  // 4. Read exactly that many bytes. Too short: 400, too slow: 408.
  const body = await arrival.readBody(length);

  // 5. Is the signature the one that our secret gives for these bytes, and was it made just now? Else 401.
  // 6. Only then is anything parsed: what happened, under which id? Not JSON: 400, the wrong shape: 422.
  const { delivery, event } = await keeper.authenticate(claim, body, receivedAt);
  if (delivery.secret.age === "previous") trail.signedWith = "previous secret";
  const { id, type } = event;
  trail.event = type;
  trail.id = id;
  const handshake = answerSigned(delivery, event);
  if (handshake !== undefined) return handshake;
  const ownAnswer = acceptedAnswer(delivery, event.payload);

  // 7. Keep it: once, and on the disk. When the disk says no (503), the sender gets no yes, and sends again.
  trail.outcome = await keeper.keep(delivery, event, receivedAt);

  // 8. Say yes. The handlers run later: a slow one can never make the sender repeat itself.
  const status = trail.outcome === "duplicate" ? "duplicate" : "accepted";
  return ownAnswer ?? jsonAnswer(200, { status, id, event: type });
}

/** What a stranger can take of memory, time and places; what an operator may set comes from the settings. */
const limits = {
  maxHeldBodyBytes: 80 * 1024 * 1024,
  maxHeldSmallBodyBytes: 64 * 1024 * 1024,
  minBodyBytesPerSecond: 1024,
  minSpeedSeconds: 5,
  maxConnections: 10_000,
  maxConnectionsOfAddress: 1000,
  /** Longer than an answer takes to be made, and than a sender waits for it. */
  silenceSeconds: 120,
};

/** Wires the parts to a receiver that is not listening yet. */
export async function openReceiver(settings: Settings, handlers: ReadyHandlers, log: Log) {
  const { inboxFile, logFormat } = settings;
  const stopSeconds = isProgram() ? { stopSeconds: settings.stopSeconds } : {};
  const store = await openStore(inboxFile, { handlers: [...handlers.keys()], logFormat, ...stopSeconds });
  const leftover = await store.leftover();
  const worker = openWorker(store, handlers, log, { concurrency: settings.concurrency });
  const keeper = openKeeper(store, handlers, worker, log);
  const retention = startRetention(store, settings.keepSeconds, log, leftover.lastBeatAt);
  const { requestTimeoutSeconds, keepAliveSeconds, drainSeconds } = settings;
  // The largest body has room, and so has what its pieces cost besides their bytes.
  const maxHeldBodyBytes = Math.max(limits.maxHeldBodyBytes, 1.25 * settings.maxBodyBytes);
  const server = openServer(
    { ...limits, maxHeldBodyBytes, requestTimeoutSeconds, keepAliveSeconds, drainSeconds },
    log,
    (arrival) => receive(arrival, settings, keeper),
  );

  async function listen(): Promise<number> {
    const port = await server.listen(settings.port, settings.host);
    logLeftover(settings, leftover, log);
    logWelcome(settings, port, log);
    worker.poke();
    return port;
  }
  async function stop(deadlineSeconds = settings.stopSeconds): Promise<boolean> {
    retention.stop();
    store.hurryAfter(deadlineSeconds * 1000);
    const [isFinished] = await Promise.all([server.stop(deadlineSeconds), worker.stop(deadlineSeconds)]);
    await store.close();
    return isFinished;
  }
  return { listen, stop };
}

/** True for `tsx webhook-receiver.ts`, false when a test imports this file. */
function isProgram(): boolean {
  const [, program] = process.argv;
  return program !== undefined && realpathSync(program) === fileURLToPath(import.meta.url);
}

if (isProgram()) await start(openReceiver);
