/**
 * What goes back to the sender: an `Answer`, complete before its first byte is written.
 *
 * A refusal becomes a problem document (RFC 9457). Its words come from the table in `refusal.ts`, so an answer
 * never says more than that table does.
 */
import { STATUS_CODES } from "node:http";
import type { Refusal } from "../refusal.ts";

export type Answer = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
};

/** When to come back after a 503: a restart, or a moment of too much memory, takes seconds. */
const retryAfterSeconds = 5;

export function jsonAnswer(status: number, value: unknown): Answer {
  return answerOf(status, "application/json", value);
}

/** An answer that says all it has to say by its status. */
export function emptyAnswer(status: 200 | 202 | 204): Answer {
  // RFC 9110 §8.6: a 204 has no Content-Length.
  return { status, headers: status === 204 ? {} : { "Content-Length": "0" }, body: "" };
}

/** Text from outside, sent back: plain, and no browser is to guess that it is anything else. */
export function textAnswer(status: number, text: string): Answer {
  const headers = {
    "Content-Type": "text/plain; charset=utf-8",
    "Content-Length": String(Buffer.byteLength(text)),
    "X-Content-Type-Options": "nosniff",
  };
  return { status, headers, body: text };
}

/** The problem document for a refusal, with the headers that its status asks for. */
export function refusalAnswer(refusal: Refusal): Answer {
  const { status, detail, faults } = refusal;
  const problem = { title: STATUS_CODES[status], status, detail };
  const answer = answerOf(
    status,
    "application/problem+json",
    faults.length === 0 ? problem : { ...problem, errors: faults },
  );
  return { ...answer, headers: { ...answer.headers, ...headersFor(refusal) } };
}

function answerOf(status: number, type: string, value: unknown): Answer {
  const body = JSON.stringify(value);
  return {
    status,
    headers: { "Content-Type": type, "Content-Length": String(Buffer.byteLength(body)) },
    body,
  };
}

function headersFor({ status, allow }: Refusal): Record<string, string> {
  // RFC 9110 §11.6.1: a 401 must name a scheme. There is no registered one for signed webhooks.
  if (status === 401) return { "WWW-Authenticate": 'Signature realm="webhook"' };
  if (status === 405 && allow !== undefined) return { Allow: allow };
  if (status === 503) return { "Retry-After": String(retryAfterSeconds) };
  return {};
}

/** The answer as bytes, for a socket on which Node could make out no request to respond to. */
export function rawAnswer({ status, headers, body }: Answer): string {
  const lines = Object.entries({ ...headers, Date: new Date().toUTCString(), Connection: "close" });
  const head = lines.map(([name, value]) => `${name}: ${value}`).join("\r\n");
  return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${head}\r\n\r\n${body}`;
}
