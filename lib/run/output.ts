/**
 * What a command prints, line by line into the log, and bounded: the command decides how much that is.
 * It is read to its end all the same, for a command whose output nobody reads stops in the middle of its work.
 *
 * Lines are cut out of the bytes and decoded one by one: in UTF-8 (RFC 3629 §3) the byte of a line's end is never
 * a part of another character, so a character whose bytes came in two pieces is whole again before it is decoded.
 * Making lines safe for a terminal is the log's work.
 */
import type { Fields } from "../log.ts";

export type Output = {
  add(chunk: Buffer): void;
  /** Writes what is still without its line's end, and how much was left out. */
  end(): void;
  /** The last line that is not empty; undefined when there is none, or when it was left out. */
  lastLine(): string | undefined;
};

const maxLineBytes = 4096;
/** Both for one stream of one run. */
const maxLines = 1000;
const maxBytes = 256 * 1024;
const lineEnd = 0x0a;

/** @param write the log's function for lines of this stream */
export function openOutput(write: (line: string, fields?: Fields) => void): Output {
  const line = Buffer.alloc(maxLineBytes);
  let length = 0;
  let cutBytes = 0;
  let lines = 0;
  let bytes = 0;
  let droppedBytes = 0;
  let last: string | undefined;

  function endLine(): void {
    // Its end counts too: a command that prints nothing but empty lines has to come to the limit as well.
    bytes += length + 1;
    if (length > 0) writeLine();
    length = 0;
    cutBytes = 0;
  }

  function writeLine(): void {
    // With `stream`, a character that was cut in two is left out.
    const decoded = new TextDecoder().decode(line.subarray(0, length), { stream: cutBytes > 0 });
    const text = decoded.replace(/\r$/, "");
    if (text === "") return;
    if (cutBytes > 0) write(`${text}…`, { cutBytes });
    else write(text);
    last = text;
    lines += 1;
  }

  return {
    add(chunk) {
      let start = 0;
      while (start < chunk.length && lines < maxLines && bytes < maxBytes) {
        const found = chunk.indexOf(lineEnd, start);
        const end = found === -1 ? chunk.length : found;
        const copied = chunk.copy(line, length, start, end);
        length += copied;
        cutBytes += end - start - copied;
        if (found !== -1) endLine();
        start = end + 1;
      }
      droppedBytes += Math.max(0, chunk.length - start);
    },
    end() {
      endLine();
      if (droppedBytes > 0) write("the rest of the output is not shown", { droppedBytes });
    },
    lastLine: () => (droppedBytes > 0 ? undefined : last),
  };
}
