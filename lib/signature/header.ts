/** The value of a header, and how often it is there: Node's `headers` joins doubled ones, or hides the second. */
import type { IncomingHttpHeaders } from "node:http";

/** A header's value: its own, never one that every object inherits, such as `constructor`. */
export function headerAt(headers: IncomingHttpHeaders, name: string): string | undefined {
  if (!Object.hasOwn(headers, name)) return undefined;
  const value = headers[name];
  return typeof value === "string" ? value : undefined;
}

/** How often a header is there. Node joins some doubled ones with ", ", and of others it hides the second. */
export function countHeader(rawHeaders: readonly string[], name: string): number {
  let count = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const text = rawHeaders[index] ?? "";
    if (text.length === name.length && text.toLowerCase() === name) count += 1;
  }
  return count;
}
