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
import { once } from "../once.ts";
import { Refusal } from "../refusal.ts";
import { fieldAt } from "./field.ts";
import { findMembers, type Member, maxMembers } from "./json.ts";

/**
 * payload             a form whose first field, `payload`, holds JSON; anything else is JSON
 * fields              a form's fields are the payload; what starts with `{` or `[` is JSON
 * payload or fields   both
 */
export type FormUse = "payload" | "fields" | "payload or fields";

/** More than any sender's form has. Node's parser takes a time that grows faster than their number. */
const maxFormFields = 1000;
const payloadPrefix = Buffer.from("payload=");
const smallA = 0x61;
const smallZ = 0x7a;

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

/** A body that is JSON or a form, taken apart as far as somebody asks. */
export type Payload = {
  /** All of it, built when it is first asked for. */
  whole(): unknown;
  /** What `fieldAt` finds in it; of a JSON object only the member that the path begins with is built. */
  field(path: string): unknown;
};

/**
 * Makes sure that the body can be read, without building what is in it.
 * @param form how the sender uses forms; undefined: never
 * @throws Refusal 400 when the body is neither JSON nor such a form
 */
export function readPayload(body: Buffer, form: FormUse | undefined): Payload {
  const fromForm = parseForm(body, form);
  if (fromForm !== undefined) return builtPayload(fromForm.value);
  const members = findMembers(body, textStart(body)) ?? refuse(body);
  const whole = once(() => parseJson(body));
  function field(path: string): unknown {
    const [name = ""] = path.split(".", 1);
    const isNoted = members.length > 0 && members.length <= maxMembers;
    if (!isNoted || name === "*") return fieldAt(whole(), path);
    const member = memberNamed(body, members, name);
    if (member === undefined) return undefined;
    const value: unknown = JSON.parse(body.toString("utf8", member.valueStart, member.valueEnd));
    return fieldAt({ [name]: value }, path);
  }
  return { whole, field };
}

/** A payload that is there already. */
export function builtPayload(value: unknown): Payload {
  return { whole: () => value, field: (path) => fieldAt(value, path) };
}

/**
 * The whole payload at once, for those who need all of it.
 * @throws Refusal 400 as `readPayload` does
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
    refuse(body);
  }
}

/** The parser's own message quotes the body, and a payload can hold secrets: only its size is told. */
function refuse(body: Buffer): never {
  throw new Refusal("body-not-json", `${body.length} bytes are not JSON`);
}

/** Behind the byte order mark, where there is one. */
function textStart(body: Buffer): number {
  return body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf ? 3 : 0;
}

/** The member of this name: the last one, as for `JSON.parse`, when there are several. */
function memberNamed(body: Buffer, members: readonly Member[], name: string): Member | undefined {
  const initial = name.charCodeAt(0);
  return members.findLast(({ nameStart, nameEnd }) => {
    // Most begin with another small letter, and are not looked at further. Anything else may be written in two ways.
    const first = body[nameStart + 1] ?? 0;
    const isOther = first !== initial && first >= smallA && first <= smallZ;
    return !isOther && JSON.parse(body.toString("utf8", nameStart, nameEnd)) === name;
  });
}
