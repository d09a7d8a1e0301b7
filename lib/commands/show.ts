/**
 * `show ID`: everything about a delivery: its headers, its body, its jobs and how they went.
 *
 * What opens doors is left out, by the log's own rule and by what the sender's row says is the signature. The
 * file itself has all of it, byte for byte.
 */
import type { IncomingHttpHeaders } from "node:http";
import { OperatorError, quoted } from "../errors.ts";
import { inLine } from "../keep/sqlite/accept.ts";
import {
  namedDeliveries,
  readDelivery,
  readJobs,
  type StoredDelivery,
  type StoredJob,
} from "../keep/sqlite/queries.ts";
import { printable, secretName } from "../log.ts";
import { eventOf } from "../process/worker.ts";
import { Refusal } from "../refusal.ts";
import type { Sender } from "../senders/sender.ts";
import { senders } from "../senders/table.ts";
import { readCustomSender } from "../settings/custom-sender.ts";
import { variableFor } from "../settings/sources.ts";
import { counted, inboxFlags, inboxHelp, isoTime, parseCommand, readFiles, withInbox } from "./arguments.ts";
import type { ExitCode } from "./command.ts";

const help = `show: everything about a delivery, without its secrets

Usage: tsx webhook-receiver.ts show ID [flags]

  ID                the delivery's id, or else its number (see list)
${inboxHelp}
`;

const redacted = "[redacted]";
/** Of a body that is no text: enough to see what kind of file it is. */
const hexBytes = 64;
/** Of a sender that is not described any more, nobody knows which header holds the signature. */
const harmlessHeaders = new Set(["content-length", "content-type", "date", "host", "user-agent"]);

/**
 * @param write takes the text for stdout
 * @throws OperatorError
 */
export async function show(
  argv: readonly string[],
  environment: NodeJS.ProcessEnv,
  write: (text: string) => void,
): Promise<ExitCode> {
  const { values, positionals } = parseCommand({
    args: [...argv],
    options: inboxFlags,
    allowPositionals: true,
  });
  if (values.help === true) {
    write(help);
    return 0;
  }
  const [id, ...more] = positionals;
  if (id === undefined || more.length > 0) throw new OperatorError("show: expected one ID", 2);
  const { inboxFile } = readFiles(values, environment);
  await withInbox(inboxFile, (database) => {
    const numbers = namedDeliveries(database, id).map(({ number }) => number);
    if (numbers.length === 0)
      throw new OperatorError(`no delivery in ${inboxFile} is called ${quoted(id)}`, 1);
    for (const [index, number] of numbers.entries()) {
      const delivery = readDelivery(database, number);
      if (delivery === undefined) continue; // its time was up just now
      if (index > 0) write("\n");
      const isSecret = secretsOf(senderOf(delivery.sender, environment));
      write(page(delivery, readJobs(database, number), isSecret));
    }
  });
  return 0;
}

type IsSecret = {
  readonly header: (name: string) => boolean;
  readonly field: (name: string) => boolean;
  /** The sender puts its signature there. */
  readonly body: boolean;
};

/** Which names hold what opens doors: in the log's words, and in those of the sender's row. */
function secretsOf(sender: Sender | undefined): IsSecret {
  if (sender === undefined) {
    return {
      header: (name) => !harmlessHeaders.has(name),
      field: (name) => secretName.test(name),
      body: true,
    };
  }
  const places = sender.schemes.map(({ signature }) => signature);
  return {
    header: (name) => secretName.test(name) || places.some((place) => isAt(place, name)),
    // Where a sender signs in the payload, the field's name is one of those that the log redacts; a test sees to it.
    field: (name) => secretName.test(name),
    body: places.some((place) => place.startsWith("field:")),
  };
}

/** `x-name-signature-*` is every header that begins like this. */
function isAt(place: string, name: string): boolean {
  return place.endsWith("-*") ? name.startsWith(place.slice(0, -1)) : name === place;
}

/** The row of a sender, or of one that a variable describes. */
function senderOf(name: string, environment: NodeJS.ProcessEnv): Sender | undefined {
  const variable = variableFor("WEBHOOK_SENDER_", name);
  const description = environment[variable];
  const known = senders.find((sender) => sender.name === name);
  return known ?? (description === undefined ? undefined : readCustomSender(name, variable, description));
}

function page(delivery: StoredDelivery, jobs: readonly StoredJob[], isSecret: IsSecret): string {
  const { number, source, sender, event, id, receivedAt, state, repeats, isTwin, body } = delivery;
  const headers = JSON.parse(delivery.headers) as IncomingHttpHeaders;
  const lines = [
    `delivery ${number}`,
    ...indented([
      `id        ${id}`,
      `event     ${event}`,
      `source    ${source} (${sender})`,
      `received  ${isoTime(receivedAt)}`,
      `state     ${state}`,
      `repeats   ${repeats}`,
      ...(isTwin === 1 ? ["twin      another body had come under this id before"] : []),
    ]),
    "headers",
    ...indented(
      Object.entries(headers).map(([name, value]) => `${name}: ${isSecret.header(name) ? redacted : value}`),
    ),
    `body (${counted(body.length, "byte")})`,
    ...indented(bodyLines(delivery, isSecret)),
    "jobs",
    ...indented(jobs.length === 0 ? ["none: no handler matched"] : jobs.flatMap(jobLines)),
  ];
  return `${lines.join("\n")}\n`;
}

/** What comes from outside is always indented: it can pass neither for a heading nor for a line of another kind. */
function indented(lines: readonly string[]): string[] {
  return lines.map((line) => `  ${line.split("\t").map(printable).join("\t")}`);
}

/** JSON and forms as they are read, with line breaks; anything else as text, or in hex. */
function bodyLines(delivery: StoredDelivery, isSecret: IsSecret): string[] {
  const body = Buffer.from(delivery.body);
  try {
    const { payload } = eventOf(delivery);
    const redact = (name: string, value: unknown): unknown => (isSecret.field(name) ? redacted : value);
    return JSON.stringify(payload, redact, 2).split("\n");
  } catch (thrown) {
    // What can be read can be nested deeper than it can be written.
    if (thrown instanceof RangeError) return ["JSON, nested too deeply to be shown"];
    if (!(thrown instanceof Refusal)) throw thrown;
    if (isSecret.body) return [redacted];
  }
  const text = textOf(body);
  if (text !== undefined) return text.split(/\r?\n/);
  const start = body.subarray(0, hexBytes).toString("hex");
  return [`${start}${body.length > hexBytes ? "…" : ""}`];
}

/** UTF-8 without the control characters that no text has; undefined when it is something else. */
function textOf(body: Buffer): string | undefined {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(body);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this looks for
    return /[\u0000-\u0008\u000e-\u001f]/.test(text) ? undefined : text;
  } catch {
    return undefined;
  }
}

function jobLines({ handler, state, attempts, nextAttemptAt, finishedAt, lastError }: StoredJob): string[] {
  const facts = [handler, state, counted(attempts, "attempt")];
  if (state === "pending")
    facts.push(
      nextAttemptAt === inLine ? "behind an earlier one of its key" : `next ${isoTime(nextAttemptAt)}`,
    );
  if (finishedAt !== null) facts.push(`finished ${isoTime(finishedAt)}`);
  const error =
    lastError === null ? [] : ["last error:", ...lastError.split("\n").map((line) => `  ${line}`)];
  return [facts.join("  "), ...error.map((line) => `  ${line}`)];
}
