/**
 * Where the time goes: the receiver under load with V8's sampling profiler on, and the functions that the samples
 * fell into, thread by thread. The start of the program is in it too, a second among several.
 */
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { projectFolder } from "../receiver.ts";
import { noHandlers } from "./contestants.ts";
import type { Kind } from "./load.ts";
import type { Bench } from "./rounds.ts";
import { startServer } from "./server.ts";
import { markdownTable, shown } from "./tables.ts";

const mostFunctions = 25;
const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** V8's own format, https://chromedevtools.github.io/devtools-protocol/tot/Profiler/#type-Profile */
export type CpuProfile = {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  /** The node that was running, at each sample. */
  readonly samples: readonly number[];
  /** The microseconds before each sample. */
  readonly timeDeltas: readonly number[];
};

/**
 * Profiles the receiver under load of one kind.
 * @param storage "stubbed" for one that keeps nothing
 * @returns a table for each thread
 */
export async function profile(bench: Bench, storage: "inbox" | "stubbed", kind: Kind): Promise<string> {
  const folder = join(bench.folder, `profiles-${storage}-${kind.length}`);
  mkdirSync(folder);
  const preload = storage === "stubbed" ? ["--import", here("servers/no-store.ts")] : [];
  const args = [...preload, "--cpu-prof", `--cpu-prof-dir=${folder}`, here("../../webhook-receiver.ts")];
  const server = await startServer(bench.folder, {
    program: process.execPath,
    args: [...args, "--port", "0", "--log", "json", ...noHandlers],
  });
  try {
    await bench.generator.drive(server.port, { ...bench.load, kind }, bench.seconds);
  } finally {
    await server.stop(); // it writes its profiles when it ends
  }
  const tables = readdirSync(folder).map((name) => {
    const threadId = /\.(\d+)\.\d+\.cpuprofile$/.exec(name)?.[1];
    const title = threadId === "0" ? "main thread" : `thread ${threadId}`;
    return selfTimeTable(`${title}, ${kind}`, JSON.parse(readFileSync(join(folder, name), "utf8")));
  });
  return tables.join("\n\n");
}

/** The functions that most of the time was spent in, not counting what they call. Waiting is left out. */
export function selfTimeTable(title: string, { nodes, samples, timeDeltas }: CpuProfile): string {
  const names = new Map(nodes.map(({ id, callFrame }) => [id, shownFrame(callFrame)]));
  const times = new Map<string, number>();
  for (const [index, id] of samples.entries()) {
    const name = names.get(id) ?? "(unknown)";
    if (name !== "(idle)") times.set(name, (times.get(name) ?? 0) + (timeDeltas[index] ?? 0));
  }
  const total = [...times.values()].reduce((sum, time) => sum + time, 0);
  const rows = [...times]
    .sort(([, a], [, b]) => b - a)
    .slice(0, mostFunctions)
    .map(([name, time]) => [name, `${shown((time / total) * 100, 1)} %`, shown(time / 1000, 0)]);
  return markdownTable([title, "of the busy time", "ms"], rows);
}

function shownFrame({ functionName, url, lineNumber }: CpuProfile["nodes"][number]["callFrame"]): string {
  if (url === "") return functionName || "(anonymous)";
  const file = url.replace(/^file:\/\//, "").replace(projectFolder, "");
  return `${functionName || "(anonymous)"} ${file}:${lineNumber + 1}`;
}
