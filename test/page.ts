/**
 * A reader of our pages: does what a page says, in two terminals, and reports what is not as it says.
 *
 * A page has fenced blocks. A `sh` block is what the reader pastes; the `text` block that must follow it is everything
 * it prints; a `log` block behind that is everything the receiver logs meanwhile, in any order: handlers run when
 * they run. All are compared line by line.
 * `…` matches anything within its line: times, ids, milliseconds; alone on a line, any number of lines.
 * The blocks run in the order of the page, in one bash that keeps its variables, with the real port in place of 3010.
 *
 * One thing is not done as a page says. A block that begins with `npm` belongs in the reader's first terminal and
 * is not run by npm: `npm ci` has happened before any test can run, and in place of `npm start` the command behind
 * it, node, is started with the block's own arguments, on a free port and with the log format that a terminal gets.
 * Such a block shows the receiver's lines up to "listening".
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { TestContext } from "node:test";
import { projectFolder } from "./receiver.ts";

export const lessonFolder = join(projectFolder, "test/lesson");
const pageOrigin = "127.0.0.1:3010";

/**
 * The environment of a reader who has just opened a terminal: nothing of the test runner's, no colours, no
 * proxy before the receiver, and no remarks of npm about itself and the machine's settings.
 */
export const environment = {
  ...Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(WEBHOOK|NODE|FORCE|npm)_/.test(name)),
  ),
  NO_COLOR: "1",
  no_proxy: "127.0.0.1",
  npm_config_loglevel: "error",
  npm_config_update_notifier: "false",
};

// ---- The page: what there is to run, and what it promises ----

type Page = {
  /** Blocks in these languages are shown and not run. */
  readonly otherLanguages?: readonly string[];
  /** Commands that something else runs; they show nothing. */
  readonly ranElsewhere?: readonly string[];
  /** The reader has read another page before: the receiver runs, with a `.env`. */
  readonly isReceiverRunning?: boolean;
};
type Block = { readonly language: string; readonly lines: readonly string[]; readonly line: number };
type Exercise = { readonly command: Block; readonly shown: Block; readonly logged: Block | undefined };

/**
 * @param text the page, or a part of it
 * @throws Error naming the line, when a block has another language or is not where it belongs
 */
export function readExercises(text: string, about: Page = {}): Exercise[] {
  const blocks = readBlocks(text, about.otherLanguages ?? []).filter(
    ({ lines }) => !about.ranElsewhere?.includes(lines.join("\n")),
  );
  const exercises: Exercise[] = [];
  for (let block = blocks.shift(); block !== undefined; block = blocks.shift()) {
    if (block.language !== "sh")
      throw new Error(`line ${block.line}: a ${block.language} block without a command`);
    const shown = blocks.shift();
    if (shown?.language !== "text") throw new Error(`line ${block.line}: a command without what it shows`);
    const logged = blocks[0]?.language === "log" ? blocks.shift() : undefined;
    exercises.push({ command: block, shown, logged });
  }
  return exercises;
}

