/**
 * Every size of body on every number of connections, kept alive and one for each delivery. Three servers run side
 * by side, of which only one has work at a time: so a round of all loads takes two minutes and a half.
 */
import { setTimeout as pause } from "node:timers/promises";
import { ceiling, receiver, receiverWithoutStore } from "../contestants.ts";
import { kinds, type Load } from "../load.ts";
import { type Bench, measure, type Row } from "../rounds.ts";
import { type Server, startServer, usageOf } from "../server.ts";
import { failuresOf, markdownTable, medianOf, type Report, ratioTo, shown } from "../tables.ts";

const sizes = [1000, 8000, 256_000, 1_000_000];
const connectionCounts = [1, 16, 64, 256];

/** In two seconds 256 connections bring a few of their large bodies to an end. */
const largeBytes = 100_000;
const timesLongerForLarge = 2;

/** A server is quiet when it has used less processor time than this between two looks. */
const quietCpuSeconds = 0.01;
const lookMilliseconds = 100;
const quietDeadlineMilliseconds = 15_000;

type Line = { readonly load: Load; readonly rows: readonly (Row & { slices: Row["slices"][number][] })[] };

export async function grid(bench: Bench): Promise<Report> {
  const contestants = [ceiling, receiverWithoutStore, receiver];
  const loads = kinds.flatMap((kind) =>
    sizes.flatMap((bodyBytes) =>
      connectionCounts.map((connections) => ({ bodyBytes, connections, kind }) satisfies Load),
    ),
  );
  const lines: Line[] = loads.map((load) => ({
    load,
    rows: contestants.map((contestant) => ({ contestant, load, slices: [] })),
  }));
  for (let round = 1; round <= bench.rounds; round += 1) {
    await visitAll(bench, lines);
    bench.report(`round ${round} of the grid`);
  }
  return { text: kinds.map((kind) => table(lines, kind)).join("\n\n"), findings: new Map() };
}

/** One round: the servers stay, and are warm after the first loads. */
async function visitAll(bench: Bench, lines: readonly Line[]): Promise<void> {
  const first = lines[0]?.rows ?? [];
  const servers = await Promise.all(
    first.map(async ({ contestant }) => startServer(bench.folder, await contestant.command())),
  );
  try {
    for (const { port } of servers)
      await bench.generator.drive(port, { ...bench.load, kind: "kept alive" }, 2);
    for (const { load, rows } of lines) {
      for (const [index, server] of servers.entries()) {
        const times = load.bodyBytes >= largeBytes ? timesLongerForLarge : 1;
        rows[index]?.slices.push(await measure({ ...bench, seconds: bench.seconds * times }, server, load));
        await untilQuiet(server);
      }
    }
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
  }
}

/** Requests that were on their way when the load ended still keep a server busy, and are not the next load's. */
async function untilQuiet({ processId }: Server): Promise<void> {
  const giveUpAt = performance.now() + quietDeadlineMilliseconds;
  let before = Number.NEGATIVE_INFINITY;
  let now = usageOf(processId).cpuSeconds;
  while (now - before > quietCpuSeconds && performance.now() < giveUpAt) {
    before = now;
    await pause(lookMilliseconds);
    now = usageOf(processId).cpuSeconds;
  }
}

function table(lines: readonly Line[], kind: Load["kind"]): string {
  const servers = ["ceiling", "stubbed out", "with the inbox"];
  const head = [
    ...servers.slice(1).map((name) => `× ceiling: ${name}`),
    ...servers.map((name) => `p99 ms: ${name}`),
  ];
  const rows = lines
    .filter(({ load }) => load.kind === kind)
    .map(({ load, rows }) => {
      const [top] = rows;
      const ratios = rows.slice(1).map((row) => (top === undefined ? Number.NaN : ratioTo(top, row).median));
      return [
        `${load.bodyBytes / 1000} KB × ${load.connections}${rows.map(failuresOf).join("")}`,
        ...ratios.map((ratio) => shown(ratio, 2)),
        ...rows.map((row) => shown(medianOf(row, "p99"), 1)),
      ];
    });
  return markdownTable([kind, ...head], rows);
}
