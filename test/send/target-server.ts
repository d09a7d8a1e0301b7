/**
 * A server to send to. It answers the first request in the first of the given ways, the second in the second, and
 * all further ones in the last; and it keeps what it got.
 */
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { TestContext } from "node:test";
import { listenLocally } from "../receiver.ts";

export type Received = {
  readonly method: string | undefined;
  readonly path: string | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
  /** The other end's: the same for requests on one connection. */
  readonly fromPort: number | undefined;
};
export type Way = (response: ServerResponse) => void;

export type TargetServer = {
  readonly port: number;
  readonly url: string;
  readonly received: readonly Received[];
  /** Resolves once so many requests have come. */
  reaches(count: number): Promise<void>;
};

export async function openTargetServer(t: TestContext, ...ways: Way[]): Promise<TargetServer> {
  const received: Received[] = [];
  const lookers = new Set<() => void>();
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const { method, url, headers, rawHeaders, socket } = request;
    const way = ways[Math.min(received.length, ways.length - 1)] ?? answers(200);
    received.push({
      ...{ method, path: url, headers, rawHeaders },
      ...{ body: Buffer.concat(chunks), fromPort: socket.remotePort },
    });
    for (const look of lookers) look();
    way(response);
  });
  const port = await listenLocally(t, server);
  const reaches = (count: number): Promise<void> =>
    new Promise((resolve) => {
      const look = (): void => {
        if (received.length < count) return;
        lookers.delete(look);
        resolve();
      };
      lookers.add(look);
      look();
    });
  return { port, url: `http://127.0.0.1:${port}/hook`, received, reaches };
}

export function answers(status: number, headers: Record<string, string> = {}, text = ""): Way {
  return (response) => response.writeHead(status, headers).end(text);
}

/** Never says a word. */
export const stalls: Way = () => {};

/** Ends the connection in the middle of its answer. */
export const resets: Way = (response) => {
  response.writeHead(200, { "Content-Length": "100" });
  response.write("half", () => response.socket?.resetAndDestroy());
};
