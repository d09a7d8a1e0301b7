/**
 * Closes a connection whose request body nobody wants, without losing the answer.
 *
 * When a socket is closed while bytes lie unread in it, the kernel answers further bytes with a reset, and a
 * client that is still uploading sees "connection reset" in place of the 413 that was meant for it. So: send
 * the answer, close our side only, let the upload run into nothing for a while, then close (RFC 9112 §9.6).
 */
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { declaresBody } from "./head.ts";

const maxLingerMilliseconds = 10_000;
const maxLingerBytes = 32 * 1024 * 1024;

/**
 * To be called before the request's answer is written, which has to say `Connection: close`: Node ends a socket
 * after its last answer by calling `destroySoon()`, and here that becomes the half-close.
 */
export function lingerAfterAnswer(request: IncomingMessage): void {
  const { socket } = request;
  const destroySoon = socket.destroySoon.bind(socket);
  let drainedBytes = 0;
  let isBodyOver = false;
  request.on("data", (chunk: Buffer) => {
    drainedBytes += chunk.length;
    if (drainedBytes > maxLingerBytes) socket.destroy();
  });
  request.on("end", () => {
    isBodyOver = declaresBody(request);
    if (isBodyOver && socket.writableEnded) socket.destroy();
  });
  socket.destroySoon = () => {
    if (isBodyOver) destroySoon();
    else halfClose(socket);
  };
}

/** Ends our side, with `last` as its last words, and gives the other side a while to end its own. */
export function halfClose(socket: Socket, last?: string): void {
  if (last === undefined) socket.end();
  else socket.end(last);
  const timer = setTimeout(() => socket.destroy(), maxLingerMilliseconds);
  socket.once("close", () => clearTimeout(timer));
}
