/**
 * `verify`: would the receiver take this captured request? Offline, with the receiver's own steps.
 *
 * It says yes, or no with the reason that the receiver's log would give; never a secret, and never the signature
 * that was expected. Why a signature does not fit is a question of its own, except for the one mistake that comes
 * from capturing: an editor that ends the body with a line break.
 */

import { OperatorError } from "../errors.ts";
import { printable } from "../log.ts";
import { readContentLength } from "../receive/body.ts";
import { checkHead, maxHeadBytes, originFormOf } from "../receive/head.ts";
import {
  allowedMethods,
  answerEcho,
  answerForm,
  answerSigned,
  mayBeFormHandshake,
} from "../receive/verification-request.ts";
import { Refusal } from "../refusal.ts";
import { defaultSenders } from "../senders/default-path.ts";
import type { Sender } from "../senders/sender.ts";
import { keyFrom } from "../settings/secret.ts";
import { largestMaxBodyBytes, readMaxBody } from "../settings/settings.ts";
import {
  factsOf,
  readPublicUrl,
  readTolerance,
  readVerifyToken,
  signsUrl,
  variableFor,
} from "../settings/sources.ts";
import { type Head, readClaim } from "../signature/claim.ts";
import { readEvent, readId, type WebhookEvent } from "../signature/event.ts";
import type { Secret, Source } from "../signature/source.ts";
import { type Delivery, verify as verifyClaim } from "../signature/verify.ts";
import { commonFlags, isoTime, parseCommand, readEnvironment, readTime, readUrl } from "./arguments.ts";
import { type CapturedHead, maxCaptureBytes, parseHead } from "./capture.ts";
import type { ExitCode } from "./command.ts";
import { readInput } from "./input.ts";
import { findSecret, findSender, type SecretText } from "./secrets.ts";

const help = `verify: is a captured request authentic? Offline, as the receiver would judge it

Usage: tsx webhook-receiver.ts verify SENDER --headers FILE --body FILE [flags]

  SENDER              github, stripe, github-acme, …: as in /webhook/<sender>
  --headers FILE      Name: value lines, as curl -v or a browser shows them, with or without the request line
  --body FILE         the body, byte for byte; one of the two files can be - for stdin
  --secret-from NAME  the variable with the secret (and NAME_PREVIOUS) in place of the receiver's own
  --url URL           the URL as the sender called it, where it is signed; else WEBHOOK_PUBLIC_URL and
                      the request line say it
  --method METHOD     else the request line's, else POST
  --at TIME           when it came, for a signed time is judged by it: 2h, 2026-03-31T14:00 (UTC); else now
  --env-file FILE     file with the secrets [WEBHOOK_ENV_FILE; .env]

The method, the length and the size (WEBHOOK_MAX_BODY) are judged too. SENDER names the source; the path does not.
Exit code: 0 for yes, 1 for no, 2 for wrong usage.
`;

const flags = {
  ...commonFlags,
  headers: { type: "string" },
  body: { type: "string" },
  "secret-from": { type: "string" },
  url: { type: "string" },
  method: { type: "string" },
  at: { type: "string" },
} as const;

type Request = {
  readonly head: Head;
  readonly body: Buffer;
  readonly receivedAt: Date;
  /** The operator's limit; the sender's is the source's. */
  readonly maxBodyBytes: number;
};

/** An unsigned request that a sender's row tells the receiver to answer, and that is no delivery. */
type Answered = { readonly kind: "answered" };

type Yes = {
  readonly kind: "yes";
  readonly delivery: Delivery;
  readonly event: WebhookEvent;
  readonly isHandshake: boolean;
};
type No = {
  readonly kind: "no";
  readonly refusal: Refusal;
  /** The signature fits, and it is something else that the receiver refuses. */
  readonly isSigned: boolean;
};

type Secrets = Readonly<Record<Secret["age"], SecretText | undefined>>;

/**
 * @param write takes the text for stdout
 * @param now the clock, in a parameter so that tests can stop it
 * @returns the exit code
 * @throws OperatorError
 */
