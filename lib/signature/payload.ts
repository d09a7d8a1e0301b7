/**
 * The body as data: JSON, or a form.
 *
 * Which of the two is decided by the sender's row and by the bytes, and never by the Content-Type: no sender signs
 * that header, so whoever has captured a delivery could choose how its text is read. JSON cannot start with
 * `payload=`, and a form's fields do not start with `{` or `[`: one body has one meaning, for the one who verifies
 * it and for the one who parses it.
 *
 * Most bodies come here after their signature held. The exceptions sign what is inside the body, or put the
 * signature itself there (Twilio, Mailgun, Microsoft Graph): their rows have a lower size limit.
 */
import { Refusal } from "../refusal.ts";
import type { FormUse } from "../senders/sender.ts";

/** More than any sender's form has. Node's parser takes a time that grows faster than their number. */
const maxFormFields = 1000;
const payloadPrefix = Buffer.from("payload=");

/** @throws Refusal 400 for a form of more than 1000 fields */
export function formFields(body: Buffer): URLSearchParams {
  let count = 1;
  for (let at = body.indexOf("&"); at !== -1; at = body.indexOf("&", at + 1)) count += 1;
  if (count > maxFormFields) {
    throw new Refusal("form-too-many-fields", `${count} fields; the limit is ${maxFormFields}`);
  }
  return new URLSearchParams(body.toString("utf8"));
}

/** The text of the field `payload` that a form begins with; undefined when the body is something else. */
export function payloadField(body: Buffer): string | undefined {
  if (!body.subarray(0, payloadPrefix.length).equals(payloadPrefix)) return undefined;
  const end = body.indexOf("&");
  const field = new URLSearchParams(body.subarray(0, end === -1 ? body.length : end).toString("utf8"));
  return field.get("payload") ?? "";
}

/** Would this be JSON, were it anything that we know? By its first byte; a byte order mark is passed over. */
export function looksLikeJson(body: Buffer): boolean {
  const first = body[textStart(body)];
  return first === 0x7b || first === 0x5b;
}

/**
 * The body as data.
 * @param form how the sender uses forms; undefined: never
 * @throws Refusal 400 when the body is neither JSON nor such a form
 */
export function parsePayload(body: Buffer, form: FormUse | undefined): unknown {
  const fromForm = parseForm(body, form);
  return fromForm === undefined ? parseJson(body) : fromForm.value;
}

/** What is in a form; undefined when the body is none that this sender sends. */
function parseForm(body: Buffer, form: FormUse | undefined): { value: unknown } | undefined {
  if (form === undefined) return undefined;
  const json = form === "fields" ? undefined : payloadField(body);
  if (json !== undefined) return { value: parseJson(body, json) };
  if (form === "payload" || looksLikeJson(body)) return undefined;
  return { value: Object.fromEntries(formFields(body)) };
}

function parseJson(body: Buffer, json = body.toString("utf8")): unknown {
  // RFC 8259 §8.1: JSON is UTF-8. An odd byte becomes U+FFFD: the signature held, so the event is not thrown away.
  try {
    // RFC 8259 §8.1 again: a parser may ignore a byte order mark, and senders on Windows send one.
    return JSON.parse(json.charCodeAt(0) === 0xfeff ? json.slice(1) : json);
  } catch {
    // The parser's own message quotes the body, and a payload can hold secrets: only its size is told.
    throw new Refusal("body-not-json", `${body.length} bytes are not JSON`);
  }
}

/** Behind the byte order mark, where there is one. */
function textStart(body: Buffer): number {
  return body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf ? 3 : 0;
}
