/**
 * Notices when the inbox file is no longer the one that SQLite works on: deleted, moved, or written over.
 *
 * SQLite would go on. It writes into a file that has no name any more, or puts its pages into the copy of another
 * inbox, and COMMIT says yes all the same. So before a transaction and after it the files are looked at:
 *
 *     the names of all three files                  still lead to those that were opened
 *     the log                                       has the salts and at least the length that the wal-index gives it
 *     the time of change and size of the database   change by checkpoints only, and SQLite notes each one in the
 *                                                   wal-index (-shm): when it begins, and when it has ended
 *
 * A checkpoint of another process may be half done at any look, so a change counts as honest when the notes have changed
 * since the look before, or when a checkpoint was under way then. An overwriting that begins and ends inside of one
 * checkpoint is not seen here. https://www.sqlite.org/walformat.html §2.2, https://www.sqlite.org/wal.html
 *
 * The files stay open as long as the database is: closing one of them would drop SQLite's locks (POSIX fcntl).
 */
import { type BigIntStats, closeSync, fstatSync, openSync, readSync, realpathSync, statSync } from "node:fs";
import { endianness } from "node:os";

/** What has become of the file. */
export type Loss =
  /** The name leads to nothing, or to another file. */
  | "moved"
  /** The log has no name any more. What is in it can be saved: the database is the one that it belongs to. */
  | "log-deleted"
  /** The wal-index has no name any more: the next process to open the file would not see what this one does. */
  | "index-deleted"
  /** The database or the log is not what SQLite has written: nothing of the log may go into the file. */
  | "overwritten";

/** Thrown when the file is another one; what was asked for has not been done, or cannot be relied on. */
export class FileLost extends Error {
  readonly loss: Loss;

  constructor(message: string, loss: Loss) {
    super(message);
    this.loss = loss;
  }
}

export type FileGuard = {
  /** @throws FileLost */
  check(): void;
  /** So many frames of the log are not in the database yet; Infinity when a checkpoint has not ended. */
  framesToCheckpoint(): number;
  /** Where the files are, without symbolic links: SQLite puts the log beside the database itself. */
  readonly path: string;
  isOurDatabase(stats: BigIntStats | undefined): boolean;
  isOurLog(stats: BigIntStats | undefined): boolean;
  isOurIndex(stats: BigIntStats | undefined): boolean;
  /** To be called when the database has been closed. */
  close(): void;
};

/** What the wal-index says. */
type Note = {
  readonly salts: Buffer;
  readonly frames: number;
  readonly pageBytes: number;
  readonly databaseBytes: bigint;
  /** How many frames are in the database, and how many the last checkpoint to begin wants there. */
  readonly checkpointed: number;
  readonly attempted: number;
};

const walIndexBytes = 136;
const headerBytes = 48;
const logHeaderBytes = 32;
const frameHeaderBytes = 24;
/** Other processes may change the wal-index between two reads. */
const maxReads = 5;

export function statOf(file: string): BigIntStats | undefined {
  return statSync(file, { bigint: true, throwIfNoEntry: false });
}

/**
 * @param file the database, open in WAL mode and written to, so that its other files are there
 * @param isWhole reads all of the file: called when its time of change alone is another one
 * @throws the system's error when they are not
 */
