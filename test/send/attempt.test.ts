/** What an answer means: statuses, Retry-After, and the errors of a `Post` that is handed in. Servers: `deliver.test.ts`. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { attempt } from "../../lib/send/attempt.ts";
import type { Post } from "../../lib/send/post.ts";
import { AddressRefused } from "../../lib/send/safe-address.ts";

const now = new Date("2026-03-31T14:00:00.500Z");
const delivery = { url: "https://a.example/hook", headers: { "X-One": "1" }, body: Buffer.from("{}") };

const answering = (status: number, retryAfter: string | null = null): Post => {
  const get = (name: string) => (name === "retry-after" ? retryAfter : null);
  return async () => ({ status, headers: { get }, text: async () => "" });
};

const make = (post: Post, signal?: AbortSignal, timeoutMilliseconds = 10_000) =>
  attempt(delivery, post, { timeoutMilliseconds, signal, now: () => now });

for (const status of [200, 201, 202, 204, 226, 299]) {
  test(`${status} is success`, async () => {
    assert.deepEqual(await make(answering(status, "5")), {
      verdict: "delivered",
      statusCode: status,
      error: null,
      retryAfterMilliseconds: 0,
    });
  });
}

for (const status of [429, 500, 501, 502, 503, 504, 507, 599]) {
  test(`${status} is worth another attempt`, async () => {
    assert.deepEqual(await make(answering(status)), {
      verdict: "retryable",
      statusCode: status,
      error: `status ${status}`,
      retryAfterMilliseconds: 0,
    });
  });
}

for (const status of [
  199, 300, 301, 302, 304, 307, 308, 400, 401, 403, 404, 408, 410, 413, 422, 428, 430, 499, 600, 999,
]) {
  test(`${status} is final`, async () => {
    assert.deepEqual(await make(answering(status, "5")), {
      verdict: "final",
      statusCode: status,
      error: `non-retryable ${status}`,
      retryAfterMilliseconds: 0,
    });
  });
}

const retryAfters: [text: string, milliseconds: number][] = [
  ["0", 0],
  ["1", 1000],
  ["60", 60_000],
  ["61", 60_000],
  ["999999999999999999999999", 60_000],
  ["Tue, 31 Mar 2026 14:00:10 GMT", 9500],
  ["Tuesday, 31-Mar-26 14:00:10 GMT", 9500],
  ["Tue, 31 Mar 2026 14:01:00 GMT", 59_500],
  ["Tue, 31 Mar 2026 15:00:00 GMT", 60_000],
  ["Tue, 31 Mar 2026 14:00:00 GMT", 0],
  ["Thu, 01 Jan 1970 00:00:00 GMT", 0],
  ["Someday GMT", 0],
  ["2026-03-31T14:00:10Z", 0],
  ["-5", 0],
  ["1.5", 0],
  ["1e3", 0],
  ["0x10", 0],
  ["5, 6", 0],
  ["", 0],
  ["soon", 0],
];
for (const [text, milliseconds] of retryAfters) {
  test(`Retry-After: ${text} asks for ${milliseconds} ms`, async () => {
    for (const status of [429, 503])
      assert.equal((await make(answering(status, text))).retryAfterMilliseconds, milliseconds);
  });
}

const network: [what: string, thrown: unknown, error: string][] = [
  [
    "an error with a message",
    new Error("connect ECONNREFUSED 192.0.2.1:80"),
    "connect ECONNREFUSED 192.0.2.1:80",
  ],
  ["one of several lines", new Error("first\nsecond"), "first"],
  [
    "what fetch throws",
    new TypeError("fetch failed", { cause: new Error("getaddrinfo ENOTFOUND a.example") }),
    "getaddrinfo ENOTFOUND a.example",
  ],
  [
    "several refused connections",
    Object.assign(new AggregateError([new Error("1"), new Error("2")]), { code: "ECONNREFUSED" }),
    "ECONNREFUSED",
  ],
  ["a text", "words", "words"],
  ["nothing", undefined, "undefined"],
];
for (const [what, thrown, error] of network) {
  test(`${what} is worth another attempt, and is told as ${JSON.stringify(error)}`, async () => {
    assert.deepEqual(await make(() => Promise.reject(thrown)), {
      verdict: "retryable",
      statusCode: null,
      error,
      retryAfterMilliseconds: 0,
    });
  });
}

test("a refused address is final", async () => {
  const refusal = new AddressRefused("refused to call 10.0.0.1: it is in a private network (RFC 1918)");
  const { verdict, statusCode, error } = await make(() => Promise.reject(refusal));
  assert.deepEqual([verdict, statusCode, error], ["final", null, refusal.message]);
});

test("the text of the answer is read, and is within the time limit", async () => {
  const post: Post = async (_, { signal }) => ({
    status: 200,
    headers: { get: () => null },
    text: () => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
  });
  assert.deepEqual(await make(post, undefined, 20), {
    verdict: "retryable",
    statusCode: null,
    error: "no answer within 0.02 s",
    retryAfterMilliseconds: 0,
  });
});

test("the signal's reason is thrown, whatever the request threw", async () => {
  const reason = new Error("the receiver is shutting down");
  const controller = new AbortController();
  const post: Post = () => {
    controller.abort(reason);
    return Promise.reject(new Error("socket hang up"));
  };
  await assert.rejects(make(post, controller.signal), reason);
});

test("the request is a POST of the delivery that follows no redirect", async () => {
  const asked: unknown[] = [];
  await make(async (url, { signal: _, ...init }) => {
    asked.push(url, init);
    return answering(200)(url, { signal: _, ...init });
  });
  const { url, headers, body } = delivery;
  assert.deepEqual(asked, [url, { method: "POST", headers, body, redirect: "manual" }]);
});
