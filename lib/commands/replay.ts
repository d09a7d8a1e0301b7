/**
 * `replay`: deliveries go through their handlers once more.
 *
 * It only says so in the inbox: their jobs become pending, as if they had never run, and the receiver runs them.
 * `--dead` restarts the dead jobs and no others, for the rest of such a delivery has been done; in every case,
 * handlers that match today and were not there then get a job. Running jobs are left alone.
 */
import type { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { errorLine, OperatorError, quoted } from "../errors.ts";
import { transaction } from "../keep/sqlite/database.ts";
import {
  addJobs,
  type Filter,
  findDeliveries,
  isReceiverAlive,
  namedDeliveries,
  readDelivery,
  readHandlers,
  restartJobs,
} from "../keep/sqlite/queries.ts";
import { printable } from "../log.ts";
import { jobsFor, loadHandlers, type ReadyHandlers } from "../process/loader.ts";
import { matchesPattern } from "../process/pattern.ts";
import { eventOf } from "../process/worker.ts";
import {
  counted,
  handlerFlags,
  handlersHelp,
  parseCommand,
  readFiles,
  readPattern,
  readTime,
  withInbox,
} from "./arguments.ts";
import type { ExitCode } from "./command.ts";
import { openProgress } from "./progress.ts";

const help = `replay: deliveries go through their handlers once more; the receiver runs them

Usage: tsx webhook-receiver.ts replay ID… [flags]
       tsx webhook-receiver.ts replay --dead [flags]
       tsx webhook-receiver.ts replay --since TIME [flags]

  ID                a delivery's id, or else its number (see list)
  --dead            the dead jobs of deliveries, and no others
  --since TIME      2h, 30d, 2026-03-31 or 2026-03-31T14:00 (UTC)
  --source NAME     only this source: default, github-acme, …
  --event PATTERN   only these events: push, pull_request, attacker.>, …
${handlersHelp}
`;

const flags = {
  ...handlerFlags,
  dead: { type: "boolean", default: false },
  since: { type: "string" },
  source: { type: "string" },
  event: { type: "string" },
} as const;

/** So few that a receiver waits for no step longer than for a commit or two of its own. */
const stepDeliveries = 100;
/** Between two steps the file is free for at least this long, and for as long as the step has taken. */
const breathMilliseconds = 5;

type Counts = { restarted: number; added: number; running: number; orphaned: number };

/**
 * @param write takes the text for stdout; the progress bar goes to stderr when that is a terminal
 * @param now the clock, in a parameter so that tests can stop it
 * @throws OperatorError
 */
export async function replay(
  argv: readonly string[],
  environment: NodeJS.ProcessEnv,
  write: (text: string) => void,
  now: () => Date = () => new Date(),
): Promise<ExitCode> {
  const { values, positionals } = parseCommand({ args: [...argv], options: flags, allowPositionals: true });
  if (values.help === true) {
    write(help);
    return 0;
  }
  const { dead, source, event, since } = values;
  checkSelection(positionals, dead, since);
  const filter = {
    state: dead ? ("dead" as const) : undefined,
    source,
    event: event === undefined ? undefined : readPattern("--event", event),
    since: since === undefined ? undefined : readTime("--since", since, now()),
  };
  const { inboxFile, handlersFile } = readFiles(values, environment);
  await withInbox(inboxFile, async (database) => {
    const handlers = await loadHandlers(handlersFile);
    const numbers =
      positionals.length === 0 ? findDeliveries(database, filter) : chosen(database, positionals, filter);
    const complaints: string[] = [];
    const counts: Counts = { restarted: 0, added: 0, running: 0, orphaned: 0 };
    const progress = openProgress(process.stderr, numbers.length, stepDeliveries);
    for (let done = 0; done < numbers.length; done += stepDeliveries) {
      const startedAt = performance.now();
      const step = numbers.slice(done, done + stepDeliveries);
      // Reading bodies and asking `orderBy` may take its time: it happens before anything is locked.
      const more = missingJobs(database, step, handlers, complaints);
      const time = now().getTime();
      const part = transaction(database, () => ({
        ...restartJobs(database, step, [...handlers.keys()], dead ? "dead" : "all", time),
        added: addJobs(database, more, time),
      }));
      for (const name of ["restarted", "added", "running", "orphaned"] as const) counts[name] += part[name];
      progress.show(done + step.length);
      if (done + stepDeliveries < numbers.length)
        await sleep(Math.max(breathMilliseconds, performance.now() - startedAt));
    }
    progress.clear();
    const isAlive = isReceiverAlive(database, now().getTime());
    write([...complaints, summary(numbers.length, counts, isAlive), ""].join("\n"));
  });
  return 0;
}

function checkSelection(ids: readonly string[], dead: boolean, since: string | undefined): void {
  const isFiltered = dead || since !== undefined;
  if (ids.length === 0 && !isFiltered) throw new OperatorError("replay: expected ids, --dead or --since", 2);
  if (ids.length > 0 && isFiltered)
    throw new OperatorError("replay: expected ids, or --dead and --since, not both", 2);
}

/** The deliveries that are named, if all of them are there and fit: a slip of the pen must not replay the rest. */
function chosen(database: DatabaseSync, ids: readonly string[], { source, event }: Filter): number[] {
  const numbers = ids.flatMap((id) => {
    const named = namedDeliveries(database, id).filter(
      (one) => (source ?? one.source) === one.source && event?.matches(one.event) !== false,
    );
    if (named.length > 0) return named.map(({ number }) => number);
    const where = source === undefined && event === undefined ? "in the inbox" : "of that source and event";
    throw new OperatorError(`no delivery ${where} is called ${quoted(id)}: nothing is replayed`, 1);
  });
  return [...new Set(numbers)];
}

/** The jobs of the handlers that match today and have none. The event is only read for those that ask for its order. */
function missingJobs(
  database: DatabaseSync,
  step: readonly number[],
  handlers: ReadyHandlers,
  complaints: string[],
): { delivery: number; handler: string; orderKey: string | null }[] {
  return readHandlers(database, step).flatMap(({ number, event, handlers: present }) => {
    const missing = [...handlers].filter(
      ([pattern]) => !present.has(pattern) && matchesPattern(pattern, event),
    );
    if (missing.every(([, { orderBy }]) => orderBy === undefined))
      return missing.map(([handler]) => ({ delivery: number, handler, orderKey: null }));
    const delivery = readDelivery(database, number);
    if (delivery === undefined) return [];
    try {
      const known = eventOf(delivery);
      const jobs = jobsFor(new Map(missing), known);
      return jobs.map((job) => ({ delivery: number, ...job }));
    } catch (thrown) {
      complaints.push(printable(`delivery ${number} gets no new job: ${errorLine(thrown)}`));
      return [];
    }
  });
}

function summary(deliveries: number, counts: Counts, isAlive: boolean): string {
  if (deliveries === 0) return "no delivery is like this: nothing is replayed";
  const { restarted, added, running, orphaned } = counts;
  const parts = [
    `${counted(deliveries, "delivery", "deliveries")}: ${counted(restarted + added, "job")} pending`,
  ];
  if (added > 0) parts.push(`${added} of them of new handlers`);
  if (running > 0) parts.push(`${running} running and left alone`);
  if (orphaned > 0) parts.push(`${orphaned} left as they were, for their handler is gone`);
  if (!isAlive && restarted + added > 0) parts.push("no receiver is running: they run when one is started");
  return parts.join("; ");
}
