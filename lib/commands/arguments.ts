/**
 * What the commands share: their flags, which file they work on, and how they write times.
 *
 * A command looks at an inbox that is there; it never makes one. A receiver may be running on it all the while.
 */
import { type FileHandle, open } from "node:fs/promises";
import { DatabaseSync } from "node:sqlite";
import { type ParseArgsConfig, parseArgs } from "node:util";
import { errorLine, OperatorError, quoted, usageError } from "../errors.ts";
import { openDatabase } from "../keep/sqlite/database.ts";
import type { EventFilter } from "../keep/sqlite/queries.ts";
import { matchesPattern, patternFault } from "../process/pattern.ts";
import { loadEnvironment } from "../settings/environment.ts";
import { readInboxFile } from "../settings/settings.ts";

const text = { type: "string" } as const;

/** The flags that every command has. */
export const commonFlags = {
  "env-file": text,
  help: { type: "boolean", short: "h" },
} as const;

/** The flags of those that look into an inbox. */
export const inboxFlags = { ...commonFlags, inbox: text } as const;

/** The flags of those that run handlers. */
export const handlerFlags = { ...inboxFlags, handlers: text } as const;

export const inboxHelp = `  --inbox FILE      database of deliveries [WEBHOOK_INBOX; inbox.db]
  --env-file FILE   file with the secrets [WEBHOOK_ENV_FILE; .env]`;

export const handlersHelp = `${inboxHelp}
  --handlers FILE   as for the receiver [WEBHOOK_HANDLERS; lib/process/handlers.ts]`;

type Given = {
  readonly inbox?: string | undefined;
  readonly "env-file"?: string | undefined;
  readonly handlers?: string | undefined;
};

/** @throws OperatorError for a flag that there is not, or one without its value */
export function parseCommand<Config extends ParseArgsConfig>(
  config: Config,
): ReturnType<typeof parseArgs<Config>> {
  try {
    return parseArgs(config);
  } catch (thrown) {
    throw usageError(thrown);
  }
}

/**
 * Makes the process's own environment ready, as for the receiver, which says what is worth a warning.
 * @returns the `.env` file, when it was named
 */
export function readEnvironment(
  given: Pick<Given, "env-file">,
  environment: NodeJS.ProcessEnv,
): string | undefined {
  const envFile = given["env-file"] ?? environment.WEBHOOK_ENV_FILE;
  loadEnvironment(envFile, environment);
  return envFile;
}

/**
 * Which files: a flag beats the environment, the environment beats `.env`, as for the receiver.
 * @param environment the process's own; the variables of the `.env` file are added to it
 */
export function readFiles(
  given: Given,
  environment: NodeJS.ProcessEnv,
): { inboxFile: string; envFile: string | undefined; handlersFile: string | undefined } {
  const envFile = readEnvironment(given, environment);
  const name = given.inbox === undefined ? "WEBHOOK_INBOX" : "--inbox";
  const inboxFile = readInboxFile({ text: given.inbox ?? environment.WEBHOOK_INBOX ?? "inbox.db", name });
  if (inboxFile === ":memory:")
    throw new OperatorError(`${name}: an inbox in memory can only be seen by its receiver`, 2);
  return { inboxFile, envFile, handlersFile: given.handlers ?? environment.WEBHOOK_HANDLERS };
}

/**
 * Opens the inbox for `work` and closes it.
 * @throws OperatorError when there is none, it is none, or another process does not let go of it
 */
export async function withInbox<Result>(
  file: string,
  work: (database: DatabaseSync) => Result | Promise<Result>,
): Promise<Result> {
  await checkInbox(file);
  const database = openDatabase(file);
  try {
    return await work(database);
  } catch (thrown) {
    if ((thrown as { code?: unknown } | null)?.code !== "ERR_SQLITE_ERROR") throw thrown;
    throw new OperatorError(`the inbox ${file}: ${errorLine(thrown)}`, 1);
  } finally {
    database.close();
  }
}