function readBlocks(text: string, otherLanguages: readonly string[]): Block[] {
  const blocks: Block[] = [];
  let open: { language: string; lines: string[]; line: number } | undefined;
  for (const [index, line] of text.split("\n").entries()) {
    const fence = /^\s*(?:```|~~~)(.*)$/.exec(line);
    if (fence === null) {
      open?.lines.push(line);
    } else if (open === undefined) {
      open = { language: fence[1] ?? "", lines: [], line: index + 1 };
      if (!["sh", "text", "log", ...otherLanguages].includes(open.language))
        throw new Error(`line ${open.line}: a block of ${JSON.stringify(open.language)}`);
    } else {
      if (!otherLanguages.includes(open.language)) blocks.push(open);
      open = undefined;
    }
  }
  if (open !== undefined) throw new Error(`line ${open.line}: a block that does not end`);
  return blocks;
}

/** What a block promises and what was seen instead: one report for each line that differs, and for a wrong count. */
function differences(block: Block, port: number, seen: readonly string[]): string[] {
  const rest = [...seen];
  const reports = block.lines.flatMap((line, index) => {
    const expected = patternOf(line.replaceAll(pageOrigin, `127.0.0.1:${port}`));
    const next = block.lines[index + 1];
    if (line === "…" && next !== undefined) {
      const end = rest.findIndex((actual) => patternOf(next).test(actual));
      rest.splice(0, Math.max(end, 0));
      return [];
    }
    const actual = rest.shift();
    if (actual !== undefined && expected.test(actual)) return [];
    return [`line ${block.line + 1 + index}: the page shows ${quoted(line)}, seen was ${quoted(actual)}`];
  });
  return [...reports, ...rest.map((line) => `below line ${block.line}: ${quoted(line)} too`)];
}

function patternOf(line: string): RegExp {
  const parts = line.split("…").map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
  return new RegExp(`^${parts.join(".*")}$`);
}

function quoted(line: string | undefined): string {
  return line === undefined ? "nothing" : JSON.stringify(line);
}

/** Without the carriage returns of HTTP and the empty lines at the end, which nobody sees. */
function linesOf(text: string): string[] {
  const lines = text.replaceAll("\r", "").trimEnd();
  return lines === "" ? [] : lines.split("\n");
}

// ---- The reader's machine: a folder and two terminals ----

/** A fresh clone after `npm ci`: without a `.env`, and with scripts that may be changed. */
export function cloneProject(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "webhook-lesson-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(join(folder, "test"));
  for (const name of ["webhook-receiver.ts", "lib", "package.json", "node_modules", "test/payloads"]) {
    symlinkSync(join(projectFolder, name), join(folder, name));
  }
  cpSync(lessonFolder, join(folder, "test/lesson"), { recursive: true });
  return folder;
}

/** A Node that strips types only when it is asked to is asked. */
const stripsTypes = ["--experimental-strip-types", "--disable-warning=ExperimentalWarning"];

type FirstTerminal = {
  readonly port: number;
  /** What the receiver logged until it listened. */
  readonly startLines: readonly string[];
  /** What it has logged since the start, or since this was asked for the last time. */
  linesSince(): Promise<string[]>;
  /** Ctrl-C. Resolves to the exit code and to what was logged and not yet asked for. */
  interrupt(): Promise<{ exitCode: number | null; lines: string[] }>;
};

/** Starts the receiver in a folder, with the arguments that follow `npm start --`. */
export async function startReceiver(
  t: TestContext,
  folder: string,
  args: string[] = [],
): Promise<FirstTerminal> {
  const own = [...stripsTypes, "webhook-receiver.ts", "--port", "0", "--log", "pretty"];
  const child = spawn(process.execPath, [...own, ...args], {
    cwd: folder,
    env: environment,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const terminal = readOutput(child);
  const ended = once(child, "close");
  t.after(() => {
    child.kill("SIGTERM");
    return ended;
  });

  const startText = await terminal.readThrough(/^.*\blistening\b.*\n/m);
  const port = Number(/127\.0\.0\.1:(\d+)/.exec(startText)?.[1]);
  return {
    port,
    startLines: linesOf(startText),
    linesSince: async () => {
      // A request of our own is logged behind all those that have been answered: no waiting, no guessing.
      const fence = `/${randomUUID()}`;
      const { status } = await fetch(`http://127.0.0.1:${port}${fence}`);
      assert.equal(status, 404);
      const lines = linesOf(await terminal.readThrough(new RegExp(`^.*${fence}.*\n`, "m")));
      return lines.slice(0, -1);
    },
    interrupt: async () => {
      child.kill("SIGINT");
      const [exitCode] = await ended;
      return { exitCode, lines: linesOf(terminal.readAll()) };
    },
  };
}

type SecondTerminal = {
  /** Runs commands and resolves to everything they print, once they have ended. */
  run(commands: readonly string[]): Promise<string[]>;
};

/** One bash. What is set in one call is there in the next. */
function openShell(t: TestContext, folder: string): SecondTerminal {
  const scratch = mkdtempSync(join(tmpdir(), "webhook-lesson-shell-"));
  t.after(() => rmSync(scratch, { recursive: true, force: true }));
  const child = spawn("bash", ["--norc"], { cwd: folder, env: environment, stdio: "pipe" });
  t.after(() => child.kill("SIGKILL"));
  child.stdin.on("error", () => {}); // bash has ended; reading its output says so
  const terminal = readOutput(child);
  child.stdin.write("exec 2>&1\n");
  return {
    run: async (commands) => {
      const file = join(scratch, "block.sh");
      const mark = randomUUID();
      writeFileSync(file, `${commands.join("\n")}\n`);
      child.stdin.write(`. '${file}' </dev/null\necho\necho '${mark}'\n`);
      const text = await terminal.readThrough(new RegExp(`^${mark}\n`, "m"));
      return linesOf(text.replace(mark, ""));
    },
  };
}

