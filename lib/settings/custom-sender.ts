/**
 * A sender of one's own, without code: WEBHOOK_SENDER_<NAME> holds the row in JSON, in the words of `sender.ts`.
 *
 *     WEBHOOK_SENDER_ACME='{"signature":"X-Acme-Signature","prefix":"sha256=","encoding":"hex","signed":"{body}"}'
 *     WEBHOOK_SECRET_ACME=…
 *
 * Only HMAC, and only over the body: a description that leaves the body unsigned is refused.
 */
import { OperatorError } from "../errors.ts";
import type { Scheme, Sender, SignedTime } from "../senders/sender.ts";
import { readySender } from "../signature/ready.ts";

type Check = { readonly expected: string; readonly isGood: (value: unknown) => boolean };

const isText = (value: unknown): value is string =>
  typeof value === "string" && value.length > 0 && value.length <= 200;
const text: Check = { expected: "a text of 1 to 200 characters", isGood: isText };
const texts: Check = {
  expected: 'a list of parts, such as ["header:x-acme-event"]',
  isGood: (value) => Array.isArray(value) && value.length <= 5 && value.every(isText),
};
const oneOf = (...values: string[]): Check => ({
  expected: values.map((value) => JSON.stringify(value)).join(" or "),
  isGood: (value) => typeof value === "string" && values.includes(value),
});

const checks: Readonly<Record<string, Check>> = {
  signature: {
    expected: "the name of a header",
    isGood: (value) => isText(value) && /^[\w!#$%&'*+.^`|~-]+$/.test(value) && !value.startsWith("__"),
  },
  algorithm: oneOf("hmac-sha256", "hmac-sha1"),
  encoding: oneOf("hex", "base64"),
  prefix: text,
  authScheme: text,
  separator: oneOf(",", ";", " "),
  signed: {
    expected: "a template with the body in it, such as {header:x-acme-time}.{body}",
    isGood: (value) => isText(value) && /\{(body|payload)\}/.test(value),
  },
  time: {
    expected: 'such as {"at":"header:x-acme-time","unit":"seconds","toleranceSeconds":300}',
    isGood: isSignedTime,
  },
  key: oneOf("text", "whsec"),
  event: texts,
  id: texts,
  head: { expected: "true, where a HEAD request is to be answered 200", isGood: (value) => value === true },
};

const required = ["signature", "encoding", "signed"];

/**
 * @param variable for errors
 * @throws OperatorError naming the variable and what was expected
 */
export function readCustomSender(name: string, variable: string, json: string): Sender {
  const row = parseRow(variable, json);
  const {
    signature,
    encoding,
    signed,
    algorithm = "hmac-sha256",
    prefix,
    authScheme,
    separator,
    time = null,
  } = row;
  const scheme = { algorithm, encoding, signed, time, ...pick({ prefix, authScheme, separator }) };
  const { key = "text", event = [], id = [], head } = row;
  const sender = {
    name,
    title: name,
    secretAt: "",
    key,
    schemes: [{ ...scheme, signature: String(signature).toLowerCase() } as Scheme],
    event,
    id,
    ...(String(signed).includes("{payload}") ? { form: "payload" } : {}),
    ...(head === true ? { handshakes: [{ kind: "head" }] } : {}),
    answerWithinSeconds: null,
    retries: "unknown",
  } as Sender;
  try {
    readySender(sender);
  } catch (thrown) {
    throw new OperatorError(`${variable}: ${(thrown as SyntaxError).message}`, 2);
  }
  return sender;
}

function parseRow(variable: string, json: string): Record<string, unknown> {
  let row: unknown;
  try {
    row = JSON.parse(json);
  } catch {
    row = undefined;
  }
  if (typeof row !== "object" || row === null || Array.isArray(row)) {
    throw new OperatorError(
      `${variable}: expected a JSON object such as {"signature":"X-Acme-Signature", …}`,
      2,
    );
  }
  for (const [field, value] of Object.entries(row)) {
    const check = Object.hasOwn(checks, field) ? checks[field] : undefined;
    if (check === undefined) {
      throw new OperatorError(
        `${variable}: there is no "${field.slice(0, 40)}"; expected ${Object.keys(checks).join(", ")}`,
        2,
      );
    }
    if (!check.isGood(value))
      throw new OperatorError(`${variable}: "${field}" should be ${check.expected}`, 2);
  }
  for (const field of required) {
    if (!Object.hasOwn(row, field)) {
      throw new OperatorError(`${variable}: "${field}" is missing: ${checks[field]?.expected}`, 2);
    }
  }
  const fault = rowFault(row as Record<string, unknown>);
  if (fault !== undefined) throw new OperatorError(`${variable}: ${fault}`, 2);
  return row as Record<string, unknown>;
}

/** A window on a time that nobody signed protects nothing, and a parameter needs a list to stand in. */
function rowFault({ signed, time, separator, id }: Record<string, unknown>): string | undefined {
  const at = String((time as SignedTime | undefined)?.at);
  const isSigned = at.startsWith("field:") || String(signed).toLowerCase().includes(`{${at.toLowerCase()}}`);
  if (time !== undefined && !isSigned) return `"time" is at ${at}, which is not part of "signed"`;
  const isConstant = Array.isArray(id) && !id.some((part) => !/(^|\| )text:/.test(String(part)));
  if (isConstant && id.length > 0)
    return '"id" is the same for every delivery: all but the first would be repeats';
  if (separator === undefined && String(signed).includes("{param:"))
    return '"separator" is missing: a param stands in a list';
  return undefined;
}

function isSignedTime(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const { at, unit, toleranceSeconds, ...rest } = value as Record<keyof SignedTime, unknown>;
  const isWhole = Number.isSafeInteger(toleranceSeconds) && Number(toleranceSeconds) >= 1;
  return (
    isText(at) && (unit === "seconds" || unit === "milliseconds") && isWhole && Object.keys(rest).length === 0
  );
}

/** Without the undefined ones: a row says what it has. */
function pick(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
