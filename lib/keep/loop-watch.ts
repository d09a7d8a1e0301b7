/**
 * Watches the event loop from another thread: a handler in an endless loop stops everything else, its own time limit
 * and the log among it.
 *
 * The main thread counts up in shared memory. When it has not done so for a while, a line in the log names the handlers
 * that are running. A signal cannot be heard then either: Node hands signals to the loop. So a receiver whose loop does
 * not come back is ended, its manager starts it again, and the jobs that ran are tried again.
 */

/** Places in the shared memory. */
const ticks = 0;
const isStopping = 1;
const firstRunning = 2;
const maxHandlers = 1000;

const tickMilliseconds = 250;
export const stalledMilliseconds = 3000;
/** Longer than any handler may hold the loop. */
export const lostMilliseconds = 30_000;

export type LoopMemory = Int32Array;

export function openLoopMemory(): LoopMemory {
  return new Int32Array(new SharedArrayBuffer((firstRunning + maxHandlers) * Int32Array.BYTES_PER_ELEMENT));
}

/** The main thread's side: it shows that the loop turns. */
export function showTurns(memory: LoopMemory): { stop(): void } {
  const timer = setInterval(() => Atomics.add(memory, ticks, 1), tickMilliseconds).unref();
  return { stop: () => clearInterval(timer) };
}

/** The receiver has begun to stop: what waits for a lock gives up. */
export function showStop(memory: LoopMemory): void {
  Atomics.store(memory, isStopping, 1);
}

export function isStopShown(memory: LoopMemory): boolean {
  return Atomics.load(memory, isStopping) === 1;
}

/** @param change 1 when the handler of this index begins, -1 when it has ended */
export function showRunning(memory: LoopMemory, index: number, change: 1 | -1): void {
  if (index >= 0 && index < maxHandlers) Atomics.add(memory, firstRunning + index, change);
}

export type Stall = {
  readonly stalledSeconds: number;
  readonly handlers: readonly string[];
  /** It is not waited for any longer. */
  readonly isLost: boolean;
};

/**
 * The other thread's side, to be asked now and then.
 * @param names of the handlers, in the order of their indexes
 * @returns what to say: once when the loop has stalled, and once when it is lost
 */
export function watchTurns(memory: LoopMemory, names: readonly string[]): (now: number) => Stall | undefined {
  let seen = -1;
  let seenAt = 0;
  let said = 0;
  return (now) => {
    const count = Atomics.load(memory, ticks);
    if (count !== seen) {
      [seen, seenAt, said] = [count, now, 0];
      return undefined;
    }
    const stalled = now - seenAt;
    const level = stalled >= lostMilliseconds ? 2 : stalled >= stalledMilliseconds ? 1 : 0;
    if (level <= said) return undefined;
    said = level;
    const handlers = names.filter((_, index) => Atomics.load(memory, firstRunning + index) > 0);
    return { stalledSeconds: Math.round(stalled / 1000), handlers, isLost: level === 2 };
  };
}
