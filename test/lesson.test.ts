/**
 * The lesson is a promise: what its page shows is what a reader gets. Here everything on it is run.
 *
 * `lesson/README.md` has fenced blocks of three languages. A `sh` block is what the reader pastes; the `text` block
 * that must follow it is everything it prints; a `log` block behind that is everything the receiver logs meanwhile.
 * All are compared line by line. `…` matches anything within its line: times, ids, milliseconds.
 * The blocks run in the order of the page, in one bash that keeps its variables, with the real port in place of 3010.
 *
 * One thing is not done as the page says. A block that begins with `npm` belongs in the reader's first terminal and
 * is not run by npm: `npm ci` has happened before any test can run, and in place of `npm start` the command behind
 * it, tsx, is started with the block's own arguments, on a free port and with the log format that a terminal gets.
 * That these two are the same is a test of its own. Such a block shows the receiver's lines up to "listening".
 */
import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { projectFolder } from "./receiver.ts";

const lessonFolder = join(projectFolder, "test/lesson");
const page = readFileSync(join(lessonFolder, "README.md"), "utf8");
const allScripts = readdirSync(lessonFolder).filter((name) => name.endsWith(".sh"));
/** Without `lesson.sh`, which the others share. */
const numberedScripts = allScripts.filter((name) => /^\d/.test(name));
const pageOrigin = "127.0.0.1:3010";

/**
 * The environment of a reader who has just opened a terminal: nothing of the test runner's, no colours, no
 * proxy before the receiver, and no remarks of npm about itself and the machine's settings.
 */
const environment = {
  ...Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(WEBHOOK|NODE|FORCE|npm)_/.test(name)),
  ),
  NO_COLOR: "1",
  no_proxy: "127.0.0.1",
  npm_config_loglevel: "error",
  npm_config_update_notifier: "false",
};

// ---- The page: what there is to run, and what it promises ----

type Block = { readonly language: string; readonly lines: readonly string[]; readonly line: number };
type Exercise = { readonly command: Block; readonly shown: Block; readonly logged: Block | undefined };

/**
 * @param text the page, or a part of it
 * @throws Error naming the line, when a block has another language or is not where it belongs
 */
