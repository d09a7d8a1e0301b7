/**
 * The house: rooms use what is below them, every exported name means one thing, and the first sitting stays short.
 * Imports are read from the text of the files; type-only ones and those made at run time count as well.
 */
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { test } from "node:test";
import { readSitting, withCounts } from "./map.ts";
import { projectFolder } from "./receiver.ts";

/** From the top to the ground. Rooms in one line do not use each other; the ground is one room. */
const floors: readonly (readonly string[])[] = [
  ["webhook-receiver"],
  ["start"],
  ["welcome"],
  ["commands"],
  ["show"],
  ["send", "run"],
  ["process"],
  ["keep"],
  ["receive"],
  ["settings"],
  ["signature"],
  ["senders"],
  ["ground"],
];
const ground = ["refusal", "log", "errors", "batch", "once", "node-version"];

type Source = { readonly file: string; readonly text: string };
const sources: readonly Source[] = [
  "webhook-receiver.ts",
  ...globSync("lib/**/*.{ts,js}", { cwd: projectFolder }).sort(),
].map((file) => ({ file, text: readFileSync(join(projectFolder, file), "utf8") }));

/** `lib/keep/sqlite/store.ts` is in the room `keep`, `lib/start.ts` is `start`. */
function roomOf(file: string): string {
  const room = /^(?:lib\/)?([^/.]+)/.exec(file)?.[1] ?? "";
  return ground.includes(room) ? "ground" : room;
}

/** Everything that a file imports, or starts as a thread, as it is written there. */
function importsOf(text: string): string[] {
  const forms = [
    /^(?:import|export)\s[^;"]*?\bfrom\s+"([^"]+)"/gm,
    /^import\s+"([^"]+)"/gm,
    /\bimport\(\s*"([^"]+)"/g,
    /\bnew URL\(\s*"(\.[^"]+\.[jt]s)"/g,
  ];
  return forms.flatMap((form) => [...text.matchAll(form)].map(([, specifier = ""]) => specifier));
}

/** A line for each import that does not point down. */
function violations(of: readonly Source[]): string[] {
  const floorOf = (room: string) => floors.findIndex((rooms) => rooms.includes(room));
  return of.flatMap(({ file, text }) =>
    importsOf(text)
      .filter((specifier) => specifier.startsWith("."))
      .map((specifier) => posix.join(posix.dirname(file), specifier))
      .filter((target) => {
        const [from, to] = [roomOf(file), roomOf(target)];
        return from !== to && floorOf(from) >= floorOf(to);
      })
      .map((target) => `${file} imports ${target}`),
  );
}

/** Every name that more than one file exports, with those files. */
function doubledNames(of: readonly Source[]): string[] {
  const files = new Map<string, string[]>();
  const declaration =
    /^export\s+(?:declare\s+)?(?:async\s+)?(?:abstract\s+)?(?:function\*?|const|let|var|class|type|interface|enum)\s+([\w$]+)/gm;
  for (const { file, text } of of) {
    const names = new Set([...text.matchAll(declaration)].map(([, name = ""]) => name));
    for (const name of names) files.set(name, [...(files.get(name) ?? []), file]);
  }
  return [...files].filter(([, at]) => at.length > 1).map(([name, at]) => `${name}: ${at.join(", ")}`);
}

test("every file is in a room that the house has", () => {
  const rooms = floors.flat();
  assert.deepEqual(
    sources.map(({ file }) => file).filter((file) => !rooms.includes(roomOf(file))),
    [],
  );
});

test("imports point down", () => {
  assert.deepEqual(violations(sources), []);
});

