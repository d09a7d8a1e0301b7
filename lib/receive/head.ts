/**
 * What a request's head has to be, whatever it asks for: the checks that Node's parser leaves to us.
 */
import type { IncomingMessage } from "node:http";
import { Refusal } from "../refusal.ts";
import { countHeader } from "../signature/header.ts";

/** What a client asked for before it sends its body: nothing, `Expect: 100-continue`, or something else. */
export type Expectation = "none" | "100-continue" | "unknown";

/** More header fields than any sender needs; Node's own count limit has changed between its versions. */
export const maxHeaderFields = 100;

/** Node's parser counts the request target, the names and the values, and refuses a head that has so many bytes. */
export const maxHeadBytes = 16 * 1024;

/** Everything about a request's head that does not depend on what it asks for. */
export function checkHead(
  {
    httpVersion,
    rawHeaders,
    headers,
  }: Pick<IncomingMessage, "httpVersion" | "headers"> & { readonly rawHeaders: readonly string[] },
  expectation: Expectation,
): void {
  // Node's parser lets `HTTP/2.0` pass in the request line. (`RTSP/1.0` too, of which it shows only the 1.0.)
  if (httpVersion !== "1.1" && httpVersion !== "1.0") {
    throw new Refusal("http-malformed", `protocol version ${httpVersion}`);
  }
  const fieldCount = rawHeaders.length / 2;
  if (fieldCount > maxHeaderFields) throw new Refusal("headers-too-large", `${fieldCount} header fields`);
  // RFC 9112 §3.2: HTTP/1.1 has exactly one Host, and it is a host. Of two, Node shows only the first.
  const hosts = countHeader(rawHeaders, "host");
  if (hosts > 1 || (hosts === 0 && httpVersion === "1.1"))
    throw new Refusal("http-malformed", `${hosts} Host headers`);
  if (!/^[\w.~!$&'()*+,;=%:[\]-]*$/.test(headers.host ?? ""))
    throw new Refusal("http-malformed", "Host is not a host");
  if (expectation === "unknown") throw new Refusal("expectation-unknown", `Expect: ${headers.expect}`);
}

/** The path of a request target: origin-form, or absolute-form, which a server has to accept (RFC 9112 §3.2.2). */
export function pathOf(target: string): string {
  const path = originFormOf(target).replace(/[?#].*$/s, "");
  return path === "" ? "/" : path;
}

/** Path and query (origin-form), without the scheme and host that absolute-form puts in front. */
export function originFormOf(target: string): string {
  return target.replace(/^https?:\/\/[^/?#]*/i, "");
}

/** Does the head announce a body? A client that forgot to (411) may send one all the same. */
export function declaresBody({ headers }: IncomingMessage): boolean {
  return headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0";
}

/** What a failure of Node's parser means: https://nodejs.org/api/http.html#event-clienterror */
export function parserRefusal(error: NodeJS.ErrnoException): Refusal {
  const why = error.code ?? error.message;
  if (why === "ERR_HTTP_REQUEST_TIMEOUT") return new Refusal("request-timeout", why);
  if (why === "HPE_HEADER_OVERFLOW") return new Refusal("headers-too-large", why);
  if (why === "HPE_CHUNK_EXTENSIONS_OVERFLOW") return new Refusal("body-too-large", why);
  return new Refusal("http-malformed", why);
}
