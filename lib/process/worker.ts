/**
 * Runs the jobs: claims what is due, calls the handler, and says how it went: done, again later, or dead.
 *
 * A handler may throw at once, reject, throw a string, never return, or end the process. Whatever it does, its job
 * stays in the inbox until it is done or dead. When the receiver ends without a word, another one on the same file, or
 * the next start, takes its jobs over (the heartbeat is the inbox's).
 */
import { setTimeout as sleep } from "node:timers/promises";
import { errorLine } from "../errors.ts";
import type { Job } from "../keep/sqlite/inbox.ts";
import type { Store } from "../keep/sqlite/store.ts";
import { type Log, stackOf } from "../log.ts";
import { splitTypes, type WebhookEvent } from "../signature/event.ts";
import { parsePayload } from "../signature/payload.ts";
import { backoffMilliseconds } from "./backoff.ts";
import { withBlame } from "./blame.ts";
import { Hopeless, Postponed } from "./failure.ts";
import type { ReadyHandler, ReadyHandlers } from "./loader.ts";

export type JobWorker = {
  /** There may be something to do. */
  poke(): void;
  /**
   * Claims nothing more and waits for what runs. Then the handlers are told to stop (`signal`), and after a last
   * moment what still runs is given back to the inbox as if it had never begun.
   */
  stop(deadlineSeconds: number): Promise<void>;
};

type Options = { readonly concurrency: number };

/** Other processes put jobs into the file too (`replay`, a second receiver): look for them this often. */
const lookMilliseconds = 1000;
/** How long handlers have after they were told to stop. */
const lastMomentMilliseconds = 1000;
const maxErrorCharacters = 4000;

export function openWorker(
  store: Store,
  handlers: ReadyHandlers,
  log: Log,
  { concurrency }: Options,
): JobWorker {
  const { owner } = store;
  const names = [...handlers.keys()];
  const running = new Map<Promise<void>, AbortController>();
  /** Why the inbox does not answer; said once, and not each second. */
  let failing: string | undefined;
  let isClaiming = false;
  let claiming: Promise<void> | undefined;
  let isPoked = false;
  let isStopping = false;
  let timer: NodeJS.Timeout | undefined;
  store.onFreedJobs((jobs) => {
    log.warn("took over the jobs of a receiver that has ended", { jobs });
    poke();
  });

  /** The disk may say no at any time. Then the job stays where it is, and the next look tries again. */
  async function guard(work: () => Promise<void>): Promise<void> {
    try {
      await work();
      failing = undefined;
    } catch (thrown) {
      const why = errorLine(thrown);
      if (failing !== why) log.error("the inbox does not answer", { why });
      failing = why;
    }
  }

  function poke(): void {
    isPoked = true;
    if (!isClaiming && !isStopping) claiming = guard(fill);
  }

  /** Claims until nothing is due or every place is taken. */
  async function fill(): Promise<void> {
    isClaiming = true;
    let waitMilliseconds = lookMilliseconds;
    try {
      while (isPoked && !isStopping && running.size < concurrency) {
        isPoked = false;
        const now = Date.now();
        const { jobs, nextAttemptAt } = await store.claim(owner, names, concurrency - running.size, now);
        if (isStopping) return; // stop() gives them back
        for (const job of jobs) start(job);
        if (nextAttemptAt !== null)
          waitMilliseconds = Math.min(lookMilliseconds, Math.max(1, nextAttemptAt - now));
      }
    } finally {
      isClaiming = false;
      clearTimeout(timer);
      if (!isStopping) timer = setTimeout(poke, waitMilliseconds);
    }
  }

  function start(job: Job): void {
    const controller = new AbortController();
    const ended = guard(() => attempt(job, controller)).then(() => {
      running.delete(ended);
      poke();
    });
    running.set(ended, controller);
  }

  async function attempt(job: Job, controller: AbortController): Promise<void> {
    const handler = handlers.get(job.handler);
    if (handler === undefined) throw new TypeError(`claimed a job of ${job.handler}, which is not a handler`);
    const bound = log.with({ handler: job.handler, event: job.event, id: job.id });
    const limit = handler.retries + 1;
    // More than the limit: its process ended in every attempt, before it could be told.
    const failure =
      job.attempt > limit
        ? { thrown: new Error("ended the process in its last attempt") }
        : await shown(job.handler, () =>
            call(handler, job, controller, bound, (thrown) => failLater(job, thrown, bound)),
          );
    if (isStopping && controller.signal.aborted && failure !== undefined) return; // given back by stop()

    const now = Date.now();
    if (failure === undefined) return finish(job, { state: "done" }, now, bound);
    const { thrown } = failure;
    // Not logged: whoever postpones thousands of jobs every half minute says once why.
    if (thrown instanceof Postponed)
      return finish(job, { state: "postponed", nextAttemptAt: now + thrown.milliseconds }, now, bound);
    const error = stackOf(thrown).slice(0, maxErrorCharacters);
    if (job.attempt >= limit || thrown instanceof Hopeless) {
      bound.error("handler failed for good; the job is dead", { attempt: job.attempt, stack: error });
      return finish(job, { state: "dead", error }, now, bound);
    }
    const delay = backoffMilliseconds(job.attempt, Math.random());
    bound.warn("handler failed", {
      attempt: job.attempt,
      againInSeconds: Math.round(delay / 100) / 10,
      stack: error,
    });
    return finish(job, { state: "pending", error, nextAttemptAt: now + delay }, now, bound);
  }

  /** A promise that the handler has not awaited was rejected after it had returned: the job was not done after all. */
  function failLater(job: Job, thrown: unknown, bound: Log): void {
    const error = `not awaited: ${stackOf(thrown)}`.slice(0, maxErrorCharacters);
    bound.error("a handler's work failed after it had returned: is an await missing?", { stack: error });
    const nextAttemptAt = Date.now() + backoffMilliseconds(job.attempt, Math.random());
    void guard(() => store.failDone(job.job, error, nextAttemptAt));
  }

  async function shown<Result>(handler: string, work: () => Promise<Result>): Promise<Result> {
    store.showRunning(handler, 1);
    try {
      return await work();
    } finally {
      store.showRunning(handler, -1);
    }
  }

  async function finish(
    job: Job,
    how: Parameters<Store["finish"]>[2],
    now: number,
    bound: Log,
  ): Promise<void> {
    // The place stays taken until the disk has said yes: a job that cannot be marked must not run again and again.
    for (let pauseMilliseconds = 500; ; pauseMilliseconds = Math.min(30_000, pauseMilliseconds * 2)) {
      try {
        const isOurs = await store.finish(owner, job.job, how, now);
        if (!isOurs) bound.warn("another receiver has taken this job over meanwhile");
        return;
      } catch (thrown) {
        if (isStopping) throw thrown;
        bound.error("cannot mark the job; trying again", { state: how.state, why: errorLine(thrown) });
        await sleep(pauseMilliseconds, undefined, { ref: false });
      }
    }
  }

  async function stop(deadlineSeconds: number): Promise<void> {
    isStopping = true;
    const tellAt = performance.now() + deadlineSeconds * 1000 - lastMomentMilliseconds;
    clearTimeout(timer);
    await claiming;
    await settled(tellAt - performance.now());
    for (const controller of running.values()) controller.abort(new Error("the receiver is shutting down"));
    await settled(lastMomentMilliseconds);
    const jobs = running.size;
    if (jobs > 0)
      log.warn("handlers were still running; their jobs run again after the next start", { jobs });
    await guard(() => store.release(owner, Date.now()));
  }

  async function settled(milliseconds: number): Promise<void> {
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const alarm = setTimeout(resolve, Math.max(0, milliseconds));
    await Promise.race([late, Promise.all(running.keys())]);
    clearTimeout(alarm);
  }

  return { poke, stop };
}

