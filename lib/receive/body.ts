/**
 * Content-Length → exactly those bytes (RFC 9110 §8.6), or a Refusal.
 *
 * Why not "until the stream ends"? Because the length, announced before the first byte, is what lets us say no
 * before we hold anything. A chunked body announces none: 411. Node's parser has refused the dangerous forms
 * before we see them (two lengths, length and chunked together, `+5`, `0x5`); `test/receive/wire.test.ts` shows which.
 */
import type { IncomingMessage } from "node:http";
import { Refusal } from "../refusal.ts";

/** How many bytes all requests together may hold: without it, many slow uploads would fill the memory. */
export type BodyBudget = {
  /** False when that is too much; the bytes are counted all the same, until they are released. */
  hold(bytes: number): boolean;
  release(bytes: number): void;
};

export function openBodyBudget(maxBytes: number): BodyBudget {
  let heldBytes = 0;
  return {
    hold: (bytes) => {
      heldBytes += bytes;
      return heldBytes <= maxBytes;
    },
    release: (bytes) => {
      heldBytes -= bytes;
    },
  };
}

/**
 * The number of bytes that the body will have.
 * @throws Refusal 415 for a compressed body, 411 without a length, 400 for one that is no number, 413 above `maxBytes`
 */
export function readContentLength(headers: IncomingMessage["headers"], maxBytes: number): number {
  const encoding = headers["content-encoding"];
  if (encoding !== undefined && encoding !== "identity")
    throw new Refusal("content-encoding-unsupported", `Content-Encoding: ${encoding}`);
  const text = headers["content-length"];
  if (text === undefined) {
    const coding = headers["transfer-encoding"];
    throw new Refusal(
      "content-length-missing",
      coding === undefined ? "no Content-Length" : `Transfer-Encoding: ${coding}`,
    );
  }
  if (!/^\d+$/.test(text))
    throw new Refusal("content-length-invalid", `Content-Length: ${JSON.stringify(text)}`);
  // 2^53 and beyond lose their last digits here, and are too large all the same.
  const length = Number(text);
  if (length > maxBytes) throw new Refusal("body-too-large", `${text} bytes; the limit is ${maxBytes}`);
  return length;
}

/** One body on its way in. */
export type BodyReading = {
  /** The body: exactly the bytes that were announced. */
  readonly done: Promise<Buffer>;
  /** True once the parser has seen the last byte, which can be before `done` knows of it. */
  isComplete(): boolean;
  /** Ends the reading because the parser has given up on the connection: too late (408), or too short (400). */
  breakOff(refusal: Refusal): void;
};

/**
 * Reads the body: `done` resolves with exactly `length` bytes. Node ends the message after Content-Length bytes, so it
 * can be too short but never too long.
 *
 * @param hold asked before each piece is taken; false means that the memory is spent
 * @throws Refusal (through `done`) 400 when the sender stops in the middle, 503 when the memory is spent
 */
export function readBody(
  request: IncomingMessage,
  length: number,
  hold: (bytes: number) => boolean,
): BodyReading {
  const { promise: done, resolve, reject } = Promise.withResolvers<Buffer>();
  const chunks: Buffer[] = [];
  let received = 0;
  let isOver = false;

  function interrupt(refusal: Refusal): void {
    isOver = true;
    request.off("data", onData);
    reject(refusal);
  }
  function onData(chunk: Buffer): void {
    received += chunk.length;
    if (hold(chunk.length)) chunks.push(chunk);
    else interrupt(new Refusal("memory-exhausted", "the bodies being received hold too much memory"));
  }
  function incomplete(): void {
    if (isOver) return; // every request that went well closes too
    interrupt(new Refusal("body-incomplete", `${received} of ${length} bytes arrived`));
  }

  request.on("data", onData);
  request.on("end", () => {
    isOver = true;
    // Most bodies come in one piece.
    resolve(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks));
  });
  request.on("error", incomplete);
  request.on("close", incomplete);
  return {
    done,
    isComplete: () => request.complete,
    breakOff: (refusal) => (refusal.code === "request-timeout" ? interrupt(refusal) : incomplete()),
  };
}
