/**
 * A load generator for machines without wrk: the same deliveries, the same closed loop (each connection sends its
 * next request when it has the answer to the one before), the same line of JSON at the end. A process of its own.
 * It needs about as much of the processor as the server that it drives, so its ratios are flatter than wrk's.
 */
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { createHistogram } from "node:perf_hooks";

const { BENCH_DELIVERIES = "", BENCH_CONNECTION = "", BENCH_RUN = "" } = process.env;
const [port = 0, connections = 0, seconds = 0] = process.argv.slice(2).map(Number);

const deliveries = readFileSync(BENCH_DELIVERIES, "utf8")
  .trimEnd()
  .split("\n")
  .map((line) => {
    const [signature = ""] = line.split(" ", 1);
    const body = Buffer.from(line.slice(signature.length + 1));
    const head = `POST /webhook HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nConnection: ${BENCH_CONNECTION}\r\nX-GitHub-Event: push\r\nX-Hub-Signature-256: sha256=${signature}\r\nContent-Length: ${body.length}\r\n`;
    return { head, body };
  });

/** In microseconds. */
const times = createHistogram({ lowest: 1, highest: 60_000_000, figures: 3 });
const startedAt = performance.now();
const endsAt = startedAt + seconds * 1000;
let count = 0;
let requests = 0;
let failures = 0;

/** @returns the status of an answer that is complete, whether by its length or by its last chunk */
function statusOf(text: string): number | undefined {
  const end = text.indexOf("\r\n\r\n");
  if (end === -1) return undefined;
  const length = /\r\ncontent-length: *(\d+)/i.exec(text.slice(0, end))?.[1];
  const isComplete =
    length === undefined ? text.endsWith("\r\n0\r\n\r\n") : text.length >= end + 4 + Number(length);
  return isComplete ? Number(text.slice(9, 12)) : undefined;
}

function send(socket: Socket): Promise<number> {
  count += 1;
  const { head, body } = deliveries[count % deliveries.length] ?? { head: "", body: "" };
  return new Promise((resolve, reject) => {
    let text = "";
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
      const status = statusOf(text);
      if (status !== undefined) resolve(status);
    });
    socket.on("error", reject).on("close", () => reject(new Error("closed before the answer was complete")));
    socket.cork();
    socket.write(`${head}X-GitHub-Delivery: ${BENCH_RUN}-${count}\r\n\r\n`);
    socket.write(body);
    socket.uncork();
  });
}

async function client(): Promise<void> {
  let socket: Socket | undefined;
  do {
    socket ??= connect({ port, host: "127.0.0.1", noDelay: true });
    const sentAt = performance.now();
    try {
      const status = await send(socket);
      times.record(Math.max(1, Math.round((performance.now() - sentAt) * 1000)));
      requests += 1;
      if (status !== 200) failures += 1;
    } catch {
      failures += 1;
      socket.destroy();
    }
    socket.removeAllListeners().on("error", () => {}); // it is closing, or the next request listens itself
    if (BENCH_CONNECTION === "close") socket.end();
    if (BENCH_CONNECTION === "close" || socket.destroyed) socket = undefined;
  } while (performance.now() < endsAt);
  socket?.destroy();
}

await Promise.all(Array.from({ length: connections }, client));
const { user, system } = process.cpuUsage();
const report = {
  requests,
  seconds: (performance.now() - startedAt) / 1000,
  p50: times.percentile(50) / 1000,
  p99: times.percentile(99) / 1000,
  longest: times.max / 1000,
  failures,
  generatorSeconds: (user + system) / 1e6,
};
console.log(JSON.stringify(report));
process.exit(); // sockets that the server has not closed yet are nobody's concern
