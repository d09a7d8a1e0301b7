/**
 * Resident memory: of a server that has just started, of one that holds 10,000 idle connections, and at most while
 * 64 clients upload 1 MB each, once and again and again.
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { type Contestant, ceiling, receiver, receiverWithoutStore } from "../contestants.ts";
import { nodeGenerator } from "../load.ts";
import type { Bench } from "../rounds.ts";
import { type Server, startServer, usageOf } from "../server.ts";
import { markdownTable, median, type Report, shown } from "../tables.ts";

const idleConnections = 10_000;
const settleMilliseconds = 500;
const uploads = { bodyBytes: 1_000_000, connections: 64, kind: "kept alive" } as const;
/** The connections of one instant: more than a listen backlog holds would be refused. */
const openAtOnce = 200;

/** In MiB. */
type Memory = { idle: number; connections: number; once: number; sustained: number };

export async function memory(bench: Bench): Promise<Report> {
  const contestants = [ceiling, receiverWithoutStore, receiver];
  const found = new Map(contestants.map((contestant) => [contestant, [] as Memory[]]));
  for (let round = 1; round <= bench.rounds; round += 1) {
    for (const [contestant, all] of found) {
      all.push(await observe(bench, contestant));
      bench.report(`round ${round}: memory of ${contestant.name}`);
    }
  }
  const of = (contestant: Contestant, name: keyof Memory) =>
    median((found.get(contestant) ?? []).map((memory) => memory[name]));
  const columns = ["idle", "connections", "once", "sustained"] as const;
  const head = [
    "idle",
    "10,000 idle connections",
    "64 × 1 MB once, at most",
    `for ${bench.seconds} s, at most`,
  ];
  const rows = contestants.map((contestant) => [
    contestant.name,
    ...columns.map((name) => shown(of(contestant, name), 0)),
  ]);
  const findings = new Map([
    ["64 uploads of 1 MB at once, peak resident MiB", of(receiver, "once")],
    ["idle, resident MiB", of(receiver, "idle")],
    ["10,000 idle connections, resident MiB", of(receiver, "connections")],
  ]);
  return { text: markdownTable(["resident MiB", ...head], rows), findings };
}

async function observe(bench: Bench, contestant: Contestant): Promise<Memory> {
  const [idle, connections] = await withServer(bench, contestant, async (server) => {
    await pause(settleMilliseconds);
    const { residentMiB } = usageOf(server.processId);
    const sockets = await openIdle(server.port);
    await pause(settleMilliseconds);
    const held = usageOf(server.processId).residentMiB;
    for (const socket of sockets) socket.destroy();
    return [residentMiB, held] as const;
  });
  const peakOf = (seconds: number) =>
    withServer(bench, contestant, async (server) => {
      const generator = seconds === 0 ? nodeGenerator(bench.folder) : bench.generator;
      const { failures } = await generator.drive(server.port, uploads, seconds);
      if (failures > 0) throw new Error(`${contestant.name}: ${failures} uploads failed`);
      return usageOf(server.processId).peakMiB;
    });
  // In no time at all the generator in Node sends one request on each connection.
  return { idle, connections, once: await peakOf(0), sustained: await peakOf(bench.seconds) };
}

async function withServer<Result>(
  { folder }: Bench,
  contestant: Contestant,
  work: (server: Server) => Promise<Result>,
): Promise<Result> {
  const server = await startServer(folder, await contestant.command());
  try {
    return await work(server);
  } finally {
    await server.stop();
  }
}

/** Each has been used once, and is kept alive, as a sender's pool or a proxy keeps it. */
async function openIdle(port: number): Promise<Socket[]> {
  const sockets: Socket[] = [];
  for (let opened = 0; opened < idleConnections; opened += openAtOnce) {
    const more = Array.from({ length: openAtOnce }, () => connect(port, "127.0.0.1"));
    await Promise.all(more.map(useOnce));
    sockets.push(...more);
  }
  return sockets;
}

async function useOnce(socket: Socket): Promise<void> {
  socket.write("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
  await once(socket, "data");
  socket.on("error", () => {}); // the server ends before its clients
}
