/**
 * Requests that are no deliveries: a sender asks whether the right receiver is there, or whether it is alive.
 *
 * Answered by exact shape, on the path of that sender only. They end here and never reach a handler. One that
 * comes unsigned is answered only when the request carries no signature at all: a signature that a sender does
 * send is always checked. What is echoed is plain text that no browser may take for a page.
 */
import { createHmac, type KeyObject } from "node:crypto";
import { Refusal } from "../refusal.ts";
import type { FixedAnswer, Handshake } from "../senders/sender.ts";
import { variableFor } from "../settings/sources.ts";
import type { Head } from "../signature/claim.ts";
import type { WebhookEvent } from "../signature/event.ts";
import { fieldAt } from "../signature/field.ts";
import { formFields } from "../signature/payload.ts";
import { carriesSignature } from "../signature/signature-header.ts";
import type { Source } from "../signature/source.ts";
import { type Delivery, isSameToken } from "../signature/verify.ts";
import { type Answer, emptyAnswer, jsonAnswer, textAnswer } from "./answer.ts";

type Echo = Extract<Handshake, { kind: "echo" }>;
type Form = Extract<Handshake, { kind: "form" }>;

/** The texts that senders want back are some ten to a hundred characters long. */
const maxEchoCharacters = 1024;
const maxFormBytes = 4096;

/**
 * The answer to an unsigned request that asks for one by its method (Intercom), or by its query (Meta, Dropbox,
 * Microsoft Graph).
 * @returns undefined when the request is none
 * @throws Refusal 400 for a doubled or over-long parameter, 401 for a wrong verify token
 */
export function answerEcho(source: Source, head: Head): Answer | undefined {
  if (head.method === "HEAD" && handshakesOf(source, "head").length > 0) return emptyAnswer(200);
  const echoes = handshakesOf(source, "echo");
  if (echoes.length === 0) return undefined;
  const query = new URLSearchParams(head.target.split("?")[1] ?? "");
  const echo = echoes.find((one) => isEchoAsked(one, head.method, query));
  if (echo === undefined || isSigned(source, head)) return undefined;
  if (echo.tokenAt !== undefined) checkVerifyToken(source, query.get(echo.tokenAt) ?? "");
  const [text = "", ...more] = query.getAll(echo.parameter);
  if (more.length > 0) throw new Refusal("handshake-malformed", `several ${echo.parameter} in the query`);
  if (text.length > maxEchoCharacters) {
    throw new Refusal(
      "handshake-malformed",
      `${echo.parameter} has ${text.length} of at most ${maxEchoCharacters} characters`,
    );
  }
  return textAnswer(200, text);
}

/** For 405: the methods that this source answers. */
export function allowedMethods(source: Source): string {
  const others = handshakesOf(source, "echo").map(({ method }) => method);
  const heads = handshakesOf(source, "head").map(() => "HEAD");
  return [...new Set([...others, ...heads, "POST"])].sort().join(", ");
}

/** Is this unsigned request, by its head, one whose body may be a handshake (Slack's `ssl_check=1`)? */
export function mayBeFormHandshake(source: Source, head: Head, length: number): boolean {
  const isCandidate = handshakesOf(source, "form").length > 0;
  return isCandidate && length <= maxFormBytes && !isSigned(source, head);
}

/**
 * The answer to such a body.
 * @throws Refusal 401 when it is something else: then it should have been signed
 */
export function answerForm(source: Source, body: Buffer): Answer {
  const fields = formFields(body);
  const isWanted = (form: Form) =>
    Object.entries(form.fields).every(([name, value]) => fields.get(name) === value);
  if (handshakesOf(source, "form").some(isWanted)) return emptyAnswer(200);
  throw new Refusal("signature-missing", "an unsigned form that is no handshake");
}

/**
 * The answer to an authentic delivery that is a handshake (Slack, Discord, Zoom).
 * @returns undefined when it is an event
 */
export function answerSigned({ sender, secret }: Delivery, { payload }: WebhookEvent): Answer | undefined {
  for (const handshake of sender.handshakes ?? []) {
    if (handshake.kind !== "payload") continue;
    const { where, without = [], answer } = handshake;
    const hasAll = Object.entries(where).every(([name, value]) => fieldAt(payload, name) === value);
    const hasNone = without.every((name) => fieldAt(payload, name) === undefined);
    if (hasAll && hasNone) return fixedAnswer(answer, payload, secret.key);
  }
  return undefined;
}

/** The row's own answer to an accepted delivery; undefined where the usual one will do. */
export function acceptedAnswer({ sender, secret }: Delivery, payload: unknown): Answer | undefined {
  const answers = [sender.acceptedAnswer ?? []].flat();
  const answer = answers.find((one) => one.with === undefined || fieldAt(payload, one.with) !== undefined);
  return answer && fixedAnswer(answer, payload, secret.key);
}

/** An answer from a row; `{field:…}` and `{hmac:…}` in its texts are filled in from the payload. */
function fixedAnswer({ status, json }: FixedAnswer, payload: unknown, key: KeyObject): Answer {
  if (json === undefined) return emptyAnswer(status);
  const fill = (value: unknown): unknown => (typeof value === "string" ? filled(value, payload, key) : value);
  return jsonAnswer(
    status,
    Object.fromEntries(Object.entries(json).map(([name, value]) => [name, fill(value)])),
  );
}

/** @throws Refusal 422 when the payload has no text there */
function filled(template: string, payload: unknown, key: KeyObject): string {
  const match = /^\{(field|hmac):(.+)\}$/.exec(template);
  if (match === null) return template;
  const [, kind, path = ""] = match;
  const text = fieldAt(payload, path);
  if (typeof text !== "string" || text.length > maxEchoCharacters) {
    const detail = `Input should be a text of at most ${maxEchoCharacters} characters`;
    throw new Refusal("shape-invalid", `handshake: ${path}`, {
      faults: [{ pointer: `#/${path.replaceAll(".", "/")}`, detail }],
    });
  }
  if (kind === "hmac" && !/^[\w-]{1,256}$/.test(text)) {
    // Whatever the caller likes is not signed for it: this might be the text of another sender's delivery.
    throw new Refusal("handshake-malformed", `${path} is not a token of letters, digits, _ and -`);
  }
  return kind === "field" ? text : createHmac("sha256", key).update(text).digest("hex");
}

function isEchoAsked(echo: Echo, method: string, query: URLSearchParams): boolean {
  const where = Object.entries(echo.where ?? {});
  return (
    echo.method === method &&
    query.has(echo.parameter) &&
    where.every(([name, value]) => query.get(name) === value)
  );
}

function isSigned({ senders }: Source, { headers }: Head): boolean {
  return senders.some(({ schemes }) => schemes.some((scheme) => carriesSignature(scheme, headers)));
}

/** A second secret, chosen by the receiver's owner. */
function checkVerifyToken({ name, verifyToken }: Source, given: string): void {
  if (verifyToken === undefined) {
    const variable = variableFor("WEBHOOK_VERIFY_TOKEN_", name);
    throw new Refusal("verify-token-mismatch", `${variable} is not set`);
  }
  if (!isSameToken(Buffer.from(given), verifyToken)) {
    throw new Refusal("verify-token-mismatch", "the verify token in the query is another one");
  }
}

function handshakesOf<Kind extends Handshake["kind"]>(
  { handshakes }: Source,
  kind: Kind,
): Extract<Handshake, { kind: Kind }>[] {
  return handshakes.filter((one): one is Extract<Handshake, { kind: Kind }> => one.kind === kind);
}
