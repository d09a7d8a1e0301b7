/**
 * What the commands ask of the inbox, and the few changes they make: SQL on an open database, nothing else.
 *
 * A receiver works on the same file meanwhile, so every statement is either short or only reads. The walks over
 * all deliveries go through the index on the time of arrival, which holds everything that is filtered by.
 */
import type { DatabaseSync } from "node:sqlite";
import type { FormUse } from "../../senders/sender.ts";

export const states = ["pending", "running", "done", "dead"] as const;
export type State = (typeof states)[number];

/** What a delivery has to be; what is left out may be anything. */
export type Filter = {
  readonly state?: State | undefined;
  readonly source?: string | undefined;
  readonly event?: EventFilter | undefined;
  /** Unix time in milliseconds: received then or later. */
  readonly since?: number | undefined;
};

/** Of the events that the GLOB lets through, which is fast, `matches` has the last word. */
export type EventFilter = { readonly glob: string; readonly matches: (event: string) => boolean };

/** A delivery in a list. */
export type Summary = {
  readonly number: number;
  readonly receivedAt: number;
  readonly source: string;
  readonly event: string;
  readonly id: string;
  readonly state: State;
  /** The most that one of its jobs has had. */
  readonly attempts: number;
  readonly repeats: number;
  readonly isTwin: number;
};

/** Everything about one delivery except its jobs. */
export type StoredDelivery = Summary & {
  readonly sender: string;
  readonly form: FormUse | null;
  /** As a JSON object. */
  readonly headers: string;
  readonly body: Uint8Array;
};

export type StoredJob = {
  readonly handler: string;
  readonly state: State;
  readonly attempts: number;
  readonly nextAttemptAt: number;
  readonly finishedAt: number | null;
  readonly lastError: string | null;
};

export type StoredRefused = {
  readonly number: number;
  readonly source: string;
  readonly receivedAt: number;
  readonly reason: string;
  /** Method, target and headers as JSON. */
  readonly head: string;
  readonly body: Uint8Array;
};

/** So few are looked up one by one; when there are more, the newest are soon met on the way through all. */
const fewJobs = 20_000;
const fewDeliveries = 2000;
/** A receiver beats each second; this long after its last beat it is taken for dead. */
const beatMilliseconds = 5000;

/** A delivery is what its jobs are: dead if one is, else running if one is, else pending; done when all are. */
const stateColumn = `CASE
  WHEN EXISTS (SELECT 1 FROM jobs WHERE delivery = deliveries.number AND state = 'dead') THEN 'dead'
  WHEN EXISTS (SELECT 1 FROM jobs WHERE delivery = deliveries.number AND state = 'running') THEN 'running'
  WHEN EXISTS (SELECT 1 FROM jobs WHERE delivery = deliveries.number AND state = 'pending') THEN 'pending'
  ELSE 'done' END`;

const summaryColumns = `number, received_at AS receivedAt, source, event, id, ${stateColumn} AS state,
  (SELECT coalesce(max(attempts), 0) FROM jobs WHERE delivery = deliveries.number) AS attempts,
  repeats, is_twin AS isTwin`;

/** @returns the newest deliveries that fit, newest first */
export function listDeliveries(database: DatabaseSync, filter: Filter, limit: number): Summary[] {
  const { from, parameters } = walk(database, filter);
  const sql = `SELECT ${summaryColumns} FROM deliveries
    WHERE number IN (SELECT number ${from} ORDER BY received_at DESC, number DESC LIMIT ?)
    ORDER BY received_at DESC, number DESC`;
  return database.prepare(sql).all(...parameters, limit) as unknown as Summary[];
}

/** @returns the numbers of all deliveries that fit, in the order of their arrival */
export function findDeliveries(database: DatabaseSync, filter: Filter): number[] {
  const { from, parameters } = walk(database, filter);
  const rows = database.prepare(`SELECT number ${from} ORDER BY received_at, number`).iterate(...parameters);
  return Array.from(rows, ({ number }) => Number(number));
}

