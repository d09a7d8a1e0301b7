/**
 * `send`: plays a sender. It signs as any row of the table does, posts to a URL, and shows the answer.
 *
 * The person who types the URL aims by hand, mostly at 127.0.0.1, so addresses of this machine and of private
 * networks are open here. There are no retries, and redirects are shown and not followed. `send test` is the
 * synthetic event with which DECNET tries out a subscription.
 */
import { randomUUID } from "node:crypto";
import { constants } from "node:os";
import { OperatorError } from "../errors.ts";
import { printable } from "../log.ts";
import { attempt } from "../send/attempt.ts";
import { deliver } from "../send/deliver.ts";
import { openPost, type Post } from "../send/post.ts";
import { largestMaxBodyBytes } from "../settings/settings.ts";
import { counted, readEnvironment } from "./arguments.ts";
import type { ExitCode } from "./command.ts";
import { readInput } from "./input.ts";
import { help, type Order, readOrder } from "./order.ts";
import { signedUrlFor, signOutgoing } from "./outgoing.ts";
import { openProgress } from "./progress.ts";
import { findSecret, findSender, findSigningKey } from "./secrets.ts";
import { nameOf, openTally, type RequestOutcome } from "./tally.ts";

/** Enough of an answer to see what it says. */
const maxShownCharacters = 2000;

/** Posts a delivery with this id once. @throws the signal's reason */
type Shoot = (id: string, post: Post, signal: AbortSignal) => Promise<RequestOutcome>;

/**
 * @param write takes the text for stdout; the progress bar goes to stderr when that is a terminal
 * @param now the clock, in a parameter so that tests can stop it
 * @returns the exit code
 * @throws OperatorError
 */
export async function send(
  argv: readonly string[],
  environment: NodeJS.ProcessEnv,
  write: (text: string) => void,
  now: () => Date = () => new Date(),
): Promise<ExitCode> {
  const order = readOrder(argv);
  if (order === undefined) {
    write(help);
    return 0;
  }
  readEnvironment({ "env-file": order.envFile }, environment);
  const { event } = order;
  const shoot =
    event === undefined ? testOf(order, environment, now) : await deliveryOf(order, event, environment, now);
  const { post, close } = openPost({ allowPrivate: true });
  const posting: Post = (url, init) => post(url, { ...init, headers: { ...init.headers, ...order.headers } });
  try {
    return order.repeat === undefined
      ? await sendOne(shoot, posting, order, write)
      : await sendMany(shoot, posting, { count: order.repeat, lanes: order.concurrency }, write);
  } finally {
    close();
  }
}

// ---- What is posted ----

async function deliveryOf(
  order: Order,
  type: string,
  environment: NodeJS.ProcessEnv,
  now: () => Date,
): Promise<Shoot> {
  const { to, file, id: givenId, timeoutMilliseconds } = order;
  const sender = findSender(order.sender, environment);
  if (givenId !== undefined && sender.id.length === 0)
    throw new OperatorError(`--id: ${sender.title} gives its deliveries none`, 2);
  const key = findSigningKey(order.sender, sender, order.secretFrom, environment);
  const outgoing = {
    sender,
    key,
    type,
    body: file === undefined ? undefined : await readInput(file, largestMaxBodyBytes),
    idInBody: givenId === undefined && order.repeat === undefined ? "as it is" : "set",
    to,
    signedUrl: order.url ?? signedUrlFor(to, sender, environment),
  } as const;
  signOutgoing(outgoing, randomUUID(), now()); // what cannot be signed is refused before anything is posted
  return async (id, post, signal) => {
    const request = signOutgoing(outgoing, id, now());
    const { verdict, statusCode, error } = await attempt(request, post, { timeoutMilliseconds, signal, now });
    return { isDelivered: verdict === "delivered", statusCode, error };
  };
}

