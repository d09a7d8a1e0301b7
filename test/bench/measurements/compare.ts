/**
 * The receiver beside the ceiling, beside a receiver without group commit, and beside its peers, kept alive and
 * with a connection for each delivery. `compareStored` and `compareStubbed` are parts of it.
 */
import type { Bar } from "../chart.ts";
import {
  byHand,
  type Contestant,
  ceiling,
  fastify,
  oneEachByHand,
  peers,
  receiver,
  receiverOneEach,
  receiverWithHandlers,
  receiverWithoutStore,
} from "../contestants.ts";
import { type Kind, kinds } from "../load.ts";
import { type Bench, type Row, runRounds } from "../rounds.ts";
import { loadTable, medianOf, type Report, ratioTo, shown } from "../tables.ts";

export function compareAll(bench: Bench): Promise<Report> {
  const ours = [
    ceiling,
    byHand,
    receiverWithoutStore,
    receiver,
    receiverWithHandlers,
    receiverOneEach,
    oneEachByHand,
  ];
  return compare(bench, [...ours, ...peers]);
}

export function compareStored(bench: Bench): Promise<Report> {
  return compare(bench, [ceiling, receiver, receiverWithHandlers, receiverOneEach, oneEachByHand]);
}

export function compareStubbed(bench: Bench): Promise<Report> {
  return compare(bench, [ceiling, byHand, receiverWithoutStore, fastify]);
}

/** @param all the ceiling among them; those that are not installed are named in the text */
export async function compare(bench: Bench, all: readonly Contestant[]): Promise<Report> {
  const present = all.filter(({ version }) => version !== undefined);
  const visits = present.flatMap((contestant) =>
    kinds.map((kind) => ({ contestant, load: { ...bench.load, kind } })),
  );
  const rows = await runRounds(bench, visits);
  const find = (contestant: Contestant, kind: Kind): Row =>
    rows.find((row) => row.contestant === contestant && row.load.kind === kind) ?? {
      contestant,
      load: { ...bench.load, kind },
      slices: [],
    };
  const ratio = (one: Contestant, other: Contestant, kind: Kind) =>
    ratioTo(find(other, kind), find(one, kind)).median;

  const sections = kinds.map((kind) => {
    const ofKind = rows.filter(({ load }) => load.kind === kind);
    const share = medianOf(find(ceiling, kind), "generatorShare");
    return `${loadTable(ofKind, find(ceiling, kind))}\n\nAt the ceiling the load generator used ${shown(share, 2)} of a processor.`;
  });
  const absent = all.filter(({ version }) => version === undefined);
  const findings = kinds.flatMap((kind): [string, number][] => [
    [`storage stubbed out, ${kind}, × ceiling`, ratio(receiverWithoutStore, ceiling, kind)],
    [`storage stubbed out, ${kind}, × fastify`, ratio(receiverWithoutStore, fastify, kind)],
    [`durable, ${kind}, × ceiling`, ratio(receiver, ceiling, kind)],
    [`durable, ${kind}, × one transaction a request`, ratio(receiver, receiverOneEach, kind)],
  ]);
  const bars = present
    .filter((contestant) => contestant !== ceiling)
    .map((contestant): Bar => {
      const [keptAlive, each] = kinds.map((kind) => ratio(contestant, ceiling, kind));
      return { ...contestant, ratios: { "kept alive": keptAlive ?? 0, "a connection each": each ?? 0 } };
    });
  const absences = absent.map(({ name, install }) => `- Absent: ${name} (\`${install}\`).`).join("\n");
  return {
    text: [...sections, absences].join("\n\n").trimEnd(),
    findings: new Map(findings.filter(([, value]) => !Number.isNaN(value))),
    bars,
  };
}
