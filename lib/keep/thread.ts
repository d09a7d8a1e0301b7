/**
 * The thread that owns the database: it takes calls from `store.ts` and answers them.
 *
 * `node:sqlite` is synchronous, and a sync to the disk, a checkpoint or another process's lock can take
 * milliseconds or seconds. Here that stops nobody: the main thread goes on answering. All calls that are waiting
 * when a transaction begins become one transaction with one sync, and are answered together after it.
 */
import { statSync } from "node:fs";
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { errorLine } from "../operator-error.ts";
import { openDatabase, transaction } from "./database.ts";
import { type Inbox, openInbox } from "./inbox.ts";
import { openQuarantine, type Quarantine } from "./quarantine.ts";
import { openRetention, type Retention } from "./retention.ts";

/** What the main thread may ask for: everything the inbox, the quarantine and the retention can do. */
export type Room = Inbox & { quarantine: Quarantine["add"]; removeBefore: Retention["removeBefore"] };
export type Call = {
  readonly number: number;
  readonly method: keyof Room | "close";
  readonly args: readonly unknown[];
};
export type Reply = { readonly number: number } & ({ readonly value: unknown } | { readonly error: string });
/** The first message: open, or why not. */
export type Opened =
  | { readonly opened: true }
  | { readonly opened: false; readonly error: string; readonly exitCode: 1 | 2 };

function work(port: MessagePort, file: string): void {
  const database = openDatabase(file);
  const inode = file === ":memory:" ? undefined : statSync(file).ino;
  const retention = openRetention(database);
  const room: Room = {
    ...openInbox(database),
    quarantine: openQuarantine(database).add,
    removeBefore: retention.removeBefore,
  };

  function run(calls: readonly Call[]): Reply[] {
    try {
      checkFile();
      return transaction(database, () =>
        calls.map(({ number, method, args }) => ({ number, value: perform(method, args) })),
      );
    } catch (thrown) {
      // Nothing of the group is on the disk, so nothing of it is answered with yes.
      return calls.map(({ number }) => ({ number, error: errorLine(thrown) }));
    }
  }

  /** SQLite goes on writing into a file that somebody has deleted or replaced, and nobody would find it again. */
  function checkFile(): void {
    if (inode === undefined || statSync(file, { throwIfNoEntry: false })?.ino === inode) return;
    throw new Error(`${file} has been deleted or replaced; start the receiver again`);
  }

  /** What cannot be given back to the disk now is given back another time. */
  function shrink(): void {
    try {
      retention.shrink();
    } catch {
      // another process holds the file
    }
  }

  function perform(method: Call["method"], args: readonly unknown[]): unknown {
    return (room[method as keyof Room] as (...args: readonly unknown[]) => unknown)(...args);
  }

  port.on("message", (first: Call[]) => {
    const calls = [...first];
    for (let more = receiveMessageOnPort(port); more !== undefined; more = receiveMessageOnPort(port)) {
      calls.push(...(more.message as Call[]));
    }
    const asked = calls.filter(({ method }) => method !== "close");
    const replies = asked.length === 0 ? [] : run(asked);
    port.postMessage(replies);
    const hasRemoved =
      replies.every((reply) => "value" in reply) && asked.some(({ method }) => method === "removeBefore");
    if (hasRemoved) shrink();
    // Closing is no transaction: it has to work when the disk says no to everything else.
    for (const { number } of calls.filter(({ method }) => method === "close")) {
      database.close();
      port.postMessage([{ number, value: undefined }] satisfies Reply[]);
      port.close();
    }
  });
  port.postMessage({ opened: true } satisfies Opened);
}

if (parentPort === null) throw new TypeError("thread.ts is started by store.ts, as a worker");
try {
  work(parentPort, String((workerData as { file: string }).file));
} catch (thrown) {
  const { exitCode = 1 } = thrown as { exitCode?: 1 | 2 };
  parentPort.postMessage({ opened: false, error: errorLine(thrown), exitCode } satisfies Opened);
}
