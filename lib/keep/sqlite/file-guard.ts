/**
 * Notices when the inbox file is no longer the one that SQLite works on: deleted, moved, or written over.
 *
 * SQLite would go on. It writes into a file that has no name any more, or puts its pages into the copy of another
 * inbox, and COMMIT says yes all the same. So before a transaction and after it the names are looked at: the database
 * and its write-ahead log (`-wal`) still have to be the files that were opened. A copy over the file keeps the inode,
 * but not the time of its last change. An honest change of the database file is a checkpoint, and SQLite notes each
 * one in the wal-index (`-shm`) before it writes: a change without a note is somebody else's.
 * https://www.sqlite.org/walformat.html §2.2, https://www.sqlite.org/fileformat2.html §1.3
 *
 * The files stay open here as long as the database is: closing one of them would drop SQLite's locks (POSIX fcntl).
 */
import { type BigIntStats, closeSync, fstatSync, openSync, readSync, statSync } from "node:fs";

/** Thrown when the file is another one; what was asked for has not been done, or cannot be relied on. */
export class FileReplaced extends Error {
  /** True when the write-ahead log belongs to a database that is gone: its pages must not go into this file. */
  readonly isOverwritten: boolean;

  constructor(message: string, isOverwritten: boolean) {
    super(message);
    this.isOverwritten = isOverwritten;
  }
}

export type FileGuard = {
  /** @throws FileReplaced */
  check(): void;
  /** To be called when the database has been closed. */
  close(): void;
};

/** In the wal-index: the salts of the log at 32, how far it has been checkpointed at 96, and is being at 128. */
const walIndexBytes = 136;
const notes = [
  [32, 40],
  [96, 100],
  [128, 132],
] as const;
/** The first page has the file's size and the number of its changes. */
const firstPageBytes = 100;

/**
 * @param file the database, open in WAL mode and written to, so that its other files are there
 * @throws the system's error when they are not
 */
export function openFileGuard(file: string): FileGuard {
  const [database, walIndex] = [openSync(file, "r"), openSync(`${file}-shm`, "r")];
  const opened = fstatSync(database, { bigint: true });
  const log = statSync(`${file}-wal`, { bigint: true });
  let seen = {
    changedAt: opened.mtimeNs,
    size: opened.size,
    checkpoint: checkpointNote(),
    page: firstPage(),
  };

  function read(descriptor: number, length: number): Buffer {
    const bytes = Buffer.alloc(length);
    readSync(descriptor, bytes, 0, length, 0);
    return bytes;
  }
  function checkpointNote(): string {
    const bytes = read(walIndex, walIndexBytes);
    return notes.map(([from, to]) => bytes.toString("hex", from, to)).join();
  }
  function firstPage(): string {
    return read(database, firstPageBytes).toString("hex");
  }

  function check(): void {
    const now = statSync(file, { bigint: true, throwIfNoEntry: false });
    if (!isSameFile(now, opened)) throw new FileReplaced(`${file} has been deleted or replaced`, false);
    const logNow = statSync(`${file}-wal`, { bigint: true, throwIfNoEntry: false });
    if (!isSameFile(logNow, log)) throw new FileReplaced(`${file}-wal has been deleted or replaced`, false);
    if (now.mtimeNs === seen.changedAt && now.size === seen.size) return;
    // In this order: SQLite notes a checkpoint first, and writes then.
    const [checkpoint, page] = [checkpointNote(), firstPage()];
    const isHonest = checkpoint !== seen.checkpoint || (now.size === seen.size && page === seen.page);
    if (!isHonest) throw new FileReplaced(`${file} has been written over while it was in use`, true);
    seen = { changedAt: now.mtimeNs, size: now.size, checkpoint, page };
  }

  return {
    check,
    close: () => {
      closeSync(database);
      closeSync(walIndex);
    },
  };
}

function isSameFile(now: BigIntStats | undefined, before: BigIntStats): now is BigIntStats {
  return now !== undefined && now.ino === before.ino && now.dev === before.dev;
}
