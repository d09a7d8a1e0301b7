/**
 * How fast is the receiver, beside a server that does nothing and beside its peers?
 *
 *     npm run bench -- --quick
 *
 * README.md beside this file says what is measured, how, and how to read it.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { drawChart } from "./chart.ts";
import { findGenerator, kinds } from "./load.ts";
import { describeMachine } from "./machine.ts";
import { fullRun, type Measurement, parts, quickRun } from "./measurements.ts";
import { profile } from "./profile.ts";
import type { Bench } from "./rounds.ts";
import type { Report } from "./tables.ts";
import { targetTable } from "./targets.ts";

const names = [...fullRun, ...parts].map(({ name }) => name).join(", ");
const help = `Usage: npm run bench -- [NAME [PART]] [flags]

  (none)                 everything; writes RESULTS.md and chart.svg into test/bench
  NAME                   the same as --only NAME; "attack" takes a PART, a word of those attacks that are wanted
  --quick                the comparison alone, within a minute
  --only NAME            ${names}
  --profile              where the time goes; with --only stubbed, without the storage
  --rounds NUMBER        how often each server is visited
  --seconds NUMBER       of load for each visit
  --connections NUMBER   64 unless said; "grid" and "memory" have their own
  --body BYTES           8000 unless said; likewise`;

const number = { type: "string" } as const;
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: "boolean", default: false },
    profile: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
    only: { type: "string" },
    rounds: number,
    seconds: number,
    connections: number,
    body: number,
  },
});

const [only = values.only, part, ...more] = positionals;
if (more.length > 0 || (part !== undefined && only !== "attack"))
  throw new TypeError(`there is no ${more[0] ?? part}`);

/** A receiver that has answered for three seconds needs three quarters of the processor time of one that is new. */
const warmSeconds = 3;
const quickWarmSeconds = 1;

/** The rounds that fit into it leave the rest of a minute to the start and the end. */
const quickBudgetSeconds = 55;

type Section = Report & { readonly title: string };

function numberGiven(flag: "rounds" | "seconds" | "connections" | "body"): number | undefined {
  const text = values[flag];
  if (text === undefined) return undefined;
  if (!(Number(text) > 0)) throw new TypeError(`--${flag}: expected a number above 0, not ${text}`);
  return Number(text);
}

function chosenMeasurements(): readonly Measurement[] {
  if (values.quick) return quickRun;
  if (only === undefined) return fullRun;
  const chosen = [...fullRun, ...parts].filter(({ name }) => name === only);
  if (chosen.length === 0) throw new TypeError(`expected one of ${names}, not ${only}`);
  return chosen;
}

async function openBench(folder: string): Promise<Bench> {
  const load = { bodyBytes: numberGiven("body") ?? 8000, connections: numberGiven("connections") ?? 64 };
  return {
    generator: await findGenerator(folder),
    folder,
    load,
    rounds: numberGiven("rounds") ?? 1,
    seconds: numberGiven("seconds") ?? 5,
    warmSeconds: values.quick ? quickWarmSeconds : warmSeconds,
    budgetSeconds: values.quick ? quickBudgetSeconds : Number.POSITIVE_INFINITY,
    part,
    report: (text) => process.stderr.write(`${text}\n`),
  };
}

/** What goes wrong in one measurement is said in its place: the others are worth having. */
async function runAll(bench: Bench, measurements: readonly Measurement[]): Promise<Section[]> {
  const sections: Section[] = [];
  for (const { title, measure, ...usual } of measurements) {
    const rounds = numberGiven("rounds") ?? usual.rounds;
    const seconds = numberGiven("seconds") ?? usual.seconds;
    const report = await measure({ ...bench, rounds, seconds }).catch((thrown: unknown) => {
      process.exitCode = 1;
      return { text: `Failed: ${thrown}`, findings: new Map<string, number>() };
    });
    const pace = `rounds: ${rounds}${seconds > 0 ? `, ${seconds} s of load each` : ""}`;
    sections.push({ title: `${title} (${pace})`, ...report });
    console.log(`\n## ${title}\n\n${report.text}\n`);
  }
  return sections;
}

function writeResults(machine: string, sections: readonly Section[], targets: string): void {
  const bars = sections.flatMap((section) => section.bars ?? []);
  const flags = process.argv.slice(2).join(" ");
  const text = `# Results

\`npm run bench${flags === "" ? "" : ` -- ${flags}`}\` wrote this on ${new Date().toISOString().slice(0, 10)}. [README.md](README.md) says how it was measured. The ratios mean something; the absolute numbers are this machine's, with the load on the same processors.

${machine}

![Deliveries accepted in a second, as a part of the ceiling](chart.svg)

## Targets

${targets}

${sections.map(({ title, text }) => `## ${title}\n\n${text}`).join("\n\n")}
`;
  writeFileSync(new URL("RESULTS.md", import.meta.url), text);
  writeFileSync(new URL("chart.svg", import.meta.url), drawChart(bars));
}

async function main(folder: string): Promise<void> {
  const measurements = chosenMeasurements();
  const bench = await openBench(folder);
  if (values.profile) {
    const storage = only === "stubbed" ? "stubbed" : "inbox";
    for (const kind of kinds) console.log(`${await profile(bench, storage, kind)}\n`);
    return;
  }
  const machine = describeMachine(folder, bench.generator);
  console.log(machine);
  const sections = await runAll(bench, measurements);
  if (values.body !== undefined || values.connections !== undefined) return; // the targets are for the usual load
  const findings = new Map(sections.flatMap(({ findings }) => [...findings]));
  const targets = targetTable(findings, measurements === fullRun ? "all" : "measured");
  if (findings.size > 0) console.log(`## Targets\n\n${targets}`);
  if (measurements === fullRun) writeResults(machine, sections, targets);
}

if (values.help) {
  console.log(help);
} else {
  const folder = mkdtempSync(join(tmpdir(), "bench-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  process.on("SIGINT", () => process.exit(130)).on("SIGTERM", () => process.exit(143));
  await main(folder);
}
