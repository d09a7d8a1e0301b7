/**
 * Opens the inbox file: one SQLite database through `node:sqlite`, with its schema.
 *
 * A file that is not ours, or that a newer version has written, is refused and left as it is. The schema is in
 * `schema.sql`.
 * https://www.sqlite.org/pragma.html, https://www.sqlite.org/wal.html
 */
import { chmodSync, closeSync, openSync, readFileSync, realpathSync, statSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { errorLine, OperatorError } from "../../errors.ts";

/** "WHRC": SQLite keeps these four bytes in the file's head, so that a program can tell its own files. */
const applicationId = 0x57485243;

/** How long a statement waits for another process that is writing. */
const busyTimeoutMilliseconds = 5000;
const openPauseMilliseconds = 100;
/** More than the 1000 pages after which SQLite makes a checkpoint. */
const maxIdleLogBytes = 8 * 1024 * 1024;

/** The steps of `schema.sql`, in their order. */
const steps: readonly string[] = readFileSync(new URL("./schema.sql", import.meta.url), "utf8")
  .split(/^-- Version \d+$/m)
  .slice(1);

type Opening = {
  /** How long another process may hold the file locked. */
  readonly waitMilliseconds?: number;
  /** Told of each of the files that others could read, and whether they still can. */
  readonly onReadable?: (file: string, isTightened: boolean) => void;
};

/**
 * Opens the file, and makes it when there is none: readable by its owner only.
 * @param file `:memory:` for one that is gone when it is closed
 * @throws OperatorError when it is not an inbox, is of a newer version, or cannot be written
 */
export function openDatabase(file: string, opening: Opening = {}): DatabaseSync {
  const { waitMilliseconds = busyTimeoutMilliseconds, onReadable = () => {} } = opening;
  const giveUpAt = performance.now() + waitMilliseconds;
  for (;;) {
    try {
      return open(file, waitMilliseconds, onReadable);
    } catch (thrown) {
      if (thrown instanceof OperatorError) throw thrown;
      // The switch to WAL does not wait for another receiver that starts at the same moment.
      if (!/locked/.test(errorLine(thrown)) || performance.now() > giveUpAt) {
        throw new OperatorError(`cannot open the inbox ${file}: ${errorLine(thrown)}`, 1);
      }
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, openPauseMilliseconds);
    }
  }
}

function open(
  file: string,
  waitMilliseconds: number,
  onReadable: NonNullable<Opening["onReadable"]>,
): DatabaseSync {
  // SQLite gives the files beside it (-wal, -shm) the mode of the database itself.
  if (file !== ":memory:") closeSync(openSync(file, "a", 0o600));
  const database = new DatabaseSync(file);
  try {
    database.exec(`PRAGMA busy_timeout = ${waitMilliseconds}`);
    checkOwnership(database, file);
    // Only an empty file takes this one; it lets the file shrink in small steps.
    database.exec("PRAGMA auto_vacuum = INCREMENTAL");
    database.exec("PRAGMA journal_mode = WAL");
    // FULL: a transaction is on the disk when COMMIT returns, also when the power fails.
    database.exec("PRAGMA synchronous = FULL");
    // After a long reader has left, the log does not stay as large as it has become.
    database.exec(`PRAGMA journal_size_limit = ${maxIdleLogBytes}`);
    database.exec("PRAGMA foreign_keys = ON");
    migrate(database);
    if (file !== ":memory:") tightenModes(file, onReadable);
    return database;
  } catch (thrown) {
    database.close(); // so that a file which is not ours is left without files of SQLite beside it
    throw thrown;
  }
}

/** Secrets and payloads are in it: no other user may read a file that was made elsewhere, or by hand. */
function tightenModes(file: string, onReadable: NonNullable<Opening["onReadable"]>): void {
  const path = realpathSync(file);
  for (const name of [path, `${path}-wal`, `${path}-shm`]) {
    if (!isReadableByOthers(name)) continue;
    try {
      chmodSync(name, statSync(name).mode & 0o700);
    } catch {
      // The file is another user's. What counts is the mode that it has now.
    }
    onReadable(name, !isReadableByOthers(name));
  }
}

function isReadableByOthers(file: string): boolean {
  return ((statSync(file, { throwIfNoEntry: false })?.mode ?? 0) & 0o077) !== 0;
}

/** Runs `work` in one transaction that is the only one writing; nothing of it stays when it throws. */
export function transaction<Result>(database: DatabaseSync, work: () => Result): Result {
  database.exec("BEGIN IMMEDIATE");
  try {
    const result = work();
    database.exec("COMMIT");
    return result;
  } catch (thrown) {
    rollBack(database);
    throw thrown;
  }
}

/** After some errors (a full disk) SQLite has rolled back by itself, and says that there is nothing to roll back. */
function rollBack(database: DatabaseSync): void {
  try {
    database.exec("ROLLBACK");
  } catch {
    // there was no transaction any more
  }
}

function checkOwnership(database: DatabaseSync, file: string): void {
  // In one transaction: another receiver may be making the file at this very moment.
  database.exec("BEGIN");
  const id = pragma(database, "application_id");
  const tables = database.prepare("SELECT count(*) AS count FROM sqlite_schema").get()?.count;
  database.exec("COMMIT");
  if (id !== applicationId && (id !== 0 || tables !== 0)) {
    throw new OperatorError(
      `${file} is a database, but not an inbox of webhook-receiver: choose another --inbox`,
      1,
    );
  }
  if (pragma(database, "user_version") > steps.length) {
    throw new OperatorError(`${file} was written by a newer version of webhook-receiver: use that one`, 1);
  }
}

function migrate(database: DatabaseSync): void {
  if (pragma(database, "user_version") === steps.length) return;
  transaction(database, () => {
    // Read again: another receiver may have been faster.
    for (const step of steps.slice(pragma(database, "user_version"))) database.exec(step);
    database.exec(`PRAGMA application_id = ${applicationId}`);
    database.exec(`PRAGMA user_version = ${steps.length}`);
  });
}

function pragma(database: DatabaseSync, name: string): number {
  return Number(database.prepare(`PRAGMA ${name}`).get()?.[name]);
}
