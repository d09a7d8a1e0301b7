/**
 * Watching and slowing down how a server syncs its files, from outside: servers/sync.c is compiled, and loaded into
 * the server before the C library. It needs Linux and a C compiler; without them there is nothing to load.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The environment of a server each of whose syncs takes longer; undefined when that cannot be had here. */
export function slowedSyncs(folder: string, milliseconds: number): NodeJS.ProcessEnv | undefined {
  const library = syncLibrary(folder);
  if (library === undefined) return undefined;
  return { LD_PRELOAD: library, BENCH_SYNC_DELAY_MICROSECONDS: String(milliseconds * 1000) };
}

export type SyncCount = { readonly environment: NodeJS.ProcessEnv; readonly read: () => number };

/** The environment of a server whose syncs are counted. Without a library the count is NaN. */
export function countedSyncs(folder: string): SyncCount {
  const library = syncLibrary(folder);
  if (library === undefined) return { environment: {}, read: () => Number.NaN };
  const file = join(folder, "syncs");
  writeFileSync(file, Buffer.alloc(8));
  return {
    environment: { LD_PRELOAD: library, BENCH_SYNC_COUNT: file },
    read: () => Number(readFileSync(file).readBigUInt64LE()),
  };
}

function syncLibrary(folder: string): string | undefined {
  const library = join(folder, "sync.so");
  if (existsSync(library)) return library;
  const source = fileURLToPath(new URL("servers/sync.c", import.meta.url));
  try {
    execFileSync("cc", ["-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], { stdio: "ignore" });
    return library;
  } catch {
    return undefined;
  }
}
