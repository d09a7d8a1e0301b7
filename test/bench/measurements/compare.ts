/**
 * The receiver beside the ceiling, beside a receiver without group commit, and beside its peers: pushes of 8 KB on
 * 64 connections, kept alive and one for each delivery. `compareStored` and `compareStubbed` are parts of it.
 */
import * as contestants from "../contestants.ts";
import { type Kind, kinds } from "../load.ts";
import { type Bench, type Row, runRounds } from "../rounds.ts";
import { loadTable, markdownTable, medianOf, type Report, ratioTo, shown } from "../tables.ts";

const { ceiling, fastify, oneEach, peers, receiver, receiverWithHandlers, receiverWithoutStore } =
  contestants;

export const usualLoad = { bodyBytes: 8000, connections: 64 } as const;

export function compareAll(bench: Bench): Promise<Report> {
  return compare(bench, [ceiling, receiverWithoutStore, receiver, receiverWithHandlers, oneEach, ...peers]);
}

export function compareStored(bench: Bench): Promise<Report> {
  return compare(bench, [ceiling, receiver, receiverWithHandlers, oneEach]);
}

export function compareStubbed(bench: Bench): Promise<Report> {
  return compare(bench, [ceiling, receiverWithoutStore, fastify]);
}

async function compare(bench: Bench, all: readonly contestants.Contestant[]): Promise<Report> {
  const present = all.filter(({ absence }) => absence === undefined);
  const visits = present.flatMap((contestant) =>
    kinds.map((kind) => ({ contestant, load: { ...usualLoad, kind } })),
  );
  const rows = await runRounds(bench, visits);
  const tables = kinds.map((kind) => {
    const ofKind = rows.filter(({ load }) => load.kind === kind);
    return loadTable(ofKind, find(rows, ceiling, kind));
  });
  const generator = kinds.map((kind) => {
    const row = find(rows, ceiling, kind);
    return [
      kind,
      shown(
        medianOf(row, ({ generatorShare }) => generatorShare),
        2,
      ),
    ];
  });
  const absent = all.flatMap(({ name, absence }) =>
    absence === undefined ? [] : [`Absent: ${name} (\`${absence}\`).`],
  );
  const text = [
    ...tables,
    markdownTable(["the load generator at the ceiling", "of one processor"], generator),
    ...(absent.length === 0 ? [] : [absent.join("\n")]),
  ].join("\n\n");
  return { text, findings: new Map(kinds.flatMap((kind) => findingsOf(rows, kind))) };
}

function find(rows: readonly Row[], contestant: contestants.Contestant, kind: Kind): Row {
  const row = rows.find((row) => row.contestant === contestant && row.load.kind === kind);
  return row ?? { contestant, load: { ...usualLoad, kind }, slices: [] };
}

/** Those that have a target. What was not measured is NaN, and left out. */
function findingsOf(rows: readonly Row[], kind: Kind): [string, number][] {
  const ratio = (one: contestants.Contestant, other: contestants.Contestant) =>
    ratioTo(find(rows, other, kind), find(rows, one, kind)).median;
  const findings: [string, number][] = [
    [`storage stubbed out, ${kind}, × ceiling`, ratio(receiverWithoutStore, ceiling)],
    [`storage stubbed out, ${kind}, × fastify`, ratio(receiverWithoutStore, fastify)],
    [`durable, ${kind}, × ceiling`, ratio(receiver, ceiling)],
    [`durable, ${kind}, × one transaction a request`, ratio(receiver, oneEach)],
  ];
  return findings.filter(([, value]) => !Number.isNaN(value));
}
