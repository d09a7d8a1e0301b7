/**
 * Strangers attack: what another client sees of it, as a ratio to what it sees of the same receiver before the attack,
 * and what the receiver takes of memory. Each scenario has a fresh receiver in each round.
 */
import { faultsOf, listed, type Observed, obstacle, play } from "../attack/attacked.ts";
import { openGoodClient } from "../attack/good-client.ts";
import { type Scenario, scenarios } from "../attack/scenarios.ts";
import type { Bench } from "../rounds.ts";
import { markdownTable, median, type Report, shown } from "../tables.ts";

const deliveriesPerSecond = 100;

type Row = { readonly scenario: Scenario; readonly observed: readonly Observed[] };

export async function attack(bench: Bench): Promise<Report> {
  const chosen = scenarios.filter(({ name }) => name.includes(bench.part ?? ""));
  if (chosen.length === 0)
    throw new TypeError(
      `there is no attack "${bench.part}": ${scenarios.map(({ name }) => name).join("; ")}`,
    );
  const possible = chosen.filter((scenario) => obstacle(scenario) === undefined);
  const rows = possible.map((scenario) => ({ scenario, observed: [] as Observed[] }));
  const goodClient = openGoodClient(bench.folder);
  const load = { ...bench.load, kind: "kept alive" } as const;
  const pace = {
    warm: (port: number) => bench.generator.drive(port, load, bench.warmSeconds),
    ...{ controlSeconds: bench.seconds, attackSeconds: bench.seconds, deliveriesPerSecond },
  };
  for (let round = 1; round <= bench.rounds; round += 1) {
    for (const { scenario, observed } of rows) {
      observed.push(await play(bench.folder, scenario, goodClient, pace));
      bench.report(`round ${round}: ${scenario.name}`);
    }
  }
  const skipped = chosen.flatMap((scenario) => {
    const why = obstacle(scenario);
    return why === undefined ? [] : [`- Skipped: ${scenario.name}: ${why}.`];
  });
  const faults = rows.flatMap(({ scenario, observed }) =>
    [...new Set(observed.flatMap((one) => faultsOf(scenario, one)))].map(
      (fault) => `- **${scenario.name}**: ${fault}`,
    ),
  );
  const text = [tableOf(rows), ...skipped, ...faults].join("\n");
  return { text: text.replace("|\n- ", "|\n\n- "), findings: findingsOf(rows) };
}

function tableOf(rows: readonly Row[]): string {
  const head = [
    `a good client, ${deliveriesPerSecond} deliveries a second, under`,
    "p99 × without",
    "p99 ms",
    "longest ms",
    "accepted",
    "resident MiB before",
    "at most",
    "write-ahead log MiB",
    "longest stall ms",
    "answers to the attacker",
  ];
  return markdownTable(
    head,
    rows.map(({ scenario, observed }) => [
      scenario.name,
      shown(median(observed.map(slowdown)), 1),
      shown(median(observed.map(({ attacked }) => attacked.p99)), 1),
      shown(Math.max(...observed.map(({ attacked }) => attacked.longest)), 0),
      acceptedOf(observed),
      shown(median(observed.map(({ peakBeforeMiB }) => peakBeforeMiB)), 0),
      shown(Math.max(...observed.map(({ peakMiB }) => peakMiB)), 0),
      shown(Math.max(...observed.map(({ logMiB }) => logMiB)), 0),
      shown(median(observed.map(({ stallMilliseconds }) => stallMilliseconds)), 0),
      listed(observed.at(-1)?.answers ?? new Map()),
    ]),
  );
}

function slowdown({ attacked, control }: Observed): number {
  return attacked.p99 / control.p99;
}

function acceptedOf(observed: readonly Observed[]): string {
  const sum = (name: "accepted" | "sent") => observed.reduce((all, { attacked }) => all + attacked[name], 0);
  return `${sum("accepted")} of ${sum("sent")}`;
}

/** The worst of all scenarios; those about one kind of attack are missing when it was not played. */
function findingsOf(rows: readonly Row[]): Map<string, number> {
  const medians = (value: (one: Observed) => number, of = rows) =>
    of.map(({ observed }) => median(observed.map(value)));
  const worst = (values: readonly number[]) => (values.length === 0 ? Number.NaN : Math.max(...values));
  const all = rows.flatMap(({ observed }) => observed);
  const pipelining = rows.filter(({ scenario }) => scenario.name.startsWith("pipelining"));
  const findings: [string, number][] = [
    ["under attack, another client's p99 × without it", worst(medians(slowdown))],
    ["under attack, another client's p99 ms", worst(medians(({ attacked }) => attacked.p99))],
    [
      "under attack, good deliveries not accepted",
      worst(all.map(({ attacked }) => attacked.sent - attacked.accepted)),
    ],
    ["under attack, peak resident MiB", worst(all.map(({ peakMiB }) => peakMiB))],
    ["under attack, write-ahead log MiB", worst(all.map(({ logMiB }) => logMiB))],
    [
      "pipelining, MiB more resident than before",
      worst(medians(({ peakMiB, peakBeforeMiB }) => peakMiB - peakBeforeMiB, pipelining)),
    ],
  ];
  return new Map(findings.filter(([, value]) => Number.isFinite(value)));
}
