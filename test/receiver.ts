/**
 * A receiver to test against, on a free port: in this process (`openTestReceiver`), where handlers and log
 * lines can be looked at, or as the program a user starts (`startProgram`).
 * Talking to it: `sign` and `rawPost` make deliveries, `exchange` sends raw bytes that fetch would not send.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import type { Server as HttpServer } from "node:http";
import type { Server as HttpsServer } from "node:https";
import { type AddressInfo, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { openLog } from "../lib/log.ts";
import type { Handler, Handlers } from "../lib/process/handlers.ts";
import { type ReadyHandlers, readyHandlers } from "../lib/process/loader.ts";
import { readSources } from "../lib/settings/sources.ts";
import { openReceiver } from "../webhook-receiver.ts";

export const secret = "a-secret-that-only-the-tests-know";
export const projectFolder = fileURLToPath(new URL("..", import.meta.url));

export type Line = { level: string; message: string } & Record<string, unknown>;

export type TestReceiver = {
  readonly port: number;
  readonly url: string;
  /** Every line logged so far. */
  readonly lines: readonly Line[];
  readonly logText: () => string;
  /** Resolves once every accepted delivery has been handled; for receivers whose only handler is `*`. */
  allHandled(): Promise<void>;
  /** Resolves once so many lines for which `isWanted` holds have been logged, to these lines. */
  waitForLines(count: number, isWanted: (line: Line) => boolean): Promise<Line[]>;
  /** Stops it as a signal would; true when everything in flight was answered in time. */
  stop(deadlineSeconds?: number): Promise<boolean>;
};

/** @param options what differs from an ordinary receiver with `secret` as WEBHOOK_SECRET */
export async function openTestReceiver(
  options: {
    handlers?: Handlers | ReadyHandlers;
    environment?: Record<string, string>;
    maxBodyBytes?: number;
    requestTimeoutSeconds?: number;
    inboxFile?: string;
  } = {},
): Promise<TestReceiver> {
  let text = "";
  const lookers = new Set<() => void>();
  const log = openLog("json", (more) => {
    text += more;
    for (const look of lookers) look();
  });
  function until(isTrue: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!isTrue()) return;
        lookers.delete(look);
        resolve();
      };
      lookers.add(look);
      look();
    });
  }
  const { sources, warnings } = readSources(options.environment ?? { WEBHOOK_SECRET: secret }, true);
  const settings = {
    host: "127.0.0.1",
    port: 0,
    handlersFile: undefined,
    maxBodyBytes: options.maxBodyBytes ?? 1024 * 1024,
    requestTimeoutSeconds: options.requestTimeoutSeconds ?? 30,
    keepAliveSeconds: 60,
    stopSeconds: 8,
    drainSeconds: 0.15,
    logFormat: "json",
    inboxFile: options.inboxFile ?? ":memory:",
    keepSeconds: 30 * 86_400,
    concurrency: 10,
    sources,
    warnings,
    isFirstStart: false,
    secretInShell: '"$WEBHOOK_SECRET"',
  } as const;
  const { handlers = {} } = options;
  const readied = new Map(
    handlers instanceof Map ? (handlers as ReadyHandlers) : readyHandlers(handlers as Handlers),
  );
  let runs = 0;
  for (const [pattern, handler] of readied) {
    const handle: Handler = async (event, context) => {
      try {
        await handler.handle(event, context);
      } finally {
        runs += 1;
        for (const look of lookers) look();
      }
    };
    readied.set(pattern, { ...handler, handle });
  }
  const receiver = await openReceiver(settings, readied, log);
  const port = await receiver.listen();
  log.flush();
  text = ""; // what follows is about deliveries
  const logText = (): string => {
    log.flush();
    return text;
  };
  return {
    port,
    url: `http://127.0.0.1:${port}/webhook`,
    get lines() {
      return parseLines(logText());
    },
    logText,
    allHandled: () =>
      until(() => runs >= parseLines(logText()).filter((line) => line.outcome === "accepted").length),
    waitForLines: async (count, isWanted) => {
      const found = () => parseLines(text).filter(isWanted);
      await until(() => found().length >= count);
      return found();
    },
    stop: (deadlineSeconds = 5) => receiver.stop(deadlineSeconds),
  };
}

export function parseLines(text: string): Line[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Line);
}

/** The header value that GitHub would send. The known answers of `vectors/` check this very computation. */
export function sign(body: string | Buffer, key: string = secret): string {
  return `sha256=${createHmac("sha256", key).update(body).digest("hex")}`;
}

