/**
 * Content-Length → exactly those bytes (RFC 9110 §8.6), or a Refusal.
 *
 * Why not "until the stream ends"? Because the length, announced before the first byte, is what lets us say no
 * before we hold anything. A chunked body announces none: 411. Node's parser has refused the dangerous forms
 * before we see them (two lengths, length and chunked together, `+5`, `0x5`); `test/receive/wire.test.ts` shows which.
 */
import type { IncomingMessage } from "node:http";
import { Refusal } from "../refusal.ts";
import type { BodyBudget } from "./body-budget.ts";

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
  received(): number;
  /** How many bytes are still to come. */
  left(): number;
  /** True once the parser has seen the last byte, which can be before `done` knows of it. */
  isComplete(): boolean;
  /** Ends the reading because the parser has given up on the connection: too late (408), or too short (400). */
  breakOff(refusal: Refusal): void;
  /** The body is not needed any more. */
  release(): void;
};

/**
 * Reads the body: `done` resolves with exactly `length` bytes. Node ends the message after Content-Length bytes, so it
 * can be too short but never too long.
 *
 * @param stir called with each piece
 * @throws Refusal (through `done`) 400 when the sender stops in the middle, 408 when it is too slow, 503 when the memory
 * is spent
 */
export function readBody(
  request: IncomingMessage,
  length: number,
  budget: BodyBudget,
  stir: () => void,
): BodyReading {
  const { promise: done, resolve, reject } = Promise.withResolvers<Buffer>();
  let chunks: Buffer[] = [];
  let received = 0;
  let isOver = false;
  const held = budget.open(length, interrupt);

  function interrupt(refusal: Refusal): void {
    if (isOver) return; // every request that went well closes too
    isOver = true;
    request.off("data", onData);
    chunks = [];
    held.complete();
    held.release();
    reject(refusal);
  }
  function onData(chunk: Buffer): void {
    stir();
    received += chunk.length;
    chunks.push(chunk);
    held.add(chunk.length);
  }
  function incomplete(): void {
    if (!isOver) interrupt(new Refusal("body-incomplete", `${received} of ${length} bytes arrived`));
  }

  request.on("data", onData);
  request.on("end", () => {
    if (isOver) return;
    isOver = true;
    held.complete();
    // Most bodies come in one piece.
    resolve(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks));
    chunks = [];
  });
  request.on("error", incomplete);
  request.on("close", incomplete);
  return {
    done,
    received: () => received,
    // The parser may have brought bytes that the request has not handed on yet.
    left: () => (isOver ? 0 : length - received - request.readableLength),
    isComplete: () => request.complete,
    breakOff: (refusal) => (refusal.code === "request-timeout" ? interrupt(refusal) : incomplete()),
    release: held.release,
  };
}