export async function verifyCapture(
  argv: readonly string[],
  environment: NodeJS.ProcessEnv,
  write: (text: string) => void,
  now: () => Date = () => new Date(),
): Promise<ExitCode> {
  const { values, positionals } = parseCommand({ args: [...argv], options: flags, allowPositionals: true });
  if (values.help === true) {
    write(help);
    return 0;
  }
  const [name, ...more] = positionals;
  const { headers, body } = values;
  if (name === undefined || more.length > 0 || headers === undefined || body === undefined)
    throw new OperatorError("verify: expected a sender, --headers FILE and --body FILE", 2);
  if (headers === "-" && body === "-")
    throw new OperatorError("verify: only one of --headers and --body can be stdin", 2);

  readEnvironment(values, environment);
  const sender = findSender(name, environment);
  const secrets = readSecrets(name, values["secret-from"], environment);
  const source = sourceOf(name, sender, secrets, environment);
  const receivedAt = values.at === undefined ? now() : new Date(readTime("--at", values.at, now()));
  const head = await readHead(headers, values, sender, environment);
  const maxBodyBytes = readMaxBody(environment);
  const request = { head, body: await readInput(body, largestMaxBodyBytes), receivedAt, maxBodyBytes };

  const verdict = judge(source, request);
  write(`${linesOf(verdict, secrets, source, request).map(printable).join("\n")}\n`);
  return verdict.kind === "no" ? 1 : 0;
}

/** The current secret and the previous one, if there is one. */
function readSecrets(name: string, secretFrom: string | undefined, environment: NodeJS.ProcessEnv): Secrets {
  const current = findSecret(name, secretFrom, environment);
  const previous = `${current.variable}_PREVIOUS`;
  const hasPrevious = Object.hasOwn(environment, previous);
  return { current, previous: hasPrevious ? findSecret(name, previous, environment) : undefined };
}

/** The source as the receiver has it, but for the path: `head.target` is the whole URL here. */
function sourceOf(name: string, sender: Sender, secrets: Secrets, environment: NodeJS.ProcessEnv): Source {
  // Without a secret of its own, a sender of the default path is judged as `/webhook` judges it: beside the others.
  const isOnDefaultPath =
    defaultSenders.some((one) => one.name === name) &&
    !Object.hasOwn(environment, variableFor("WEBHOOK_SECRET_", name));
  const ages = ["current", "previous"] as const;
  return {
    name,
    ...factsOf(isOnDefaultPath ? defaultSenders : [sender]),
    secrets: ages.flatMap((age) => {
      const secret = secrets[age];
      return secret === undefined ? [] : { age, key: keyFrom(secret.variable, secret.text, sender.key) };
    }),
    toleranceSeconds: readTolerance(environment, variableFor("WEBHOOK_TOLERANCE_", name)),
    verifyToken: readVerifyToken(environment, name),
    publicUrl: "",
  };
}

/** The flags beat the request line. */
async function readHead(
  file: string,
  given: { readonly method?: string; readonly url?: string },
  sender: Sender,
  environment: NodeJS.ProcessEnv,
): Promise<Head> {
  const captured = parseHead(await readInput(file, maxCaptureBytes), file);
  const { method = captured.method ?? "POST", url } = given;
  if (!/^[A-Z]{1,20}$/.test(method))
    throw new OperatorError("--method: expected a method such as POST, in capitals", 2);
  const target = url === undefined ? urlOf(captured, sender, environment) : readUrl("--url", url);
  return { ...captured, method, target };
}

/** What the receiver takes for the URL; path and query where none is signed. */
function urlOf({ target }: CapturedHead, sender: Sender, environment: NodeJS.ProcessEnv): string {
  if (!signsUrl(sender)) return originFormOf(target ?? "");
  const publicUrl = readPublicUrl(environment);
  if (target !== undefined && publicUrl !== "") return `${publicUrl}${originFormOf(target)}`;
  throw new OperatorError(
    `verify: ${sender.title} signs the URL; expected --url, or WEBHOOK_PUBLIC_URL and a request line`,
    2,
  );
}

