/**
 * A node:http server that reads the body and answers, and nothing else: no other server in Node can be faster.
 * Says on which port it listens.
 */
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";

/** @param decide gives the status */
export function serve(decide: (headers: IncomingHttpHeaders, body: Buffer) => number): void {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      response.statusCode = decide(request.headers, Buffer.concat(chunks));
      response.end("{}");
    });
  });
  server.listen(0, "127.0.0.1", () => {
    console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  });
  process.on("SIGTERM", () => process.exit());
}
