/**
 * One attempt to deliver: a POST with a time limit, and what its answer means for the next one.
 *
 * The rule is DECNET's: 2xx is success; a network error, 429 and 5xx may go better another time; anything else is
 * final, redirects and refused addresses among it.
 */
import { errorLine } from "../errors.ts";
import type { SignedDelivery } from "../signature/sign.ts";
import type { Post } from "./post.ts";
import { AddressRefused } from "./safe-address.ts";

export type Attempt = {
  readonly verdict: "delivered" | "retryable" | "final";
  /** null: there was no answer. */
  readonly statusCode: number | null;
  /** null when it was delivered. Holds no more of the URL than its host. */
  readonly error: string | null;
  /** What the answer's Retry-After asks for, up to a minute; 0 without one. */
  readonly retryAfterMilliseconds: number;
};

/** How long DECNET waits for an answer, its last byte included. */
export const defaultTimeoutMilliseconds = 10_000;
/** Nobody can make us wait longer. */
const maxRetryAfterMilliseconds = 60_000;

type Limits = {
  readonly timeoutMilliseconds: number;
  /** Aborted when nobody waits for the delivery any more; then its reason is thrown. */
  readonly signal: AbortSignal | undefined;
  /** The clock that a Retry-After with a date is measured by. */
  readonly now: () => Date;
};

/** @throws the signal's reason, and nothing else: whatever goes wrong is in what is returned */
export async function attempt(
  { url, headers, body }: SignedDelivery,
  post: Post,
  { timeoutMilliseconds, signal, now }: Limits,
): Promise<Attempt> {
  const alarm = new AbortController();
  const timer = setTimeout(() => alarm.abort(), timeoutMilliseconds);
  const ended = signal === undefined ? alarm.signal : AbortSignal.any([alarm.signal, signal]);
  try {
    const init = {
      method: "POST",
      headers: { ...headers },
      body,
      redirect: "manual",
      signal: ended,
    } as const;
    const answer = await post(url, init);
    await answer.text();
    return judge(answer.status, answer.headers.get("retry-after"), now);
  } catch (thrown) {
    signal?.throwIfAborted();
    const verdict = thrown instanceof AddressRefused ? "final" : "retryable";
    const error = alarm.signal.aborted ? `no answer within ${timeoutMilliseconds / 1000} s` : reason(thrown);
    return { verdict, statusCode: null, error, retryAfterMilliseconds: 0 };
  } finally {
    clearTimeout(timer);
  }
}

function judge(statusCode: number, retryAfter: string | null, now: () => Date): Attempt {
  if (statusCode >= 200 && statusCode <= 299)
    return { verdict: "delivered", statusCode, error: null, retryAfterMilliseconds: 0 };
  const isRetryable = statusCode === 429 || (statusCode >= 500 && statusCode <= 599);
  if (!isRetryable)
    return { verdict: "final", statusCode, error: `non-retryable ${statusCode}`, retryAfterMilliseconds: 0 };
  const asked = retryAfter === null ? 0 : readRetryAfter(retryAfter, now());
  const retryAfterMilliseconds = Math.min(Math.max(asked, 0), maxRetryAfterMilliseconds);
  return { verdict: "retryable", statusCode, error: `status ${statusCode}`, retryAfterMilliseconds };
}

/** RFC 9110 §10.2.3: seconds, or a date. What is neither asks for nothing. */
function readRetryAfter(text: string, now: Date): number {
  if (/^\d+$/.test(text)) return Number(text) * 1000;
  // RFC 9110 §5.6.7: every HTTP date that is still written names its zone, and that is GMT.
  const at = text.endsWith(" GMT") ? Date.parse(text) : Number.NaN;
  return Number.isNaN(at) ? 0 : at - now.getTime();
}

/** `fetch` wraps what happened, and the error of several refused connections has a code and no message. */
function reason(thrown: unknown): string {
  const { cause, code } = (thrown ?? {}) as { cause?: unknown; code?: unknown };
  if (cause !== undefined) return reason(cause);
  return errorLine(thrown) || String(code);
}
