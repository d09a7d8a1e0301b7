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
import { openInbox } from "./inbox.ts";
import { type Call, type FromThread, type Reply, type Room, type ToThread, unpack } from "./protocol.ts";
import { openQuarantine, type Refused } from "./quarantine.ts";
import { openRetention } from "./retention.ts";

/** A transaction that is larger than this takes no more calls in: their bodies would all be held to its end. */
const maxMergedBytes = 4 * 1024 * 1024;

function work(port: MessagePort, file: string): void {
  const database = openDatabase(file);
  const inode = file === ":memory:" ? undefined : statSync(file).ino;
  const retention = openRetention(database);
  const room: Room = {
    ...openInbox(database),
    removeBefore: retention.removeBefore,
  };

  const quarantine = openQuarantine(
    database,
    () => statSync(`${file}-wal`, { throwIfNoEntry: false })?.size ?? 0,
  );
  const post = (message: FromThread): void => port.postMessage(message);

  /** A transaction of its own: what a stranger has sent takes no delivery with it when it cannot be kept. */
  function keepRefused(refused: Refused): boolean {
    try {
      checkFile();
      return transaction(database, () => quarantine.add(refused));
    } catch {
      return false;
    }
  }

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

  port.on("message", (first: ToThread) => {
    const calls: Call[] = [];
    const refused: Refused[] = [];
    let bytes = 0;
    for (let message: ToThread | undefined = first; message !== undefined; ) {
      if ("refused" in message) refused.push(message.refused);
      else calls.push(...unpack(message));
      bytes += "refused" in message ? 0 : message.bodies.length;
      message =
        bytes < maxMergedBytes ? (receiveMessageOnPort(port)?.message as ToThread | undefined) : undefined;
    }
    const asked = calls.filter(({ method }) => method !== "close");
    if (asked.length > 0) {
      const replies = run(asked);
      for (const reply of replies) post(reply);
      const isDone = replies.every((reply) => "values" in reply);
      if (isDone && asked.some(({ method }) => method === "removeBefore")) shrink();
    }
    for (const one of refused) post({ isQuarantined: keepRefused(one) });
    if (asked.length === calls.length) return;
    // Closing is no transaction: it has to work when the disk says no to everything else.
    database.close();
    port.close();
  });
  post({ opened: true });
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
  parentPort.postMessage({ opened: false, error: errorLine(thrown), exitCode } satisfies FromThread);
}
