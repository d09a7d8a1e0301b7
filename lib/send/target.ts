/**
 * What is known of one target: how many requests are under way to it, and whether it had better be left alone.
 *
 * A circuit breaker. After 5 failures in a row the target rests for 30 seconds: its jobs are postponed, which
 * burns none of their attempts. Then one request tries; when it is answered, all of them go on, else the target
 * rests again. A failure is what may go better another time (`attempt.ts`): a target that says 404 is alive.
 * What a target asks for by Retry-After is a rest too.
 * Jobs that wait come back one by one: a hundred thousand at once would keep the inbox from everything else, and
 * be a poor welcome for a target that has just come up again.
 */

import { errorLine } from "../errors.ts";
import type { Log } from "../log.ts";
import { Postponed } from "../process/failure.ts";
import { type Attempt, defaultTimeoutMilliseconds } from "./attempt.ts";

export type Target = {
  /**
   * Makes an attempt when there is a place for it; waits for one until the signal is aborted.
   * @throws Postponed while the target rests; the signal's reason; what `make` throws
   */
  attempt(make: () => Promise<Attempt>, signal: AbortSignal, log: Log): Promise<Attempt>;
};

const mostFailures = 5;
const restMilliseconds = 30_000;
const mostAtOnce = 10;
/** Between two jobs that come back: 200 in a second. */
const returnGapMilliseconds = 5;

/** A handler whose own time limit is the shorter one: a target that never answers it has failed too. */
const cutShort = { verdict: "retryable", statusCode: null, retryAfterMilliseconds: 0 } as const;

const targets = new Map<string, Target>();

/** The one target of a URL, whoever sends there; the log shows no more of it than its origin. */
export function targetOf(url: URL): Target {
  const { href, origin } = url;
  const target = targets.get(href) ?? openTarget(origin);
  targets.set(href, target);
  return target;
}

/**
 * @param name for the log
 * @param now a clock in milliseconds that is never set back
 */
export function openTarget(name: string, now: () => number = () => performance.now()): Target {
  const places = openPlaces(mostAtOnce);
  let failures = 0;
  let isResting = false;
  let restsUntil = 0;
  let isTrying = false;
  let lastReturnAt = 0;

  function postpone(milliseconds: number, why: string): Postponed {
    lastReturnAt = Math.max(lastReturnAt + returnGapMilliseconds, now() + milliseconds);
    return new Postponed(lastReturnAt - now(), why);
  }

  /** @returns true for the one request that tries whether the rest is over */
  function enter(log: Log): boolean {
    if (!isResting) return false;
    const left = restsUntil - now();
    if (left > 0) throw postpone(left, `${name} rests`);
    // The others have waited for 30 seconds; they can wait until it is known, and be it by the time limit.
    if (isTrying) throw postpone(defaultTimeoutMilliseconds, `${name} is being tried`);
    log.info("the target has rested: one request tries it", { target: name });
    isTrying = true;
    return true;
  }

  function learn({ verdict, statusCode, error, retryAfterMilliseconds }: Attempt, log: Log): void {
    if (verdict === "retryable") {
      failures += 1;
      const own = failures >= mostFailures ? restMilliseconds : 0;
      const milliseconds = Math.max(own, retryAfterMilliseconds);
      if (milliseconds > 0) rest(milliseconds, error, log);
    } else if (statusCode !== null) {
      failures = 0;
      if (isResting) log.info("the target answers again", { target: name });
      isResting = false;
    }
  }

  function rest(milliseconds: number, error: string | null, log: Log): void {
    // What was under way when the rest began is no news.
    if (isResting && restsUntil > now()) return;
    isResting = true;
    restsUntil = now() + milliseconds;
    log.warn("the target rests, and its jobs wait", {
      target: name,
      failuresInARow: failures,
      seconds: milliseconds / 1000,
      why: error,
    });
  }

  return {
    async attempt(make, signal, log) {
      await places.take(signal);
      let isTry = false;
      try {
        isTry = enter(log);
        const made = await make().catch((thrown: unknown) => {
          if (signal.aborted) learn({ ...cutShort, error: errorLine(thrown) }, log);
          throw thrown;
        });
        learn(made, log);
        return made;
      } finally {
        if (isTry) isTrying = false;
        places.giveBack();
      }
    },
  };
}

/** So many places; who finds none waits, first come, first served. */
function openPlaces(count: number) {
  const waiting = new Set<() => void>();
  let free = count;

  async function take(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (free > 0) {
      free -= 1;
      return;
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const giveUp = (): void => {
      waiting.delete(resolve);
      reject(signal.reason);
    };
    signal.addEventListener("abort", giveUp, { once: true });
    waiting.add(resolve);
    await promise;
    signal.removeEventListener("abort", giveUp);
  }

  function giveBack(): void {
    const [next] = waiting;
    if (next === undefined) {
      free += 1;
    } else {
      waiting.delete(next);
      next();
    }
  }

  return { take, giveBack };
}
