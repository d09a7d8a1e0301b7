/**
 * The main thread's side of the inbox: calls go to the thread that owns the database, answers come back.
 *
 * Calls of one turn of the event loop, and of the turns after it until a quiet one, go over together: most
 * senders open a connection for each delivery, and libuv accepts one in a turn. A delivery is kept when `accept`
 * has resolved: then it is on the disk. When it rejects, nothing of it is.
 */
import { Worker } from "node:worker_threads";
import { OperatorError } from "../operator-error.ts";
import { openGathering } from "../receive/gathering.ts";
import { Refusal } from "../refusal.ts";
import type { Call, Opened, Reply, Room } from "./thread.ts";

type Asynchronous<Methods> = {
  [Name in keyof Methods]: Methods[Name] extends (...args: infer Args) => infer Result
    ? (...args: Args) => Promise<Result>
    : never;
};

/** The same as the room's functions, with promises; they reject with a Refusal (503) when the disk says no. */
export type Store = Asynchronous<Room> & {
  /** Finishes what was asked for, then closes the file. */
  close(): Promise<void>;
};

type Waiting = { resolve(value: unknown): void; reject(reason: unknown): void };

/** A delivery waits at most this long for others to be written with. */
const maxGatherMilliseconds = 2;

const methods = [
  "accept",
  "claim",
  "finish",
  "release",
  "beat",
  "otherBeats",
  "bury",
  "leftover",
  "quarantine",
  "removeBefore",
] as const satisfies readonly (keyof Room)[];

/**
 * @param file the database; `:memory:` for one that lives as long as this process
 * @throws OperatorError when it cannot be opened
 */
export async function openStore(file: string): Promise<Store> {
  const worker = new Worker(new URL("./thread.ts", import.meta.url), {
    workerData: { file },
    // tsx does not reach into threads; a Node that strips types only when asked is asked.
    ...(process.features.typescript ? {} : { execArgv: ["--experimental-strip-types", "--no-warnings"] }),
  });
  const waiting = new Map<number, Waiting>();
  let count = 0;

  const opened = await new Promise<Opened>((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
  if (!opened.opened) throw new OperatorError(opened.error, opened.exitCode);

  worker.on("message", (replies: Reply[]) => {
    for (const reply of replies) {
      const call = waiting.get(reply.number);
      waiting.delete(reply.number);
      if ("error" in reply) call?.reject(new Refusal("storage-unavailable", reply.error));
      else call?.resolve(reply.value);
    }
  });
  // Without its thread the receiver can keep nothing: whoever waits must not be told yes, and a restart is due.
  worker.on("error", (error) => {
    for (const { reject } of waiting.values()) reject(error);
    throw error;
  });

  const gathering = openGathering<Call>(maxGatherMilliseconds, (calls) => {
    worker.postMessage(
      calls,
      calls.flatMap(({ args }) => args.flatMap(bodyOf)),
    );
  });

  function call(method: Call["method"], args: readonly unknown[]): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    count += 1;
    waiting.set(count, { resolve, reject });
    gathering.add({ number: count, method, args: args.map(withOwnBody) });
    return promise;
  }

  const calls = Object.fromEntries(
    methods.map((method) => [method, (...args: unknown[]) => call(method, args)]),
  );
  return {
    ...(calls as Asynchronous<Room>),
    close: async () => {
      const ended = new Promise((resolve) => worker.once("exit", resolve));
      await call("close", []);
      await ended;
    },
  };
}

/**
 * A copy of the body in a buffer of its own, which is then moved to the thread. A chunk from the network may be
 * a small piece of a large buffer, and posting a piece would copy all of that.
 */
function withOwnBody(argument: unknown): unknown {
  const [buffer] = bodyOf(argument);
  if (buffer === undefined) return argument;
  const { body } = argument as { body: Uint8Array };
  return { ...(argument as object), body: new Uint8Array(body) };
}

function bodyOf(argument: unknown): ArrayBuffer[] {
  const body = (argument as { body?: unknown } | null)?.body;
  return body instanceof Uint8Array ? [body.buffer as ArrayBuffer] : [];
}
