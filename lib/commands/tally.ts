/**
 * What came of many requests: how often each answer came, and how long the answers took.
 *
 * Percentiles are by nearest rank: p99 is a time that was measured, which 99 of 100 requests did not exceed.
 */
import { STATUS_CODES } from "node:http";
import { counted } from "./arguments.ts";

export type RequestOutcome = {
  readonly isDelivered: boolean;
  /** null: there was no answer. */
  readonly statusCode: number | null;
  /** Why it was not delivered. */
  readonly error: string | null;
};

export type Tally = {
  add(outcome: RequestOutcome, milliseconds: number): void;
  /** How many requests have ended. */
  readonly done: number;
  /** True when each of them was delivered. */
  readonly isAllDelivered: boolean;
  /** The summary, a line each. */
  lines(seconds: number): string[];
};

export function openTally(): Tally {
  const counts = new Map<string, number>();
  const answerTimes: number[] = [];
  let done = 0;
  let delivered = 0;
  return {
    get done() {
      return done;
    },
    get isAllDelivered() {
      return delivered === done;
    },
    add: (outcome, milliseconds) => {
      const name = nameOf(outcome);
      counts.set(name, (counts.get(name) ?? 0) + 1);
      if (outcome.statusCode !== null) answerTimes.push(milliseconds);
      done += 1;
      if (outcome.isDelivered) delivered += 1;
    },
    lines: (seconds) => {
      const perSecond = (done / Math.max(seconds, 0.001)).toFixed(1);
      const width = Math.max(0, ...[...counts.values()].map((count) => String(count).length));
      const rows = [...counts].sort(([, a], [, b]) => b - a);
      return [
        `${counted(done, "request")} in ${seconds.toFixed(2)} s, ${perSecond} a second`,
        ...rows.map(([name, count]) => `  ${String(count).padStart(width)}  ${name}`),
        ...latencyLines(answerTimes),
      ];
    },
  };
}

/** `200 OK`, or why there was no answer. */
export function nameOf({ statusCode, error }: RequestOutcome): string {
  return statusCode === null
    ? `no answer: ${error}`
    : `${statusCode} ${STATUS_CODES[statusCode] ?? ""}`.trim();
}

function latencyLines(times: readonly number[]): string[] {
  if (times.length === 0) return [];
  const sorted = Float64Array.from(times).sort();
  const rank = (percent: number): string =>
    (sorted[Math.ceil((percent * sorted.length) / 100) - 1] ?? 0).toFixed(1);
  const first = (sorted[0] ?? 0).toFixed(1);
  return [
    `answers took, in ms: min ${first}, p50 ${rank(50)}, p95 ${rank(95)}, p99 ${rank(99)}, max ${rank(100)}`,
  ];
}
