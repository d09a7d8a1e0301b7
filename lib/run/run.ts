/**
 * A handler that runs a command: `push: run("./deploy.sh", { timeoutSeconds: 600 })`.
 *
 * The command is one file and gets the same arguments each time. No shell is there to interpret anything, and what a
 * sender says never becomes an argument: the raw body is on stdin, the names are in WEBHOOK_SOURCE, WEBHOOK_EVENT,
 * WEBHOOK_ID and WEBHOOK_ATTEMPT. Of the receiver's own environment it gets what every program needs, and nothing else:
 * database passwords and tokens are in the same environment.
 * It has worked when the command exits with 0; anything else is an error, and the worker tries again later.
 * When it is over, for whatever reason, the command and all that it has started are gone (`group.ts`).
 */
import { resolve } from "node:path";
import { errorLine, OperatorError } from "../errors.ts";
import { printable } from "../log.ts";
import type { Context, HandlerOptions } from "../process/handlers.ts";
import { defaultTimeoutSeconds } from "../process/loader.ts";
import type { WebhookEvent } from "../signature/event.ts";
import { findExecutable, startFault } from "./executable.ts";
import { closeOutput, type Exit, endGroup, endRest, type Group, startGroup } from "./group.ts";
import { openOutput } from "./output.ts";

/** `retries` and `orderBy` are those of every handler. */
export type RunOptions = Pick<HandlerOptions, "retries" | "orderBy"> & {
  /** The arguments, the same for every event. */
  readonly args?: readonly string[];
  /** Where the command runs, and what its relative path starts from; where the receiver was started unless said. */
  readonly cwd?: string;
  /** Variables besides those that every program needs (PATH, HOME, LANG, …); secrets are named here. */
  readonly env?: Readonly<Record<string, string>>;
  /** After this long the attempt has failed and the command gets SIGTERM; 300 unless said. */
  readonly timeoutSeconds?: number;
  /** This long after SIGTERM what is left gets SIGKILL; 5 unless said, and half a second when the receiver ends. */
  readonly graceSeconds?: number;
};

type Command = {
  /** As the operator wrote it. */
  readonly name: string;
  readonly file: string;
  readonly folder: string;
} & Required<Omit<RunOptions, "cwd" | "retries" | "orderBy">>;

const optionNames = ["args", "cwd", "env", "timeoutSeconds", "graceSeconds", "retries", "orderBy"];
const defaultGraceSeconds = 5;
const maxGraceSeconds = 60;
/** For what comes behind the grace period: by the worker's limit, nothing is left of the command. */
const spareSeconds = 5;
const maxTimeoutSeconds = 86_400 - maxGraceSeconds - spareSeconds;
const maxDetailCharacters = 500;

/**
 * @param command a path, or the name of a program that is in PATH
 * @returns a handler whose time limit is a little longer than the command's: the worker leaves a handler behind when
 * its time is up, and would try again beside a command that is still being ended
 * @throws OperatorError when the command cannot be started, or an option makes no sense
 */
export function run(command: string, options: RunOptions = {}): HandlerOptions {
  const ready = readyCommand(command, options);
  const { args, cwd, env, graceSeconds, ...entry } = options;
  return {
    ...entry,
    timeoutSeconds: ready.timeoutSeconds + ready.graceSeconds + spareSeconds,
    handle: (event, context) => runCommand(ready, event, context),
  };
}

function readyCommand(name: string, options: RunOptions): Command {
  const fault = optionsFault(name, options);
  if (fault !== undefined) throw new OperatorError(`run: ${fault}`, 1);
  const { args = [], cwd = ".", env = {} } = options;
  const { timeoutSeconds = defaultTimeoutSeconds, graceSeconds = defaultGraceSeconds } = options;
  const folder = resolve(cwd);
  const file = findExecutable(name, folder, env.PATH ?? process.env.PATH ?? "");
  if (file === undefined)
    throw new OperatorError(`run: no program ${name} in PATH (a file in ${folder} is ./${name})`, 1);
  const command = { name, file, folder, args, env, timeoutSeconds, graceSeconds };
  const why = startFault(file, folder);
  if (why !== undefined) throw new OperatorError(`run: ${why}`, 1);
  return command;
}

