/**
 * The closed list of what the receiver says no to, and the status each one is answered with.
 *
 * A `Refusal` is what the world did wrong: one answer, one log line, no stack. Any other throw is our own
 * mistake and becomes a 500. The table is the only place that knows a status; nobody else writes a number.
 * `detail` goes out on the wire and is the same for every cause an attacker could tell apart;
 * the code and `why` go into the log only.
 */

/** All 401 answers read alike; messaging-sdk's client expects this very sentence. */
const unauthorized = "Unauthorized: Signature validation failed.";

const table = {
  // RFC 9112: the message itself is broken.
  "http-malformed": [400, "The request is not well-formed HTTP/1.1."],
  "content-length-invalid": [400, "Content-Length must be a whole number of bytes."],
  "body-incomplete": [400, "The body ended before Content-Length bytes had arrived."],
  "header-doubled": [400, "A header that names the event or the delivery is there twice."],
  "body-not-json": [400, "The body is not valid JSON."],
  "form-too-many-fields": [400, "The form has too many fields."],
  "handshake-malformed": [400, "The handshake's query is not one that its sender sends."],
  // RFC 9110 §15.5.2: the sender could not prove who it is.
  "signature-missing": [401, unauthorized],
  "signature-ambiguous": [401, unauthorized],
  "signature-malformed": [401, unauthorized],
  "signature-mismatch": [401, unauthorized],
  "signed-part-missing": [401, unauthorized],
  "timestamp-malformed": [401, unauthorized],
  "timestamp-too-old": [401, unauthorized],
  "timestamp-in-future": [401, unauthorized],
  "verify-token-mismatch": [401, unauthorized],
  "path-unknown": [404, "There is nothing at this path."],
  "source-unknown": [404, "There is nothing at this path."],
  "method-not-allowed": [405, "This method is not allowed here."],
  "request-timeout": [408, "The request took too long to arrive."],
  // RFC 9110 §15.5.12: a server may insist on a Content-Length.
  "content-length-missing": [411, "Content-Length is required; chunked bodies are not accepted."],
  "body-too-large": [413, "The body is larger than this receiver accepts."],
  // RFC 9110 §15.5.16: what was signed are the bytes that arrive, and they are JSON or a form.
  "content-encoding-unsupported": [415, "Compressed bodies are not accepted."],
  "expectation-unknown": [417, "The only expectation this receiver can meet is 100-continue."],
  "shape-invalid": [422, "The payload does not have the shape its sender documents."],
  "headers-too-large": [431, "The request head is too large or has too many fields."],
  "internal-error": [500, "The receiver failed. The delivery was not accepted; send it again."],
  "memory-exhausted": [503, "The receiver is holding too many bodies. Try again shortly."],
  "storage-unavailable": [503, "The delivery cannot be kept at the moment. Try again shortly."],
  stopping: [503, "The receiver is shutting down. Try again shortly."],
} as const satisfies Record<string, readonly [status: number, detail: string]>;

export type RefusalCode = keyof typeof table;

/** One fault in an authentic payload: where (a JSON pointer, RFC 6901) and what was expected. */
export type Fault = { pointer: string; detail: string };

export class Refusal extends Error {
  readonly code: RefusalCode;
  /** For 422: what exactly is wrong, safe to show because the sender has proved who it is. */
  readonly faults: readonly Fault[];
  /** For 405: the methods that are allowed here. */
  readonly allow: string | undefined;

  /** @param why for the log: what was seen, without any secret or expected signature */
  constructor(code: RefusalCode, why: string, more: { faults?: readonly Fault[]; allow?: string } = {}) {
    super(why);
    this.code = code;
    this.faults = more.faults ?? [];
    this.allow = more.allow;
  }

  get status(): number {
    return table[this.code][0];
  }

  /** The sentence for the wire. */
  get detail(): string {
    const [fault] = this.faults;
    return fault === undefined ? table[this.code][1] : `${fault.pointer.slice(2)}: ${fault.detail}`;
  }
}
