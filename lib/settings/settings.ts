/**
 * Everything that can be configured, read once: a flag beats the environment, the environment beats `.env`,
 * `.env` beats the default. What does not make sense or is not safe is refused here, in one line.
 *
 * Secrets are never flags: a command line can be read by every user of the machine (see `sources.ts`).
 */
import { readFileSync } from "node:fs";
import { isIPv4 } from "node:net";
import { parseArgs } from "node:util";
import { OperatorError, quoted, usageError } from "../errors.ts";
import type { Format } from "../log.ts";
import type { Source } from "../signature/source.ts";
import { isPrivateAllowed } from "./allow-private.ts";
import { defaultEnvFile, hasPlainLine, writeFirstEnvFile } from "./dotenv.ts";
import { loadEnvironment } from "./environment.ts";
import { readSources, variableFor } from "./sources.ts";

export type Settings = {
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  /** A module that exports `handlers`; undefined for `lib/process/handlers.ts`. */
  readonly handlersFile: string | undefined;
  readonly maxBodyBytes: number;
  /** How long a request may take to arrive, from its first byte to the last byte of its body. */
  readonly requestTimeoutSeconds: number;
  /** How long a connection between two requests stays open. */
  readonly keepAliveSeconds: number;
  /** How long what is in flight may take to finish after a signal to stop. */
  readonly stopSeconds: number;
  /** How long requests are still taken when a stop has begun. */
  readonly drainSeconds: number;
  readonly logFormat: Format;
  /** The database; `:memory:` for one that is gone when the receiver ends. */
  readonly inboxFile: string;
  /** How long handled deliveries stay in it. */
  readonly keepSeconds: number;
  /** How many handlers run at the same time. */
  readonly concurrency: number;
  readonly sources: ReadonlyMap<string, Source>;
  /** What the operator should hear about at the start. */
  readonly warnings: readonly string[];
  /** True when this start has written `.env`. */
  readonly isFirstStart: boolean;
  /** What a shell in the same folder puts in for WEBHOOK_SECRET: it holds the place of the secret, not the secret. */
  readonly secretInShell: string;
};

/** What was asked for: a receiver, or a text to print. */
export type Request = { readonly settings: Settings } | { readonly text: string };

/** A body becomes one string to be parsed, and V8 holds at most 512 MiB in one. */
export const largestMaxBodyBytes = 256 * 1024 * 1024;

/** The flags that take a value: each is also `WEBHOOK_…` in capitals with underscores. */
const flags = {
  port: { value: "PORT", default: "3010", help: "port to listen on; 0 for any free one" },
  host: { value: "HOST", default: "127.0.0.1", help: "address to listen on; 0.0.0.0 for every IPv4 one" },
  "env-file": { value: "FILE", default: ".env", help: "file with the secrets" },
  handlers: {
    value: "FILE",
    default: "lib/process/handlers.ts",
    help: "your own module that exports `handlers`",
  },
  // 25 MB is GitHub's own cap. https://docs.github.com/en/webhooks/webhook-events-and-payloads
  "max-body": { value: "BYTES", default: "25mb", help: "largest body: 1048576, 512kb, 25mb" },
  "request-timeout": { value: "SECONDS", default: "30", help: "longest time for a request to arrive" },
  // A proxy in front has to be the one that closes: Caddy keeps connections for 120 s, Google 600 s, Cloudflare 900 s.
  "keep-alive": {
    value: "SECONDS",
    default: "920",
    help: "how long a connection between two requests stays open",
  },
  // Process managers kill after 10 s or more.
  "stop-timeout": {
    value: "SECONDS",
    default: "8",
    help: "how long what is in flight may take after SIGTERM",
  },
  drain: { value: "SECONDS", default: "0.15", help: "how long requests are still taken after SIGTERM" },
  inbox: {
    value: "FILE",
    default: "inbox.db",
    help: "database of deliveries; :memory: for a throw-away one",
  },
  keep: { value: "TIME", default: "30d", help: "how long handled deliveries stay in it: 12h, 30d" },
  concurrency: { value: "NUMBER", default: "10", help: "how many handlers run at the same time" },
  log: { value: "FORMAT", default: "pretty on a terminal, else json", help: "json or pretty" },
} as const;

type Flag = keyof typeof flags;

/** A value as it was given, and the name of the flag or variable that gave it: errors name it. */
export type Given = { readonly text: string; readonly name: string };

/**
 * Reads the settings of one start.
 * @param argv the arguments after the program's name
 * @param environment the process's own; the variables of the `.env` file are added to it
 * @throws OperatorError for anything that cannot be meant, naming the flag or the variable
 */
