/**
 * How much memory the bodies of all requests may hold, and how slowly one may come.
 *
 * Small bodies have room of their own: uploads never keep ordinary deliveries out. When room is short, the largest body
 * that is still arriving goes, and not the newcomer.
 */
import { Refusal } from "../refusal.ts";

export type BodyLimits = {
  /** All large bodies together. */
  readonly maxHeldBodyBytes: number;
  /** All bodies of up to `smallBodyBytes` together: uploads of large ones never take their room. */
  readonly maxHeldSmallBodyBytes: number;
  /** A body that is still arriving has to bring so much in `minSpeedSeconds`, or the rest of it. */
  readonly minBodyBytesPerSecond: number;
  readonly minSpeedSeconds: number;
};

/** What a piece of a body costs besides its bytes: a body that comes one byte at a time is many pieces. */
const chunkOverheadBytes = 256;

/** Nearly all deliveries of nearly all senders are smaller. */
export const smallBodyBytes = 64 * 1024;

/**
 * How many bytes the bodies may hold, from their first byte to their answer. When that is spent, the largest body that
 * is still arriving is broken off: its sender has proved nothing yet, and has the least to lose by room for the others.
 */
export type BodyBudget = {
  /** Counts a body in. @returns to be called with each piece, and to be closed when the body is no longer held */
  open(length: number, breakOff: (refusal: Refusal) => void): Held;
  close(): void;
};

export type Held = {
  add(bytes: number): void;
  /** The body is complete: it is not broken off any more. */
  complete(): void;
  release(): void;
};

type Entry = {
  readonly length: number;
  /** In memory, what each piece costs besides its bytes included. */
  heldBytes: number;
  arrivedBytes: number;
  /** What had arrived when its speed was last looked at; undefined before the first time. */
  seenBytes: number | undefined;
  isArriving: boolean;
  readonly breakOff: (refusal: Refusal) => void;
};

export function openBodyBudget(limits: BodyLimits): BodyBudget {
  const { maxHeldBodyBytes, maxHeldSmallBodyBytes, minBodyBytesPerSecond, minSpeedSeconds } = limits;
  const pools = {
    small: { max: maxHeldSmallBodyBytes, bytes: 0, entries: new Set<Entry>() },
    large: { max: maxHeldBodyBytes, bytes: 0, entries: new Set<Entry>() },
  };
  const clock = setInterval(endSlowOnes, minSpeedSeconds * 1000).unref();

  function endSlowOnes(): void {
    for (const entry of [...pools.small.entries, ...pools.large.entries]) {
      if (!entry.isArriving) continue;
      const { seenBytes, arrivedBytes, length } = entry;
      entry.seenBytes = arrivedBytes;
      if (seenBytes === undefined) continue;
      const came = arrivedBytes - seenBytes;
      if (came < Math.min(minBodyBytesPerSecond * minSpeedSeconds, length - seenBytes))
        end(entry, new Refusal("request-timeout", `${came} bytes of the body in ${minSpeedSeconds} s`));
    }
  }

  function end(entry: Entry, refusal: Refusal): void {
    entry.isArriving = false;
    entry.breakOff(refusal);
  }

  function open(length: number, breakOff: (refusal: Refusal) => void): Held {
    const pool = length <= smallBodyBytes ? pools.small : pools.large;
    const counts = { heldBytes: 0, arrivedBytes: 0, seenBytes: undefined };
    const entry: Entry = { length, ...counts, isArriving: true, breakOff };
    pool.entries.add(entry);
    return {
      add(bytes) {
        entry.arrivedBytes += bytes;
        entry.heldBytes += bytes + chunkOverheadBytes;
        pool.bytes += bytes + chunkOverheadBytes;
        if (pool.bytes <= pool.max) return;
        const arriving = [...pool.entries].filter((other) => other.isArriving);
        const largest = arriving.reduce(
          (most, other) => (other.heldBytes > most.heldBytes ? other : most),
          entry,
        );
        const why = `the bodies being received hold ${pool.bytes} bytes; this one, with ${largest.heldBytes}, is the largest`;
        end(largest, new Refusal("memory-exhausted", why));
      },
      complete() {
        entry.isArriving = false;
      },
      release() {
        if (pool.entries.delete(entry)) pool.bytes -= entry.heldBytes;
      },
    };
  }

  return { open, close: () => clearInterval(clock) };
}
