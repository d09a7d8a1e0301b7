/**
 * The thread that owns the database: it takes calls from `store.ts` and answers them.
 *
 * `node:sqlite` is synchronous, and a sync to the disk, a checkpoint or another process's lock can take
 * milliseconds or seconds. Here that stops nobody: the main thread goes on answering. All calls that are waiting
 * when a transaction begins become one transaction with one sync, and are answered together after it.
 *
 * When the file is deleted, replaced or written over, every call is refused, and the file is opened again once it is
 * whole (`file-guard.ts`). So nothing is acknowledged that the next start would not find.
 */
import { realpathSync, statSync, writeSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { errorLine } from "../../errors.ts";
import { openLog } from "../../log.ts";
import { openLoopAlarm } from "../loop-alarm.ts";
import { isStopShown, isTimeUpShown } from "../loop-watch.ts";
import { openDatabase, transaction } from "./database.ts";
import { type FileGuard, FileLost, openFileGuard } from "./file-guard.ts";
import { checkThere, closeLost, faultOf, prepareReopening } from "./file-loss.ts";
import { beatMilliseconds, openHeartbeat } from "./heartbeat.ts";
import { openInbox } from "./inbox.ts";
import {
  type Call,
  type FromThread,
  type Reply,
  type Room,
  type ThreadData,
  type ToThread,
  unpack,
} from "./protocol.ts";
import { openQuarantine, type Quarantine, type Refused } from "./quarantine.ts";
import { openRetention, type Retention } from "./retention.ts";

/** A transaction that is larger than this takes no more calls in: their bodies would all be held to its end. */
const maxMergedBytes = 4 * 1024 * 1024;
/** Between two steps of giving room back to the disk; deliveries come in between. */
const shrinkPauseMilliseconds = 100;
/** How long a transaction waits for another process that is writing, and in which steps. */
const lockMilliseconds = 5000;
const lockStepMilliseconds = 200;
/** After the file was lost, it is looked for this often. */
const lookAgainMilliseconds = 500;
/** When so many pages of the log are not in the database, they are put there. */
const checkpointFrames = 1000;

/** Everything that is open on one file. */
type OpenFile = {
  readonly database: DatabaseSync;
  readonly guard: FileGuard | undefined;
  readonly room: Room;
  readonly quarantine: Quarantine;
  readonly retention: Retention;
};

type OpenOptions = Parameters<typeof openDatabase>[1];

function openFile(file: string, options: OpenOptions): OpenFile {
  const database = openDatabase(file, options);
  const isInMemory = file === ":memory:";
  const path = isInMemory ? file : realpathSync(file);
  database.exec(`PRAGMA busy_timeout = ${lockStepMilliseconds}`);
  // A checkpoint inside of COMMIT would come before the file is looked at.
  database.exec("PRAGMA wal_autocheckpoint = 0");
  if (!isInMemory) database.exec("PRAGMA wal_checkpoint(PASSIVE)");
  const retention = openRetention(database);
  const logBytes = () => statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0;
  return {
    database,
    guard: isInMemory ? undefined : openFileGuard(file, () => faultOf(path) === undefined),
    room: { ...openInbox(database), removeBefore: retention.removeBefore },
    quarantine: openQuarantine(database, logBytes),
    retention,
  };
}

/** A file that was lost. Its guard keeps the files open, so that no new one gets the number (inode) of one of them. */
type LostFile = { readonly guard: FileGuard; readonly loss: FileLost["loss"]; readonly at: number };

function work(port: MessagePort, data: ThreadData): void {
  const { file, owner, memory } = data;
  let lost: LostFile | undefined;
  let why = "";
  let lookAgainAt = 0;
  let shrinking: NodeJS.Timeout | undefined;
  const post = (message: FromThread): void => port.postMessage(message);
  const beat = openHeartbeat(owner);
  const alarm = openLoopAlarm(data);
  // The main thread's log waits for the loop. This line cannot.
  const log = openLog(data.logFormat, (text) => writeSync(1, text));
  const onReadable = (name: string, isTightened: boolean): void =>
    say(
      "warn",
      isTightened
        ? "others could read the inbox: it is for its owner only now"
        : "others can read the inbox, and its mode cannot be changed",
      { file: name },
    );
  let open: OpenFile | undefined = openFile(file, { onReadable });

  /** Nothing is lost when stdout takes no more: the calls that were refused have the same words. */
  function say(level: "info" | "warn" | "error", message: string, fields: Record<string, unknown>): void {
    try {
      log[level](message, fields);
      log.flush();
    } catch {
      // a pipe that is full (EAGAIN), or that nobody reads
    }
  }

  function onBeat(): void {
    alarm(performance.now());
    if (isStopShown(memory)) return;
    try {
      const freedJobs = inTransaction(({ room }) => beat(room, Date.now()));
      if (freedJobs > 0) post({ freedJobs });
      checkpoint();
    } catch {
      // the disk says no, and the calls of the main thread will say so
    }
  }

  /**
   * Runs `work` in a transaction on the file that is there.
   * @param waitMilliseconds how long another process may hold the file locked
   * @throws when the file is not whole, or the disk says no
   */
  function inTransaction<Result>(work: (file: OpenFile) => Result, waitMilliseconds = 0): Result {
    const current = open ?? reopen();
    return guarded(() => {
      const result = withoutLock(waitMilliseconds, () => transaction(current.database, () => work(current)));
      // A commit into a file that has just been lost is no commit.
      current.guard?.check();
      return result;
    });
  }

  /** Does `work` on a file that is still the one that was opened. @throws FileLost when it is not, any more or meanwhile */
  function guarded<Result>(work: () => Result): Result {
    try {
      open?.guard?.check();
      return work();
    } catch (thrown) {
      if (thrown instanceof FileLost) lose(thrown);
      throw thrown;
    }
  }

  /** SQLite would do it inside of a COMMIT. Here the file is looked at first, and those who wait have their answers. */
  function checkpoint(): void {
    if ((open?.guard?.framesToCheckpoint() ?? 0) < checkpointFrames) return;
    try {
      guarded(() => open?.database.exec("PRAGMA wal_checkpoint(PASSIVE)"));
    } catch {
      // the log grows, and the next transaction tries again
    }
  }

  /** Another process may hold the file locked: waited for in small steps, and not when the receiver stops. */
  function withoutLock<Result>(waitMilliseconds: number, attempt: () => Result): Result {
    for (const giveUpAt = performance.now() + waitMilliseconds; ; ) {
      try {
        return attempt();
      } catch (thrown) {
        const isLocked = ((thrown as { errcode?: number }).errcode ?? 0) % 256 === 5;
        const isTimeUp = performance.now() > giveUpAt || isTimeUpShown(memory) || isStopShown(memory);
        if (!isLocked || isTimeUp) throw thrown;
      }
    }
  }

  function lose({ loss, message }: FileLost): void {
    if (open?.guard === undefined) return;
    why = message;
    const { database, guard } = open;
    const keptLog = closeLost(database, guard, loss);
    open = undefined;
    lost = { guard, loss, at: performance.now() };
    say("error", "the inbox has been lost: deliveries get 503 until it is whole again", { why, keptLog });
  }

  function reopen(): OpenFile {
    if (performance.now() < lookAgainAt) throw new Error(why);
    lookAgainAt = performance.now() + lookAgainMilliseconds;
    try {
      checkThere(file);
      if (lost !== undefined) {
        const { guard, loss, at } = lost;
        const keptLog = prepareReopening(file, guard, loss, performance.now() - at);
        if (keptLog !== undefined)
          say("warn", "the log of the inbox that was there is kept", { file: keptLog });
        guard.close();
        lost = undefined;
      }
      open = openFile(file, { waitMilliseconds: lockStepMilliseconds, onReadable });
      say("info", "the inbox is open again", { inbox: file });
      return open;
    } catch (thrown) {
      why = errorLine(thrown);
      throw thrown;
    }
  }

  /** A transaction of its own: what a stranger has sent takes no delivery with it when it cannot be kept. */
  function keepRefused(refused: Refused): boolean {
    try {
      return inTransaction(({ quarantine }) => quarantine.add(refused));
    } catch {
      return false;
    }
  }

  /** One reply for the group, or one for each of its calls. */
  function run(calls: readonly Call[]): Reply[] {
    try {
      return [
        { values: inTransaction(({ room }) => calls.map((call) => perform(room, call)), lockMilliseconds) },
      ];
    } catch (thrown) {
      // One call that cannot be done, whatever somebody has sent, takes no others with it.
      if (calls.length > 1 && !isAboutDisk(thrown)) return calls.flatMap((call) => run([call]));
      // Nothing of the group is on the disk, so nothing of it is answered with yes.
      return [{ error: reasonOf(thrown, file), count: calls.length }];
    }
  }

  /** What cannot be given back to the disk now is given back another time. */
  function shrink(): void {
    clearTimeout(shrinking); // one chain of steps, however many have asked for it
    try {
      if (guarded(() => open?.retention.shrink()))
        shrinking = setTimeout(shrink, shrinkPauseMilliseconds).unref();
      checkpoint();
    } catch {
      // another process holds the file
    }
  }

  function close(): void {
    // Closing is no transaction: it has to work when the disk says no to everything else. And a log that belongs to
    // another file must not go into this one.
    clearTimeout(shrinking);
    try {
      guarded(() => {});
    } catch {
      // it has been closed
    }
    // It does not wait for another process's lock either: what is in the log stays there for the next start.
    clearInterval(beating);
    open?.database.exec("PRAGMA busy_timeout = 0");
    open?.database.close();
    open?.guard?.close();
    port.close();
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
    checkpoint();
    for (const one of refused) post({ isQuarantined: keepRefused(one) });
    if (asked.length < calls.length) close();
  });
  // The first beat comes after a second: until then the last one of an earlier run can be read.
  const beating = setInterval(onBeat, beatMilliseconds);
  post({ opened: true });
}

