/**
 * The main thread's side of the inbox: calls go to the thread that owns the database, answers come back.
 *
 * Calls of one turn of the event loop, and of the turns after it until a quiet one, go over together: most
 * senders open a connection for each delivery, and libuv accepts one in a turn. Many go over sooner, so that the
 * thread writes while this one still reads requests. A delivery is kept when `accept` has resolved: then it is on
 * the disk. When it rejects, nothing of it is.
 */
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { resolve as resolvePath } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { openBatch } from "../../batch.ts";
import { OperatorError } from "../../errors.ts";
import type { Format } from "../../log.ts";
import { Refusal } from "../../refusal.ts";
import { openLoopMemory, showRunning, showStop, showTimeUp, showTurns } from "../loop-watch.ts";
import { execArgvToHear } from "../main-thread.ts";
import { bodyOf, type Call, type FromThread, pack, type Room, type ThreadData } from "./protocol.ts";
import type { Refused } from "./quarantine.ts";

type Asynchronous<Methods> = {
  [Name in keyof Methods]: Methods[Name] extends (...args: infer Args) => infer Result
    ? (...args: Args) => Promise<Result>
    : never;
};

/** The same as the room's functions, with promises; they reject with a Refusal (503) when the disk says no. */
export type Store = Asynchronous<Room> & {
  /**
   * Puts a refused request away when the thread has nothing better to do. Accepted deliveries never wait for it.
   * @returns false when it was not kept
   */
  quarantine(refused: Refused): Promise<boolean>;
  /** The name under which this receiver claims jobs; it beats for as long as the store is open. */
  readonly owner: string;
  /** Called when jobs of a receiver that has ended have become free. */
  onFreedJobs(listener: (jobs: number) => void): void;
  /** Says which handlers are running, in case one of them holds the event loop up. */
  showRunning(handler: string, change: 1 | -1): void;
  /** From so many milliseconds on, no call waits for another process that holds the file locked. */
  hurryAfter(milliseconds: number): void;
  /** Finishes what was asked for, then closes the file. */
  close(): Promise<void>;
};

/** A handler may change the working directory: the file stays the one that was opened. */
export function resolvedFile(file: string): string {
  return file === ":memory:" ? file : resolvePath(file);
}

type Waiting = { resolve(value: unknown): void; reject(reason: unknown): void; readonly bytes: number };
type Refusing = { readonly refused: Refused; resolve(isKept: boolean): void };

const stripTypes = "--experimental-strip-types";
/** Deliveries that wait for the disk hold so much: beyond it the sender is told to come back. */
const maxWaitingBytes = 128 * 1024 * 1024;
const maxWaitingCalls = 20_000;
/** Refused requests that wait for a quiet moment: what is more is dropped. */
const maxRefusedBytes = 4 * 1024 * 1024;
const maxRefusedRequests = 200;
/** The last of them have so long when the receiver stops. */
const maxClosingMilliseconds = 500;

/** A delivery waits at most this long for others to be written with. */
const maxGatherMilliseconds = 2;
/** With more the thread would begin too late; 8 to 32 differ by less than 5 %. */
const maxGatheredCalls = 16;

const methods = [
  "accept",
  "claim",
  "finish",
  "release",
  "beat",
  "pullBack",
  "failDone",
  "otherBeats",
  "bury",
  "leftover",
  "removeBefore",
] as const satisfies readonly (keyof Room)[];

export type StoreOptions = {
  /** The names of the handlers, for the line that says which of them hold the event loop up. */
  readonly handlers?: readonly string[];
  readonly logFormat?: Format;
  /** Given by the program: so long after SIGTERM it ends, whatever its loop does. */
  readonly stopSeconds?: number;
};

/**
 * @param file the database; `:memory:` for one that lives as long as this process
 * @throws OperatorError when it cannot be opened
 */
