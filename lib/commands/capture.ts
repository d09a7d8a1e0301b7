/**
 * The head of a captured request, out of a text file: as `curl -v`, browsers and request inspectors show it.
 *
 * `Name: value` lines (RFC 9112 §5), with or without the request line above them. `curl -v` writes `> ` before
 * each; what it writes besides is passed over. HTTP/2 puts the request line into pseudo-headers such as `:path`
 * (RFC 9113 §8.3.1). A line that is nothing of that is refused by its number: a header that was quietly skipped
 * would change the verdict. No error quotes a line, for it may hold a token.
 */
import { OperatorError } from "../errors.ts";
import type { Head } from "../signature/claim.ts";

/** Four times what Node's server takes for a head, for the lines that `curl -v` writes besides. */
export const maxCaptureBytes = 64 * 1024;

/** The head, as far as the file says it: without a request line there is neither method nor target. */
export type CapturedHead = Pick<Head, "headers" | "rawHeaders"> & {
  readonly method: string | undefined;
  readonly target: string | undefined;
};

type Line = { readonly text: string; readonly number: number };

/**
 * @param name the file's, for errors
 * @throws OperatorError naming the line that cannot be a part of a request's head
 */
export function parseHead(bytes: Buffer, name: string): CapturedHead {
  // PowerShell's `>` writes UTF-16, which is full of them; RFC 9110 §5.5 has none in a value.
  if (bytes.includes(0)) throw new OperatorError(`${name} holds a NUL byte: save it as UTF-8 text`, 2);
  const [first, ...rest] = headLines(bytes, name);
  const request = /^([A-Z]+) (\S+) HTTP\/\d(?:\.\d)?$/.exec(first?.text ?? "");
  if (first?.text.startsWith("HTTP/"))
    throw fault(name, first, "this is the head of an answer; expected the request's");
  const fields = request === null && first !== undefined ? [first, ...rest] : rest;

  let [, method, target] = request ?? [];
  const rawHeaders: string[] = [];
  for (const line of fields) {
    const [field, value] = parseField(line, name);
    if (field === ":method") method = value;
    else if (field === ":path") target = value;
    else if (!field.startsWith(":")) rawHeaders.push(field, value);
  }
  if (rawHeaders.length === 0) throw new OperatorError(`${name} has no headers`, 2);
  return { method, target, headers: joinHeaders(rawHeaders), rawHeaders };
}

/** The lines up to the empty one that ends a head; nothing may follow it. */
function headLines(bytes: Buffer, name: string): Line[] {
  // Node gives a head as latin1, one character for each byte: so does this. An editor may have put a mark in front.
  const text = bytes.toString("latin1").replace(/^\u00ef\u00bb\u00bf/, "");
  const all = text.split(/\r?\n/).map((line, index): Line => ({ text: line, number: index + 1 }));
  const sent = all.filter((line) => line.text.startsWith(">"));
  const lines =
    sent.length === 0 ? all : sent.map((line) => ({ ...line, text: line.text.replace(/^> ?/, "") }));
  const start = lines.findIndex((line) => line.text !== "");
  const head = start === -1 ? [] : lines.slice(start);
  const end = head.findIndex((line) => line.text === "");
  const behind = head.slice(end === -1 ? head.length : end).find((line) => line.text !== "");
  if (behind !== undefined)
    throw fault(name, behind, "expected nothing behind the empty line; the body has a file of its own");
  return end === -1 ? head : head.slice(0, end);
}

function parseField(line: Line, file: string): [name: string, value: string] {
  const field = parseHeader(line.text);
  if (field === undefined)
    throw fault(file, line, "expected a header, such as Content-Type: application/json");
  return field;
}

/**
 * `Name: value` (RFC 9110 §5.1 and §5.5): the name is a token, or a pseudo-header's behind a colon; the value has no
 * control character but the tab.
 * @returns undefined when it is something else
 */
export function parseHeader(text: string): [name: string, value: string] | undefined {
  const [, name, value = ""] = /^(:?[\w!#$%&'*+.^`|~-]+):(.*)$/s.exec(text) ?? [];
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is kept out
  const isClean = !/[\u0000-\u0008\u000a-\u001f\u007f]/.test(value);
  return name !== undefined && isClean ? [name, trimSpace(value)] : undefined;
}

/** Spaces and tabs only (RFC 9110 §5.6.3): trim() would take U+00A0 too, the last byte of an à. */
function trimSpace(value: string): string {
  let [start, end] = [0, value.length];
  while (start < end && " \t".includes(value.charAt(start))) start += 1;
  while (end > start && " \t".includes(value.charAt(end - 1))) end -= 1;
  return value.slice(start, end);
}

/** As Node does it: names in lower case, the values of doubled ones in one list (RFC 9110 §5.3). */
function joinHeaders(rawHeaders: readonly string[]): Head["headers"] {
  const values = new Map<string, string>();
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]?.toLowerCase() ?? "";
    const value = rawHeaders[index + 1] ?? "";
    values.set(name, values.has(name) ? `${values.get(name)}, ${value}` : value);
  }
  return Object.fromEntries(values);
}

function fault(name: string, { number }: Line, expected: string): OperatorError {
  return new OperatorError(`${name}, line ${number}: ${expected}`, 2);
}
