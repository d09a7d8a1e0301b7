/**
 * A handler that sends the event on to another URL, signed anew or just as it came:
 *
 *     "*": forward({ url: "https://internal.example/webhook", secret: process.env.INTERNAL_SECRET })
 *
 * One attempt in each run of its job: the inbox repeats it, and survives a restart. Every answer but 2xx is a
 * failure that is tried again, 404 too: that is what a gateway says while the receiver behind it restarts. Only
 * what can never be sent is dead at once. The body is the same in every attempt, for receivers that know a repeat
 * by it. How many requests a target gets, and when it gets none, is in `target.ts`.
 */
import type { IncomingHttpHeaders } from "node:http";
import { errorLine } from "../errors.ts";
import { Hopeless } from "../process/failure.ts";
import type { Handler } from "../process/handlers.ts";
import { matchesPattern, patternFault } from "../process/pattern.ts";
import { senderNamed } from "../senders/table.ts";
import { isPrivateAllowed } from "../settings/allow-private.ts";
import type { WebhookEvent } from "../signature/event.ts";
import { keyExpectations, readSigningKey } from "../signature/key.ts";
import { looksLikeJson } from "../signature/payload.ts";
import { type SignedDelivery, sign } from "../signature/sign.ts";
import { attempt, defaultTimeoutMilliseconds } from "./attempt.ts";
import { canonicalJson } from "./canonical.ts";
import { checkHeader, decnetBody, readTextKey, signDecnet } from "./deliver.ts";
import { type Post, sharedPost } from "./post.ts";
import { checkLiteral, parseTarget } from "./safe-address.ts";
import { type Target, targetOf } from "./target.ts";

/**
 * decnet               DECNET's form. Id and topic are those of the event, its payload is the payload; what came
 *                      from DECNET has that form already and keeps its bytes.
 * standard-webhooks    { type, timestamp, data }, as that specification recommends
 * original             the bytes and headers that came, the first sender's signature among them; one that also
 *                      signs the URL (Twilio, Square, HubSpot) does not hold elsewhere
 */
export type Form = "decnet" | "standard-webhooks" | "original";

export type ForwardOptions = {
  readonly url: string;
  /** What it is signed with, in the form of its kind (`whsec_…` for Standard Webhooks). "original" needs none. */
  readonly secret?: string | undefined;
  /** "decnet" unless said. */
  readonly as?: Form;
  /** Only these events, in the handlers' own words; all that reach the handler unless said. */
  readonly patterns?: readonly string[];
  /** Headers of one's own, beside those of the form or in place of them; not what belongs to the connection. */
  readonly headers?: Readonly<Record<string, string>>;
  /** How long to wait for an answer; 10 unless said. */
  readonly timeoutSeconds?: number;
  /** Opens this machine and private networks for this one; WEBHOOK_ALLOW_PRIVATE unless said. */
  readonly allowPrivate?: boolean;
};

const optionNames = ["url", "secret", "as", "patterns", "headers", "timeoutSeconds", "allowPrivate"];
/** Longer than any receiver should take, and shorter than the handler's own limit. */
const maxTimeoutSeconds = 240;

type Shape = (event: WebhookEvent, receivedAt: Date) => SignedDelivery;

/**
 * @param parts other connections, another record of the target; for tests
 * @throws TypeError at once, when it could never work: no such URL, no secret, no such form or pattern
 */
export function forward(options: ForwardOptions, parts: { fetch?: Post; target?: Target } = {}): Handler {
  const { patterns = ["*"], allowPrivate = isPrivateAllowed() } = options;
  const url = orTypeError("forward", () => readUrl(options.url, allowPrivate));
  const { timeoutSeconds = defaultTimeoutMilliseconds / 1000 } = options;
  const shape = orTypeError(`forward to ${url.origin}`, () => {
    checkOptions(options, timeoutSeconds);
    checkPatterns(patterns);
    const own = readHeaders(options.headers ?? {});
    const shaped = readShape(options);
    return (event: WebhookEvent, receivedAt: Date) => {
      const request = shaped(event, receivedAt);
      return { ...request, headers: withHeaders(request.headers, own) };
    };
  });
  const { fetch = sharedPost(allowPrivate), target = targetOf(url) } = parts;

  return async (event, { receivedAt, signal, log }) => {
    if (!patterns.some((pattern) => matchesPattern(pattern, event.type))) return;
    const request = orHopeless(() => shape(event, receivedAt));
    const now = () => new Date();
    const limits = { timeoutMilliseconds: timeoutSeconds * 1000, signal, now };
    const made = await target.attempt(() => attempt(request, fetch, limits), signal, log);
    const { verdict, statusCode, error } = made;
    if (verdict === "delivered") return log.info("forwarded", { to: url.origin, status: statusCode });
    if (statusCode !== null) throw new Error(`${url.origin} answered ${statusCode}`);
    // Final without an answer: its address is refused.
    throw new (verdict === "final" ? Hopeless : Error)(`${url.origin}: ${error}`);
  };
}

function readUrl(text: string, allowPrivate: boolean): URL {
  const url = parseTarget(text);
  if (!allowPrivate) checkLiteral(url);
  return url;
}

