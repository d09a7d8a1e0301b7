/**
 * When to try again: exponential backoff with full jitter.
 * https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 */
import { longestDelayMilliseconds } from "../keep/sqlite/inbox.ts";

/** The first delay is between 0 and this, so about 1 second. */
const firstSeconds = 2;
const longestSeconds = longestDelayMilliseconds / 1000;

/**
 * @param attempt the one that has failed, from 1
 * @param random from 0 up to and without 1
 * @returns milliseconds, a whole number
 */
export function backoffMilliseconds(attempt: number, random: number): number {
  const ceiling = Math.min(longestSeconds, firstSeconds * 2 ** (attempt - 1));
  return Math.floor(random * ceiling * 1000);
}
