/**
 * One structured line for each thing that happens, on stdout: JSON for machines, coloured text for people.
 *
 * Lines of the same two milliseconds go out in one write: each write wakes whoever reads them, and a write for
 * each line costs 6–15 % of the throughput. Whoever opens a log flushes it when the process ends.
 * The log knows what to redact: a field whose name promises a secret is never written, at any depth.
 */
import util from "node:util";
import { errorLine } from "./errors.ts";

export type Level = "info" | "warn" | "error";
export type Fields = Record<string, unknown>;
export type Format = "json" | "pretty";

export type Log = {
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields): void;
  /** The same log with fields that every line carries. */
  with(fields: Fields): Log;
  /** Writes the waiting lines now. */
  flush(): void;
};

/** Header and payload names whose values open doors. `signature` too: one is good for a replay. */
export const secretName =
  /secret|token|password|authorization|cookie|signature|hmac|client[-_]?state|api[-_]?key|private[-_]?key/i;

/** A line waits so long for others to be written with. */
const gatherMilliseconds = 2;

/**
 * @param write takes whole lines; by default stdout, which Node writes synchronously for files, pipes and terminals
 * @param now the clock, in a parameter so that tests can stop it
 */
export function openLog(
  format: Format,
  write: (text: string) => void = openStdout(),
  now: () => Date = () => new Date(),
): Log {
  const render = format === "json" ? renderJson : renderPretty;
  let waiting = "";

  function flush(): void {
    const text = waiting;
    waiting = "";
    if (text !== "") write(text);
  }

  function add(level: Level, message: string, fields: Fields): void {
    if (waiting === "") setTimeout(flush, gatherMilliseconds);
    waiting += renderSafely(render, now(), level, message, fields);
  }

  const bind = (bound: Fields): Log => ({
    info: (message, fields) => add("info", message, { ...bound, ...fields }),
    warn: (message, fields) => add("warn", message, { ...bound, ...fields }),
    error: (message, fields) => add("error", message, { ...bound, ...fields }),
    with: (fields) => bind({ ...bound, ...fields }),
    flush,
  });

  return bind({});
}

/** An error for a log field: its stack, or whatever else was thrown. Whatever that is, this does not throw. */
export function stackOf(thrown: unknown): string {
  try {
    if (thrown instanceof AggregateError) return thrown.errors.map(stackOf).join("\n");
    if (thrown instanceof Error) return `${thrown.stack ?? thrown}`;
    const text = typeof thrown === "object" ? JSON.stringify(thrown, redact) : String(thrown);
    return `thrown without a stack: ${text}`;
  } catch {
    return "thrown: something that cannot be shown";
  }
}

function redact(this: unknown, name: string, value: unknown): unknown {
  if (typeof value === "bigint") return value.toString();
  return secretName.test(name) && value !== undefined ? "[redacted]" : value;
}

type Render = (time: Date, level: Level, message: string, fields: Fields) => string;

/** A handler may log a value that JSON cannot hold, such as a cycle. The line is kept, its fields are not. */
function renderSafely(render: Render, time: Date, level: Level, message: string, fields: Fields): string {
  try {
    return render(time, level, message, fields);
  } catch (thrown) {
    return render(time, level, message, { unloggable: errorLine(thrown) });
  }
}

function renderJson(time: Date, level: Level, message: string, fields: Fields): string {
  const own = { time: time.toISOString(), level, message };
  // The line's own names first, and not to be overwritten by a field: handlers log what came from outside.
  const line: Fields = { ...own, ...fields, ...own };
  // Calling `redact` for every field takes three times as long as the rest, and most lines hold nothing for it.
  return `${JSON.stringify(line, isHarmless(line) ? undefined : redact)}\n`;
}

function isHarmless(fields: Fields): boolean {
  for (const name in fields) {
    const value = fields[name];
    const isFlat = typeof value === "string" || typeof value === "number" || value === undefined;
    if (!isFlat || secretName.test(name)) return false;
  }
  return true;
}

const colours = { info: "green", warn: "yellow", error: "red" } as const;

/** `12:03:04.123 warn  refused  source=default status=401 …`, stacks on lines of their own. */
function renderPretty(time: Date, level: Level, message: string, { stack, ...fields }: Fields): string {
  const parts = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${util.styleText("dim", `${printable(name)}=`)}${renderValue(name, value)}`);
  const clock = util.styleText("dim", time.toISOString().slice(11, 23));
  const head = `${clock} ${util.styleText(colours[level], level.padEnd(5))} ${printable(message)}`;
  const tail = typeof stack === "string" ? `\n${stack.split("\n").map(printable).join("\n")}` : "";
  return `${[head, ...parts].join("  ")}${tail}\n`;
}

function renderValue(name: string, value: unknown): string {
  if (secretName.test(name)) return "[redacted]";
  if (typeof value === "string")
    return /^[\w./:+@-]+$/.test(value) ? value : printable(JSON.stringify(value));
  return printable(
    util.inspect(JSON.parse(JSON.stringify(value, redact) ?? "null"), { breakLength: Infinity }),
  );
}

/** Control characters (C0, C1), and those that end a line or turn its direction round. */
const unsafeCharacters =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Text from outside, safe to show: it cannot move the cursor, recolour the terminal or forge another line. */
export function printable(text: string): string {
  return text.replace(unsafeCharacters, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

/** Node writes stdout synchronously (files, pipes and terminals, on POSIX), so a last line is never lost. */
function openStdout(): (text: string) => void {
  // Without a listener, a reader that went away (EPIPE) would end the receiver together with its log.
  process.stdout.on("error", () => {});
  return (text) => process.stdout.write(text);
}