/** DECNET's `POST /webhooks/{uuid}/test`: one attempt, in the form of all its deliveries. */
function testOf(order: Order, environment: NodeJS.ProcessEnv, now: () => Date): Shoot {
  const { text: secret } = findSecret("decnet", order.secretFrom, environment);
  const subscription = { url: order.to, secret, allowPrivate: true };
  const payload = { message: "Synthetic test event", triggered_by: "webhook-receiver" };
  return async (id, fetch, signal) => {
    const event = { id, topic: "test.ping", type: "test", payload };
    const options = { retrySchedule: [], timeoutMs: order.timeoutMilliseconds, fetch, signal, now };
    const { ok, statusCode, error } = await deliver(subscription, event, options);
    return { isDelivered: ok, statusCode, error };
  };
}

// ---- Posting ----

type Shot = {
  readonly outcome: RequestOutcome;
  readonly milliseconds: number;
  readonly bytes: number;
  readonly answer: string;
  readonly location: string | null;
};

/** Posts one delivery, and looks at what goes out and comes back. */
async function fire(shoot: Shoot, id: string, post: Post, signal: AbortSignal): Promise<Shot> {
  const seen = { bytes: 0, startedAt: performance.now(), answer: "", location: null as string | null };
  const outcome = await shoot(
    id,
    async (url, init) => {
      seen.bytes = init.body.length;
      seen.startedAt = performance.now();
      const answer = await post(url, init);
      seen.answer = await answer.text();
      seen.location = answer.headers.get("location");
      return answer;
    },
    signal,
  );
  return { outcome, milliseconds: performance.now() - seen.startedAt, ...seen };
}

async function sendOne(
  shoot: Shoot,
  post: Post,
  { event = "test.ping", to, id = randomUUID() }: Order,
  write: (text: string) => void,
): Promise<ExitCode> {
  const shot = await fire(shoot, id, post, new AbortController().signal);
  const { outcome, milliseconds, bytes, answer, location } = shot;
  const lines = [
    `sent ${event}, ${counted(bytes, "byte")}, to ${to}`,
    `${nameOf(outcome)}, after ${milliseconds.toFixed(1)} ms`,
    ...(location === null ? [] : [`not followed: ${location}`]),
    ...shownLines(answer),
  ];
  write(`${lines.map(printable).join("\n")}\n`);
  return outcome.isDelivered ? 0 : 1;
}

/** What comes from outside is indented, so that it can pass for none of our own lines. */
function shownLines(answer: string): string[] {
  if (answer === "") return [];
  const shown = answer.slice(0, maxShownCharacters).trimEnd().split(/\r?\n/);
  const rest = answer.length - maxShownCharacters;
  if (rest > 0) shown.push(`… and ${rest} more characters`);
  return shown.map((line) => `  ${line}`);
}

/** Ctrl+C ends what is on its way, and shows the summary of what had come back. */
async function sendMany(
  shoot: Shoot,
  post: Post,
  { count, lanes }: { readonly count: number; readonly lanes: number },
  write: (text: string) => void,
): Promise<ExitCode> {
  const interruption = new AbortController();
  const { signal } = interruption;
  const interrupt = () => interruption.abort();
  process.on("SIGINT", interrupt);
  const tally = openTally();
  const progress = openProgress(process.stderr, count, 1);
  const startedAt = performance.now();
  let begun = 0;
  async function lane(): Promise<void> {
    while (begun < count && !signal.aborted) {
      begun += 1;
      const { outcome, milliseconds } = await fire(shoot, randomUUID(), post, signal);
      tally.add(outcome, milliseconds);
      progress.show(tally.done);
    }
  }
  try {
    await Promise.all(Array.from({ length: Math.min(lanes, count) }, lane));
  } catch (thrown) {
    if (!signal.aborted) throw thrown;
  } finally {
    process.off("SIGINT", interrupt);
    progress.clear();
  }
  const lines = tally.lines((performance.now() - startedAt) / 1000);
  if (signal.aborted) lines.push(`interrupted: ${count - tally.done} were not sent, or got no answer`);
  write(`${lines.map(printable).join("\n")}\n`);
  if (signal.aborted) return 128 + constants.signals.SIGINT;
  return tally.isAllDelivered ? 0 : 1;
}