/** A handler past its time limit is named again this often. */
const overrunMilliseconds = 60_000;

/**
 * Calls the handler and waits until it has really ended, also past its time limit: its place and its order key stay taken,
 * so it never runs beside itself.
 * @param failLater told what goes astray after the handler has returned
 * @returns what it threw (which may be anything), or undefined
 */
async function call(
  { handle, timeoutSeconds }: ReadyHandler,
  job: Job,
  controller: AbortController,
  log: Log,
  failLater: (thrown: unknown) => void,
): Promise<{ thrown: unknown } | undefined> {
  const startedAt = performance.now();
  const { promise: strayed, reject } = Promise.withResolvers<never>();
  strayed.catch(() => {});
  let blame: (thrown: unknown) => void = reject;
  let timedOut: Error | undefined;
  const isLate = (): void => {
    timedOut ??= new Error(`timed out after ${timeoutSeconds} s`);
    controller.abort(timedOut);
    const seconds = Math.round((performance.now() - startedAt) / 1000);
    log.warn("the handler is past its time limit and has not ended: its place stays taken", { seconds });
    timer = setTimeout(isLate, overrunMilliseconds).unref();
  };
  let timer = setTimeout(isLate, timeoutSeconds * 1000).unref(); // it alone keeps no process alive
  try {
    const { signal } = controller;
    const context = { attempt: job.attempt, receivedAt: new Date(job.receivedAt), signal, log };
    const handled = withBlame(
      (thrown) => blame(thrown),
      async () => handle(eventOf(job), context),
    );
    await Promise.race([strayed, handled]);
    return timedOut === undefined ? undefined : { thrown: timedOut };
  } catch (thrown) {
    return { thrown: timedOut ?? thrown };
  } finally {
    blame = failLater;
    clearTimeout(timer);
  }
}

/** The event as it was when it came in: parsed again from the same bytes. */
export function eventOf(job: Omit<Job, "job" | "handler" | "attempt" | "receivedAt">): WebhookEvent {
  const headers = JSON.parse(job.headers) as WebhookEvent["headers"];
  const body = Buffer.from(job.body.buffer, job.body.byteOffset, job.body.byteLength);
  const payload = parsePayload(body, job.form ?? undefined);
  return {
    source: job.source,
    sender: job.sender,
    type: job.event,
    types: splitTypes(job.event),
    id: job.id,
    payload,
    body,
    headers,
  };
}
