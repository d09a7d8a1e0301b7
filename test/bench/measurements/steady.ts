/**
 * The receiver under load for long enough that checkpoints, a growing file and garbage have their turn: the slow
 * end of the answers, how long the event loop has stood still at most, and how many deliveries share a sync.
 */
import { noHandlers, receiverCommand } from "../contestants.ts";
import { type Kind, kinds } from "../load.ts";
import { type Bench, measure, type Slice } from "../rounds.ts";
import { startServer } from "../server.ts";
import { longestStall, probe } from "../stalls.ts";
import { countedSyncs } from "../syncs.ts";
import { markdownTable, type Report, shown } from "../tables.ts";

type Steady = Slice & { readonly stallMilliseconds: number; readonly deliveriesPerSync: number };

export async function steady(bench: Bench): Promise<Report> {
  const rows: string[][] = [];
  const findings = new Map<string, number>();
  for (const kind of kinds) {
    const found = await observe(bench, kind);
    bench.report(`steady, ${kind}: ${Math.round(found.perSecond)}/s`);
    const { perSecond, p50, p99, longest, failures, stallMilliseconds, deliveriesPerSync, peakMiB } = found;
    rows.push([
      `${kind}${failures === 0 ? "" : ` (${failures} failed)`}`,
      shown(perSecond, 0),
      ...[p50, p99, longest, stallMilliseconds, deliveriesPerSync].map((value) => shown(value, 1)),
      shown(peakMiB, 0),
    ]);
    findings.set(`durable, ${kind}, p99 ms over ${bench.seconds} s`, p99);
    findings.set(`durable, ${kind}, longest stall ms`, stallMilliseconds);
    if (Number.isFinite(deliveriesPerSync))
      findings.set(`durable, ${kind}, deliveries a sync`, deliveriesPerSync);
  }
  const head = [
    "p50 ms",
    "p99 ms",
    "longest ms",
    "longest stall ms",
    "deliveries a sync",
    "peak resident MiB",
  ];
  const title = `webhook-receiver, ${bench.seconds} s`;
  return { text: markdownTable([title, "requests/s", ...head], rows), findings };
}

async function observe(bench: Bench, kind: Kind): Promise<Steady> {
  const load = { ...bench.load, kind };
  const syncs = countedSyncs(bench.folder);
  const command = receiverCommand(noHandlers, ["--import", probe]);
  const server = await startServer(bench.folder, { ...command, environment: syncs.environment });
  try {
    await bench.generator.drive(server.port, load, bench.warmSeconds);
    await longestStall(server);
    const syncsBefore = syncs.read();
    const slice = await measure(bench, server, load);
    const deliveries = slice.perSecond * bench.seconds;
    return {
      ...slice,
      stallMilliseconds: await longestStall(server),
      // The syncs of checkpoints are among them, so a commit has a little more.
      deliveriesPerSync: deliveries / (syncs.read() - syncsBefore),
    };
  } finally {
    await server.stop();
  }
}