/** What the receiver checks of every head, and steps 2 to 6 of `receive` in webhook-receiver.ts. */
function judge(source: Source, { head, body, receivedAt, maxBodyBytes }: Request): Yes | Answered | No {
  let delivery: Delivery | undefined;
  try {
    checkCapturedHead(head);
    if (answerEcho(source, head) !== undefined) return { kind: "answered" };
    if (head.method !== "POST")
      throw new Refusal("method-not-allowed", `${head.method}; allowed is ${allowedMethods(source)}`);
    const length = readLength(head, body, Math.min(maxBodyBytes, source.maxBodyBytes));
    if (mayBeFormHandshake(source, head, length)) {
      answerForm(source, body);
      return { kind: "answered" };
    }
    const claim = readClaim(source, head);
    delivery = verifyClaim(claim, body, receivedAt);
    const event = readEvent(delivery);
    return { kind: "yes", delivery, event, isHandshake: answerSigned(delivery, event) !== undefined };
  } catch (thrown) {
    if (!(thrown instanceof Refusal)) throw thrown;
    // The time is looked at when the signature has held.
    const isSigned = delivery !== undefined || isAboutTime(thrown);
    return { kind: "no", refusal: thrown, isSigned };
  }
}

/** A capture has lost its HTTP version, and with HTTP/2 its Host: only 1.1 insists on one. */
function checkCapturedHead({ target, headers, rawHeaders }: Head): void {
  const bytes = [originFormOf(target), ...rawHeaders].reduce((sum, text) => sum + text.length, 0);
  if (bytes >= maxHeadBytes)
    throw new Refusal("headers-too-large", `${bytes} bytes; the limit is ${maxHeadBytes}`);
  const { expect } = headers;
  const isContinue = /(?:^|\W)100-continue(?:$|\W)/i.test(expect ?? ""); // as Node sees it
  const expectation = expect === undefined ? "none" : isContinue ? "100-continue" : "unknown";
  checkHead({ httpVersion: "1.0", headers, rawHeaders }, expectation);
}

/** The length that the head announces. Where a capture has lost it, the body's file is as long as the body was. */
function readLength({ headers }: Head, { length }: Buffer, maxBytes: number): number {
  const { "content-length": announced, "transfer-encoding": coding } = headers;
  if (announced !== undefined && coding !== undefined)
    throw new Refusal("http-malformed", "Content-Length beside Transfer-Encoding");
  const isLost = announced === undefined && coding === undefined;
  const expected = readContentLength(isLost ? { "content-length": String(length) } : headers, maxBytes);
  if (length > maxBytes) throw new Refusal("body-too-large", `${length} bytes; the limit is ${maxBytes}`);
  if (length < expected) throw new Refusal("body-incomplete", `${length} of ${expected} bytes arrived`);
  return expected;
}

function isAboutTime({ code }: Refusal): boolean {
  return code.startsWith("timestamp-");
}

function linesOf(verdict: Yes | Answered | No, secrets: Secrets, source: Source, request: Request): string[] {
  if (verdict.kind === "answered")
    return ["yes: an unsigned handshake, which the receiver answers and no handler gets"];
  return verdict.kind === "yes" ? linesOfYes(verdict, secrets) : linesOfNo(verdict, source, request);
}

function linesOfYes({ delivery, event, isHandshake }: Yes, secrets: Secrets): string[] {
  const { age } = delivery.secret;
  return [
    `yes: signed with ${secrets[age]?.variable}${age === "previous" ? ", the previous secret" : ""}`,
    `event  ${isHandshake ? "none: a handshake, which reaches no handler" : event.type}`,
    `id     ${readId(delivery, event.payload) ?? "none: the receiver gives it a random one"}`,
  ];
}

function linesOfNo({ refusal, isSigned }: No, source: Source, request: Request): string[] {
  const lines = [`no: ${refusal.code}: ${refusal.message}`];
  if (isSigned) lines.push("the signature itself is right");
  else if (holdsWithoutLineBreak(source, request))
    lines.push("hint: without the line break at the end of the body the signature is right");
  if (isAboutTime(refusal))
    lines.push(`judged at ${isoTime(request.receivedAt.getTime())}; --at says when it came`);
  return lines;
}

/** A line break at the end of the body's file is the editor's more often than the sender's. */
function holdsWithoutLineBreak(source: Source, request: Request): boolean {
  const [lineBreak = ""] = /\r?\n$/.exec(request.body.subarray(-2).toString("latin1")) ?? [];
  if (lineBreak === "") return false;
  const without = judge(source, { ...request, body: request.body.subarray(0, -lineBreak.length) });
  return without.kind === "yes" || (without.kind === "no" && without.isSigned);
}
