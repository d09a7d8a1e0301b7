/**
 * Does an authentic payload have the shape that its sender documents? Each fault says where it is and what was expected.
 */
import { type Fault, Refusal } from "../refusal.ts";
import type { Rule } from "../senders/sender.ts";
import { fieldAt } from "./field.ts";

/** @throws Refusal 422 naming every field that is not as documented */
export function checkShape(rules: readonly Rule[], payload: unknown): void {
  const faults = rules.flatMap((rule): Fault[] => {
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
export function isDateTime(value: unknown): value is string {
  if (typeof value !== "string") return false;
  const match =
    /^(\d{4}-\d\d-\d\d)[T ]([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)?$/i.exec(value);
  if (match === null) return false;
  const day = new Date(`${match[1]}T00:00:00Z`);
  return !Number.isNaN(day.getTime()) && day.toISOString().startsWith(match[1] ?? "");
}
