/**
 * Finds the handler that a stray error belongs to: a promise that was not awaited, a callback that throws later.
 *
 * Node reports such an error for the whole process, and would end it: all deliveries in flight pay for one forgotten
 * `await`. AsyncLocalStorage knows in whose call it began, so it fails that one job, and the receiver goes on.
 * https://nodejs.org/api/async_context.html#class-asynclocalstorage
 */
import { AsyncLocalStorage } from "node:async_hooks";

const onStray = new AsyncLocalStorage<(thrown: unknown) => void>();

/** Runs `work`; what goes astray in it, at any time, goes to `blame`. */
export function withBlame<Result>(blame: (thrown: unknown) => void, work: () => Result): Result {
  return onStray.run(blame, work);
}

/**
 * To be called where Node reports a stray error.
 * @returns false when it belongs to no handler
 */
export function findBlame(thrown: unknown): boolean {
  const blame = onStray.getStore();
  blame?.(thrown);
  return blame !== undefined;
}
