/**
 * Delivery → WebhookEvent: what happened, to what, under which id.
 *
 * Only a `Delivery` comes in, so nothing here is parsed before it is authentic. The type and the id may still
 * come from headers that no signature covers: names to route by, not facts to trust.
 */
import { randomUUID } from "node:crypto";
import { Refusal } from "../refusal.ts";
import type { Part, Rule } from "../senders/sender.ts";
import type { Delivery } from "./signature.ts";

export type WebhookEvent = {
  /** The source's name: `default`, `github-acme`. */
  readonly source: string;
  /** The sender's name: `github`. */
  readonly sender: string;
  /** `push`, `pull_request.opened`, `attacker.observed`, `unknown`. */
  readonly type: string;
  /** The same for every repeat of one delivery; random when the sender names none. */
  readonly id: string;
  /** The parsed JSON: whatever the sender put there. */
  readonly payload: unknown;
  /** The raw body, byte for byte as it was signed. */
  readonly body: Buffer;
  readonly headers: Delivery["headers"];
};

/** Longer names than this are no names; databases and logs are built for shorter ones. */
const maxNameLength = 255;

/**
 * Parses an authentic delivery.
 * @throws Refusal 400 when the body is not JSON, 422 when it does not have its sender's shape
 */
export function readEvent(delivery: Delivery): WebhookEvent {
  const { sender, source, headers, body } = delivery;
  const payload = parsePayload(body, headers["content-type"]);
  checkShape(sender.shape ?? [], payload);
  const name = (parts: readonly Part[]) => checkLength(joinParts(parts, headers, payload));
  return {
    source: source.name,
    sender: sender.name,
    type: name(sender.event) ?? "unknown",
    id: name(sender.id) ?? randomUUID(),
    payload,
    body,
    headers,
  };
}

/**
 * JSON, or a form whose field `payload` holds JSON (GitHub's "application/x-www-form-urlencoded"). curl -d calls
 * everything a form, so a body under that name which has no such field is taken for the JSON it most likely is.
 */
function parsePayload(body: Buffer, contentType: string | undefined): unknown {
  // RFC 8259 §8.1: JSON is UTF-8. An odd byte becomes U+FFFD: the signature held, so the event is not thrown away.
  const text = body.toString("utf8");
  const isForm =
    contentType !== undefined && /^application\/x-www-form-urlencoded\s*(;|$)/i.test(contentType);
  const field = isForm && /(^|&)payload=/.test(text) ? new URLSearchParams(text).get("payload") : null;
  const json = field ?? text;
  try {
    // RFC 8259 §8.1 again: a parser may ignore a byte order mark, and senders on Windows send one.
    return JSON.parse(json.charCodeAt(0) === 0xfeff ? json.slice(1) : json);
  } catch {
    // The parser's own message quotes the body, and a payload can hold secrets: only its size is told.
    throw new Refusal(
      "body-not-json",
      `${body.length} bytes of ${contentType ?? "no content type"} are not JSON`,
    );
  }
}

/** The parts that are there, joined by dots; undefined when there is none. */
function joinParts(
  parts: readonly Part[],
  headers: Delivery["headers"],
  payload: unknown,
): string | undefined {
  const found: string[] = [];
  for (const part of parts) {
    const value =
      "header" in part ? headers[part.header] : "text" in part ? part.text : fieldAt(payload, part.field);
    if (typeof value === "string" && value !== "") found.push(value);
    // An action alone is no event: without the first part, the rest does not count.
    else if (found.length === 0) return undefined;
  }
  return found.length === 0 ? undefined : found.join(".");
}

function checkLength(name: string | undefined): string | undefined {
  if (name === undefined || name.length <= maxNameLength) return name;
  throw new Refusal("shape-invalid", `an event type or delivery id of ${name.length} characters`, {
    faults: [
      { pointer: "#/", detail: `Event type and delivery id should have at most ${maxNameLength} characters` },
    ],
  });
}

/** A field of a payload's top level: its own, never one that every object inherits, such as `constructor`. */
function fieldAt(payload: unknown, name: string): unknown {
  if (typeof payload !== "object" || payload === null || !Object.hasOwn(payload, name)) return undefined;
  return (payload as Record<string, unknown>)[name];
}

function checkShape(rules: readonly Rule[], payload: unknown): void {
  const faults = rules.flatMap((rule) => {
    const value = fieldAt(payload, rule.field);
    if (value === undefined && !rule.required) return [];
    const expected = value === undefined ? "Field required" : expectation(rule, value);
    return expected === undefined ? [] : [{ pointer: `#/${rule.field}`, detail: expected }];
  });
  if (faults.length === 0) return;
  const fields = faults.map((fault) => fault.pointer).join(", ");
  throw new Refusal("shape-invalid", `these fields are not as documented: ${fields}`, { faults });
}

/** What the rule expected, in the words messaging-sdk's users know; undefined when the value will do. */
function expectation(rule: Rule, value: unknown): string | undefined {
  if ("oneOf" in rule) {
    const isOne = typeof value === "string" && rule.oneOf.includes(value);
    return isOne ? undefined : `Input should be ${listed(rule.oneOf)}`;
  }
  if (rule.is === "date-time") {
    return isDateTime(value) ? undefined : "Input should be an ISO 8601 date and time";
  }
  return typeof value === "string" && value !== "" ? undefined : "Input should be a non-empty string";
}

/** `"queued", "delivered" or "failed"` */
function listed(texts: readonly string[]): string {
  const quoted = texts.map((text) => JSON.stringify(text));
  return `${quoted.slice(0, -1).join(", ")} or ${quoted.at(-1)}`;
}

/** A date and a time of day as in RFC 3339 §5.6, where ISO 8601 leaves the zone away too. No 30 February. */
function isDateTime(value: unknown): boolean {
  if (typeof value !== "string") return false;
  const match =
    /^(\d{4}-\d\d-\d\d)[T ]([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)?$/i.exec(value);
  if (match === null) return false;
  const day = new Date(`${match[1]}T00:00:00Z`);
  return !Number.isNaN(day.getTime()) && day.toISOString().startsWith(match[1] ?? "");
}
