/**
 * The program: what the command line asks for, which signals it hears, and how it ends.
 *
 * Exit codes: 0 done or stopped in order, 1 the world does not fit (a port, a file) or a command says no, 2 wrong usage,
 * 128 + n ended by a second signal n, or not stopped in time after the first. What a person got wrong is one line on
 * stderr; anything else shows its stack.
 */
import { constants } from "node:os";
import type { Command } from "./commands/command.ts";
import { errorLine, OperatorError, quoted } from "./errors.ts";
import { resolvedFile } from "./keep/sqlite/store.ts";
import { type Log, openLog, stackOf, stdoutTaken } from "./log.ts";
import { findBlame } from "./process/blame.ts";
import { loadHandlers, type ReadyHandlers } from "./process/loader.ts";
import { readSettings, type Settings } from "./settings/settings.ts";
import { firstDelivery } from "./welcome.ts";

export type Receiver = {
  /** @returns the port */
  listen(): Promise<number>;
  /** Finishes what is in flight and what runs, and leaves the rest in the inbox. False when it took too long. */
  stop(): Promise<boolean>;
};

export type OpenReceiver = (settings: Settings, handlers: ReadyHandlers, log: Log) => Promise<Receiver>;

/** What can be done besides receiving; each is loaded when it is asked for. */
const commands = new Map<string, () => Promise<Command>>([
  ["list", async () => (await import("./commands/list.ts")).list],
  ["show", async () => (await import("./commands/show.ts")).show],
  ["replay", async () => (await import("./commands/replay.ts")).replay],
  ["reverify", async () => (await import("./commands/reverify.ts")).reverify],
  ["send", async () => (await import("./commands/send.ts")).send],
  ["verify", async () => (await import("./commands/verify.ts")).verifyCapture],
]);

/** A signal that comes so soon after the first one is its echo: npm and tsx pass on what a terminal sends to all. */
const echoMilliseconds = 500;
/** So long the reader of the log may take for its last lines. */
const lastLinesMilliseconds = 1000;

/** Does what the command line asks for. It returns while the receiver listens, and never after a command. */
export async function start(openReceiver: OpenReceiver): Promise<void> {
  try {
    const [name = "", ...rest] = process.argv.slice(2);
    if (name === "" || name.startsWith("-")) await startReceiver(openReceiver);
    else process.exit(await runCommand(name, rest)); // a module of handlers may have timers of its own
  } catch (thrown) {
    if (!(thrown instanceof OperatorError)) throw thrown;
    process.stderr.write(`webhook-receiver: ${thrown.message}\n`);
    await stdoutDone();
    process.exit(thrown.exitCode); // the inbox's thread would keep it alive
  }
}

/** @returns the exit code, once stdout has taken all that was written */
async function runCommand(name: string, argv: readonly string[]): Promise<number> {
  const command = await commands.get(name)?.();
  if (command === undefined) {
    const names = [...commands.keys()].join(", ");
    throw new OperatorError(
      `there is no command ${quoted(name)}: expected ${names}, or flags to start the receiver (--help shows them)`,
      2,
    );
  }
  const output = openOutput();
  const exitCode = await command(argv, process.env, output.write);
  await output.finish();
  return exitCode;
}

/**
 * Text for stdout. A reader that has left, such as `head`, does not end a command: what it does is done to its end, and
 * its exit code is its own.
 */
function openOutput(): { write(text: string): void; finish(): Promise<void> } {
  let fault: NodeJS.ErrnoException | undefined;
  process.stdout.on("error", () => {}); // without a listener it would end the process; `write` hears of it too
  return {
    write: (text) =>
      void process.stdout.write(text, (error) => {
        fault ??= error ?? undefined;
      }),
    /** @throws OperatorError when stdout has not taken the text, because a disk is full, say */
    finish: async () => {
      await stdoutDone();
      if (fault !== undefined && fault.code !== "EPIPE")
        throw new OperatorError(`cannot write to stdout: ${errorLine(fault)}`, 1);
    },
  };
}

/** A pipe takes what is written bit by bit, and process.exit() does not wait for it. */
function stdoutDone(): Promise<void> {
  return new Promise((resolve) => process.stdout.write("", () => resolve()));
}

async function startReceiver(openReceiver: OpenReceiver): Promise<void> {
  const request = readSettings(process.argv.slice(2), process.env);
  if ("text" in request) {
    const output = openOutput();
    output.write(`${request.text}\n`);
    return output.finish();
  }

  const { settings } = request;
  const log = openLog(settings.logFormat);
  process.on("exit", log.flush);
  let receiver: Receiver | undefined;
  const stop = async () => (await receiver?.stop()) ?? true;
  endOnStray(log, stop);
  hearSignals(log, stop);
  // A module of handlers may change the working directory while it is loaded: names are resolved before.
  const resolved = { ...settings, inboxFile: resolvedFile(settings.inboxFile) };
  receiver = await openReceiver(resolved, await loadHandlers(settings.handlersFile), log);
  const port = await receiver.listen();
  log.flush();
  if (process.stdout.isTTY) process.stdout.write(firstDelivery(settings, port) ?? "");
}

/**
 * The first SIGTERM or SIGINT stops in order, a second one ends the process at once.
 * @param stop resolves to false when something was given up
 */
function hearSignals(log: Log, stop: () => Promise<boolean>): void {
  let stoppingSince: number | undefined;
  async function onStop(signal: "SIGINT" | "SIGTERM"): Promise<void> {
    if (stoppingSince !== undefined) {
      if (performance.now() - stoppingSince > echoMilliseconds) process.exit(128 + constants.signals[signal]);
      return;
    }
    stoppingSince = performance.now();
    log.info("stopping", { signal });
    if (!(await stop())) log.warn("gave up on what was still in flight");
    log.info("stopped");
    log.flush();
    await stdoutTaken(lastLinesMilliseconds);
    process.exit(0);
  }
  process.on("SIGINT", onStop);
  process.on("SIGTERM", onStop);
  // Node's own answers to these are to end without a word, and to open its inspector for whoever can reach the port.
  for (const signal of ["SIGHUP", "SIGUSR1", "SIGUSR2"] as const) {
    process.on(signal, () => log.info("nothing is done: settings are read at the start only", { signal }));
  }
}

/**
 * An error that nobody caught fails the job of the handler that it belongs to. When it belongs to none, the state of the
 * program is unknown: what is in flight is answered, and it ends, so that a manager starts it again.
 */
function endOnStray(log: Log, stop: () => Promise<boolean>): void {
  let isEnding = false;
  async function onStray(what: string, thrown: unknown): Promise<void> {
    if (findBlame(thrown)) return;
    log.error(what, { stack: stackOf(thrown) });
    log.flush();
    if (isEnding) return;
    isEnding = true;
    await stop().catch(() => false);
    process.exit(1);
  }
  process.on("uncaughtException", (thrown) => void onStray("uncaught exception", thrown));
  process.on("unhandledRejection", (thrown) => void onStray("unhandled rejection", thrown));
}