/** A process's output as it comes, taken in pieces. */
function readOutput(child: ChildProcess) {
  let text = "";
  let look = (): void => {};
  let hasEnded = false;
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (more: string) => {
      text += more;
      look();
    });
  }
  child.on("close", () => {
    hasEnded = true;
    look();
  });

  function take(length: number): string {
    const piece = text.slice(0, length);
    text = text.slice(length);
    return piece;
  }
  return {
    readAll: () => take(text.length),
    /** Resolves to everything up to and with the first match; rejects when the process ends without one. */
    readThrough: (wanted: RegExp) =>
      new Promise<string>((resolve, reject) => {
        look = () => {
          const found = wanted.exec(text);
          if (found !== null) resolve(take(found.index + found[0].length));
          else if (hasEnded) reject(new Error(`the process ended without ${wanted}:\n${text}`));
          if (found !== null || hasEnded) look = () => {};
        };
        look();
      }),
  };
}

/** Does what a reader of this page would do. @returns everything that was not as the page says */
export async function followPage(t: TestContext, text: string, about: Page = {}): Promise<string[]> {
  const exercises = readExercises(text, about);
  const folder = cloneProject(t);
  const shell = openShell(t, folder);
  const reports: string[] = [];
  let receiver: FirstTerminal | undefined;
  if (about.isReceiverRunning) {
    receiver = await startReceiver(t, folder);
    setDefaultPort(folder, receiver.port);
  }

  async function stopReceiver(): Promise<void> {
    if (receiver === undefined) return;
    const { exitCode, lines } = await receiver.interrupt();
    const last = lines.slice(-2).join("\n");
    if (exitCode !== 0 || !/\bstopping\b.*\n.*\bstopped\b/.test(last))
      reports.push(`the receiver ended with exit code ${exitCode}: ${last}`);
  }

  for (const { command, shown, logged } of exercises) {
    const [first = ""] = command.lines;
    if (first.startsWith("npm")) {
      const start = /^(?:npm ci && )?npm start(?: -- (.+))?$/.exec(first);
      assert.ok(
        start !== null && command.lines.length === 1,
        `line ${command.line}: no start of the receiver`,
      );
      await stopReceiver();
      receiver = await startReceiver(t, folder, start[1]?.split(" "));
      reports.push(...differences(shown, receiver.port, receiver.startLines));
      setDefaultPort(folder, receiver.port);
      continue;
    }
    assert.ok(receiver !== undefined, `line ${command.line}: a command before the receiver is started`);
    const { port } = receiver;
    const commands = command.lines.map((line) => line.replaceAll(pageOrigin, `127.0.0.1:${port}`));
    reports.push(...differences(shown, port, await shell.run(commands)));
    await untilIdle(folder);
    const lines = await receiver.linesSince();
    if (logged !== undefined) reports.push(...differences(logged, port, inOrderOf(logged, lines)));
  }
  await stopReceiver();
  return reports;
}

/** Waits until every job of the receiver in this folder has been run. */
async function untilIdle(folder: string): Promise<void> {
  const database = new DatabaseSync(join(folder, "inbox.db"), { readOnly: true });
  const count = database.prepare("SELECT count(*) AS jobs FROM jobs WHERE state IN ('pending', 'running')");
  while (Number(count.get()?.jobs) > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  database.close();
}

/** The lines that were seen, each at the place where the page expects it, the others behind them. */
function inOrderOf({ lines: expected }: Block, seen: readonly string[]): string[] {
  const rest = [...seen];
  const placed = expected.flatMap((line) => {
    const at = rest.findIndex((actual) => patternOf(line).test(actual));
    return rest.splice(at === -1 ? 0 : at, 1);
  });
  return [...placed, ...rest];
}

/** The scripts of a clone post to this port as if it were 3010, so that a reader's own command runs them. */
function setDefaultPort(folder: string, port: number): void {
  const shared = readFileSync(join(lessonFolder, "lesson.sh"), "utf8");
  assert.ok(shared.includes(`\${WEBHOOK_URL:-http://${pageOrigin}/webhook}`));
  writeFileSync(join(folder, "test/lesson/lesson.sh"), shared.replace(pageOrigin, `127.0.0.1:${port}`));
}