export function openFileGuard(file: string, isWhole: () => boolean): FileGuard {
  const path = realpathSync(file);
  const descriptors = [path, `${path}-wal`, `${path}-shm`].map((name) => openSync(name, "r"));
  const [database = -1, log = -1, walIndex = -1] = descriptors;
  const [ourDatabase, ourLog, ourIndex] = descriptors.map((one) => fstatSync(one, { bigint: true }));
  const index = Buffer.alloc(walIndexBytes);
  const logHeader = Buffer.alloc(logHeaderBytes);
  const number = (at: number) => (endianness() === "LE" ? index.readUInt32LE(at) : index.readUInt32BE(at));

  /** @returns undefined when it is being written: its two copies differ */
  function readNote(): Note | undefined {
    for (let count = 0; count < maxReads; count += 1) {
      readSync(walIndex, index, 0, walIndexBytes, 0);
      if (index.compare(index, headerBytes, 2 * headerBytes, 0, headerBytes) !== 0) continue;
      const short = endianness() === "LE" ? index.readUInt16LE(14) : index.readUInt16BE(14);
      const pageBytes = short === 1 ? 65_536 : short;
      return {
        salts: Buffer.from(index.subarray(32, 40)),
        frames: number(16),
        pageBytes,
        databaseBytes: BigInt(number(20)) * BigInt(pageBytes),
        checkpointed: number(96),
        attempted: number(128),
      };
    }
    return undefined;
  }

  /** The note is read before the file's time, so that a checkpoint is never in the time and not in the note after it. */
  function look() {
    return { note: readNote(), database: statOf(file), page: firstPage() };
  }
  function firstPage(): Buffer {
    const page = Buffer.alloc(100);
    readSync(database, page, 0, page.length, 0);
    return page;
  }
  let seen = look();

  function check(): void {
    const before = readNote();
    const now = statOf(file);
    checkName(now);
    const logNow = statOf(`${path}-wal`);
    const isChanged = now?.mtimeNs !== seen.database?.mtimeNs || now?.size !== seen.database?.size;
    if (isChanged) checkChange(now, before, readNote());
    if (!isSame(logNow, ourLog))
      throw new FileLost(`${file}-wal has been deleted or replaced`, "log-deleted");
    if (!isSame(statOf(`${path}-shm`), ourIndex))
      throw new FileLost(`${file}-shm has been deleted or replaced`, "index-deleted");
    checkLog(before, logNow.size);
    if (isChanged) seen = { note: before, database: now, page: firstPage() };
    else seen.note = before;
  }

  function checkName(now: BigIntStats | undefined): void {
    if (!isSame(now, ourDatabase)) throw new FileLost(`${file} has been deleted or replaced`, "moved");
  }

  /** @param around the notes directly before and after `now` was read */
  function checkChange(
    now: BigIntStats | undefined,
    ...around: readonly [Note | undefined, Note | undefined]
  ): void {
    const [during, after] = around;
    const before = seen.note;
    // Somebody is writing the wal-index: the next look will tell.
    if (before === undefined || during === undefined || after === undefined) return;
    // A checkpoint of all frames gives the file the length that the wal-index says.
    const isAll =
      during.frames > 0 && during.checkpointed === during.frames && during.frames === after.frames;
    if (isAll && isSameCheckpoint(during, after) && now?.size !== during.databaseBytes)
      throw new FileLost(`${file} has been written over`, "overwritten");
    if (before.attempted > before.checkpointed || !isSameCheckpoint(before, after)) return;
    const isTouched = now?.size === seen.database?.size && firstPage().equals(seen.page);
    if (isTouched && isWhole()) return;
    checkName(statOf(file)); // `isWhole` goes by the name, and may have read another file
    throw new FileLost(`${file} has been written over`, "overwritten");
  }

  function checkLog(note: Note | undefined, bytes: bigint): void {
    if (note === undefined || note.frames === 0) return;
    readSync(log, logHeader, 0, logHeaderBytes, 0);
    const needed = logHeaderBytes + note.frames * (frameHeaderBytes + note.pageBytes);
    if (bytes >= needed && note.salts.equals(logHeader.subarray(16, 24))) return;
    const after = readNote();
    // The log has been begun anew between two of the reads: the next look will tell.
    if (after === undefined || !isSameCheckpoint(note, after)) return;
    throw new FileLost(`${file}-wal has been written over`, "overwritten");
  }

  return {
    check,
    path,
    framesToCheckpoint: () => {
      const note = seen.note;
      if (note === undefined) return 0;
      return note.attempted > note.checkpointed ? Number.POSITIVE_INFINITY : note.frames - note.checkpointed;
    },
    isOurDatabase: (stats) => isSame(stats, ourDatabase),
    isOurLog: (stats) => isSame(stats, ourLog),
    isOurIndex: (stats) => isSame(stats, ourIndex),
    close: () => {
      for (const descriptor of descriptors) closeSync(descriptor);
    },
  };
}

function isSameCheckpoint(one: Note, other: Note): boolean {
  const { checkpointed, attempted } = other;
  return one.salts.equals(other.salts) && one.checkpointed === checkpointed && one.attempted === attempted;
}

function isSame(now: BigIntStats | undefined, before: BigIntStats | undefined): now is BigIntStats {
  return now !== undefined && before !== undefined && now.ino === before.ino && now.dev === before.dev;
}