export async function openStore(
  file: string,
  { handlers = [], logFormat = "json", stopSeconds }: StoreOptions = {},
): Promise<Store> {
  const owner = `${process.pid}-${randomUUID()}`;
  const memory = openLoopMemory();
  const turns = showTurns(memory);
  let onFreed = (_jobs: number): void => {};
  const worker = new Worker(new URL("./thread.ts", import.meta.url), {
    workerData: {
      ...{ file: resolvedFile(file), owner, memory, handlers, logFormat, stopSeconds },
    } satisfies ThreadData,
    // tsx does not reach into threads; a Node that strips types only when asked is asked.
    execArgv: process.allowedNodeEnvironmentFlags.has(stripTypes)
      ? [...execArgvToHear, stripTypes]
      : execArgvToHear,
  });
  const opened = await new Promise<FromThread>((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
  if ("opened" in opened && !opened.opened) throw new OperatorError(opened.error, opened.exitCode);

  /** In the order of the calls, which is the order of the answers. */
  let waiting: Waiting[] = [];
  let waitingBytes = 0;
  const refusing: Refusing[] = [];
  let refusedBytes = 0;
  /** One refused request is with the thread; the others wait here, where they can be counted. */
  let isRefusing = false;

  worker.on("message", (message: FromThread) => {
    if ("isQuarantined" in message) {
      isRefusing = false;
      const done = refusing.shift();
      refusedBytes -= done?.refused.body.length ?? 0;
      done?.resolve(message.isQuarantined);
    } else if ("freedJobs" in message) {
      onFreed(message.freedJobs);
    } else if (!("opened" in message)) {
      const count = "error" in message ? message.count : message.values.length;
      const answered = waiting.slice(0, count);
      waiting = waiting.slice(count);
      for (const [index, { resolve, reject, bytes }] of answered.entries()) {
        waitingBytes -= bytes;
        if ("error" in message) reject(new Refusal("storage-unavailable", message.error));
        else resolve(message.values[index]);
      }
    }
    refuseNext();
  });
  // Without its thread the receiver can keep nothing: whoever waits must not be told yes, and a restart is due.
  worker.on("error", (error) => {
    for (const { reject } of waiting) reject(error);
    throw error;
  });

  function refuseNext(): void {
    const [next] = refusing;
    if (next === undefined || isRefusing || waiting.length > 0) return;
    isRefusing = true;
    const body = new Uint8Array(next.refused.body); // its own memory: that of the network is many bodies'
    worker.postMessage({ refused: { ...next.refused, body } }, [body.buffer]);
  }

  /** Resolves when no refused request waits any more, or when they have had their time. */
  async function allRefused(): Promise<void> {
    const giveUpAt = performance.now() + maxClosingMilliseconds;
    while (refusing.length > 0 && performance.now() < giveUpAt) await nextTurn();
  }

  function quarantine(refused: Refused): Promise<boolean> {
    const isTooMuch =
      refusedBytes + refused.body.length > maxRefusedBytes || refusing.length >= maxRefusedRequests;
    if (isTooMuch) return Promise.resolve(false);
    const { promise, resolve } = Promise.withResolvers<boolean>();
    refusing.push({ refused, resolve });
    refusedBytes += refused.body.length;
    refuseNext();
    return promise;
  }

  const gathering = openBatch<Call>(
    { maxWaitMilliseconds: maxGatherMilliseconds, maxItems: maxGatheredCalls },
    (calls) => {
      const parcel = pack(calls);
      worker.postMessage(parcel, [parcel.bodies.buffer]);
    },
  );

  function call(method: keyof Room, args: readonly unknown[]): Promise<unknown> {
    const bytes = bodyOf({ method, args })?.length ?? 0;
    // One that waits for no other is taken whatever its size: the largest body has a limit of its own.
    const isTooMuch =
      (waitingBytes > 0 && waitingBytes + bytes > maxWaitingBytes) || waiting.length >= maxWaitingCalls;
    if (method === "accept" && isTooMuch)
      return Promise.reject(new Refusal("storage-unavailable", `the disk is ${waitingBytes} bytes behind`));
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    waiting.push({ resolve, reject, bytes });
    waitingBytes += bytes;
    gathering.add({ method, args });
    return promise;
  }

  const calls = Object.fromEntries(
    methods.map((method) => [method, (...args: unknown[]) => call(method, args)]),
  );
  return {
    ...(calls as Asynchronous<Room>),
    owner,
    quarantine,
    onFreedJobs: (listener) => {
      onFreed = listener;
    },
    showRunning: (handler, change) => showRunning(memory, handlers.indexOf(handler), change),
    hurryAfter: (milliseconds) => void setTimeout(() => showTimeUp(memory), milliseconds).unref(),
    close: async () => {
      showStop(memory);
      turns.stop();
      await allRefused();
      const ended = once(worker, "exit");
      gathering.add({ method: "close", args: [] });
      await ended;
    },
  };
}