/** An option that is passed over in silence is taken for one that works. */
function checkOptions(options: ForwardOptions, timeoutSeconds: number): void {
  const unknown = Object.keys(options).find((name) => !optionNames.includes(name));
  if (unknown !== undefined) throw new TypeError(`${unknown} is none of ${optionNames.join(", ")}`);
  if (!(timeoutSeconds > 0 && timeoutSeconds <= maxTimeoutSeconds))
    throw new TypeError(`timeoutSeconds: expected more than 0 and at most ${maxTimeoutSeconds}`);
  // A proxy would connect in place of this program, and to addresses that are refused here.
  if (process.env.NODE_USE_ENV_PROXY === "1")
    throw new TypeError(
      "NODE_USE_ENV_PROXY=1 would send it through a proxy, which is not supported: unset it",
    );
}

/** @returns the headers by their names in lower case; no error shows a value */
function readHeaders(
  headers: Readonly<Record<string, string>>,
): ReadonlyMap<string, [name: string, value: string]> {
  return new Map(
    Object.entries(headers).map(([name, value]) => {
      const lower = name.toLowerCase();
      if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name)) throw new TypeError("headers: a name is no header's name");
      if (hopByHop.has(lower)) throw new TypeError(`headers: ${name} belongs to the connection`);
      if (typeof value !== "string") throw new TypeError(`headers: ${name} is not a text`);
      checkHeader(`header ${name}`, value);
      return [lower, [name, value]];
    }),
  );
}

function withHeaders(
  headers: Readonly<Record<string, string>>,
  own: ReadonlyMap<string, [name: string, value: string]>,
): Record<string, string> {
  const others = Object.entries(headers).filter(([name]) => !own.has(name.toLowerCase()));
  return Object.fromEntries([...others, ...own.values()]);
}

function checkPatterns(patterns: readonly string[]): void {
  if (patterns.length === 0) throw new TypeError("patterns is empty: nothing would be sent");
  for (const pattern of patterns) {
    const fault = patternFault(pattern);
    if (fault !== undefined) throw new TypeError(`pattern ${JSON.stringify(pattern)}: ${fault}`);
  }
}

function readShape({ url, secret = "", as = "decnet" }: ForwardOptions): Shape {
  switch (as) {
    case "decnet":
      return decnetShape(url, secret);
    case "standard-webhooks":
      return standardShape(url, secret);
    case "original":
      return ({ headers, body }) => ({ url, headers: endToEnd(headers), body });
    default:
      throw new TypeError(`as: expected decnet, standard-webhooks or original, not ${JSON.stringify(as)}`);
  }
}

function decnetShape(url: string, secret: string): Shape {
  const key = readTextKey(secret);
  return (event, receivedAt) => {
    const { id, type } = event;
    const wrap = () => {
      const ts = receivedAt.toISOString();
      return decnetBody({ id, ts, topic: type, type, payload: exactPayload(event) }, receivedAt);
    };
    const body = event.sender === "decnet" ? event.body : wrap();
    return signDecnet({ url, key, id, topic: type, body, now: new Date() });
  };
}

/** https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#payload-structure */
function standardShape(url: string, secret: string): Shape {
  const key = readSigningKey("whsec", secret);
  if (key === undefined) throw new TypeError(`the secret: expected ${keyExpectations.whsec}`);
  return (event, receivedAt) => {
    const { id, type } = event;
    checkHeader("id", id);
    const body = canonicalJson({ type, timestamp: receivedAt.toISOString(), data: exactPayload(event) });
    const contentType = "application/json";
    return sign(senderNamed("standard-webhooks"), key, { type, id, body, contentType, url, now: new Date() });
  };
}

/** RFC 9110 §7.6.1: these are between two neighbours, and so is what Connection names. */
const hopByHop = new Set([
  ...["connection", "proxy-connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"],
  ...["proxy-authenticate", "proxy-authorization", "http2-settings"],
  // Not hop-by-hop: the next request has a host and a length of its own, and waits for no 100 (§10.1.1).
  ...["host", "content-length", "expect"],
]);

function endToEnd(headers: IncomingHttpHeaders): Record<string, string> {
  const named = (headers.connection ?? "").split(",").map((name) => name.trim().toLowerCase());
  const left = Object.entries(headers).flatMap(([name, value]) =>
    value === undefined || hopByHop.has(name) || named.includes(name) ? [] : [[name, String(value)]],
  );
  return Object.fromEntries(left);
}

/** The payload with its long integers whole: `JSON.parse` alone makes 12345678901234567000 of 12345678901234567890. */
function exactPayload({ body, payload }: WebhookEvent): unknown {
  if (!looksLikeJson(body)) return payload;
  const json = body.toString("utf8").replace(/^\ufeff/, "");
  if (!/\d{16}/.test(json)) return payload;
  return JSON.parse(json, (_, value: unknown, context?: { source?: string }) => {
    const source = context?.source ?? "";
    const isLong = typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(source);
    return isLong ? BigInt(source) : value;
  });
}

/** No later attempt would be any different. */
function orHopeless<Result>(make: () => Result): Result {
  try {
    return make();
  } catch (thrown) {
    throw new Hopeless(`this event cannot be sent on: ${errorLine(thrown)}`);
  }
}

function orTypeError<Result>(what: string, make: () => Result): Result {
  try {
    return make();
  } catch (thrown) {
    throw new TypeError(`${what}: ${errorLine(thrown)}`);
  }
}