function readExercises(text: string): Exercise[] {
  const blocks = readBlocks(text);
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

function readBlocks(text: string): Block[] {
  const blocks: Block[] = [];
  let open: { language: string; lines: string[]; line: number } | undefined;
  for (const [index, line] of text.split("\n").entries()) {
    const fence = /^\s*(?:```|~~~)(.*)$/.exec(line);
    if (fence === null) {
      open?.lines.push(line);
    } else if (open === undefined) {
      open = { language: fence[1] ?? "", lines: [], line: index + 1 };
      if (!["sh", "text", "log"].includes(open.language))
        throw new Error(`line ${open.line}: a block of ${JSON.stringify(open.language)}`);
    } else {
      blocks.push(open);
      open = undefined;
    }
  }
  if (open !== undefined) throw new Error(`line ${open.line}: a block that does not end`);
  return blocks;
}

/** What a block promises and what was seen instead: one report for each line that differs, and for a wrong count. */
function differences(block: Block, port: number, seen: readonly string[]): string[] {
  const reports = block.lines.flatMap((line, index) => {
    const expected = line.replaceAll(pageOrigin, `127.0.0.1:${port}`);
    const actual = seen[index];
    if (actual !== undefined && patternOf(expected).test(actual)) return [];
    return [`line ${block.line + 1 + index}: the page shows ${quoted(line)}, seen was ${quoted(actual)}`];
  });
  const more = seen.slice(block.lines.length).map((line) => `below line ${block.line}: ${quoted(line)} too`);
  return [...reports, ...more];
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
function cloneProject(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "webhook-lesson-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(join(folder, "test"));
  for (const name of ["webhook-receiver.ts", "lib", "package.json", "node_modules", "test/payloads"]) {
    symlinkSync(join(projectFolder, name), join(folder, name));
  }
  cpSync(lessonFolder, join(folder, "test/lesson"), { recursive: true });
  return folder;
}

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
async function startReceiver(t: TestContext, folder: string, args: string[] = []): Promise<FirstTerminal> {
  const tsx = join(folder, "node_modules/.bin/tsx");
  const own = ["webhook-receiver.ts", "--port", "0", "--log", "pretty"];
  const child = spawn(tsx, [...own, ...args], {
    cwd: folder,
    env: environment,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const terminal = readOutput(child);
  const ended = once(child, "close");
  // tsx passes a signal on to the receiver, and cannot pass on SIGKILL.
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
async function followPage(t: TestContext, text: string): Promise<string[]> {
  const exercises = readExercises(text);
  const folder = cloneProject(t);
  const shell = openShell(t, folder);
  const reports: string[] = [];
  let receiver: FirstTerminal | undefined;

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
    const lines = await receiver.linesSince();
    if (logged !== undefined) reports.push(...differences(logged, port, lines));
  }
  await stopReceiver();
  return reports;
}

/** The scripts of a clone post to this port as if it were 3010, so that a reader's own command runs them. */
function setDefaultPort(folder: string, port: number): void {
  const shared = readFileSync(join(lessonFolder, "lesson.sh"), "utf8");
  assert.ok(shared.includes(`\${WEBHOOK_URL:-http://${pageOrigin}/webhook}`));
  writeFileSync(join(folder, "test/lesson/lesson.sh"), shared.replace(pageOrigin, `127.0.0.1:${port}`));
}

/** Runs a script by hand, from the project's folder. */
function runScript(
  folder: string,
  name: string,
  more: Record<string, string>,
): Promise<{ name: string; exitCode: number; output: string }> {
  return new Promise((resolve) => {
    const options = { cwd: folder, env: { ...environment, ...more } };
    const child = execFile("bash", [`test/lesson/${name}`], options, (_, stdout, stderr) => {
      resolve({ name, exitCode: child.exitCode ?? -1, output: stdout + stderr });
    });
  });
}

// ---- The tests ----

test("every command of the lesson shows what the page says, and the receiver logs it", async (t) => {
  assert.deepEqual(await followPage(t, page), []);
});

test("`npm start` is what these tests start", () => {
  const { scripts } = JSON.parse(readFileSync(join(projectFolder, "package.json"), "utf8"));
  assert.equal(scripts.start, "tsx webhook-receiver.ts");
});

test("a page that promises something else is reported, line by line", async (t) => {
  const [beginning = ""] = page.split("## Step 2");
  const wrong = beginning
    .replace("has 64 characters.\n```", "has 65 characters.\n```")
    .replace("HTTP/1.1 405 Method Not Allowed\n", "")
    .replace("why=GET  status=405", "why=GET  status=404")
    .replace("says hello", "says nothing");
  const reports = await followPage(t, wrong);
  const about = (pattern: RegExp) => reports.some((report) => pattern.test(report));
  assert.ok(about(/65 characters.*seen was "The secret has 64 characters\."/));
  assert.ok(about(/"Content-Type: .*seen was "HTTP\/1\.1 405 Method Not Allowed"/));
  assert.ok(about(/below line \d+: "\{.*405.*\}" too/));
  assert.ok(about(/status=404 .*seen was .*status=405 /));
  assert.ok(about(/says nothing.*seen was .*says hello/));
});

test("a command that says not what it shows, and a block of another language, are no page", () => {
  const block = (language: string) => `\`\`\`${language}\ntrue\n\`\`\`\n`;
  assert.throws(() => readExercises(`\n${block("sh")}`), /^Error: line 2: a command without what it shows$/);
  assert.throws(() => readExercises(block("sh") + block("log")), /line 1: a command without/);
  assert.throws(() => readExercises(block("text")), /line 1: a text block without a command/);
  assert.throws(() => readExercises(block("bash")), /line 1: a block of "bash"/);
  assert.throws(() => readExercises("```sh\ntrue\n"), /line 1: a block that does not end/);
  assert.equal(readExercises(block("sh") + block("text") + block("log")).length, 1);
});

test("every script passes against a receiver as a reader has started it", async (t) => {
  const folder = cloneProject(t);
  const { port } = await startReceiver(t, folder);
  const url = { WEBHOOK_URL: `http://127.0.0.1:${port}/webhook` };
  const runs = await Promise.all(numberedScripts.map((name) => runScript(folder, name, url)));
  const failed = runs.filter(({ exitCode, output }) => exitCode !== 0 || !output.includes("ok: "));
  assert.deepEqual(failed, []);
});

test("a script that signs with another secret than the receiver's fails, and says what it saw", async (t) => {
  const folder = cloneProject(t);
  const { port } = await startReceiver(t, folder);
  const run = await runScript(folder, "07a-valid-signature.sh", {
    WEBHOOK_URL: `http://127.0.0.1:${port}/webhook`,
    WEBHOOK_SECRET: "the receiver has another one",
  });
  assert.equal(run.exitCode, 1);
  assert.match(
    run.output,
    /NOT OK: expected 200 "status":"accepted"\n\s+but saw 401 \{"title":"Unauthorized"/,
  );
});

test("every script fails against a receiver that says yes to everything", async (t) => {
  const folder = cloneProject(t);
  rmSync(join(folder, "webhook-receiver.ts"));
  writeFileSync(join(folder, "webhook-receiver.ts"), "console.log('yes');\n");
  const server = createServer((request, response) => {
    request.resume().on("end", () => response.end("{}"));
    request.on("error", () => {}); // the one that announces more than it sends
    if (request.headers["content-length"] === "99999999") response.end("{}");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  t.after(() => server.closeAllConnections());
  const { port } = server.address() as AddressInfo;
  const target = { WEBHOOK_URL: `http://127.0.0.1:${port}/webhook`, WEBHOOK_SECRET: "any" };
  const runs = await Promise.all(numberedScripts.map((name) => runScript(folder, name, target)));
  const passed = runs.filter(({ exitCode, output }) => exitCode !== 1 || !output.includes("NOT OK: "));
  assert.deepEqual(passed, []);
});

test("without a receiver or without a secret, a script fails with a line that says so", async (t) => {
  const folder = cloneProject(t);
  const name = "07a-valid-signature.sh";
  const withoutSecret = await runScript(folder, name, {});
  assert.equal(withoutSecret.exitCode, 1);
  assert.match(withoutSecret.output, /no secret: start the receiver, and run this in the same folder/);

  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  const url = `http://127.0.0.1:${port}/webhook`;
  const withoutReceiver = await runScript(folder, name, { WEBHOOK_URL: url, WEBHOOK_SECRET: "any" });
  assert.equal(withoutReceiver.exitCode, 1);
  assert.match(withoutReceiver.output, /curl: \(7\)/);
});

test("the steps are the lesson's objectives, in their order, each in five parts", () => {
  const steps = page.split(/^## /m).slice(1);
  const titles = steps.map((step) => step.slice(0, step.indexOf("\n")));
  assert.deepEqual(titles, [
    "Step 0: Start the receiver",
    "Step 1: Handle POST",
    "Step 2: Read the raw body by Content-Length",
    "Step 3: Parse JSON and answer 400",
    "Step 4: Compute HMAC-SHA256 and look at its hex form",
    "Step 5: Understand why the constant-time compare is required",
    "Step 6: Validate X-Hub-Signature-256 and answer 401",
    "Step 7: Test with curl",
    "Step 8: Build the complete server with arguments, structured logging and event routing",
  ]);
  for (const [number, step] of steps.entries()) {
    if (number === 0) continue;
    const parts = step.split(/^### /m).slice(1);
    const names = parts.map((part) => part.slice(0, part.indexOf("\n")));
    const expected = [
      "What you will see",
      "Commands to run",
      "What this does",
      "Expected outcome",
      "Common mistakes",
    ];
    assert.deepEqual(names, expected, `step ${number}`);
    assert.match(parts[1] ?? "", /^```sh$/m, `step ${number} has commands`);
    assert.match(parts[2] ?? "", /\]\([^)]+\)/, `step ${number} says which file to read`);
    assert.match(parts[4] ?? "", /^- /m, `step ${number} has mistakes`);
  }
});

test("every script has at most 25 lines and is run in the step whose number it has", () => {
  const steps = page.split(/^## Step /m);
  for (const name of allScripts) {
    const lines = readFileSync(join(lessonFolder, name), "utf8").trimEnd().split("\n");
    assert.ok(lines.length <= 25, `${name} has ${lines.length} lines`);
    const step = /^\d/.test(name) ? steps[Number(name.slice(0, 2)) + 1] : page;
    // `07*.sh` stands for its scripts, and running the page shows that it finds them.
    const isMentioned = step?.includes(name) || step?.includes(`test/lesson/${name.slice(0, 2)}*.sh`);
    assert.ok(isMentioned, `${name} is not in its step`);
  }
  const numbers = new Set(numberedScripts.map((name) => Number(name.slice(0, 2))));
  assert.deepEqual([...numbers], [1, 2, 3, 4, 5, 6, 7, 8]);
});

test("every file that the lesson refers to is there", () => {
  const targets = [...page.matchAll(/\]\((?!https:)([^)]+)\)/g)].map(([, target = ""]) => target);
  assert.deepEqual(
    targets.filter((target) => !existsSync(join(lessonFolder, target))),
    [],
  );
});
