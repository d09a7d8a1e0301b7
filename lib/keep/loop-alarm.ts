/**
 * The store's thread keeps watch over the main thread: it says in the log what holds the event loop up, and ends the
 * process when the loop does not come back, or when the process has not ended by the deadline after SIGTERM or SIGINT.
 */
import { writeSync } from "node:fs";
import { type Log, openLog } from "../log.ts";
import { countTurns, showsRunning, watchTurns } from "./loop-watch.ts";
import { endProcess, findMainThread, hearStopSignals } from "./main-thread.ts";
import type { ThreadData } from "./sqlite/protocol.ts";

/** So much later than the main thread's own deadline, which ends in better order; managers kill after 10 s. */
const graceMilliseconds = 1000;

/**
 * @param write takes as much of a text as it can at once; how many bytes it took; it may throw
 * @returns to be called about once a second, with a time that never jumps
 */
export function openLoopAlarm(
  {
    memory,
    handlers,
    logFormat,
    stopSeconds,
  }: Pick<ThreadData, "memory" | "handlers" | "logFormat" | "stopSeconds">,
  write: (bytes: Buffer) => number = (bytes) => writeSync(1, bytes),
): (now: number) => void {
  const stallOf = watchTurns(memory, handlers);
  const { log, retry } = openDirectLog(logFormat, write);
  let isEnding = false;
  let isStopAsked = false;

  function end(message: string, fields: Record<string, unknown>, exitCode: number): void {
    if (isEnding) return;
    isEnding = true;
    log.error(message, fields);
    log.flush();
    endProcess(exitCode).catch(() => {}); // a Node without inspector: its last resort is under way
  }

  function onStopSignal(signal: number): void {
    // A second signal ends the process at once. The main thread sees to it, if it can.
    const milliseconds = graceMilliseconds + (isStopAsked ? 0 : (stopSeconds ?? 0) * 1000);
    isStopAsked = true;
    setTimeout(() => {
      const runningHandlers = showsRunning(memory, handlers);
      end("not stopped in time: the receiver ends", { runningHandlers }, 128 + signal);
    }, milliseconds).unref();
  }
  if (stopSeconds !== undefined) hearStopSignals(onStopSignal);

  return (now) => {
    retry();
    const stall = stallOf(now);
    if (stall === undefined) return;
    const { isLost, stalledSeconds: seconds, handlers: runningHandlers } = stall;
    if (isLost)
      return end("the event loop does not come back: the receiver ends", { seconds, runningHandlers }, 1);
    log.error("the event loop is held up", { seconds, runningHandlers });
    log.flush();
    void sayWhere();
  };

  async function sayWhere(): Promise<void> {
    const turns = countTurns(memory);
    const at = await findMainThread();
    // A loop that turns again was found somewhere else.
    if (at.length === 0 || countTurns(memory) !== turns) return;
    log.error("the event loop is held up here", { at });
    log.flush();
  }
}

/**
 * A log of this thread's own: that of the main thread waits for the loop.
 * It waits for no reader. What a full pipe does not take is tried again later; without a reader it is lost.
 */
function openDirectLog(
  format: ThreadData["logFormat"],
  write: (bytes: Buffer) => number,
): { readonly log: Log; retry(): void } {
  let waiting = Buffer.alloc(0);
  function retry(): void {
    try {
      while (waiting.length > 0) waiting = waiting.subarray(write(waiting));
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== "EAGAIN") waiting = Buffer.alloc(0);
    }
  }
  const log = openLog(format, (text) => {
    waiting = Buffer.concat([waiting, Buffer.from(text)]);
    retry();
  });
  return { log, retry };
}
