/**
 * A million stored deliveries, handled as a receiver would have handled them over a month: what accepting and
 * starting cost beside an empty file. It needs some 1.5 GB of disk while it runs.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { openDatabase } from "../../../lib/keep/sqlite/database.ts";
import { openInbox } from "../../../lib/keep/sqlite/inbox.ts";
import { type Contestant, noHandlers, receiver, receiverCommand } from "../contestants.ts";
import { type Bench, runRounds } from "../rounds.ts";
import { loadTable, medianOf, type Report, ratioTo, shown } from "../tables.ts";

const deliveries = 1_000_000;
const perTransaction = 10_000;
const monthMilliseconds = 29 * 86_400_000;

export async function million(bench: Bench): Promise<Report> {
  const file = join(bench.folder, "million.db");
  bench.report(`storing ${deliveries} deliveries`);
  fill(file);
  const empty: Contestant = { ...receiver, name: "an empty inbox" };
  const full: Contestant = {
    ...receiver,
    name: "a million in the inbox",
    command: () => receiverCommand([...noHandlers, "--inbox", file]),
  };
  const load = { ...bench.load, kind: "kept alive" } as const;
  const rows = await runRounds(bench, [
    { contestant: empty, load },
    { contestant: full, load },
  ]);
  const [emptyRow, fullRow] = rows;
  if (emptyRow === undefined || fullRow === undefined) throw new TypeError("two visits are two rows");
  const starts = rows.map((row) => medianOf(row, "startMilliseconds"));
  const text = `${loadTable(rows, emptyRow)}\n\nFrom start to listening: ${starts.map((time) => shown(time, 0)).join(" and ")} ms.`;
  return { text, findings: new Map([["1 M stored, × an empty inbox", ratioTo(emptyRow, fullRow).median]]) };
}

function fill(file: string): void {
  const database = openDatabase(file);
  const inbox = openInbox(database);
  const now = Date.now();
  for (let index = 0; index < deliveries; index += 1) {
    if (index % perTransaction === 0) database.exec(index === 0 ? "BEGIN" : "COMMIT; BEGIN");
    const id = createHash("md5").update(String(index)).digest("hex");
    const filler = createHash("sha512").update(id).digest("hex");
    inbox.accept({
      ...{ source: "default", sender: "github", id, isIdSigned: false, event: "push", form: null },
      ...{ headers: '{"x-github-event":"push"}', body: Buffer.from(JSON.stringify({ id, filler })) },
      receivedAt: now - monthMilliseconds + Math.floor((monthMilliseconds * index) / deliveries),
      jobs: [{ handler: "push", orderKey: null }],
    });
  }
  database.exec(
    `COMMIT; UPDATE jobs SET state = 'done', attempts = 1, finished_at = ${now}; PRAGMA wal_checkpoint(TRUNCATE)`,
  );
  database.close();
}
