/**
 * What is aimed at, as numbers that a run can be held against: a floor that has to be reached, and a dare. They
 * are judged in the report and in no test: a machine that has something else to do is not a fault in the code.
 */
import { markdownTable, shown } from "./tables.ts";

type Target = {
  /** As the measurement calls it. */
  readonly finding: string;
  readonly good: "high" | "low";
  readonly floor: number;
  readonly dare?: number;
};

const targets: readonly Target[] = [
  { finding: "storage stubbed out, kept alive, × ceiling", good: "high", floor: 0.45, dare: 0.5 },
  { finding: "storage stubbed out, a connection each, × ceiling", good: "high", floor: 0.65, dare: 0.75 },
  { finding: "storage stubbed out, kept alive, × fastify", good: "high", floor: 1.25, dare: 1.4 },
  { finding: "storage stubbed out, a connection each, × fastify", good: "high", floor: 1.25, dare: 1.4 },
  { finding: "durable, kept alive, × ceiling", good: "high", floor: 0.2, dare: 0.33 },
  { finding: "durable, a connection each, × ceiling", good: "high", floor: 0.33, dare: 0.45 },
  { finding: "durable, kept alive, × one transaction a request", good: "high", floor: 3, dare: 4 },
  { finding: "durable, a connection each, × one transaction a request", good: "high", floor: 3, dare: 4 },
  {
    finding: "durable with 5 ms more a sync, a connection each, × one transaction a request",
    good: "high",
    floor: 10,
    dare: 16,
  },
  { finding: "durable, a connection each, deliveries a sync", good: "high", floor: 25 },
  { finding: "durable, kept alive, p99 ms over 60 s", good: "low", floor: 40, dare: 25 },
  { finding: "durable, a connection each, p99 ms over 60 s", good: "low", floor: 40, dare: 25 },
  { finding: "durable, kept alive, longest stall ms", good: "low", floor: 50 },
  { finding: "durable, a connection each, longest stall ms", good: "low", floor: 50 },
  { finding: "1 M stored, × an empty inbox", good: "high", floor: 0.8, dare: 0.95 },
  { finding: "under attack, another client's p99 × without it", good: "low", floor: 5, dare: 2 },
  { finding: "under attack, another client's p99 ms", good: "low", floor: 250 },
  { finding: "under attack, good deliveries not accepted", good: "low", floor: 0 },
  { finding: "under attack, peak resident MiB", good: "low", floor: 400, dare: 250 },
  { finding: "under attack, write-ahead log MiB", good: "low", floor: 64 },
  { finding: "pipelining, MiB more resident than before", good: "low", floor: 50 },
  { finding: "64 uploads of 1 MB at once, peak resident MiB", good: "low", floor: 400, dare: 250 },
];

/**
 * The table of targets, and of what was found about each.
 * @param scope "measured" leaves out what has not been
 */
export function targetTable(findings: ReadonlyMap<string, number>, scope: "all" | "measured"): string {
  const wanted = targets.filter(({ finding }) => scope === "all" || findings.has(finding));
  const rows = wanted.map((target) => {
    const found = findings.get(target.finding) ?? Number.NaN;
    const { finding, floor, dare } = target;
    return [finding, String(floor), String(dare ?? "–"), shown(found, 2), verdict(target, found)];
  });
  return markdownTable(["", "floor", "dare", "found", "reached"], rows);
}

function verdict({ good, floor, dare }: Target, found: number): string {
  if (Number.isNaN(found)) return "not measured";
  const reaches = (goal: number) => (good === "high" ? found >= goal : found <= goal);
  if (dare !== undefined && reaches(dare)) return "dare";
  return reaches(floor) ? "floor" : "**no**";
}
