/**
 * The whole way: curl, a receiver, its inbox, `forward`, a second receiver, its handler. The second one is the
 * program itself, which is started late, killed and started again. Nobody waits for a retry: while a test waits,
 * jobs are made due in the inbox's file, and the clock of the target runs fast.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { forward } from "../lib/send/forward.ts";
import { openTarget } from "../lib/send/target.ts";
import { closedPort, openTestReceiver, type Program, parseLines, sign, startProgram } from "./receiver.ts";

const nextSecret = "the secret of the second receiver";

function newFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "sending-on-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The first receiver, which sends everything on to a port. */
async function openFirst(t: TestContext, port: number) {
  const inboxFile = join(newFolder(t), "inbox.db");
  let now = 0;
  const target = openTarget("the second receiver", () => now);
  const url = `http://127.0.0.1:${port}/webhook/decnet`;
  const handle = forward({ url, secret: nextSecret, allowPrivate: true }, { target });
  const receiver = await openTestReceiver({ inboxFile, handlers: { "*": { handle, retries: 100 } } });
  const database = new DatabaseSync(inboxFile, { timeout: 5000 });
  t.after(async () => {
    database.close();
    await receiver.stop(0);
  });
  const forwarded = (count: number) => receiver.waitForLines(count, ({ message }) => message === "forwarded");
  return {
    receiver,
    attempts: () =>
      database.prepare("SELECT id, attempts FROM jobs JOIN deliveries ON deliveries.number = delivery").all(),
    /** Resolves once so many jobs have been postponed before their first attempt. */
    havePostponed: async (count: number): Promise<void> => {
      const postponed = database.prepare(
        "SELECT id FROM jobs JOIN deliveries ON deliveries.number = delivery WHERE state = 'pending' AND attempts = 0 AND next_attempt_at > received_at",
      );
      while (postponed.all().length < count) await sleep(20);
    },
    /** Lets time fly until so many deliveries have been sent on. */
    hasForwarded: async (count: number): Promise<void> => {
      const clock = setInterval(() => {
        now += 30_000;
        database.exec("UPDATE jobs SET next_attempt_at = 0 WHERE state = 'pending'");
      }, 100);
      await forwarded(count);
      clearInterval(clock);
    },
  };
}

/** The second receiver, which writes a line for each event that its handler gets. */
async function startSecond(t: TestContext, folder: string, port: number): Promise<Program> {
  const handle =
    "(event, { log }) => log.info('arrived', { zen: event.payload.payload.zen, seen: event.id })";
  writeFileSync(join(folder, "mine.ts"), `export const handlers = { ping: ${handle} };\n`);
  const environment = { WEBHOOK_SECRET_DECNET: nextSecret };
  const args = ["--handlers", "mine.ts", "--port", String(port)];
  const program = await startProgram({ folder, environment, args });
  t.after(() => program.child.kill("SIGKILL"));
  return program;
}

/** The ids and texts that the second receiver's handler got, sorted, in all of its lives. */
const arrivals = (...lives: Program[]): string[] =>
  lives
    .flatMap((life) => parseLines(life.output()))
    .filter(({ message }) => message === "arrived")
    .map(({ seen, zen }) => `${seen} ${zen}`)
    .sort();

/** Resolves once a receiver has handled all that it has. */
async function isIdle(inboxFile: string): Promise<void> {
  const database = new DatabaseSync(inboxFile, { timeout: 5000 });
  const left = database.prepare("SELECT count(*) AS jobs FROM jobs WHERE state <> 'done'");
  while (left.get()?.jobs !== 0) await sleep(20);
  database.close();
}

async function curl(url: string, id: string): Promise<string> {
  const body = JSON.stringify({ zen: `é ${id}` });
  const headers = [`X-Hub-Signature-256: ${sign(body)}`, "X-GitHub-Event: ping", `X-GitHub-Delivery: ${id}`];
  const args = ["-sS", "--max-time", "20", url, "-d", body, ...headers.flatMap((header) => ["-H", header])];
  return (await promisify(execFile)("curl", args)).stdout;
}

const numbers = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => `id-${from + index}`);

