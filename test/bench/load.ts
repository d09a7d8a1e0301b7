/**
 * Load on a port: wrk (Debian's package) where there is one, else a generator in Node. Both send in a closed loop:
 * a connection sends its next request when the one before is answered. So the times are those of a server that
 * is as busy as it can be, and a server that stalls is asked less meanwhile.
 */
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { writeDeliveries } from "./deliveries.ts";

export const kinds = ["kept alive", "a connection each"] as const;
export type Kind = (typeof kinds)[number];

export type Load = { readonly bodyBytes: number; readonly connections: number; readonly kind: Kind };

/** What the generator saw. Times are in milliseconds, from the first byte sent to the last byte received. */
export type Answered = {
  readonly requests: number;
  readonly seconds: number;
  readonly p50: number;
  readonly p99: number;
  readonly longest: number;
  /** Answers that were no yes, and connections that broke. */
  readonly failures: number;
  /** The processor time that the generator itself has used. */
  readonly generatorSeconds: number;
};

/** @returns the name and version of the generator, for the report */
export type Generator = {
  readonly name: string;
  readonly drive: (port: number, load: Load, seconds: number) => Promise<Answered>;
};

const run = promisify(execFile);
const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** @param folder where the deliveries are written */
export async function findGenerator(folder: string): Promise<Generator> {
  const version = await wrkVersion();
  return version === undefined ? nodeGenerator(folder) : wrkGenerator(folder, version);
}

export function nodeGenerator(folder: string): Generator {
  return {
    name: `a load generator in Node ${process.version}`,
    drive: async (port, load, seconds) => {
      const args = [here("node-load.ts"), port, load.connections, seconds].map(String);
      const { stdout } = await run(process.execPath, args, { env: environmentFor(folder, load) });
      return JSON.parse(stdout);
    },
  };
}

function wrkGenerator(folder: string, version: string): Generator {
  return {
    name: version,
    drive: async (port, load, seconds) => {
      const duration = `${Math.max(1, Math.round(seconds))}s`; // whole seconds are all it takes
      const args = [
        "-t1",
        `-c${load.connections}`,
        `-d${duration}`,
        "--timeout",
        "30s",
        "-s",
        here("post.lua"),
      ];
      const { stdout } = await run("wrk", [...args, `http://127.0.0.1:${port}`], {
        env: environmentFor(folder, load),
      });
      return JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "");
    },
  };
}

function environmentFor(folder: string, { bodyBytes, kind }: Load): NodeJS.ProcessEnv {
  return {
    ...process.env,
    BENCH_DELIVERIES: writeDeliveries(folder, bodyBytes),
    BENCH_CONNECTION: kind === "kept alive" ? "keep-alive" : "close",
    BENCH_RUN: randomUUID(),
  };
}

async function wrkVersion(): Promise<string | undefined> {
  // `wrk -v` prints its version and its usage, and ends with code 1.
  const text = await run("wrk", ["-v"]).then(
    ({ stdout }) => stdout,
    (thrown: { stdout?: string }) => thrown.stdout ?? "",
  );
  return /^wrk \S+/.exec(text)?.[0];
}
