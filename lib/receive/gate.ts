/**
 * Lets a connection's bytes through to Node's parser as fast as its requests are answered.
 *
 * A client may send requests without waiting for answers (RFC 9112 §9.3.2), and Node's parser takes all of them out of
 * what has arrived: a megabyte of small ones becomes 28,000 requests in memory, each of which waits for those before
 * it. So the bytes go to the parser in small slices, and none goes while some requests are unanswered. What is left over
 * is at most one read; everything behind it stays in the kernel, and TCP tells the client to wait.
 */
import type { Socket } from "node:net";

/** A head is rarely longer, and what is left of a body goes through behind it in one piece. */
const sliceBytes = 2048;
/** For a connection whose slice has once held more requests than may wait: the smallest request has 18 bytes. */
const smallSliceBytes = 128;

/**
 * Behind a read as large as this libuv reads on, up to 2 MB, before any other connection has its turn; and it accepts
 * one connection in a turn. With many uploads, others would wait for seconds: so each has one read, or two, in a turn.
 */
const turnBytes = 64 * 1024;

/** What the gate has to know about its connection. */
export type Gated = {
  /** Requests that the parser has found and that have no answer yet. */
  readonly unanswered: number;
  /** How many bytes of a body that is being read are still to come: they go through in one piece. */
  bodyBytesLeft(): number;
  /** Set once the parser has given up, or has been taken away (CONNECT). Node may have given it to another connection. */
  readonly broken?: unknown;
};

/** So many requests of one connection may be unanswered; the next slice waits. */
const maxUnanswered = 4;

/**
 * Takes Node's parser off the socket and puts itself in between.
 * @returns to be called when a request has been answered
 */
export function gateRequests(socket: Socket, connection: Gated): () => void {
  const [parse] = socket.listeners("data") as ((bytes: Buffer) => void)[];
  if (parse === undefined) throw new TypeError("Node's parser does not listen to this socket");
  let held: Buffer | undefined;
  let isPassing = false;
  let isWaiting = false;
  let isPipelining = false;

  const isOpen = (): boolean => connection.broken === undefined && connection.unanswered < maxUnanswered;

  function pass(): void {
    if (isPassing) return; // a request that is answered at once, in the middle of its slice
    isPassing = true;
    while (held !== undefined && isOpen() && !socket.destroyed) {
      const length = Math.max(isPipelining ? smallSliceBytes : sliceBytes, connection.bodyBytesLeft());
      const slice = held.subarray(0, length);
      held = held.length > length ? held.subarray(length) : undefined;
      parse?.(slice);
      isPipelining ||= connection.unanswered > maxUnanswered;
    }
    isPassing = false;
  }

  function take(bytes: Buffer): void {
    if (held === undefined && bytes.length <= sliceBytes && isOpen()) {
      parse?.(bytes); // nearly all there is
      return;
    }
    held = held === undefined ? bytes : Buffer.concat([held, bytes]);
    pass();
    if (held !== undefined) socket.pause();
    else if (bytes.length >= turnBytes && !socket.isPaused()) waitATurn();
  }

  /** A paused socket has been paused by the parser, because nobody reads the body: that is not undone here. */
  function waitATurn(): void {
    isWaiting = true;
    socket.pause();
    setImmediate(() => {
      isWaiting = false;
      socket.resume();
    });
  }

  // Node starts a socket again whenever one of its requests has been answered: not before the held bytes have gone.
  // Once our side has ended nothing is parsed any more, and what comes is thrown away (`linger.ts`).
  const resume = socket.resume.bind(socket);
  socket.resume = () => ((held === undefined && !isWaiting) || socket.writableEnded ? resume() : socket);
  socket.off("data", parse);
  socket.on("data", take);
  return () => {
    if (held === undefined) return;
    pass();
    if (held === undefined) socket.resume();
  };
}