/** Opening makes an inbox of an empty file, and a file where there is none: not here. */
async function checkInbox(file: string): Promise<void> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(file, "r");
    const stats = await handle.stat();
    if (stats.isFile() && hasTables(file)) return;
  } catch (thrown) {
    const why =
      (thrown as NodeJS.ErrnoException).code === "ENOENT" ? "there is no such file" : errorLine(thrown);
    throw new OperatorError(`cannot open the inbox ${file}: ${why}`, 1);
  } finally {
    await handle?.close();
  }
  throw new OperatorError(`${file} is not an inbox of webhook-receiver: choose another --inbox`, 1);
}

function hasTables(file: string): boolean {
  const database = new DatabaseSync(file, { readOnly: true });
  try {
    database.exec("PRAGMA busy_timeout = 5000");
    return database.prepare("SELECT 1 FROM sqlite_schema LIMIT 1").get() !== undefined;
  } finally {
    database.close();
  }
}

// ---- Values ----

const unitMilliseconds: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
const maxAgeMilliseconds = 3650 * 86_400_000;

/**
 * A time: so long ago (`2h`), or a day or a time of day as the commands show it, in UTC unless it says otherwise.
 * @returns Unix time in milliseconds
 */
export function readTime(flag: string, given: string, now: Date): number {
  const ago = /^(\d{1,8})([smhd])$/.exec(given);
  const age = Number(ago?.[1]) * (unitMilliseconds[ago?.[2] ?? ""] ?? Number.NaN);
  if (age <= maxAgeMilliseconds) return now.getTime() - age;
  const at = ago === null ? readIsoTime(given) : Number.NaN;
  if (!Number.isNaN(at)) return at;
  throw new OperatorError(
    `${flag}: expected a time such as 2h, 30d, 2026-03-31 or 2026-03-31T14:00, not ${quoted(given)}`,
    2,
  );
}

function readIsoTime(given: string): number {
  const match = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?)(Z|[+-]\d\d:\d\d)?)?$/.exec(
    given,
  );
  if (match === null) return Number.NaN;
  const [, day, clock = "00:00", zone = "Z"] = match;
  // Date takes the 31st of February for the 3rd of March.
  const start = new Date(`${day}T00:00Z`);
  const isDay = !Number.isNaN(start.getTime()) && start.toISOString().startsWith(day ?? "");
  return isDay ? Date.parse(`${day}T${clock}${zone}`) : Number.NaN;
}

/**
 * A URL to be called or signed, letter by letter as it is given.
 * @throws OperatorError unless it is http or https, without a user and a fragment, which no request carries
 */
export function readUrl(flag: string, given: string): string {
  const url = /^https?:\/\/[^\s#]+$/i.test(given) && URL.canParse(given) ? new URL(given) : undefined;
  if (url?.username === "" && url.password === "") return given;
  // Not quoted: what is before an @ may be a password.
  throw new OperatorError(
    `${flag}: expected a URL such as http://127.0.0.1:3010/webhook, without user and #`,
    2,
  );
}

/** @throws OperatorError when it is no pattern of events */
export function readPattern(flag: string, pattern: string): EventFilter {
  const fault = patternFault(pattern);
  if (fault !== undefined) throw new OperatorError(`${flag} ${quoted(pattern)}: ${fault}`, 2);
  const glob = pattern.split(".").map((token) => (/^[*>]$/.test(token) ? "*" : escapeGlob(token)));
  // Too wide, for a pattern also stands for everything below it.
  return { glob: `${glob.join(".")}*`, matches: (event) => matchesPattern(pattern, event) };
}

/** In a GLOB, these letters stand for themselves only in brackets. */
function escapeGlob(token: string): string {
  return token.replace(/[*?[]/g, "[$&]");
}

export function isoTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}

/** `1 job`, `2 jobs` */
export function counted(count: number, noun: string, plural = `${noun}s`): string {
  return `${count} ${count === 1 ? noun : plural}`;
}
