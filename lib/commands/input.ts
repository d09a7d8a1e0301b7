/**
 * A file that a command is given, as bytes: `-` is stdin. Bounded, for a pipe has no end that one could ask for.
 */
import { createReadStream } from "node:fs";
import type { Readable } from "node:stream";
import { errorLine, OperatorError } from "../errors.ts";

/**
 * @param stdin in a parameter so that tests can give another
 * @throws OperatorError when the file cannot be read, or holds more than `maxBytes`
 */
export async function readInput(
  file: string,
  maxBytes: number,
  stdin: Readable = process.stdin,
): Promise<Buffer> {
  const name = file === "-" ? "stdin" : file;
  const stream = file === "-" ? stdin : createReadStream(file, { end: maxBytes });
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      length += chunk.length;
      if (length > maxBytes) break;
    }
  } catch (thrown) {
    const isMissing = (thrown as NodeJS.ErrnoException).code === "ENOENT";
    const why = isMissing ? "there is no such file" : errorLine(thrown);
    throw new OperatorError(`cannot read ${name}: ${why}`, 2);
  }
  if (length > maxBytes) throw new OperatorError(`${name} holds more than ${maxBytes} bytes`, 2);
  return Buffer.concat(chunks);
}
