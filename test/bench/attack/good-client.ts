/**
 * The client that has done nothing: it posts signed deliveries at a fixed rate, each on a connection of its own, as most
 * senders do, whether or not the one before has been answered. A time is counted from when the delivery was due, so a
 * receiver that stands still is late for all that came meanwhile.
 */
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { createHistogram } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { writeDeliveries } from "../deliveries.ts";

/** Times are in milliseconds. */
export type Served = {
  readonly sent: number;
  /** Answered with 200. */
  readonly accepted: number;
  /** Every other end, counted: a status, or what broke. */
  readonly others: ReadonlyMap<string, number>;
  readonly p50: number;
  readonly p99: number;
  readonly longest: number;
};

export type GoodClient = (port: number, seconds: number, perSecond: number) => Promise<Served>;

/** As GitHub waits for an answer; then it gives the delivery up. */
const timeoutMilliseconds = 10_000;

/** @param folder where the deliveries are written */
export function openGoodClient(folder: string, bodyBytes = 8000): GoodClient {
  const deliveries = readFileSync(writeDeliveries(folder, bodyBytes), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => ({
      signature: line.slice(0, line.indexOf(" ")),
      body: line.slice(line.indexOf(" ") + 1),
    }));
  let next = 0;

  function post(port: number): Promise<string> {
    const { signature, body } = deliveries[next++ % deliveries.length] ?? { signature: "", body: "" };
    return new Promise((resolve) => {
      const posted = request({ port, host: "127.0.0.1", method: "POST", path: "/webhook", agent: false });
      posted.setHeader("Content-Type", "application/json");
      posted.setHeader("Content-Length", Buffer.byteLength(body));
      posted.setHeader("X-GitHub-Event", "push");
      posted.setHeader("X-GitHub-Delivery", randomUUID());
      posted.setHeader("X-Hub-Signature-256", `sha256=${signature}`);
      posted.setTimeout(timeoutMilliseconds, () => posted.destroy(new Error("timeout")));
      posted.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
      posted.on("response", (answer) => {
        answer.resume().on("end", () => resolve(String(answer.statusCode)));
        answer.on("error", () => resolve("cut off"));
      });
      posted.end(body);
    });
  }

  return async (port, seconds, perSecond) => {
    const ends = new Map<string, number>();
    /** In microseconds. */
    const times = createHistogram({ lowest: 1, highest: 60_000_000, figures: 3 });
    const sent = Math.round(seconds * perSecond);
    const startedAt = performance.now();
    async function deliver(dueAt: number): Promise<void> {
      const end = await post(port);
      times.record(Math.max(1, Math.round((performance.now() - dueAt) * 1000)));
      ends.set(end, (ends.get(end) ?? 0) + 1);
    }
    const delivering: Promise<void>[] = [];
    for (let count = 0; count < sent; count += 1) {
      const dueAt = startedAt + (count * 1000) / perSecond;
      const early = dueAt - performance.now();
      if (early > 0) await pause(early);
      delivering.push(deliver(dueAt));
    }
    await Promise.all(delivering);
    const accepted = ends.get("200") ?? 0;
    ends.delete("200");
    const [p50, p99, longest] = [times.percentile(50), times.percentile(99), times.max].map(
      (us) => us / 1000,
    );
    return { sent, accepted, others: ends, p50: p50 ?? 0, p99: p99 ?? 0, longest: longest ?? 0 };
  };
}
