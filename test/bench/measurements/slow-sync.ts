/**
 * A disk that takes 5 ms longer for every sync, as a network volume or a disk without a write cache of its own
 * does: the receiver beside itself with a sync for every request.
 */
import { receiver, receiverOneEach } from "../contestants.ts";
import { kinds } from "../load.ts";
import { type Bench, runRounds } from "../rounds.ts";
import { slowedSyncs } from "../syncs.ts";
import { loadTable, type Report, ratioTo } from "../tables.ts";

const moreMilliseconds = 5;

export async function slowSync(bench: Bench): Promise<Report> {
  const environment = slowedSyncs(bench.folder, moreMilliseconds);
  if (environment === undefined)
    return { text: "Not measured: there is no C compiler.", findings: new Map() };

  const tables: string[] = [];
  const findings = new Map<string, number>();
  const rows = await runRounds(
    bench,
    [receiverOneEach, receiver].flatMap((contestant) =>
      kinds.map((kind) => ({ contestant, load: { ...bench.load, kind }, environment })),
    ),
  );
  for (const kind of kinds) {
    const [slow, fast] = rows.filter(({ load }) => load.kind === kind);
    if (slow === undefined || fast === undefined) continue;
    tables.push(loadTable([slow, fast], slow));
    findings.set(
      `durable with ${moreMilliseconds} ms more a sync, ${kind}, × one transaction a request`,
      ratioTo(slow, fast).median,
    );
  }
  return { text: tables.join("\n\n"), findings };
}