test("everything arrives once, though the second receiver starts late, is killed, and starts again", async (t) => {
  const port = await closedPort();
  const folder = newFolder(t);
  const first = await openFirst(t, port);

  // Down: the sender has its answer all the same, and after five failures the target rests.
  const early = numbers(10, 34);
  for (const id of early) assert.match(await curl(first.receiver.url, id), /"status":"accepted"/);
  assert.match(await curl(first.receiver.url, "id-10"), /"status":"duplicate"/);
  const [rests] = await first.receiver.waitForLines(1, ({ message }) =>
    message.startsWith("the target rests"),
  );
  assert.deepEqual([rests?.level, rests?.target], ["warn", "the second receiver"]);

  // Up: one tries, and all go on.
  const life = await startSecond(t, folder, port);
  await first.hasForwarded(early.length);
  await first.receiver.waitForLines(1, ({ message }) => message === "the target answers again");

  // Killed and started again, with what came meanwhile. What its handler was at when it is killed would run again.
  await isIdle(join(folder, "inbox.db"));
  assert.equal(await life.end("SIGKILL"), "SIGKILL");
  const late = numbers(50, 59);
  for (const id of late) assert.match(await curl(first.receiver.url, id), /"status":"accepted"/);
  const nextLife = await startSecond(t, folder, port);
  await first.hasForwarded(early.length + late.length);
  assert.match(await curl(first.receiver.url, "id-59"), /"status":"duplicate"/);
  await curl(first.receiver.url, "id-60");
  await first.hasForwarded(early.length + late.length + 1);
  await nextLife.waitFor('"zen":"é id-60"');
  assert.equal(await nextLife.end(), 0);

  const expected = [...early, ...late, "id-60"].map((id) => `${id} é ${id}`);
  assert.deepEqual(arrivals(life, nextLife), expected);
});

test("a job that waits for a resting target burns none of its attempts", async (t) => {
  const port = await closedPort();
  const first = await openFirst(t, port);
  await Promise.all(numbers(10, 39).map((id) => curl(first.receiver.url, id)));
  await first.receiver.waitForLines(1, ({ message }) => message.startsWith("the target rests"));
  // The clock of the target stands still, so whoever comes now is postponed.
  for (const id of numbers(40, 44)) await curl(first.receiver.url, id);
  await first.havePostponed(5);
  const life = await startSecond(t, newFolder(t), port);
  await first.hasForwarded(35);
  const attempts = new Map(first.attempts().map((row) => [row.id, row.attempts]));
  assert.deepEqual(
    numbers(40, 44).map((id) => attempts.get(id)),
    [1, 1, 1, 1, 1],
  );
  await life.end();
});

test("when the answer is lost the delivery is sent again, and the second receiver runs nothing twice", async (t) => {
  const second = await closedPort();
  const gateway = await openLossyGateway(t, second, 4);
  const life = await startSecond(t, newFolder(t), second);
  const first = await openFirst(t, gateway.port);
  const ids = numbers(10, 19);
  for (const id of ids) await curl(first.receiver.url, id);
  await first.hasForwarded(ids.length);
  await Promise.all(ids.map((id) => life.waitFor(`"zen":"é ${id}"`)));
  assert.equal(await life.end(), 0); // what it has written is here only now
  const outcomes = parseLines(life.output()).map(({ outcome }) => outcome);
  assert.equal(outcomes.filter((outcome) => outcome === "accepted").length, ids.length);
  assert.equal(outcomes.filter((outcome) => outcome === "duplicate").length, 4);
  assert.deepEqual(
    arrivals(life),
    ids.map((id) => `${id} é ${id}`),
  );
});

/** Passes everything on, but loses the answer on each of the first connections, and the connection with it. */
async function openLossyGateway(t: TestContext, port: number, losses: number): Promise<{ port: number }> {
  let left = losses;
  const clients = new Set<Socket>();
  const server = createServer((client) => {
    clients.add(client);
    const upstream = connect(port, "127.0.0.1");
    for (const socket of [client, upstream]) {
      socket.on("error", () => {});
      socket.on("close", () => {
        client.destroy();
        upstream.destroy();
      });
    }
    client.pipe(upstream);
    left -= 1;
    if (left >= 0) upstream.once("data", () => client.resetAndDestroy());
    else upstream.pipe(client);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    for (const client of clients) client.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port };
}
