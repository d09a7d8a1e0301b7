/**
 * The little language of parts that rows are written in (it is listed above `PartText` in `sender.ts`):
 * read once at the start, then looked up in every delivery.
 */
import { hash } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { fieldAt } from "./field.ts";
import { headerAt } from "./header.ts";
import { formFields, looksLikeJson, payloadField } from "./payload.ts";

export type NamedPart = {
  readonly kind: "header" | "param" | "field" | "keyBeside" | "text" | "digest" | "digestWithout";
  readonly name: string;
  /** Of a field of each event in a batch: its path within that event. */
  readonly inItem?: string;
};
export type Part =
  | NamedPart
  | { readonly kind: "body" | "payload" | "method" | "url" | "url-unescaped" | "form-sorted" };

/** Everything a part can be looked up in. `payload` is asked for only by parts that are in it. */
export type Material = {
  readonly method: string;
  /** The URL as the sender sees it; empty where no scheme needs it. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  /** `name=value` in the signature header's list. */
  readonly param: (name: string) => string | undefined;
  readonly body: Buffer;
  readonly payload: () => unknown;
  /** The event of a batch that is being looked at. */
  readonly item?: unknown;
};

const named = ["header", "param", "field", "keyBeside", "text", "digestWithout"] as const;
const whole = ["body", "payload", "method", "url", "url-unescaped", "form-sorted"] as const;

/**
 * Reads the template of the signed text: `v0:{header:x-time}:{body}`.
 * @throws SyntaxError naming the part that does not exist
 */
export function parseTemplate(template: string): readonly Part[] {
  // Split with a group in the expression, the parts in braces are at the odd places.
  return template
    .split(/\{([^{}]*)\}/)
    .map((text, index): Part => (index % 2 === 0 ? { kind: "text", name: text } : parsePart(text)))
    .filter((part) => part.kind !== "text" || part.name !== "");
}

/**
 * Reads alternatives: `header:a | header:b`.
 * @throws SyntaxError naming the part that does not exist
 */
export function parseAlternatives(text: string): readonly NamedPart[] {
  return text.split(" | ").map((alternative) => {
    const part = parsePart(alternative);
    if (!("name" in part)) throw new SyntaxError(`"${alternative}" can only stand in a signed text`);
    return part;
  });
}

function parsePart(text: string): Part {
  for (const kind of whole) if (text === kind) return { kind };
  if (text === "digest") return { kind: "digest", name: "" };
  for (const kind of named) {
    if (!text.startsWith(`${kind}:`)) continue;
    const name = text.slice(kind.length + 1);
    if (name === "") break;
    // Header names have no case; Node gives them in lower case (RFC 9110 §5.1).
    return { kind, name: kind === "header" ? name.toLowerCase() : name };
  }
  throw new SyntaxError(`there is no part "${text}"`);
}

/** What a part is in this delivery; undefined when it is not there. */
export function lookUp(part: Part, material: Material): string | Buffer | undefined {
  switch (part.kind) {
    case "text":
      return part.name;
    case "header":
      return headerAt(material.headers, part.name);
    case "param":
      return material.param(part.name);
    case "field":
      return textOf(
        part.inItem === undefined
          ? fieldAt(material.payload(), part.name)
          : fieldAt(material.item, part.inItem),
      );
    case "keyBeside":
      return keyBeside(material.payload(), part.name);
    case "digest":
      return digestOf(material.body);
    case "digestWithout":
      return digestOf(
        JSON.stringify(material.payload(), (key, value) => (key === part.name ? undefined : value)),
      );
    case "body":
      return material.body;
    case "payload":
      return payloadField(material.body) ?? material.body;
    case "method":
      return material.method;
    case "url":
      return material.url;
    case "url-unescaped":
      return unescapeUrl(material.url);
    case "form-sorted":
      return sortedForm(material.body);
  }
}

/** The first alternative that is there, as text; empty ones do not count. */
export function firstOf(alternatives: readonly Part[], material: Material): string | undefined {
  for (const part of alternatives) {
    const value = lookUp(part, material);
    if (typeof value === "string" && value !== "") return value;
  }
  return undefined;
}

/** For senders that give their deliveries no id: the same bytes are the same delivery. */
export function digestOf(bytes: Buffer | string): string {
  return hash("sha256", bytes, "hex");
}

/** Ids and types may be numbers in JSON; a float or a number too large to be exact is none. */
function textOf(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  return Number.isSafeInteger(value) ? String(value) : undefined;
}

function keyBeside(payload: unknown, name: string): string | undefined {
  if (typeof payload !== "object" || payload === null) return undefined;
  return Object.keys(payload).find((key) => key !== name);
}

/** https://developers.hubspot.com/docs/guides/apps/authentication/validating-requests: these escapes, and no others. */
function unescapeUrl(url: string): string {
  return url.replace(/%(3A|2F|3F|40|21|24|27|28|29|2A|2C|3B)/gi, (code) => decodeURIComponent(code));
}

/** https://www.twilio.com/docs/usage/security: fields in the order of their names, repeated values once. Not for JSON. */
function sortedForm(body: Buffer): string {
  if (looksLikeJson(body)) return "";
  const byName = new Map<string, Set<string>>();
  for (const [name, value] of formFields(body)) byName.set(name, (byName.get(name) ?? new Set()).add(value));
  const sorted = [...byName].sort(([a], [b]) => (a < b ? -1 : 1));
  return sorted
    .map(([name, values]) =>
      [...values]
        .sort()
        .map((value) => name + value)
        .join(""),
    )
    .join("");
}
