/**
 * The crash run: a receiver under load is ended at random moments and started again on the same file. At the
 * end every delivery that a client was told yes about is in the inbox once, byte for byte, and was handled.
 *
 *     node test/keep/crash.ts 200            kills it 200 times
 *     node test/keep/crash.ts 200 SIGTERM    asks it to stop 200 times: then nothing may be handled twice either
 */
import assert from "node:assert/strict";
import { createHash, randomInt } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, watch, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as pause } from "node:timers/promises";
import { type Program, sign, startProgram } from "../receiver.ts";

/** What a crash run has found. Everything that it promises is asserted before. */
export type CrashReport = { rounds: number; acknowledged: number; stored: number; handledTwice: number };

/** Half of them are kept alive, half are for one delivery each, as most senders have them. */
const clientsOfEachKind = 8;
/** So many deliveries at most are answered before the receiver is ended. */
const mostAnswers = 120;

/** Everything about a delivery follows from its id, so that nothing has to be remembered but the id. */
function bodyOf(id: string): Buffer {
  const seed = createHash("sha256").update(id).digest();
  // Mostly small ones, one in 16 of up to 256 KiB: several pages, and several chunks from the network.
  const length = seed.readUInt16BE(0) % ((seed[2] ?? 0) < 16 ? 262_144 : 2_000);
  const filler = Buffer.alloc(length, createHash("sha512").update(seed).digest("base64"));
  return Buffer.from(JSON.stringify({ id, filler: filler.toString("latin1") }));
}

/** @returns the status; undefined when the connection broke before there was one */
function post(port: number, id: string, agent: Agent | false): Promise<number | undefined> {
  const body = bodyOf(id);
  const headers = {
    "Content-Type": "application/json",
    "Content-Length": body.length,
    "X-GitHub-Event": "push",
    "X-GitHub-Delivery": id,
    "X-Hub-Signature-256": sign(body),
  };
  return new Promise((resolve) => {
    const sending = request({ port, host: "127.0.0.1", path: "/webhook", method: "POST", headers, agent });
    sending.on("error", () => resolve(undefined));
    sending.on("response", (response) => {
      // Only what was read to its end counts: before that the client cannot know.
      response.on("end", () => resolve(response.statusCode)).on("error", () => resolve(undefined));
      response.on("close", () => resolve(undefined)).resume();
    });
    sending.end(body);
  });
}

/** Sends deliveries from many clients until nobody answers any more; some are sent again, as senders do. */
async function load(
  program: Program,
  nextId: () => string,
  onAnswer: (id: string, status: number) => void,
): Promise<void> {
  const keepAlive = new Agent({ keepAlive: true });
  async function client(agent: Agent | false): Promise<void> {
    for (;;) {
      const id = nextId();
      const status = await post(program.port, id, agent);
      if (status === undefined) return;
      onAnswer(id, status);
      if (status !== 200) return;
    }
  }
  const kinds = Array.from({ length: clientsOfEachKind }, () => [keepAlive, false] as const).flat();
  await Promise.all(kinds.map(client));
  keepAlive.destroy();
}

/** Resolves once every one of these ids is in the file that the handler appends to. */
async function waitUntilHandled(file: string, ids: ReadonlySet<string>): Promise<string[]> {
  const isComplete = () => {
    const handled = new Set(linesOf(file));
    return [...ids].every((id) => handled.has(id));
  };
  const watcher = watch(file);
  try {
    await new Promise<void>((resolve) => {
      watcher.on("change", () => isComplete() && resolve());
      if (isComplete()) resolve();
    });
  } finally {
    watcher.close();
  }
  return linesOf(file);
}

function linesOf(file: string): string[] {
  return readFileSync(file, "utf8").split("\n").slice(0, -1);
}

function checkInbox(file: string, acknowledged: ReadonlySet<string>, sent: ReadonlySet<string>): string[] {
  const database = new DatabaseSync(file);
  const rows = database.prepare("SELECT id, body FROM deliveries").all();
  const stored = rows.map(({ id }) => String(id));
  assert.equal(database.prepare("PRAGMA integrity_check").get()?.integrity_check, "ok");
  assert.equal(new Set(stored).size, stored.length, "something is stored twice");
  for (const { id, body } of rows) {
    assert.ok(sent.has(String(id)), `nobody has sent ${id}`);
    assert.ok(bodyOf(String(id)).equals(body as Uint8Array), `the body of ${id} is another one`);
  }
  const found = new Set(stored);
  const lost = [...acknowledged].filter((id) => !found.has(id));
  assert.deepEqual(lost, [], "acknowledged, and lost");
  const open = database.prepare("SELECT count(*) AS count FROM jobs WHERE state <> 'done'").get();
  assert.equal(open?.count, 0, "not every job is done");
  database.close();
  return stored;
}