export function readSettings(argv: readonly string[], environment: NodeJS.ProcessEnv): Request {
  const given = parseFlags(argv);
  if (given.help === true) return { text: helpText() };
  if (given.version === true) return { text: version() };

  const find = (flag: Flag): Given | undefined => {
    const variable = variableOf(flag);
    if (given[flag] !== undefined) return { text: given[flag], name: `--${flag}` };
    if (environment[variable] !== undefined) return { text: environment[variable], name: variable };
    return undefined;
  };
  const value = (flag: Flag): Given => find(flag) ?? { text: flags[flag].default, name: `--${flag}` };
  const envFile = find("env-file")?.text;
  const loaded = loadEnvironment(envFile, environment);
  isPrivateAllowed(environment); // the handlers ask for it themselves; a slip is refused here, before they load

  const host = readHost(value("host"));
  const isLoopback = isLoopbackHost(host);
  let { sources, warnings } = readSources(environment, isLoopback);
  const isFirstStart = sources.size === 0;
  if (isFirstStart) {
    if (!isLoopback || envFile !== undefined) {
      throw new OperatorError(
        "no secret is set: put WEBHOOK_SECRET=<random text> into the environment or .env",
        2,
      );
    }
    writeFirstEnvFile(environment);
    ({ sources, warnings } = readSources(environment, isLoopback));
  }

  const settings: Settings = {
    host,
    port: readPort(value("port")),
    handlersFile: find("handlers")?.text,
    maxBodyBytes: readBytes(value("max-body")),
    requestTimeoutSeconds: readSeconds(value("request-timeout")),
    keepAliveSeconds: readSeconds(value("keep-alive")),
    stopSeconds: readSeconds(value("stop-timeout")),
    drainSeconds: readSeconds(value("drain")),
    logFormat: readFormat(find("log")),
    inboxFile: readInboxFile(value("inbox")),
    keepSeconds: readDuration(value("keep")),
    concurrency: readConcurrency(value("concurrency")),
    sources,
    warnings: [
      ...loaded.warnings,
      ...warnings,
      ...unknownVariables(environment),
      ...unusedProxies(environment),
    ],
    isFirstStart,
    secretInShell: secretInShell(envFile ?? defaultEnvFile, loaded.secretFiles, environment),
  };
  return { settings };
}

function secretInShell(
  envFile: string,
  secretFiles: ReadonlyMap<string, string>,
  environment: NodeJS.ProcessEnv,
): string {
  const inQuotes = (file: string): string => `'${file.replaceAll("'", "'\\''")}'`;
  const file = secretFiles.get("WEBHOOK_SECRET");
  if (file !== undefined) return `"$(cat ${inQuotes(file)})"`;
  if (hasPlainLine(envFile, "WEBHOOK_SECRET", environment.WEBHOOK_SECRET ?? ""))
    return `"$(sed -n 's/^WEBHOOK_SECRET=//p' ${inQuotes(envFile)})"`;
  // A secret from the environment is in the shell that started the receiver; the other terminal needs it too.
  return '"$WEBHOOK_SECRET"';
}

function parseFlags(argv: readonly string[]) {
  const text = { type: "string" } as const;
  const options = {
    port: text,
    host: text,
    "env-file": text,
    handlers: text,
    "max-body": text,
    "request-timeout": text,
    "keep-alive": text,
    "stop-timeout": text,
    drain: text,
    inbox: text,
    keep: text,
    concurrency: text,
    log: text,
    help: { type: "boolean", short: "h" },
    version: { type: "boolean" },
  } as const;
  try {
    return parseArgs({ args: [...argv], options, strict: true }).values;
  } catch (thrown) {
    throw usageError(thrown);
  }
}

/** Variables that look like ours and are not: a slip of the pen would otherwise go unnoticed. */
function unknownVariables(environment: NodeJS.ProcessEnv): string[] {
  const ours = new Set([
    "WEBHOOK_ALLOW_PRIVATE",
    ...Object.keys(flags).map((flag) => variableOf(flag as Flag)),
  ]);
  const isOurs = (name: string) =>
    ours.has(name) || /^WEBHOOK_(SECRET|SENDER|TOLERANCE|VERIFY_TOKEN|PUBLIC_URL)(_|$)/.test(name);
  const unknown = Object.keys(environment).filter((name) => name.startsWith("WEBHOOK_") && !isOurs(name));
  return unknown.map((name) => `${name} is not a setting of this receiver (--help lists them)`);
}

/** A proxy would connect in place of this program, to addresses that are refused here: it is not used, and that is said. */
function unusedProxies(environment: NodeJS.ProcessEnv): string[] {
  const names = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"].filter(
    (name) => (environment[name] ?? environment[name.toLowerCase()] ?? "") !== "",
  );
  return names.map((name) => `${name} is set, and what handlers send on goes without a proxy`);
}

function variableOf(flag: Flag): string {
  return variableFor("WEBHOOK_", flag);
}

