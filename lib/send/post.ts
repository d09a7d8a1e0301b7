/**
 * One POST, in the shape of `fetch`: status, headers and text of the answer, or an error when there was none.
 *
 * Why not `fetch` itself? It cannot be told which addresses it may connect to. Here Node's own agents do it:
 * their `lookup` is the one of `safe-address.ts`, and they keep connections open for the next delivery. `Host` and
 * the TLS server name stay those of the URL. Redirects are answers like others (RFC 9110 §15.4): following one
 * would send a signed body to where its receiver never asked for it. A POST that failed is never silently sent
 * again (RFC 9110 §9.2.2); whether it is worth another attempt is for the caller to say.
 */
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { checkedLookup, checkLiteral, parseTarget, plainLookup, type Resolve } from "./safe-address.ts";

/** The part of `fetch` that is used for sending; `globalThis.fetch` is one, without any check of addresses. */
export type Post = (url: string, init: PostInit) => Promise<PostAnswer>;
export type PostInit = {
  readonly method: "POST";
  readonly headers: Record<string, string>;
  readonly body: Buffer;
  readonly redirect: "manual";
  /** Ends the request: the connecting, the sending, and the reading of the answer. */
  readonly signal: AbortSignal;
};
export type PostAnswer = {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  /** To be called even when nobody needs the text: a real `fetch` holds its connection until then. */
  text(): Promise<string>;
};

/** What a receiver answers is read by a person, if by anybody. */
const maxAnswerBytes = 64 * 1024;
/** Shorter than servers keep an idle connection: Node's own 5 s, others a minute. */
const idleMilliseconds = 4000;
/** A connection is not used for longer: an address that has moved is looked up again, however steady the traffic. */
export const maxConnectionMilliseconds = 10_000;

type Options = {
  /** True opens loopback, private and all other addresses. */
  readonly allowPrivate: boolean;
  /** All addresses of a name; the system's resolver unless said. */
  readonly resolve?: Resolve;
  /** A clock in milliseconds that is never set back. */
  readonly now?: () => number;
};

/** Does not keep a connection that is too old. https://nodejs.org/api/http.html#agentkeepsocketalivesocket */
function limitAge(agent: HttpAgent | HttpsAgent, now: () => number): void {
  const bornAt = new WeakMap<object, number>();
  const keep = agent.keepSocketAlive.bind(agent);
  agent.keepSocketAlive = (socket) => {
    const born = bornAt.get(socket) ?? now();
    bornAt.set(socket, born);
    return now() - born < maxConnectionMilliseconds && keep(socket);
  };
}

/**
 * A `Post` with a pool of connections of its own. Idle ones keep no process alive.
 * It rejects with an AddressRefused, with the signal's reason, or with Node's error of the connection.
 */
export function openPost({ allowPrivate, resolve, now = () => performance.now() }: Options): {
  post: Post;
  close(): void;
} {
  const lookup = allowPrivate ? plainLookup(resolve) : checkedLookup(resolve);
  const options = { keepAlive: true, timeout: idleMilliseconds, lookup };
  const plainAgent = new HttpAgent(options);
  const secureAgent = new HttpsAgent(options);
  for (const agent of [plainAgent, secureAgent]) limitAge(agent, now);

  async function post(url: string, { headers, body, signal }: PostInit): Promise<PostAnswer> {
    const target = parseTarget(url);
    if (!allowPrivate) checkLiteral(target);
    const isSecure = target.protocol === "https:";
    const request = (isSecure ? httpsRequest : httpRequest)(target, {
      method: "POST",
      headers: { ...headers, "Content-Length": String(body.length) },
      agent: isSecure ? secureAgent : plainAgent,
      signal,
    });
    const { promise: responded, resolve: respond, reject } = Promise.withResolvers<IncomingMessage>();
    request.on("response", respond);
    request.on("error", reject); // stays: an error can come after the answer's head too
    // Node ends a request without an error when the answer wants to speak another protocol (101).
    request.on("close", () => reject(new Error("the connection ended without an answer")));
    request.end(body);
    try {
      const response = await responded;
      const text = await readStart(response);
      const all = new Map(Object.entries(response.headersDistinct)); // a plain object has a `constructor` too
      const get = (name: string) => all.get(name.toLowerCase())?.join(", ") ?? null;
      return { status: response.statusCode ?? 0, headers: { get }, text: async () => text };
    } catch (thrown) {
      throw signal.aborted ? signal.reason : thrown;
    }
  }

  function close(): void {
    plainAgent.destroy();
    secureAgent.destroy();
  }

  return { post, close };
}

/** The answer's first 64 KiB. One that is longer costs its connection: it could go on for ever. */
async function readStart(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > maxAnswerBytes) break; // leaving the loop destroys the stream
  }
  return Buffer.concat(chunks).subarray(0, maxAnswerBytes).toString("utf8");
}

const shared = { public: openPost({ allowPrivate: false }), any: openPost({ allowPrivate: true }) };

/** The program's own connections, for whoever has no reason to have some to themselves. */
export function sharedPost(allowPrivate: boolean): Post {
  return (allowPrivate ? shared.any : shared.public).post;
}