/** @returns the deliveries with this id, or else the one with this number */
export function namedDeliveries(
  database: DatabaseSync,
  name: string,
): { number: number; source: string; event: string }[] {
  // An index begins with the source: going through it source by source finds an id at once.
  const named = database.prepare(`
    WITH RECURSIVE sources (name) AS (
      SELECT min(source) FROM deliveries
      UNION ALL
      SELECT (SELECT min(source) FROM deliveries WHERE source > name) FROM sources WHERE name IS NOT NULL)
    SELECT number, source, event FROM deliveries
    WHERE source IN (SELECT name FROM sources) AND id = ? ORDER BY number`);
  const numbered = database.prepare("SELECT number, source, event FROM deliveries WHERE number = ?");
  let rows = named.all(name);
  if (rows.length === 0 && /^[1-9]\d{0,14}$/.test(name)) rows = numbered.all(Number(name));
  return rows as unknown as { number: number; source: string; event: string }[];
}

export function readDelivery(database: DatabaseSync, number: number): StoredDelivery | undefined {
  const sql = `SELECT ${summaryColumns}, sender, form, headers, body
    FROM deliveries WHERE number = ?`;
  return database.prepare(sql).get(number) as unknown as StoredDelivery | undefined;
}

export function readJobs(database: DatabaseSync, delivery: number): StoredJob[] {
  const sql = `SELECT handler, state, attempts, next_attempt_at AS nextAttemptAt, finished_at AS finishedAt,
    last_error AS lastError FROM jobs WHERE delivery = ? ORDER BY number`;
  return database.prepare(sql).all(delivery) as unknown as StoredJob[];
}

// ---- Replay ----

/** @returns for each of the deliveries that are still there: its event, and the handlers that have a job of it */
export function readHandlers(
  database: DatabaseSync,
  deliveries: readonly number[],
): { number: number; event: string; handlers: Set<string> }[] {
  const sql = `SELECT number, event, (SELECT json_group_array(handler) FROM jobs WHERE delivery = deliveries.number)
    AS handlers FROM deliveries WHERE number IN (SELECT value FROM json_each(?)) ORDER BY number`;
  const rows = database.prepare(sql).all(JSON.stringify(deliveries));
  return rows.map(({ number, event, handlers }) => ({
    number: Number(number),
    event: String(event),
    handlers: new Set(JSON.parse(String(handlers)) as string[]),
  }));
}

/**
 * Makes jobs pending once more, as if they had never run. Running ones are left alone, and so are those that
 * nobody could run, because their handler is gone.
 * @param which of the deliveries' jobs: all of them, or only the dead ones
 */
export function restartJobs(
  database: DatabaseSync,
  deliveries: readonly number[],
  handlers: readonly string[],
  which: "all" | "dead",
  now: number,
): { restarted: number; running: number; orphaned: number } {
  const of = "delivery IN (SELECT value FROM json_each($deliveries))";
  const wanted = which === "dead" ? "state = 'dead'" : "state <> 'running'";
  const hasHandler = "handler IN (SELECT value FROM json_each($handlers))";
  const among = { deliveries: JSON.stringify(deliveries), handlers: JSON.stringify(handlers) };
  const left = database
    .prepare(
      `SELECT count(*) FILTER (WHERE state = 'running') AS running,
        count(*) FILTER (WHERE ${wanted} AND NOT ${hasHandler}) AS orphaned FROM jobs WHERE ${of}`,
    )
    .get(among);
  const restart = database.prepare(`
    UPDATE jobs SET state = 'pending', attempts = 0, next_attempt_at = $now, finished_at = NULL
    WHERE ${of} AND ${wanted} AND ${hasHandler}`);
  const { changes } = restart.run({ ...among, now });
  return { restarted: Number(changes), running: Number(left?.running), orphaned: Number(left?.orphaned) };
}

