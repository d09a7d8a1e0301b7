/**
 * Closes a connection whose request body nobody wants, without losing the answer.
 *
 * When a socket is closed while bytes lie unread in it, the kernel answers further bytes with a reset, and a
 * client that is still uploading sees "connection reset" in place of the 413 that was meant for it. So: send
 * the answer, close our side only, let the upload run into nothing for a while, then close (RFC 9112 §9.6).
 */
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";

const maxLingerMilliseconds = 10_000;
const maxLingerBytes = 32 * 1024 * 1024;

/** To be called before the request's last answer is written. Node ends a socket after its last answer by `destroySoon()`. */
export function lingerAfterAnswer(request: IncomingMessage): void {
  const { socket } = request;
  let drainedBytes = 0;
  request.on("data", (chunk: Buffer) => {
    drainedBytes += chunk.length;
    if (drainedBytes > maxLingerBytes) socket.destroy();
  });
  request.on("end", () => socket.destroySoon()); // the whole body has gone by: nothing left to be reset
  socket.destroySoon = () => {
    if (request.complete || socket.writableEnded) socket.destroy();
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
