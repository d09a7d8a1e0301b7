/**
 * What another thread can do for a main thread whose event loop stands still: hear the signals, say where it is, end it.
 *
 * Node hands a signal to the loop that listens for it, and `process.on` listens with the main thread's only. libuv
 * itself tells every loop that listens. The handle for it is internal to Node, so it may be missing one day: then a
 * receiver that stands still hears no signal.
 * The inspector reaches a thread at any point of its JavaScript, also in an endless loop; not in a system call.
 * https://docs.libuv.org/en/v1.x/signal.html, https://chromedevtools.github.io/devtools-protocol/v8/
 */
import { createRequire } from "node:module";
import { constants } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";

type SignalHandle = { onsignal: (signal: number) => void; start(signal: number): number; unref(): void };
type SignalWrap = { readonly Signal: new () => SignalHandle };
type Bindings = { internalBinding(name: "signal_wrap"): SignalWrap };

/** What the thread has to be started with to hear signals. */
export const execArgvToHear = ["--expose-internals", "--no-warnings"];

/** A main thread in a system call, such as that of `execSync`, answers when that is over. */
const findMilliseconds = 10_000;
/** A loop that turns comes to the exit in this time. */
const exitMilliseconds = 300;
const lastResortMilliseconds = 2000;
const maxFrames = 3;

/** Calls `listener` for each SIGTERM and SIGINT. The thread ends all the same. @returns false when it cannot be heard */
export function hearStopSignals(listener: (signal: number) => void): boolean {
  try {
    const require = createRequire(import.meta.url);
    const { Signal } = (require("internal/test/binding") as Bindings).internalBinding("signal_wrap");
    return [constants.signals.SIGTERM, constants.signals.SIGINT].every((number) => {
      const handle = new Signal();
      handle.onsignal = listener;
      handle.unref();
      return handle.start(number) === 0;
    });
  } catch {
    return false;
  }
}

/** @returns the lines that the main thread is in, the innermost first; none when it cannot be reached */
export async function findMainThread(): Promise<string[]> {
  try {
    const { Session } = await import("node:inspector/promises");
    const session = new Session();
    session.connectToMainThread();
    const urls = new Map<string, string>();
    session.on("Debugger.scriptParsed", ({ params }) => urls.set(params.scriptId, params.url));
    const found = new Promise<string[]>((resolve) => {
      session.once("Debugger.paused", ({ params }) =>
        resolve(
          params.callFrames
            .slice(0, maxFrames)
            .map(({ location }) => `${urls.get(location.scriptId)}:${location.lineNumber + 1}`),
        ),
      );
    });
    // None of it is waited for: a thread in a system call answers nothing.
    for (const step of ["enable", "pause"] as const) session.post(`Debugger.${step}`).catch(() => {});
    const frames = await Promise.race([found, sleep(findMilliseconds, [])]);
    session.disconnect(); // which lets it go on
    return frames;
  } catch {
    return []; // a Node without inspector
  }
}

/** Ends the process, in order where the main thread can be reached: what listens for its exit is called. */
export async function endProcess(exitCode: number): Promise<void> {
  // Process 1 of a container is deaf to this one.
  setTimeout(() => process.kill(process.pid, "SIGKILL"), lastResortMilliseconds);
  const { Session } = await import("node:inspector/promises");
  const session = new Session();
  session.connectToMainThread();
  const exit = `setImmediate(() => process.exit(${exitCode}))`;
  await session.post("Runtime.evaluate", { expression: exit });
  await sleep(exitMilliseconds);
  // It is still there, so its loop does not turn: what runs is broken off, and the loop goes on to the exit.
  session.post("Runtime.terminateExecution").catch(() => {});
  session.disconnect();
}