function perform(room: Room, { method, args }: Call): unknown {
  return (room[method as keyof Room] as (...args: readonly unknown[]) => unknown)(...args);
}

/** https://www.sqlite.org/rescode.html: SQLITE_CORRUPT and SQLITE_NOTADB mean that the file itself is broken. */
function reasonOf(thrown: unknown, file: string): string {
  const { errcode = 0 } = thrown as { errcode?: number };
  const isDamaged = [11, 26].includes(errcode & 0xff);
  return isDamaged
    ? `${file} is damaged (${errorLine(thrown)}): restore it from a backup`
    : errorLine(thrown);
}

/** All but those that say that a value is too big, not allowed or of a wrong type. A lost file is about the disk too. */
function isAboutDisk(thrown: unknown): boolean {
  if (thrown instanceof FileLost) return true;
  const { errcode } = thrown as { errcode?: number };
  return errcode === undefined ? !(thrown instanceof TypeError) : ![18, 19, 20].includes(errcode & 0xff);
}

if (parentPort === null) throw new TypeError("thread.ts is started by store.ts, as a worker");
try {
  work(parentPort, workerData as ThreadData);
} catch (thrown) {
  const { exitCode = 1 } = thrown as { exitCode?: 1 | 2 };
  parentPort.postMessage({ opened: false, error: errorLine(thrown), exitCode } satisfies FromThread);
}
