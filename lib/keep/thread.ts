/**
 * The thread that owns the database: it takes calls from `store.ts` and answers them.
 *
 * `node:sqlite` is synchronous, and a sync to the disk, a checkpoint or another process's lock can take
 * milliseconds or seconds. Here that stops nobody: the main thread goes on answering. A group of calls is one
 * transaction with one sync, answered after it; it comes in parts, and is written as they come. Groups that are
 * waiting when one ends are taken into it.
 */
import { statSync } from "node:fs";
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { errorLine } from "../operator-error.ts";
import { openDatabase, openTransaction, type Transaction } from "./database.ts";
import { type Inbox, openInbox } from "./inbox.ts";
import { type Call, type Parcel, unpack } from "./parcel.ts";
import { openQuarantine, type Quarantine } from "./quarantine.ts";
import { openRetention, type Retention } from "./retention.ts";

/** What the main thread may ask for: everything the inbox, the quarantine and the retention can do. */
export type Room = Inbox & { quarantine: Quarantine["add"]; removeBefore: Retention["removeBefore"] };
/** What a group's calls returned, in their order; or why nothing of the whole group was done. */
export type Reply =
  | { readonly values: readonly unknown[] }
  | { readonly error: string; readonly count: number };
/** The first message: open, or why not. */
export type Opened =
  | { readonly opened: true }
  | { readonly opened: false; readonly error: string; readonly exitCode: 1 | 2 };

/** Calls that stand or fall together. */
type Group = {
  readonly values: unknown[];
  transaction?: Transaction;
  error?: string;
  count: number;
  hasRemoved: boolean;
};

function work(port: MessagePort, file: string): void {
  const database = openDatabase(file);
  const inode = file === ":memory:" ? undefined : statSync(file).ino;
  const retention = openRetention(database);
  const room: Room = {
    ...openInbox(database),
    quarantine: openQuarantine(database).add,
    removeBefore: retention.removeBefore,
  };

  function perform(group: Group, { method, args }: Call): void {
    group.count += 1;
    group.hasRemoved ||= method === "removeBefore";
    if (group.error !== undefined) return;
    try {
      group.transaction ??= begin();
      group.values.push((room[method as keyof Room] as (...args: readonly unknown[]) => unknown)(...args));
    } catch (thrown) {
      fail(group, thrown);
    }
  }

  /** SQLite goes on writing into a file that somebody has deleted or replaced, and nobody would find it again. */
  function begin(): Transaction {
    if (inode === undefined || statSync(file, { throwIfNoEntry: false })?.ino === inode) {
      return openTransaction(database);
    }
    throw new Error(`${file} has been deleted or replaced; start the receiver again`);
  }

  /** Nothing of the group stays on the disk, so nothing of it is answered with yes. */
  function fail(group: Group, thrown: unknown): void {
    group.error = errorLine(thrown);
    group.transaction?.rollBack();
  }

  function end(group: Group): void {
    if (group.count === 0) return;
    try {
      if (group.error === undefined) group.transaction?.commit();
    } catch (thrown) {
      fail(group, thrown);
    }
    const { values, error, count } = group;
    port.postMessage((error === undefined ? { values } : { error, count }) satisfies Reply);
    if (error === undefined && group.hasRemoved) shrink();
  }

  /** What cannot be given back to the disk now is given back another time. */
  function shrink(): void {
    try {
      retention.shrink();
    } catch {
      // another process holds the file
    }
  }

  let group: Group = { values: [], count: 0, hasRemoved: false };
  port.on("message", (first: Parcel) => {
    let parcel: Parcel | undefined = first;
    let isLast = false;
    let isClosing = false;
    for (; parcel !== undefined; parcel = receiveMessageOnPort(port)?.message as Parcel | undefined) {
      for (const call of unpack(parcel)) {
        if (call.method === "close") isClosing = true;
        else perform(group, call);
      }
      isLast ||= parcel.isLast;
    }
    if (!isLast) return; // the rest of the group is on its way
    end(group);
    group = { values: [], count: 0, hasRemoved: false };
    if (!isClosing) return;
    database.close();
    port.close();
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
