/**
 * The line counts of the map, lib/README.md: `node test/map.ts` writes them, and prints what each room comes to.
 *
 * The table of the first sitting is the only list of its files; test/house.test.ts checks it.
 */
import { globSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const libFolder = fileURLToPath(new URL("../lib", import.meta.url));
const mapFile = join(libFolder, "README.md");
const row = /^\| \[[^\]]+\]\(([^)]+)\) \| (\d+) \|/;
const sumRow = /^\| all \| (\d+) \|/;

export type Sitting = { readonly map: string; readonly files: ReadonlyMap<string, number> };

/** The map as it is, and the files of its first sitting, as paths from lib, with their true line counts. */
export function readSitting(): Sitting {
  const map = readFileSync(mapFile, "utf8");
  const names = map.split("\n").flatMap((line) => row.exec(line)?.[1] ?? []);
  return { map, files: new Map(names.map((name) => [name, countLines(name)])) };
}

/** The map as it should be. */
export function withCounts({ map, files }: Sitting): string {
  const all = [...files.values()].reduce((sum, lines) => sum + lines, 0);
  const counted = (line: string) => {
    const name = row.exec(line)?.[1];
    if (name !== undefined) return line.replace(/\| \d+ \|/, `| ${files.get(name)} |`);
    return sumRow.test(line) ? line.replace(/\| \d+ \|/, `| ${all} |`) : line;
  };
  return map.split("\n").map(counted).join("\n");
}

/** How many lines each room has; the files that stand in lib itself are one room. */
function countRooms(): Map<string, number> {
  const rooms = new Map<string, number>();
  for (const name of globSync("**/*.{ts,js,sql}", { cwd: libFolder }).sort()) {
    const room = name.includes("/") ? name.slice(0, name.indexOf("/")) : "lib";
    rooms.set(room, (rooms.get(room) ?? 0) + countLines(name));
  }
  return rooms;
}

function countLines(name: string): number {
  return readFileSync(join(libFolder, name), "utf8").split("\n").length - 1;
}

if (import.meta.main) {
  writeFileSync(mapFile, withCounts(readSitting()));
  for (const [room, lines] of countRooms()) console.log(`${String(lines).padStart(6)}  ${room}`);
}
