/**
 * The other direction: the same rows, used to sign. What the receiver verifies can be made here, for testing a
 * receiver and for sending events on.
 */
import { createHash, createHmac, type KeyObject, sign as signAsymmetric } from "node:crypto";
import { once } from "../once.ts";
import { Refusal } from "../refusal.ts";
import type { Sender } from "../senders/sender.ts";
import { fieldAt, setField } from "./field.ts";
import { lookUp, type Material, type Part } from "./part.ts";
import { looksLikeJson, parsePayload } from "./payload.ts";
import { type ReadyScheme, type ReadySender, readySender } from "./ready.ts";

export type OutgoingEvent = {
  /** `push`, `pull_request.opened`; used where the sender puts it into a header. */
  readonly type: string;
  readonly id: string;
  readonly body: Buffer;
  readonly contentType: string;
  readonly url: string;
  readonly now: Date;
};

/** What to post. Only Twilio's URL and Mailgun's and Microsoft's bodies are others than the event's. */
export type SignedDelivery = {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
};

/**
 * Signs an event as a sender would, with its first scheme.
 * @param key from `readSigningKey`
 * @throws TypeError when the key is a public one, which can only verify
 * @throws Refusal when a body has to be parsed to be signed and is not JSON, or lacks a part that is signed
 */
export function sign(sender: Sender, key: KeyObject, event: OutgoingEvent): SignedDelivery {
  if (key.type === "public")
    throw new TypeError(`${sender.title} signs with a private key; this is the public one`);
  const ready = readySender(sender);
  const [scheme] = ready.schemes;
  if (scheme === undefined) throw new TypeError(`the sender ${sender.name} has no scheme`);
  const time = scheme.time === null ? "" : timeText(scheme.time.unit, event.now);
  const [timeAt] = scheme.timeAt;
  const [idAt] = ready.id[0] ?? [];
  const payload = once(() => parsePayload(event.body, sender.form));

  // What the sender puts into the payload besides the event: the time, and the id where the signature is there too.
  const isInside = scheme.signatureField !== undefined;
  const isStamped = timeAt?.kind === "field" && String(fieldAt(payload(), timeAt.name)) !== time;
  if (isStamped) setField(payload(), timeAt.name, isInside ? time : Number(time));
  if (isInside && idAt?.kind === "field") setField(payload(), idAt.name, event.id);
  const body = isStamped ? Buffer.from(JSON.stringify(payload())) : event.body;

  const headers: Record<string, string> = { "content-type": event.contentType };
  setHeader(headers, ready.event[0]?.[0], headerType(ready, event.type, payload));
  setHeader(headers, idAt, event.id);
  setHeader(headers, timeAt, time);
  const url = urlWithHash(scheme, event);
  const material: Material = {
    method: "POST",
    url,
    headers,
    param: () => time,
    body,
    payload,
  };
  const text = `${prefixOf(scheme)}${signatureText(scheme, key, material)}`;
  if (scheme.signatureField !== undefined) {
    setField(payload(), scheme.signatureField, text);
    return { url, headers, body: Buffer.from(JSON.stringify(payload())) };
  }
  const name = scheme.numberedHeader === undefined ? scheme.signature : `${scheme.numberedHeader}1`;
  const listed = timeAt?.kind === "param" ? [`${timeAt.name}=${time}`, text].join(scheme.separator) : text;
  return { url, headers: { ...headers, [name]: listed }, body };
}

function signatureText(scheme: ReadyScheme, key: KeyObject, material: Material): string {
  const message = Buffer.concat(scheme.signedParts.map((part) => pieceOf(part, material)));
  switch (scheme.algorithm) {
    case "hmac-sha256":
    case "hmac-sha1":
      return encoded(
        scheme,
        createHmac(scheme.algorithm.slice("hmac-".length), key).update(message).digest(),
      );
    case "ed25519":
      return encoded(scheme, signAsymmetric(null, message, key));
    case "ecdsa-sha256":
      return encoded(scheme, signAsymmetric("sha256", message, key));
    case "token":
      return key.export().toString("utf8");
  }
}

function encoded({ encoding }: ReadyScheme, bytes: Buffer): string {
  return bytes.toString(encoding === "text" ? "utf8" : encoding);
}

function pieceOf(part: Part, material: Material): Buffer {
  const piece = lookUp(part, material);
  if (piece !== undefined) return typeof piece === "string" ? Buffer.from(piece) : piece;
  const what = "name" in part ? `${part.kind}:${part.name}` : part.kind;
  throw new Refusal("signed-part-missing", `${what} is signed, and is not there`);
}

function prefixOf({ prefix, authScheme }: ReadyScheme): string {
  return prefix ?? (authScheme === undefined ? "" : `${authScheme} `);
}

function timeText(unit: "seconds" | "milliseconds", now: Date): string {
  return String(unit === "seconds" ? Math.floor(now.getTime() / 1000) : now.getTime());
}

function setHeader(headers: Record<string, string>, part: Part | undefined, value: string): void {
  if (part?.kind === "header" && value !== "") headers[part.name] = value;
}

/** `pull_request.opened` is the header `pull_request` and the field `action`: the field's share is taken off. */
function headerType({ event }: ReadySender, type: string, payload: () => unknown): string {
  const [first, second] = event;
  if (!type.includes(".") || first?.[0]?.kind !== "header" || second?.[0]?.kind !== "field") return type;
  const share = `.${fieldAt(payload(), second[0].name)}`;
  return type.endsWith(share) ? type.slice(0, -share.length) : type;
}

function urlWithHash({ bodyHashParameter }: ReadyScheme, { url, body }: OutgoingEvent): string {
  if (bodyHashParameter === undefined || !looksLikeJson(body)) return url;
  const hash = createHash("sha256").update(body).digest("hex");
  return `${url}${url.includes("?") ? "&" : "?"}${bodyHashParameter}=${hash}`;
}