/** Jobs that were handled and not yet marked when their receiver was killed are run once more before they are done. */
async function untilAllDone(file: string): Promise<void> {
  const database = new DatabaseSync(file, { readOnly: true });
  const open = database.prepare("SELECT count(*) AS count FROM jobs WHERE state <> 'done'");
  while (open.get()?.count !== 0) await pause(20);
  database.close();
}

/**
 * @param signal SIGKILL ends it in the middle of anything; after SIGTERM it has to end by itself, with code 0
 * @param report told after each round
 */
export async function crashRun(
  rounds: number,
  signal: "SIGKILL" | "SIGTERM",
  report: (text: string) => void = () => {},
): Promise<CrashReport> {
  const folder = mkdtempSync(join(tmpdir(), "crash-"));
  const handledFile = join(folder, "handled");
  writeFileSync(handledFile, "");
  const handlers = join(folder, "handlers.mjs");
  writeFileSync(
    handlers,
    `import { appendFileSync } from "node:fs";
     export const handlers = { "*": ({ id }) => appendFileSync(${JSON.stringify(handledFile)}, id + "\\n") };`,
  );
  const start = () => startProgram({ folder, args: ["--handlers", handlers] });
  const sent = new Set<string>();
  const acknowledged = new Set<string>();
  /** Sent, and no answer came: a sender would send them again. */
  const unanswered = new Set<string>();
  let latest: string | undefined;

  for (let round = 1; round <= rounds; round += 1) {
    const program = await start();
    const { promise: enough, resolve } = Promise.withResolvers<void>();
    const endAfter = randomInt(mostAnswers);
    let answers = 0;
    const faults: string[] = [];
    const loading = load(
      program,
      () => {
        const [again] = unanswered;
        const repeat = randomInt(20) === 0 ? latest : undefined;
        const id = again ?? repeat ?? `${round}-${sent.size}`;
        unanswered.delete(id);
        sent.add(id);
        return id;
      },
      (id, status) => {
        // Thrown in here it would be nobody's: it is looked at after the round.
        if (status !== 200 && !(status === 503 && signal === "SIGTERM")) faults.push(`${status} for ${id}`);
        if (status === 200) acknowledged.add(id);
        if (status === 200) latest = id;
        answers += 1;
        if (answers >= endAfter) resolve();
      },
    );
    await Promise.race([enough, loading]);
    // A moment that is no multiple of anything: between answers, in a commit, in a claim.
    await pause(randomInt(10));
    const code = await program.end(signal);
    assert.equal(code, signal === "SIGTERM" ? 0 : signal, program.output());
    await loading;
    assert.deepEqual(faults, []);
    for (const id of sent) if (!acknowledged.has(id)) unanswered.add(id);
    report(`round ${round}: ended after ${answers} answers; ${acknowledged.size} acknowledged so far`);
  }

  const last = await start();
  const handled = await waitUntilHandled(handledFile, acknowledged);
  await untilAllDone(join(folder, "inbox.db"));
  const code = await last.end("SIGTERM");
  assert.equal(code, 0, last.output());
  const stored = checkInbox(join(folder, "inbox.db"), acknowledged, sent);
  const handledTwice = handled.length - new Set(handled).size;
  if (signal === "SIGTERM") assert.equal(handledTwice, 0, "a clean stop must not make anything run twice");
  rmSync(folder, { recursive: true });
  return { rounds, acknowledged: acknowledged.size, stored: stored.length, handledTwice };
}

if (import.meta.main) {
  const [, , rounds = "200", signal = "SIGKILL"] = process.argv;
  if (!/^\d+$/.test(rounds) || (signal !== "SIGKILL" && signal !== "SIGTERM")) {
    throw new TypeError("usage: node test/keep/crash.ts [rounds] [SIGKILL|SIGTERM]");
  }
  console.log(await crashRun(Number(rounds), signal, console.log));
}
