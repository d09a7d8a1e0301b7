/**
 * A million stored deliveries: how long the start takes, and how fast deliveries are accepted, both as ratios
 * to an empty file, in turns. Run by hand; it needs some 1.5 GB of disk for some minutes, and removes it.
 *
 *     node test/keep/million.ts [deliveries] [rounds]
 */
import { createHash } from "node:crypto";
import { cpSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDatabase } from "../../lib/keep/database.ts";
import { openInbox } from "../../lib/keep/inbox.ts";
import { sign, startProgram } from "../receiver.ts";

const clients = 64;
const perRound = 6000;
const [, , count = "1000000", rounds = "5"] = process.argv;

const bodyOf = (id: string) => JSON.stringify({ id, filler: createHash("sha512").update(id).digest("hex") });

/** Stores handled deliveries as a receiver would have done over a month. */
function fill(file: string): void {
  const database = openDatabase(file);
  const inbox = openInbox(database);
  const now = Date.now();
  const month = 29 * 86_400_000;
  for (let index = 0; index < Number(count); index += 1) {
    if (index % 10_000 === 0) database.exec(index === 0 ? "BEGIN" : "COMMIT; BEGIN");
    const id = createHash("md5").update(String(index)).digest("hex");
    inbox.accept({
      ...{ source: "default", sender: "github", id, isIdSigned: false, event: "push", form: null },
      ...{ headers: '{"x-github-event":"push"}', body: Buffer.from(bodyOf(id)) },
      receivedAt: now - month + Math.floor((month * index) / Number(count)),
      jobs: [{ handler: "push", orderKey: null }],
    });
  }
  database.exec(
    `COMMIT; UPDATE jobs SET state = 'done', attempts = 1, finished_at = ${now}; PRAGMA wal_checkpoint(TRUNCATE)`,
  );
  database.close();
}

/** @returns milliseconds from the start of the process to "listening", and deliveries accepted in a second */
async function measure(folder: string, round: string): Promise<{ start: number; rate: number }> {
  const began = performance.now();
  const program = await startProgram({ folder });
  const start = performance.now() - began;
  const agent = new Agent({ keepAlive: true, maxSockets: clients });
  let next = 0;
  async function client(): Promise<void> {
    for (let index = next; index < perRound; index = next) {
      next += 1;
      const id = createHash("md5").update(`${round}-${index}`).digest("hex");
      const body = bodyOf(id);
      const headers = {
        "X-GitHub-Event": "other",
        "X-GitHub-Delivery": id,
        "X-Hub-Signature-256": sign(body),
        "Content-Length": body.length,
      };
      await new Promise<void>((resolve, reject) => {
        const sending = request({
          port: program.port,
          host: "127.0.0.1",
          path: "/webhook",
          method: "POST",
          headers,
          agent,
        });
        sending.on("error", reject).on("response", (response) => {
          if (response.statusCode !== 200) reject(new Error(`${response.statusCode}`));
          response.on("end", resolve).resume();
        });
        sending.end(body);
      });
    }
  }
  const loaded = performance.now();
  await Promise.all(Array.from({ length: clients }, client));
  const rate = perRound / ((performance.now() - loaded) / 1000);
  agent.destroy();
  await program.end();
  return { start, rate };
}

const median = (numbers: number[]) =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;

const root = mkdtempSync(join(tmpdir(), "million-"));
try {
  const [empty, full] = [join(root, "empty"), join(root, "full")];
  for (const folder of [empty, full]) cpSync(mkdtempSync(join(root, "new-")), folder, { recursive: true });
  fill(join(full, "inbox.db"));
  console.log(`${count} deliveries, ${Math.round(statSync(join(full, "inbox.db")).size / 1_000_000)} MB`);
  const results = {
    empty: [] as { start: number; rate: number }[],
    full: [] as { start: number; rate: number }[],
  };
  for (let round = 0; round < Number(rounds); round += 1) {
    rmSync(join(empty, "inbox.db"), { force: true });
    results.empty.push(await measure(empty, `e${round}`));
    results.full.push(await measure(full, `f${round}`));
  }
  const of = (kind: "empty" | "full", what: "start" | "rate") =>
    median(results[kind].map((result) => result[what]));
  console.log(
    `start-up: ${Math.round(of("full", "start"))} ms, ${(of("full", "start") / of("empty", "start")).toFixed(2)} × that on an empty file`,
  );
  console.log(
    `accept rate: ${(of("full", "rate") / of("empty", "rate")).toFixed(2)} × that on an empty file (medians of ${rounds} rounds)`,
  );
} finally {
  rmSync(root, { recursive: true });
}
