/**
 * Closes a connection on which more may come that nobody wants, without losing the last answer.
 *
 * When a socket is closed while bytes lie unread in it, the kernel answers further bytes with a reset, and a
 * client that is still uploading sees "connection reset" in place of the 413 that was meant for it. So: send
 * the answer, close our side only, let the upload run into nothing for a while, then close (RFC 9112 §9.6).
 */
import type { Socket } from "node:net";

/** Shorter than the time a stop may take. */
const maxLingerMilliseconds = 5_000;
const maxLingerBytes = 32 * 1024 * 1024;

/**
 * To be called before a connection's last answer is written, which has to say `Connection: close`: here Node's
 * `destroySoon()` becomes the half-close.
 */
export function lingerAfterAnswer(socket: Socket): void {
  socket.destroySoon = () => {
    if (socket.writableEnded) socket.destroy();
    else halfClose(socket);
  };
}

/**
 * To be called for every connection. Node calls `destroySoon()` when a connection's last answer is in the kernel's
 * hands, and would shut our side down, wait a turn and then close. Closing at once puts the same bytes on the wire
 * and saves a system call and that turn, for every sender that opens a connection for each delivery.
 */
export function closeAfterAnswer(socket: Socket): void {
  socket.destroySoon = socket.destroy;
}

/** Ends our side, with `last` as its last words, and gives the other side a while to end its own. */
export function halfClose(socket: Socket, last = ""): void {
  socket.end(last);
  const timer = setTimeout(() => socket.destroy(), maxLingerMilliseconds);
  socket.once("close", () => clearTimeout(timer));
  // A body that nobody reads has paused the socket. Node's parser has to start it again before it is taken away.
  if (socket.isPaused()) socket.once("resume", () => drain(socket)).resume();
  else drain(socket);
}

/** From here on nothing is parsed any more: what comes is counted and forgotten. */
function drain(socket: Socket): void {
  let drainedBytes = 0;
  socket.removeAllListeners("data");
  socket.on("data", (chunk: Buffer) => {
    drainedBytes += chunk.length;
    if (drainedBytes > maxLingerBytes) socket.destroy();
  });
}
