/**
 * `list`: what came in, newest first; a line for each delivery, for people or as JSON.
 */

import { OperatorError, quoted } from "../errors.ts";
import { listDeliveries, type State, type Summary, states } from "../keep/sqlite/queries.ts";
import { printable } from "../log.ts";
import {
  inboxFlags,
  inboxHelp,
  isoTime,
  parseCommand,
  readFiles,
  readPattern,
  readTime,
  withInbox,
} from "./arguments.ts";
import type { ExitCode } from "./command.ts";

const help = `list: the deliveries in the inbox, newest first

Usage: tsx webhook-receiver.ts list [flags]

  --state STATE     pending, running, done or dead
  --source NAME     default, github-acme, …
  --event PATTERN   push, pull_request, attacker.>, … as in the handlers
  --since TIME      2h, 30d, 2026-03-31 or 2026-03-31T14:00 (UTC)
  --limit NUMBER    how many at most; 50
  --json            a JSON object on each line
${inboxHelp}
`;

const flags = {
  ...inboxFlags,
  state: { type: "string" },
  source: { type: "string" },
  event: { type: "string" },
  since: { type: "string" },
  limit: { type: "string", default: "50" },
  json: { type: "boolean", default: false },
} as const;

const maxLimit = 100_000;
/** A longer id would push the columns behind it out of sight; the number names the delivery as well. */
const maxColumnCharacters = 60;

/**
 * @param write takes the text for stdout
 * @param now the clock, in a parameter so that tests can stop it
 * @throws OperatorError
 */
export async function list(
  argv: readonly string[],
  environment: NodeJS.ProcessEnv,
  write: (text: string) => void,
  now: () => Date = () => new Date(),
): Promise<ExitCode> {
  const { values } = parseCommand({ args: [...argv], options: flags });
  if (values.help === true) {
    write(help);
    return 0;
  }
  const { source, event, since } = values;
  const filter = {
    state: readState(values.state),
    source,
    event: event === undefined ? undefined : readPattern("--event", event),
    since: since === undefined ? undefined : readTime("--since", since, now()),
  };
  const limit = readLimit(values.limit);
  const { inboxFile } = readFiles(values, environment);
  // One more, to know whether there are more.
  const found = await withInbox(inboxFile, (database) => listDeliveries(database, filter, limit + 1));
  const shown = found.slice(0, limit);
  if (values.json) write(shown.map(jsonLine).join(""));
  else write(found.length === 0 ? "nothing found\n" : table(shown));
  if (found.length > limit && !values.json)
    write(`there are more than ${limit}: --limit shows more, --since and the others fewer\n`);
  return 0;
}

function readState(given: string | undefined): State | undefined {
  const state = states.find((one) => one === given);
  if (given === undefined || state !== undefined) return state;
  throw new OperatorError(`--state: expected pending, running, done or dead, not ${quoted(given)}`, 2);
}

function readLimit(given: string): number {
  const limit = Number(given);
  if (/^\d{1,6}$/.test(given) && limit >= 1 && limit <= maxLimit) return limit;
  throw new OperatorError(`--limit: expected a number from 1 to ${maxLimit}, not ${quoted(given)}`, 2);
}

function jsonLine(summary: Summary): string {
  // JSON escapes less than a terminal obeys; what `printable` puts in its place is JSON too.
  const row = { ...summary, receivedAt: isoTime(summary.receivedAt), isTwin: summary.isTwin === 1 };
  return `${printable(JSON.stringify(row))}\n`;
}

function table(rows: readonly Summary[]): string {
  const lines = rows.map(({ number, receivedAt, source, event, id, state, attempts, repeats }) =>
    [number, isoTime(receivedAt), source, event, id, state, attempts, repeats].map((value) =>
      shortened(printable(String(value))),
    ),
  );
  const all = [["number", "received", "source", "event", "id", "state", "attempts", "repeats"], ...lines];
  const widths = all[0]?.map((_, column) => Math.max(...all.map((line) => line[column]?.length ?? 0))) ?? [];
  return all
    .map(
      (line) =>
        `${line
          .map((value, column) => value.padEnd(widths[column] ?? 0))
          .join("  ")
          .trimEnd()}\n`,
    )
    .join("");
}

function shortened(value: string): string {
  return value.length > maxColumnCharacters ? `${value.slice(0, maxColumnCharacters - 1)}…` : value;
}
