/**
 * Watches the event loop from another thread: a handler in an endless loop stops everything else, its own time limit
 * and the log among it.
 *
 * The main thread counts up in shared memory. When it has not done so for a while, a line in the log names the handlers
 * that are running. A receiver whose loop does not come back is ended (`main-thread.ts`), its manager starts it again, and
 * the jobs that ran are tried again.
 */

/** Places in the shared memory. */
const ticks = 0;
const isStopping = 1;
const isTimeUp = 2;
const firstRunning = 3;
const maxHandlers = 1000;

const tickMilliseconds = 250;
/** More time than this between two looks was no time for the main thread either: the whole process was stopped. */
const maxLookMilliseconds = 2000;
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

/** The time for stopping is over: nothing waits for a lock any more. */
export function showTimeUp(memory: LoopMemory): void {
  Atomics.store(memory, isTimeUp, 1);
}

export function isTimeUpShown(memory: LoopMemory): boolean {
  return Atomics.load(memory, isTimeUp) === 1;
}

/** The file is being closed: the heart stops, and nothing waits for a lock any more. */
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

/** @returns a number that goes up while the loop turns */
export function countTurns(memory: LoopMemory): number {
  return Atomics.load(memory, ticks);
}

/** @returns those of the handlers' names that are running */
export function showsRunning(memory: LoopMemory, names: readonly string[]): string[] {
  return names.filter((_, index) => Atomics.load(memory, firstRunning + index) > 0);
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
  let lookedAt = 0;
  let stalled = 0;
  let said = 0;
  return (now) => {
    const count = countTurns(memory);
    const passed = Math.min(now - lookedAt, maxLookMilliseconds);
    lookedAt = now;
    if (count !== seen) {
      [seen, stalled, said] = [count, 0, 0];
      return undefined;
    }
    stalled += passed;
    const level = stalled >= lostMilliseconds ? 2 : stalled >= stalledMilliseconds ? 1 : 0;
    if (level <= said) return undefined;
    said = level;
    const handlers = showsRunning(memory, names);
    return { stalledSeconds: Math.round(stalled / 1000), handlers, isLost: level === 2 };
  };
}
