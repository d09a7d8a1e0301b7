/**
 * Preloaded with `--import`: on SIGUSR2 it writes to stderr how long the event loop has stood still at most since
 * the signal before, in milliseconds. So the program that is measured has no code for it.
 */
import { writeSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { isMainThread } from "node:worker_threads";

if (isMainThread) {
  const delays = monitorEventLoopDelay({ resolution: 1 });
  delays.enable();
  process.on("SIGUSR2", () => {
    writeSync(2, `${JSON.stringify({ longestStall: delays.max / 1e6 })}\n`);
    delays.reset();
  });
}