function readPort({ text, name }: Given): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port > 65_535) {
    throw new OperatorError(`${name}: expected a number from 0 to 65535, not ${quoted(text)}`, 2);
  }
  return port;
}

function readHost({ text, name }: Given): string {
  if (!/^[\w.:%-]+$/.test(text)) {
    throw new OperatorError(
      `${name}: expected an address or a name such as 127.0.0.1, not ${quoted(text)}`,
      2,
    );
  }
  return text;
}

/** Only this machine can reach a loopback address (RFC 1122 §3.2.1.3, RFC 4291 §2.5.3). */
function isLoopbackHost(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIPv4(host) && host.startsWith("127."));
}

/** The operator's limit of a body, for those that have no flag for it. */
export function readMaxBody({
  WEBHOOK_MAX_BODY: text = flags["max-body"].default,
}: NodeJS.ProcessEnv): number {
  return readBytes({ text, name: "WEBHOOK_MAX_BODY" });
}

function readBytes({ text, name }: Given): number {
  const match = /^(\d{1,12})(b|kb|mb)?$/i.exec(text);
  const unit = { b: 1, kb: 1024, mb: 1024 * 1024 }[match?.[2]?.toLowerCase() ?? "b"] ?? 1;
  const bytes = Number(match?.[1]) * unit;
  if (match === null || bytes < 1 || bytes > largestMaxBodyBytes) {
    throw new OperatorError(
      `${name}: expected 1 to 256mb, such as 1048576, 512kb or 25mb, not ${quoted(text)}`,
      2,
    );
  }
  return bytes;
}

/** A time limit. @throws OperatorError unless it is 0.1 to 3600 */
export function readSeconds({ text, name }: Given): number {
  const seconds = Number(text);
  if (!/^\d+(\.\d+)?$/.test(text) || seconds < 0.1 || seconds > 3600) {
    throw new OperatorError(`${name}: expected 0.1 to 3600 seconds, not ${quoted(text)}`, 2);
  }
  return seconds;
}

/**
 * The name of the inbox file. SQLite takes `file:…` for a URI, in which `?mode=memory` keeps nothing at all and other
 * words switch its locks off: no such name is passed on.
 */
export function readInboxFile({ text, name }: Given): string {
  if (/^file:/i.test(text.trim()))
    throw new OperatorError(`${name}: expected a plain file name, and not a file: URI`, 2);
  if (text.trim() !== "" && !text.includes("\0")) return text;
  throw new OperatorError(`${name}: expected a file name`, 2);
}

/** @returns seconds */
function readDuration({ text, name }: Given): number {
  const match = /^(\d{1,6})([smhd])$/.exec(text);
  const unit = { s: 1, m: 60, h: 3600, d: 86_400 }[match?.[2] ?? ""] ?? 0;
  const seconds = Number(match?.[1]) * unit;
  if (seconds >= 1 && seconds <= 3650 * 86_400) return seconds;
  throw new OperatorError(
    `${name}: expected a time such as 12h or 30d, at most 3650d, not ${quoted(text)}`,
    2,
  );
}

function readConcurrency({ text, name }: Given): number {
  const number = Number(text);
  if (/^\d{1,4}$/.test(text) && number >= 1 && number <= 1000) return number;
  throw new OperatorError(`${name}: expected a number from 1 to 1000, not ${quoted(text)}`, 2);
}

function readFormat(given: Given | undefined): Format {
  if (given === undefined) return process.stdout.isTTY ? "pretty" : "json";
  if (given.text === "json" || given.text === "pretty") return given.text;
  throw new OperatorError(`${given.name}: expected json or pretty, not ${quoted(given.text)}`, 2);
}

function version(): string {
  const file = new URL("../../package.json", import.meta.url);
  return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
}

function helpText(): string {
  const rows = Object.entries(flags).map(([flag, { value, default: preset, help }]) => {
    return `  --${`${flag} ${value}`.padEnd(25)}${help}\n${" ".repeat(29)}[${variableOf(flag as Flag)}; ${preset}]`;
  });
  return `webhook-receiver: verifies webhooks and runs a handler for each event

Usage: tsx webhook-receiver.ts [flags]
       tsx webhook-receiver.ts list | show | replay | reverify | send | verify [flags]   (each has a --help)

${rows.join("\n")}
  -h, --help                 this text
  --version                  the version

A flag beats its environment variable (in brackets, with the default), and that beats a line in the .env file.
Secrets are variables only: WEBHOOK_SECRET for /webhook, WEBHOOK_SECRET_<SOURCE> for /webhook/<source>,
and either with _PREVIOUS for the secret that is being replaced. Any of them with _FILE names a file that holds it.
WEBHOOK_ALLOW_PRIVATE=true lets what is sent on go to this machine and to private networks.`;
}
