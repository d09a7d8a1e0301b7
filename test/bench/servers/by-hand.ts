/**
 * The work that no receiver can do without, written down as shortly as it goes: verify, parse, a line of log,
 * answers written together after a quiet turn. No routes, no limits, no time-outs, one secret, one kind of sender.
 * It checks each body as it arrives, where the receiver waits for others; what the receiver is slower than this all
 * the same is the price of everything else that it does.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { openBatch } from "../../../lib/batch.ts";
import { isAuthentic } from "./authentic.ts";

type Outgoing = { readonly response: ServerResponse; readonly status: number; readonly line: string };

const answers = openBatch<Outgoing>({ maxWaitMilliseconds: 2 }, (group) => {
  for (const { response, status } of group) response.writeHead(status, { "Content-Length": 2 }).end("{}");
  process.stdout.write(group.map(({ line }) => line).join(""));
});

const server = createServer((request, response) => {
  answers.stir();
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => answers.add({ response, ...decide(request, Buffer.concat(chunks)) }));
});

function decide({ headers }: IncomingMessage, body: Buffer): { status: number; line: string } {
  if (!isAuthentic(body, headers["x-hub-signature-256"])) return { status: 401, line: "" };
  const { action } = JSON.parse(body.toString()) as { action?: unknown };
  const id = headers["x-github-delivery"];
  return { status: 200, line: `${JSON.stringify({ time: new Date(), message: "accepted", id, action })}\n` };
}

server.listen(0, "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
process.on("SIGTERM", () => process.exit());
