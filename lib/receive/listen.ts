/**
 * Takes a port, or says in one line why it cannot be had.
 */
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { OperatorError } from "../errors.ts";
import { type Log, stackOf } from "../log.ts";

/**
 * @returns the port, which is the free one that was found when 0 was asked for
 * @throws OperatorError when it is taken, or is not ours to take
 */
export function listenOn(server: Server, log: Log, port: number, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => reject(listenError(error, port, host)));
    server.listen(port, host, () => {
      server.removeAllListeners("error");
      server.on("error", (error) => log.error("the server socket failed", { stack: stackOf(error) }));
      resolve((server.address() as AddressInfo).port);
    });
  });
}

function listenError({ code, message }: NodeJS.ErrnoException, port: number, host: string): OperatorError {
  if (code === "EADDRINUSE") {
    return new OperatorError(
      `port ${port} on ${host} is in use: stop the other program, or choose another --port`,
      1,
    );
  }
  return new OperatorError(`cannot listen on ${host}, port ${port}: ${message}`, 1);
}
