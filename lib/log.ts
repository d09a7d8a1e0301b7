/**
 * One structured line for each thing that happens, on stdout: JSON for machines, coloured text for people.
 *
 * Lines of the same two milliseconds go out in one write: each write wakes whoever reads them, and a write for
 * each line costs 6–15 % of the throughput. Whoever opens a log flushes it when the process ends.
 * The log knows what to redact: a field whose name promises a secret is never written, at any depth. One happening is
 * one line, which nothing from outside can begin or end: control characters are written out, texts are cut, and where
 * people read, the lines of a stack stand behind a bar. A reader that has stopped reading costs lines and no memory.
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

/** A text is cut here, and says how long it was. A stack, and the line of a command, may be longer. */
const maxTextCharacters = 1000;
const maxLongTextCharacters = 8000;
/** A line with more loses its fields. */
const maxLineCharacters = 64 * 1024;
/** So much waits for a reader of stdout; what comes then is counted and not written. */
const maxUnreadBytes = 4 * 1024 * 1024;

/** A line waits so long for others to be written with. */
const gatherMilliseconds = 2;

/**
 * @param write takes whole lines; by default stdout
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
  if (typeof value === "string" && !secretName.test(name)) return cut(name, value);
  return secretName.test(name) && value !== undefined ? "[redacted]" : value;
}

/** Only these may be long: what we, or a command that the operator has chosen, have to say. */
const longFields = new Set(["message", "stack"]);

function cut(name: string, text: string): string {
  const most = longFields.has(name) ? maxLongTextCharacters : maxTextCharacters;
  return text.length <= most ? text : `${text.slice(0, most)}… (${text.length} characters)`;
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
  const text = JSON.stringify(line, isHarmless(line) ? undefined : redact);
  if (text.length > maxLineCharacters)
    return renderJson(time, level, message.slice(0, maxTextCharacters), tooLong(text));
  // JSON leaves some characters as they are that move a terminal's cursor.
  return `${hasUnsafe.test(text) ? printable(text) : text}\n`;
}

function tooLong(text: string): Fields {
  return { truncated: `the fields have ${text.length} characters` };
}

function isHarmless(fields: Fields): boolean {
  for (const name in fields) {
    const value = fields[name];
    const isFlat =
      typeof value === "number" ||
      value === undefined ||
      (typeof value === "string" && value.length <= maxTextCharacters);
    if (!isFlat || secretName.test(name)) return false;
  }
  return true;
}

const colours = { info: "green", warn: "yellow", error: "red" } as const;

/** `12:03:04.123 warn  refused  source=default status=401 …`, the lines of a stack behind a bar. */
function renderPretty(time: Date, level: Level, message: string, { stack, ...fields }: Fields): string {
  const parts = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${util.styleText("dim", `${printable(name)}=`)}${renderValue(name, value)}`);
  const clock = util.styleText("dim", time.toISOString().slice(11, 23));
  const head = `${clock} ${util.styleText(colours[level], level.padEnd(5))} ${printable(cut("message", message))}`;
  const lines = typeof stack === "string" ? cut("stack", stack).split("\n") : [];
  const tail = lines.map((line) => `\n    | ${printable(line)}`).join("");
  const text = [head, ...parts].join("  ");
  if (text.length > maxLineCharacters) return renderPretty(time, level, message, tooLong(text));
  return `${text}${tail}\n`;
}

function renderValue(name: string, value: unknown): string {
  if (secretName.test(name)) return "[redacted]";
  if (typeof value === "string") {
    const text = cut(name, value);
    return /^[\w./:+@-]+$/.test(text) ? text : printable(JSON.stringify(text));
  }
  return printable(
    util.inspect(JSON.parse(JSON.stringify(value, redact) ?? "null"), { breakLength: Infinity }),
  );
}

/** Control characters (C0, C1), and those that end a line or turn its direction round. */
const unsafeCharacters =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const hasUnsafe = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;

/** Text from outside, safe to show: it cannot move the cursor, recolour the terminal or forge another line. */
export function printable(text: string): string {
  return text.replace(unsafeCharacters, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

/**
 * Stdout. Node writes files and terminals at once; a pipe takes what fits into it (64 KiB on Linux), and the rest waits
 * in this process until its reader goes on. What waits is bounded: then lines are dropped, and counted.
 * https://nodejs.org/api/process.html#a-note-on-process-io
 */
function openStdout(): (text: string) => void {
  const { stdout } = process;
  let droppedLines = 0;
  // Without a listener, a reader that went away (EPIPE) would end the receiver together with its log.
  stdout.on("error", () => {});
  stdout.on("drain", () => {
    if (droppedLines === 0) return;
    const fields = {
      time: new Date().toISOString(),
      level: "warn",
      message: "log lines dropped",
      lines: droppedLines,
    };
    droppedLines = 0;
    stdout.write(`${JSON.stringify(fields)}\n`);
  });
  return (text) => {
    if (stdout.writableLength + text.length <= maxUnreadBytes) stdout.write(text);
    else droppedLines += text.split("\n").length - 1;
  };
}
