/**
 * The main thread's side of the inbox: calls go to the thread that owns the database, answers come back.
 *
 * Calls of one turn of the event loop, and of the turns after it until a quiet one, go over together: most
 * senders open a connection for each delivery, and libuv accepts one in a turn. Many go over sooner, so that the
 * thread writes while this one still reads requests. A delivery is kept when `accept` has resolved: then it is on
 * the disk. When it rejects, nothing of it is.
 */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { openBatch } from "../../batch.ts";
import { OperatorError } from "../../errors.ts";
import { Refusal } from "../../refusal.ts";
import { type Call, pack } from "./parcel.ts";
import type { Opened, Reply, Room } from "./thread.ts";

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
/** With more the thread would begin too late; 8 to 32 differ by less than 5 %. */
const maxGatheredCalls = 16;

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
  const opened = await new Promise<Opened>((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
  if (!opened.opened) throw new OperatorError(opened.error, opened.exitCode);

  /** In the order of the calls, which is the order of the answers. */
  let waiting: Waiting[] = [];
  worker.on("message", (reply: Reply) => {
    const count = "error" in reply ? reply.count : reply.values.length;
    const answered = waiting.slice(0, count);
    waiting = waiting.slice(count);
    for (const [index, { resolve, reject }] of answered.entries()) {
      if ("error" in reply) reject(new Refusal("storage-unavailable", reply.error));
      else resolve(reply.values[index]);
    }
  });
  // Without its thread the receiver can keep nothing: whoever waits must not be told yes, and a restart is due.
  worker.on("error", (error) => {
    for (const { reject } of waiting) reject(error);
    throw error;
  });

  const gathering = openBatch<Call>(
    { maxWaitMilliseconds: maxGatherMilliseconds, maxItems: maxGatheredCalls },
    (calls) => {
      const parcel = pack(calls);
      worker.postMessage(parcel, [parcel.bodies.buffer]);
    },
  );

  function call(method: keyof Room, args: readonly unknown[]): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    waiting.push({ resolve, reject });
    gathering.add({ method, args });
    return promise;
  }

  const calls = Object.fromEntries(
    methods.map((method) => [method, (...args: unknown[]) => call(method, args)]),
  );
  return {
    ...(calls as Asynchronous<Room>),
    close: async () => {
      const ended = once(worker, "exit");
      gathering.add({ method: "close", args: [] });
      await ended;
    },
  };
}