/** The bytes of a POST as a client would write them. Headers given replace the usual ones; `undefined` leaves one out. */
export function rawPost(
  body: string | Buffer,
  headers: Record<string, string | undefined> = {},
  path = "/webhook",
): Buffer {
  const all: Record<string, string | undefined> = {
    Host: "localhost",
    "Content-Type": "application/json",
    "Content-Length": String(Buffer.byteLength(body)),
    "X-Hub-Signature-256": sign(body),
    ...headers,
  };
  const lines = Object.entries(all).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}: ${value}\r\n`],
  );
  return Buffer.concat([
    Buffer.from(`POST ${path} HTTP/1.1\r\n${lines.join("")}\r\n`, "latin1"),
    Buffer.from(body),
  ]);
}

export type RawAnswer = { status: number; headers: Map<string, string>; body: string };

/**
 * Writes bytes on a connection of its own and reads until the other side closes it.
 * @param writes several pieces are written one after the other; a function is awaited between them
 * @returns the answers, in the order they came
 */
export async function exchange(
  port: number,
  ...writes: (string | Buffer | (() => Promise<void>))[]
): Promise<RawAnswer[]> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  socket.on("error", () => {}); // a reset: what was read before it counts
  const closed = once(socket, "close");
  await once(socket, "connect");
  for (const write of writes) {
    if (typeof write === "function") await write();
    else await new Promise((resolve) => socket.write(write, resolve));
  }
  await closed;
  return parseAnswers(Buffer.concat(chunks));
}

/** Splits what a connection brought into answers. Bodies are delimited by Content-Length, or absent. */
export function parseAnswers(bytes: Buffer): RawAnswer[] {
  const answers: RawAnswer[] = [];
  let text = bytes.toString("latin1");
  while (text !== "") {
    const end = text.indexOf("\r\n\r\n");
    const [statusLine = "", ...fields] = text.slice(0, end).split("\r\n");
    const headers = new Map(
      fields.map((line) => [
        line.slice(0, line.indexOf(":")).toLowerCase(),
        line.slice(line.indexOf(":") + 1).trim(),
      ]),
    );
    const length = Number(headers.get("content-length") ?? 0);
    answers.push({
      status: Number(statusLine.split(" ")[1]),
      headers,
      body: Buffer.from(text.slice(end + 4, end + 4 + length), "latin1").toString("utf8"),
    });
    text = text.slice(end + 4 + length);
  }
  return answers;
}

export type Program = {
  readonly child: ChildProcess;
  readonly folder: string;
  readonly port: number;
  readonly url: string;
  readonly output: () => string;
  /** Resolves once a line holds this text. */
  waitFor(text: string): Promise<void>;
  /** Sends a signal and resolves to the exit code (or to the signal that ended it). */
  end(signal?: NodeJS.Signals): Promise<number | NodeJS.Signals>;
};

/** Starts `webhook-receiver.ts` in an empty folder on a free port and waits until it listens. */
export async function startProgram(
  options: {
    args?: string[];
    environment?: Record<string, string>;
    folder?: string;
    nodeArgs?: string[];
  } = {},
): Promise<Program> {
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), "webhook-receiver-"));
  const program = join(projectFolder, "webhook-receiver.ts");
  const args = [
    ...(options.nodeArgs ?? []),
    program,
    "--port",
    "0",
    "--log",
    "json",
    ...(options.args ?? []),
  ];
  const child = spawn(process.execPath, args, {
    cwd: folder,
    env: { ...process.env, WEBHOOK_SECRET: secret, ...options.environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let text = "";
  const readers = new Set<() => void>();
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      text += chunk;
      for (const reader of readers) reader();
    });
  }
  const ended = once(child, "close").then(([code, signal]) => {
    if (options.folder === undefined) rmSync(folder, { recursive: true, force: true });
    for (const reader of readers) reader();
    return (code ?? signal) as number | NodeJS.Signals;
  });
  let isOver = false;
  void ended.then(() => {
    isOver = true;
  });
  const waitFor = (wanted: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const found = text.includes(wanted);
        if (!found && !isOver && child.exitCode === null) return;
        readers.delete(look);
        if (found) resolve();
        else reject(new Error(`the program ended without ${JSON.stringify(wanted)}:\n${text}`));
      };
      readers.add(look);
      look();
    });

  await waitFor('"message":"listening"');
  const port = Number(/"url":"http:\/\/[^"]*:(\d+)\//.exec(text)?.[1]);
  return {
    child,
    folder,
    port,
    url: `http://127.0.0.1:${port}/webhook`,
    output: () => text,
    waitFor,
    end: (signal = "SIGTERM") => {
      child.kill(signal);
      return ended;
    },
  };
}

/**
 * Listens on a free port of this machine until the test is over.
 * @returns the port
 */
export async function listenLocally(t: TestContext, server: HttpServer | HttpsServer): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** A port that nobody listens on: to be refused there, or for a server that cannot look for one itself. */
export async function closedPort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
