/**
 * One structured line for each thing that happens, on stdout: JSON for machines, coloured text for people.
 *
 * Lines of the same two milliseconds go out in one write: each write wakes whoever reads them, and a write for
 * each line costs 6–15 % of the throughput. The one who opens a log flushes it when the process ends.
 * The log knows what to redact: a field whose name promises a secret is never written, at any depth. One happening is
 * one line, which nothing from outside can begin or end: control characters are written out, values are cut, and where
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
  /** Hands over the waiting lines now. */
  flush(): void;
};

/** Takes whole lines. @param lines how many happenings the text holds */
export type Write = (text: string, lines: number) => void;

/** Header and payload names whose values open doors. `signature` too: one is good for a replay. */
export const secretName =
  /secret|token|password|authorization|cookie|signature|hmac|client[-_]?state|api[-_]?key|private[-_]?key/i;

/** A value is cut here, and says how long it was. A message, such as the line of a command, and a stack may be longer. */
const maxValueCharacters = 1000;
const maxLongValueCharacters = 8000;
const maxStackLines = 100;
/** Objects with more members are not looked through. */
const maxMembers = 1000;
/** A line with more keeps its short fields only. */
const maxLineCharacters = 64 * 1024;
const maxShortCharacters = 100;
const maxShortFields = 20;
/** So much waits for a reader of stdout; what comes then is counted and not written. */
const maxUnreadCharacters = 4 * 1024 * 1024;

/** A line waits so long for others to be written with. */
const gatherMilliseconds = 2;
/** A handler that logs and logs without giving the event loop a turn waits for no others. */
const maxGatheredCharacters = 64 * 1024;

/**
 * @param write by default stdout
 * @param now the clock, in a parameter so that tests can stop it
 */
