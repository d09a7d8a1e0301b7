/**
 * Lets go of an inbox file that has been deleted, replaced or written over, and says when it may be opened again.
 *
 * To close a database is to write: SQLite's last connection puts the pages of the log into the file. That is right when
 * only the log has lost its name, and destroys a backup that has been copied over the file. Other receivers may have the
 * same files open. So a log is never cut or changed in place: it is renamed, and each receiver notices that by itself.
 */
import { readdirSync, realpathSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { errorLine } from "../../errors.ts";
import { type FileGuard, type Loss, statOf } from "./file-guard.ts";

/** Each receiver looks at its files every second: after this long, none works on the lost ones any more. */
const othersMilliseconds = 2500;
const lockMilliseconds = 200;

/**
 * Closes the database, and saves what can be saved.
 * @returns the name under which the log is kept, if it was put aside
 * @throws the system's error when it cannot be done safely
 */
export function closeLost(database: DatabaseSync, guard: FileGuard, loss: Loss): string | undefined {
  const [log, index] = [statOf(`${guard.path}-wal`), statOf(`${guard.path}-shm`)];
  const isNewLogUsed = log !== undefined && log.size > 0n && !guard.isOurLog(log);
  const isNewIndex = loss === "index-deleted" && index !== undefined;
  if (loss === "moved")
    database.close(); // SQLite looks at the name too, and writes nothing
  else if (loss === "overwritten" || isNewLogUsed || isNewIndex || isLogAside(guard))
    closeWithoutWriting(database, guard.path);
  else {
    // Other receivers may keep this from being the last connection, which would do it when it is closed.
    tryTo(() => database.exec("PRAGMA wal_checkpoint(PASSIVE)"));
    database.close();
  }
  return setLogAside(guard.path, guard, loss);
}

/** SQLite writes nothing into a file whose name has gone: for a moment it has another one. */
function closeWithoutWriting(database: DatabaseSync, path: string): void {
  const hidden = `${path}.closing`;
  const isThere = statOf(path) !== undefined;
  if (isThere) renameSync(path, hidden);
  try {
    database.close();
  } finally {
    if (isThere) renameSync(hidden, path);
  }
}

/** Another receiver has found that the file is another one, and has put the log that we share aside. */
function isLogAside({ path, isOurLog }: FileGuard): boolean {
  const prefix = `${basename(path)}-wal.`;
  return readdirSync(dirname(path)).some(
    (name) => name.startsWith(prefix) && isOurLog(statOf(join(dirname(path), name))),
  );
}

/**
 * The log of a database that is gone would be put into the one that is there now, also after a kill: it is renamed.
 * @returns the name under which it is kept; undefined when there is nothing to keep
 */
function setLogAside(path: string, guard: FileGuard, loss: Loss): string | undefined {
  const database = statOf(path);
  const isForeign = loss === "overwritten" || (database !== undefined && !guard.isOurDatabase(database));
  const log = `${path}-wal`;
  if (!isForeign || !guard.isOurLog(statOf(log))) return undefined;
  const aside = `${log}.${Date.now()}`;
  renameSync(log, aside);
  return aside;
}

/**
 * Makes the folder ready for opening the file again.
 * @param lostMilliseconds how long ago it was lost
 * @returns the name under which the log of the lost file is kept, when it has just been put there
 * @throws Error when others have not let go of it yet, or it is not whole
 */
export function prepareReopening(
  file: string,
  guard: FileGuard,
  loss: Loss,
  lostMilliseconds: number,
): string | undefined {
  const path = realpathSync(file);
  const index = `${path}-shm`;
  const isOurIndex = guard.isOurIndex(statOf(index));
  if ((isOurIndex || loss === "index-deleted") && lostMilliseconds < othersMilliseconds)
    throw new Error(`${file} was lost a moment ago, and other processes may still work on it`);
  const aside = setLogAside(path, guard, loss);
  // An index without its log: a process that has not let go of them works on files without a name from now on.
  if (isOurIndex && !guard.isOurLog(statOf(`${path}-wal`))) rmSync(index, { force: true });
  const now = statOf(path);
  const fault = faultOf(path);
  if (fault !== undefined) throw new Error(`${file} is damaged (${fault}): restore it from a backup`);
  if (statOf(path)?.size !== now?.size) throw new Error(`${file} is being written`);
  return aside;
}

/** Opening would make a new inbox where there is none. @throws Error when there is no file, or nothing in it */
export function checkThere(file: string): void {
  const size = statOf(file)?.size;
  if (size === undefined)
    throw new Error(`${file} has been deleted: put it back, or start the receiver again`);
  if (size === 0n)
    throw new Error(`${file} is empty: restore it from a backup, or delete it and start again`);
}

/**
 * Reads all of the file, through a connection of its own: what others have in their caches proves nothing. It can only
 * read: when it is closed, no log goes into a file that it may not belong to.
 * @returns what is wrong; undefined when it is whole
 */
export function faultOf(path: string): string | undefined {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path, { readOnly: true });
    database.exec(`PRAGMA busy_timeout = ${lockMilliseconds}`);
    // Not integrity_check, which takes many times as long: what matters is that pages are where they belong.
    const [fault] = Object.values(database.prepare("PRAGMA quick_check(1)").get() ?? {});
    return fault === "ok" ? undefined : String(fault).replaceAll("\n", " ");
  } catch (thrown) {
    return errorLine(thrown);
  } finally {
    tryTo(() => database?.close());
  }
}

function tryTo(work: () => void): void {
  try {
    work();
  } catch {
    // what could not be written has been refused
  }
}