/** Adds jobs of handlers that were not there when the delivery came. @returns how many */
export function addJobs(
  database: DatabaseSync,
  jobs: readonly { delivery: number; handler: string; orderKey: string | null }[],
  now: number,
): number {
  // The delivery may have been removed meanwhile (its time was up), or another replay was faster.
  const insert = database.prepare(`
    INSERT INTO jobs (delivery, handler, state, next_attempt_at, order_key)
    SELECT number, $handler, 'pending', $now, $orderKey FROM deliveries WHERE number = $delivery
    ON CONFLICT (delivery, handler) DO NOTHING`);
  const added = jobs.map(({ delivery, handler, orderKey }) =>
    insert.run({ delivery, handler, now, orderKey }),
  );
  return added.reduce((sum, { changes }) => sum + Number(changes), 0);
}

export function isReceiverAlive(database: DatabaseSync, now: number): boolean {
  const sql = "SELECT 1 FROM receivers WHERE beat_at BETWEEN ? AND ? LIMIT 1";
  return database.prepare(sql).get(now - beatMilliseconds, now + beatMilliseconds) !== undefined;
}

// ---- Quarantine ----

/** @returns the numbers of what is in quarantine, oldest first */
export function findQuarantined(database: DatabaseSync): number[] {
  const rows = database.prepare("SELECT number FROM quarantine ORDER BY number").all();
  return rows.map(({ number }) => Number(number));
}

export function readQuarantined(database: DatabaseSync, number: number): StoredRefused | undefined {
  const sql =
    "SELECT number, source, received_at AS receivedAt, reason, head, body FROM quarantine WHERE number = ?";
  return database.prepare(sql).get(number) as unknown as StoredRefused | undefined;
}

/** @returns false when it was not there any more */
export function removeQuarantined(database: DatabaseSync, number: number): boolean {
  return Number(database.prepare("DELETE FROM quarantine WHERE number = ?").run(number).changes) > 0;
}

// ---- The walk over the deliveries that fit a filter ----

/** `FROM … WHERE …`, with as many parameters as it has question marks. */
function walk(database: DatabaseSync, { state, source, event, since }: Filter) {
  const conditions: string[] = ["TRUE"];
  const parameters: (string | number)[] = [];
  if (since !== undefined) {
    conditions.push("received_at >= ?");
    parameters.push(since);
  }
  if (source !== undefined) {
    conditions.push("source = ?");
    parameters.push(source);
  }
  if (event !== undefined) {
    const { matches } = event;
    database.function("matches_event", { deterministic: true }, (name) => (matches(String(name)) ? 1 : 0));
    conditions.push("(event GLOB ? OR event GLOB '*,*') AND matches_event(event)");
    parameters.push(event.glob);
  }
  // Left to itself, SQLite would look a large source up by its ids, and then sort half of the inbox.
  let index = "INDEXED BY deliveries_received";
  if (source !== undefined && isFew(database, "deliveries WHERE source = ?", fewDeliveries, source))
    index = "INDEXED BY deliveries_dedupe";
  if (state !== undefined) conditions.push(stateConditions[state]);
  // The state is in the text of the statement: only then the index of the jobs in that state is used.
  if (state !== undefined && state !== "done" && isFew(database, `jobs WHERE state = '${state}'`, fewJobs)) {
    conditions.push(`number IN (SELECT delivery FROM jobs WHERE state = '${state}')`);
    index = "NOT INDEXED";
  }
  return { from: `FROM deliveries ${index} WHERE ${conditions.join(" AND ")}`, parameters };
}

function isFew(database: DatabaseSync, rows: string, few: number, ...parameters: string[]): boolean {
  const sql = `SELECT count(*) AS count FROM (SELECT 1 FROM ${rows} LIMIT ${few + 1})`;
  return Number(database.prepare(sql).get(...parameters)?.count) <= few;
}

const someJob = (condition: string): string =>
  `EXISTS (SELECT 1 FROM jobs WHERE delivery = deliveries.number AND ${condition})`;

const stateConditions: Readonly<Record<State, string>> = {
  dead: someJob("state = 'dead'"),
  running: `${someJob("state = 'running'")} AND NOT ${someJob("state = 'dead'")}`,
  pending: `${someJob("state = 'pending'")} AND NOT ${someJob("state IN ('running', 'dead')")}`,
  done: `NOT ${someJob("state <> 'done'")}`,
};