export function openLog(
  format: Format,
  write: Write = openStdout(format),
  now: () => Date = () => new Date(),
): Log {
  let waiting = "";
  let waitingLines = 0;

  function flush(): void {
    const [text, lines] = [waiting, waitingLines];
    waiting = "";
    waitingLines = 0;
    if (lines > 0) write(text, lines);
  }

  function add(level: Level, message: unknown, fields: Fields): void {
    if (waitingLines === 0) setTimeout(flush, gatherMilliseconds);
    const text = typeof message === "string" ? message : stackOf(message); // a handler need not be in TypeScript
    waiting += render(format, now(), level, text, fields);
    waitingLines += 1;
    if (waiting.length >= maxGatheredCharacters) flush();
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

/** For JSON.stringify: no secrets, and numbers that JSON has no form for. */
function redact(name: string, value: unknown): unknown {
  if (secretName.test(name) && value !== undefined) return "[redacted]";
  return typeof value === "bigint" ? value.toString() : value;
}

/** A field's value as it may be written: redacted, bounded, and something that JSON can hold. */
function bounded(name: string, value: unknown): unknown {
  if (value === undefined) return undefined;
  if (secretName.test(name)) return "[redacted]";
  if (typeof value === "string") return cut(value);
  if (typeof value !== "object" && typeof value !== "bigint") return value;
  let members = 0;
  try {
    const text = JSON.stringify(value, (inner: string, member: unknown) => {
      members += 1;
      if (members > maxMembers) throw new Error(`it has more than ${maxMembers} members`);
      return redact(inner, member);
    });
    if (text === undefined) return undefined;
    return text.length <= maxValueCharacters ? JSON.parse(text) : cut(text);
  } catch (thrown) {
    return `not shown: ${cut(errorLine(thrown), maxShortCharacters)}`; // a cycle, for one
  }
}

function boundedFields({ stack, ...fields }: Fields): Fields {
  const all = Object.entries(fields).map(([name, value]) => [name, bounded(name, value)]);
  return {
    ...Object.fromEntries(all),
    stack: typeof stack === "string" ? cutStack(stack) : bounded("stack", stack),
  };
}

/** What is written of it is short enough too: a control character takes six places there. */
function isShortEnough(text: string): boolean {
  return (
    text.length <= maxValueCharacters && (text.length * 6 <= maxValueCharacters || !hasUnsafe.test(text))
  );
}

function cut(text: string, most = maxValueCharacters): string {
  let kept = text.slice(0, most);
  for (let written = printable(kept).length; written > most; written = printable(kept).length)
    kept = kept.slice(0, Math.floor((kept.length * most) / written));
  return kept.length === text.length ? text : `${kept}… (${text.length} characters)`;
}

function cutStack(stack: string): string {
  const lines = cut(stack, maxLongValueCharacters).split("\n");
  if (lines.length <= maxStackLines) return lines.join("\n");
  return [...lines.slice(0, maxStackLines), `… (${lines.length} lines)`].join("\n");
}

/** One line, with its end. It does not throw: a handler may log anything. */
function render(format: Format, time: Date, level: Level, message: string, fields: Fields): string {
  const write = format === "json" ? renderJson : renderPretty;
  const line = write(time, level, message, fields);
  if (line.length <= maxLineCharacters) return line;
  const isShort = (value: unknown): boolean =>
    typeof value !== "object" && String(value).length <= maxShortCharacters;
  const short = Object.entries(fields).filter(([name, value]) => isShort(name) && isShort(value));
  const left = Object.fromEntries(short.slice(0, maxShortFields));
  return write(time, level, cut(message), {
    ...left,
    truncated: `the line has ${line.length} characters`,
  });
}

function renderJson(time: Date, level: Level, message: string, fields: Fields): string {
  const own = { time: time.toISOString(), level, message };
  // The line's own names first, and not to be overwritten by a field: handlers log what came from outside.
  const line: Fields = { ...own, ...fields, ...own };
  // Most lines hold nothing to redact or to cut, and looking costs three times as much as the rest.
  const text = JSON.stringify(
    isHarmless(line)
      ? line
      : { ...own, ...boundedFields(fields), ...own, message: cut(message, maxLongValueCharacters) },
  );
  // JSON leaves some characters as they are that move a terminal's cursor.
  return `${hasUnsafe.test(text) ? printable(text) : text}\n`;
}

function isHarmless(line: Fields): boolean {
  for (const name in line) {
    const value = line[name];
    const isPlain =
      typeof value === "number" || value === undefined || (typeof value === "string" && isShortEnough(value));
    if (!isPlain || secretName.test(name)) return false;
  }
  return true;
}

const colours = { info: "green", warn: "yellow", error: "red" } as const;

/** `12:03:04.123 warn  refused  source=default status=401 …`, the lines of a stack behind a bar. */
function renderPretty(time: Date, level: Level, message: string, fields: Fields): string {
  const { stack, ...others } = boundedFields(fields);
  const parts = Object.entries(others)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${util.styleText("dim", `${printable(name)}=`)}${valueText(value)}`);
  const clock = util.styleText("dim", time.toISOString().slice(11, 23));
  const said = printable(cut(message, maxLongValueCharacters));
  const head = `${clock} ${util.styleText(colours[level], level.padEnd(5))} ${said}`;
  const lines = typeof stack === "string" ? stack.split("\n") : [];
  const tail = lines.map((line) => `\n    | ${printable(line)}`);
  return `${[head, ...parts].join("  ")}${tail.join("")}\n`;
}

function valueText(value: unknown): string {
  if (typeof value !== "string") return printable(util.inspect(value, { breakLength: Infinity }));
  return /^[\w./:+@-]+$/.test(value) ? value : printable(JSON.stringify(value));
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
function openStdout(format: Format): Write {
  const { stdout } = process;
  let dropped = 0;
  // Without a listener, a reader that went away (EPIPE) would end the receiver together with its log.
  stdout.on("error", () => {});
  stdout.on("drain", () => {
    if (dropped === 0) return;
    stdout.write(render(format, new Date(), "warn", "log lines dropped", { lines: dropped }));
    dropped = 0;
  });
  return (text, lines) => {
    if (stdout.writableLength + text.length <= maxUnreadCharacters) stdout.write(text);
    else dropped += lines;
  };
}

/**
 * Resolves when stdout has taken what was written, or when its reader has had so much time.
 * `process.exit()` waits for no pipe: lines that still wait would be lost.
 */
export async function stdoutTaken(milliseconds: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, milliseconds);
  // Two in a row: what "drain" has to say about dropped lines is written between them.
  process.stdout.write("", () => process.stdout.write("", () => resolve()));
  await promise;
  clearTimeout(timer);
}