async function runCommand(command: Command, event: WebhookEvent, context: Context): Promise<void> {
  const { signal, log } = context;
  const group = await start(command, event, context.attempt);
  const stdout = openOutput(log.info);
  const stderr = openOutput(log.warn);
  group.command.stdout.on("data", stdout.add);
  group.command.stderr.on("data", stderr.add);
  group.command.stdin.end(event.body);

  const end = await exitOrLimit(group, command.timeoutSeconds, signal);
  if ("reason" in end) await endGroup(group, command.graceSeconds * 1000, signal);
  else if (await endRest(group, signal)) log.warn("ended what the command had left running");
  await closeOutput(group, signal);
  stdout.end();
  stderr.end();

  const why = failureOf(end);
  if (why === undefined) return;
  const last = stderr.lastLine();
  const detail = last === undefined ? "" : `: ${printable(last.slice(0, maxDetailCharacters))}`;
  throw new Error(`${command.name} ${why}${detail}`);
}

async function start(command: Command, event: WebhookEvent, attempt: number): Promise<Group> {
  const { name, file, folder, args } = command;
  const env = { ...inherited(), ...command.env, ...about(event, attempt) };
  try {
    return await startGroup(file, args, { cwd: folder, env });
  } catch (thrown) {
    throw new Error(`${name} cannot be started: ${startFault(file, folder) ?? errorLine(thrown)}`);
  }
}

const inheritedNames = new Set([
  ...["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR", "XDG_RUNTIME_DIR"],
]);

/** What every program needs of the receiver's environment. All else has to be named: `env`. */
function inherited(): NodeJS.ProcessEnv {
  const isNeeded = (name: string) => inheritedNames.has(name) || name.startsWith("LC_");
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => isNeeded(name)));
}

/** A type or an id can be any text. As one line without a NUL byte, which ends a variable, it can be passed on. */
function about({ source, type, id }: WebhookEvent, attempt: number) {
  return {
    WEBHOOK_SOURCE: source,
    WEBHOOK_EVENT: printable(type),
    WEBHOOK_ID: printable(id),
    WEBHOOK_ATTEMPT: String(attempt),
  };
}

/** Why a command is not waited for any longer. */
type Limit = { readonly reason: unknown };

async function exitOrLimit(group: Group, timeoutSeconds: number, signal: AbortSignal): Promise<Exit | Limit> {
  const { promise: reached, resolve: reach } = Promise.withResolvers<Limit>();
  const onAbort = () => reach({ reason: signal.reason });
  const timer = setTimeout(
    () => reach({ reason: `timed out after ${timeoutSeconds} s` }),
    timeoutSeconds * 1000,
  );
  signal.addEventListener("abort", onAbort);
  if (signal.aborted) onAbort();
  try {
    return await Promise.race([group.exited, reached]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
  }
}

/** In words that follow the command's name; undefined when it has worked. */
function failureOf(end: Exit | Limit): string | undefined {
  if ("reason" in end) return `was ended: ${errorLine(end.reason)}`;
  if (end.signal !== null) return `was ended by ${end.signal}`;
  return end.code === 0 ? undefined : `exited with ${end.code}`;
}

function optionsFault(name: unknown, options: RunOptions): string | undefined {
  // Windows has no process groups.
  if (process.platform === "win32") return "commands cannot be run on Windows";
  if (!isText(name) || name === "") return "the command is the path of a file";
  if (typeof options !== "object" || options === null) return "the options are an object";
  const unknown = Object.keys(options).find((option) => !optionNames.includes(option));
  if (unknown !== undefined) return `${unknown} is none of ${optionNames.join(", ")}`;
  const { args = [], cwd = ".", env = {}, timeoutSeconds = 1, graceSeconds = 1 } = options;
  if (!Array.isArray(args) || !args.every(isText)) return "args is a list of texts";
  if (!isText(cwd) || cwd === "") return "cwd is the path of a folder";
  if (!isWithin(timeoutSeconds, maxTimeoutSeconds))
    return `timeoutSeconds is more than 0 and at most ${maxTimeoutSeconds}`;
  if (!isWithin(graceSeconds, maxGraceSeconds))
    return `graceSeconds is more than 0 and at most ${maxGraceSeconds}`;
  return environmentFault(env);
}

/** Never shows a value. */
function environmentFault(env: unknown): string | undefined {
  if (typeof env !== "object" || env === null) return "env is an object of texts";
  for (const [name, value] of Object.entries(env)) {
    if (!/^[^=\0]+$/.test(name) || !isText(value)) return `env.${printable(name)} is not a text`;
    if (["WEBHOOK_SOURCE", "WEBHOOK_EVENT", "WEBHOOK_ID", "WEBHOOK_ATTEMPT"].includes(name))
      return `env.${name} is set by the receiver`;
  }
  return undefined;
}

/** The system ends every text at a NUL byte. */
function isText(value: unknown): value is string {
  return typeof value === "string" && !value.includes("\0");
}

function isWithin(seconds: unknown, most: number): boolean {
  return typeof seconds === "number" && seconds > 0 && seconds <= most;
}
