/** What can be measured, by the name that `--only` takes, and how long each takes its time. */
import { attack } from "./measurements/attack.ts";
import { compareAll, compareStored, compareStubbed } from "./measurements/compare.ts";
import { grid } from "./measurements/grid.ts";
import { memory } from "./measurements/memory.ts";
import { million } from "./measurements/million.ts";
import { slowSync } from "./measurements/slow-sync.ts";
import { start } from "./measurements/start.ts";
import { steady } from "./measurements/steady.ts";
import type { Bench } from "./rounds.ts";
import type { Report } from "./tables.ts";

export type Measurement = {
  readonly name: string;
  readonly title: string;
  readonly measure: (bench: Bench) => Promise<Report>;
  readonly rounds: number;
  /** Of load, for each slice of a round. */
  readonly seconds: number;
};

export const fullRun: readonly Measurement[] = [
  { name: "compare", title: "Beside others", measure: compareAll, rounds: 5, seconds: 2 },
  { name: "grid", title: "Bodies and connections", measure: grid, rounds: 3, seconds: 1 },
  { name: "slow-sync", title: "A slower disk", measure: slowSync, rounds: 5, seconds: 2 },
  { name: "steady", title: "A minute of load", measure: steady, rounds: 1, seconds: 60 },
  { name: "memory", title: "Memory", measure: memory, rounds: 3, seconds: 3 },
  { name: "start", title: "Start", measure: start, rounds: 10, seconds: 0 },
  { name: "attack", title: "Under attack", measure: attack, rounds: 3, seconds: 4 },
  { name: "million", title: "A million stored deliveries", measure: million, rounds: 5, seconds: 3 },
];

/** Enough to see whether something has gone wrong, within a minute. */
export const quickRun: readonly Measurement[] = [
  { name: "compare", title: "Beside others", measure: compareAll, rounds: 3, seconds: 1 },
];

/** Parts of "compare", for those who are at work on one thing. */
export const parts: readonly Measurement[] = [
  { name: "durable", title: "With the inbox", measure: compareStored, rounds: 5, seconds: 3 },
  { name: "stubbed", title: "Storage stubbed out", measure: compareStubbed, rounds: 5, seconds: 3 },
];
