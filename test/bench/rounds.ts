/**
 * Interleaved rounds: every round visits each server under each load in turn, so that whatever the machine does
 * besides falls on all of them. What is compared is the ratio to another server under the same load in the same
 * round, and of these the median.
 */
import { type Contestant, ceiling } from "./contestants.ts";
import { sign } from "./deliveries.ts";
import type { Generator, Load } from "./load.ts";
import { type Server, startServer, usageOf } from "./server.ts";

export type Bench = {
  readonly generator: Generator;
  /** A folder on the disk whose syncs are measured. */
  readonly folder: string;
  readonly rounds: number;
  /** Of load for each visit that counts. */
  readonly seconds: number;
  /** Of load before that, for the compilers in the server to have done their work. */
  readonly warmSeconds: number;
  /** No further round begins when it would not end in this time. */
  readonly budgetSeconds: number;
  /** What is sent unless a measurement says otherwise: a push as GitHub sends it, on 64 connections. */
  readonly load: Omit<Load, "kind">;
  /** What the measurement is narrowed down to, where it has parts. */
  readonly part?: string | undefined;
  readonly report: (text: string) => void;
};

export type Visit = {
  readonly contestant: Contestant;
  readonly load: Load;
  readonly environment?: NodeJS.ProcessEnv;
};

/** One visit in numbers. Times are in milliseconds. */
export type Slice = {
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
  readonly longest: number;
  readonly failures: number;
  readonly cpuMicroseconds: number;
  readonly residentMiB: number;
  readonly peakMiB: number;
  readonly startMilliseconds: number;
  /** How much of a processor the load generator needed. */
  readonly generatorShare: number;
};

/** A visit and what came out, one slice for each round. */
export type Row = Visit & { readonly slices: readonly Slice[] };

export async function runRounds(bench: Bench, visits: readonly Visit[]): Promise<Row[]> {
  const rows = visits.map((visit) => ({ ...visit, slices: [] as Slice[] }));
  const startedAt = performance.now();
  for (let round = 1; round <= bench.rounds; round += 1) {
    const secondsSoFar = (performance.now() - startedAt) / 1000;
    if (round > 1 && (secondsSoFar * round) / (round - 1) > bench.budgetSeconds) break;
    for (const row of rows) {
      const slice = await visitOnce(bench, row);
      row.slices.push(slice);
      bench.report(`round ${round}: ${nameOf(row)}: ${Math.round(slice.perSecond)}/s`);
    }
  }
  return rows;
}

export function nameOf({ contestant, load: { bodyBytes, connections, kind } }: Visit): string {
  return `${contestant.name}: ${bodyBytes / 1000} KB, ${connections} connections, ${kind}`;
}

async function visitOnce(bench: Bench, { contestant, load, environment }: Visit): Promise<Slice> {
  const command = await contestant.command();
  const server = await startServer(bench.folder, {
    ...command,
    environment: { ...command.environment, ...environment },
  });
  try {
    await checkHonesty(contestant, server);
    if (bench.warmSeconds > 0) await bench.generator.drive(server.port, load, bench.warmSeconds);
    return await measure(bench, server, load);
  } finally {
    await server.stop();
  }
}

/** One slice of load on a server that runs. */
export async function measure(bench: Bench, server: Server, load: Load): Promise<Slice> {
  const before = usageOf(server.processId);
  const answered = await bench.generator.drive(server.port, load, bench.seconds);
  const after = usageOf(server.processId);
  const { requests, seconds, p50, p99, longest, failures, generatorSeconds } = answered;
  return {
    perSecond: (requests - failures) / seconds,
    ...{ p50, p99, longest, failures },
    cpuMicroseconds: ((after.cpuSeconds - before.cpuSeconds) * 1e6) / requests,
    residentMiB: after.residentMiB,
    peakMiB: after.peakMiB,
    startMilliseconds: server.startMilliseconds,
    generatorShare: generatorSeconds / seconds,
  };
}

/** A server that says yes to everything is fast. Only the ceiling may. */
async function checkHonesty(contestant: Contestant, { port }: Server): Promise<void> {
  const body = JSON.stringify({ zen: "Keep it logically awesome." });
  const post = async (signature: string) => {
    const headers = {
      "Content-Type": "application/json",
      "X-GitHub-Event": "ping",
      "X-GitHub-Delivery": `honest-${signature.slice(0, 8)}`,
      "X-Hub-Signature-256": `sha256=${signature}`,
    };
    const answer = await fetch(`http://127.0.0.1:${port}/webhook`, { method: "POST", headers, body });
    await answer.arrayBuffer();
    return answer.status;
  };
  const [good, forged] = [await post(sign(body)), await post(sign("something else"))];
  const isForgedWelcome = forged < 400;
  if (good !== 200 || isForgedWelcome !== (contestant === ceiling)) {
    throw new Error(`${contestant.name} answers ${good} to a good delivery and ${forged} to a forged one`);
  }
}
