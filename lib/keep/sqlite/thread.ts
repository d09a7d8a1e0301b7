/**
 * The thread that owns the database: it takes calls from `store.ts` and answers them.
 *
 * `node:sqlite` is synchronous, and a sync to the disk, a checkpoint or another process's lock can take
 * milliseconds or seconds. Here that stops nobody: the main thread goes on answering. All calls that are waiting
 * when a transaction begins become one transaction with one sync, and are answered together after it.
 */
import { statSync } from "node:fs";
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { errorLine } from "../../errors.ts";
import { openDatabase, transaction } from "./database.ts";
import { type Inbox, openInbox } from "./inbox.ts";
import { type Call, type Parcel, unpack } from "./parcel.ts";
import { openQuarantine, type Quarantine } from "./quarantine.ts";
import { openRetention, type Retention } from "./retention.ts";

/** What the main thread may ask for: everything the inbox, the quarantine and the retention can do. */
export type Room = Inbox & { quarantine: Quarantine["add"]; removeBefore: Retention["removeBefore"] };
/** What so many calls returned, in their order; or why nothing of any of them was done. */
export type Reply =
  | { readonly values: readonly unknown[] }
  | { readonly error: string; readonly count: number };
/** The first message: open, or why not. */
export type Opened =
  | { readonly opened: true }
  | { readonly opened: false; readonly error: string; readonly exitCode: 1 | 2 };

/** A transaction that is larger than this takes no more calls in: their bodies would all be held to its end. */
const maxMergedBytes = 4 * 1024 * 1024;

function work(port: MessagePort, file: string): void {
  const database = openDatabase(file);
  const inode = file === ":memory:" ? undefined : statSync(file).ino;
  const retention = openRetention(database);
  const room: Room = {
    ...openInbox(database),
    quarantine: openQuarantine(database).add,
    removeBefore: retention.removeBefore,
  };

  /** One reply for the group, or one for each of its calls. */
  function run(calls: readonly Call[]): Reply[] {
    try {
      checkFile();
      return [{ values: transaction(database, () => calls.map(perform)) }];
    } catch (thrown) {
      // One call that cannot be done, whatever somebody has sent, takes no others with it.
      if (calls.length > 1 && !isAboutDisk(thrown)) return calls.flatMap((call) => run([call]));
      // Nothing of the group is on the disk, so nothing of it is answered with yes.
      return [{ error: errorLine(thrown), count: calls.length }];
    }
  }

  /** SQLite goes on writing into a file that somebody has deleted or replaced, and nobody would find it again. */
  function checkFile(): void {
    if (inode === undefined || statSync(file, { throwIfNoEntry: false })?.ino === inode) return;
    throw new Error(`${file} has been deleted or replaced; start the receiver again`);
  }

  function perform({ method, args }: Call): unknown {
    return (room[method as keyof Room] as (...args: readonly unknown[]) => unknown)(...args);
  }

  /** What cannot be given back to the disk now is given back another time. */
  function shrink(): void {
    try {
      retention.shrink();
    } catch {
      // another process holds the file
    }
  }

  port.on("message", (first: Parcel) => {
    const calls = unpack(first);
    let bytes = first.bodies.length;
    while (bytes < maxMergedBytes) {
      const more = receiveMessageOnPort(port)?.message as Parcel | undefined;
      if (more === undefined) break;
      calls.push(...unpack(more));
      bytes += more.bodies.length;
    }
    const asked = calls.filter(({ method }) => method !== "close");
    if (asked.length > 0) {
      const replies = run(asked);
      for (const reply of replies) port.postMessage(reply);
      const isDone = replies.every((reply) => "values" in reply);
      if (isDone && asked.some(({ method }) => method === "removeBefore")) shrink();
    }
    if (asked.length === calls.length) return;
    // Closing is no transaction: it has to work when the disk says no to everything else.
    database.close();
    port.close();
  });
  port.postMessage({ opened: true } satisfies Opened);
}

/** https://www.sqlite.org/rescode.html: all but those that say that a value is too big, not allowed or of a wrong type. */
function isAboutDisk(thrown: unknown): boolean {
  const { errcode } = thrown as { errcode?: number };
  return errcode !== undefined && ![18, 19, 20].includes(errcode & 0xff);
}

if (parentPort === null) throw new TypeError("thread.ts is started by store.ts, as a worker");
try {
  work(parentPort, String((workerData as { file: string }).file));
} catch (thrown) {
  const { exitCode = 1 } = thrown as { exitCode?: 1 | 2 };
  parentPort.postMessage({ opened: false, error: errorLine(thrown), exitCode } satisfies Opened);
}