test("an import that points up or aside is seen in whatever form it is written", () => {
  const seen = (file: string, text: string) => violations([{ file, text }]);
  const up = ["lib/signature/event.ts imports lib/keep/inbox.ts"];
  assert.deepEqual(seen("lib/signature/event.ts", 'import { a } from "../keep/inbox.ts";'), up);
  assert.deepEqual(seen("lib/signature/event.ts", 'import type {\n  A,\n} from "../keep/inbox.ts";'), up);
  assert.deepEqual(seen("lib/signature/event.ts", 'export { a } from "../keep/inbox.ts";'), up);
  assert.deepEqual(seen("lib/signature/event.ts", 'import "../keep/inbox.ts";'), up);
  assert.deepEqual(seen("lib/signature/event.ts", 'const a = await import("../keep/inbox.ts");'), up);
  assert.deepEqual(seen("lib/signature/event.ts", 'new Worker(new URL("../keep/inbox.ts", a));'), up);
  assert.equal(seen("lib/run/run.ts", 'import { post } from "../send/post.ts";').length, 1);
  assert.equal(seen("lib/log.ts", 'import { now } from "./settings/settings.ts";').length, 1);
  assert.equal(
    seen("lib/keep/sqlite/store.ts", 'import { a } from "../../../webhook-receiver.ts";').length,
    1,
  );
  assert.deepEqual(seen("lib/keep/sqlite/store.ts", 'import { a } from "../../log.ts";'), []);
  assert.deepEqual(seen("lib/log.ts", 'import { errorLine } from "./errors.ts";'), []);
});

/** The files of a circle of imports, or none. */
function circleIn(of: readonly Source[]): string[] {
  const targets = new Map(
    of.map(({ file, text }) => [
      file,
      importsOf(text).map((specifier) => posix.join(posix.dirname(file), specifier)),
    ]),
  );
  const finished = new Set<string>();
  function follow(file: string, way: readonly string[]): string[] {
    if (way.includes(file)) return [...way.slice(way.indexOf(file)), file];
    if (finished.has(file)) return [];
    for (const target of targets.get(file) ?? []) {
      const circle = follow(target, [...way, file]);
      if (circle.length > 0) return circle;
    }
    finished.add(file);
    return [];
  }
  return of.map(({ file }) => follow(file, [])).find((circle) => circle.length > 0) ?? [];
}

test("no file imports itself, by whatever way", () => {
  assert.deepEqual(circleIn(sources), []);
  const first = { file: "lib/keep/a.ts", text: 'import { b } from "./b.ts";' };
  const second = { file: "lib/keep/b.ts", text: 'import type { A } from "./a.ts";' };
  assert.deepEqual(circleIn([...sources, first, second]), [
    "lib/keep/a.ts",
    "lib/keep/b.ts",
    "lib/keep/a.ts",
  ]);
});

test("a file imports Node's own modules and its neighbours, nothing else", () => {
  const others = sources.flatMap(({ file, text }) =>
    importsOf(text)
      .filter((specifier) => !/^(?:node:|\.)/.test(specifier))
      .map((specifier) => `${file} imports ${specifier}`),
  );
  assert.deepEqual(others, []);
});

test("no name is exported twice", () => {
  assert.deepEqual(doubledNames(sources), []);
  const again = {
    file: "lib/keep/again.ts",
    text: "export async function authenticate() {}\nexport type Log = 1;\n",
  };
  assert.deepEqual(doubledNames([...sources, again]), [
    "Log: lib/log.ts, lib/keep/again.ts",
    "authenticate: lib/signature/authenticate.ts, lib/keep/again.ts",
  ]);
});

test("a name is exported where it is declared, under its own name", () => {
  const indirect = sources.filter(({ text }) => /^export\s+(?:default\b|\*|(?:type\s+)?\{)/m.test(text));
  assert.deepEqual(
    indirect.map(({ file }) => file),
    [],
  );
});

test("the map has at most 60 lines, and the line counts that there are (`npm run format` writes them)", () => {
  const sitting = readSitting();
  assert.ok(sitting.files.size > 10);
  assert.equal(sitting.map, withCounts(sitting));
  assert.ok(sitting.map.trimEnd().split("\n").length <= 60);
});

test("the map names every room", () => {
  const { map } = readSitting();
  const firstCells = map.match(/^\| [^|]+ \|/gm)?.join("\n") ?? "";
  const rooms = new Set(sources.map(({ file }) => roomOf(file)).filter((room) => room !== "ground"));
  for (const room of rooms) assert.match(firstCells, new RegExp(`\\b${room}\\b`), room);
});

const maxFileLines = 180;
/** What it has come to; it may only become less. */
const maxSittingLines = 1310;

test("no file of the first sitting has more than 180 lines", () => {
  const tooLong = [...readSitting().files].filter(([, lines]) => lines > maxFileLines);
  assert.deepEqual(tooLong, []);
});

test("the first sitting has at most 1,310 lines", () => {
  const all = [...readSitting().files.values()].reduce((sum, lines) => sum + lines, 0);
  assert.ok(all > 1000 && all <= maxSittingLines, `${all} lines`);
});
