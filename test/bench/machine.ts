/** What the numbers were measured on: a report that does not say so is worth nothing. */
import { execFileSync } from "node:child_process";
import { closeSync, fdatasyncSync, openSync, readFileSync, writeSync } from "node:fs";
import { availableParallelism, cpus, release, totalmem, type } from "node:os";
import { join } from "node:path";
import { projectFolder } from "../receiver.ts";
import { peers } from "./contestants.ts";
import type { Generator } from "./load.ts";
import { median, shown } from "./tables.ts";

const syncs = 200;

/** A Markdown list. @param folder where the inboxes are */
export function describeMachine(folder: string, generator: Generator): string {
  const gibibytes = Math.round(totalmem() / 1024 ** 3);
  const tsx = JSON.parse(readFileSync(join(projectFolder, "node_modules/tsx/package.json"), "utf8"));
  const present = peers.flatMap(({ name, version }) =>
    version === undefined ? [] : [`${name} ${/\d[\w.]*/.exec(version)?.[0]}`],
  );
  return [
    `${availableParallelism()} × ${cpus()[0]?.model.trim() || "unknown processor"}, ${gibibytes} GiB, ${type()} ${release()}`,
    `inboxes on ${fileSystem(folder)}, where writing 8 KB and a sync take ${shown(syncMilliseconds(folder), 2)} ms (median)`,
    `Node ${process.version}, SQLite ${process.versions.sqlite}, tsx ${tsx.version}; the load comes from ${generator.name}, on the same processors`,
    `peers: ${present.join(", ") || "none installed"}`,
  ]
    .map((line) => `- ${line}`)
    .join("\n");
}

/** On a file system in memory a sync costs nothing, and keeping would look free. */
function fileSystem(folder: string): string {
  try {
    return execFileSync("stat", ["-f", "-c", "%T", folder], { encoding: "utf8", stdio: "pipe" }).trim();
  } catch {
    return "an unknown file system";
  }
}

function syncMilliseconds(folder: string): number {
  const file = openSync(join(folder, "synced"), "w");
  const block = Buffer.alloc(8192);
  const times = Array.from({ length: syncs }, () => {
    const startedAt = performance.now();
    writeSync(file, block);
    fdatasyncSync(file);
    return performance.now() - startedAt;
  });
  closeSync(file);
  return median(times);
}
