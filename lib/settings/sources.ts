/**
 * Which sources deliver here, and with which secrets: read from the environment, checked once, at the start.
 *
 *     WEBHOOK_SECRET                        /webhook, the default source
 *     WEBHOOK_SECRET_GITHUB_ACME            /webhook/github-acme; the sender is the longest name that fits
 *     WEBHOOK_SECRET_GITHUB_ACME_PREVIOUS   still accepted while a secret is being rotated
 *     WEBHOOK_SECRET_…_FILE                 the same from a file; `settings/secret.ts` has put its content in place
 *     WEBHOOK_SENDER_ACME                   a sender of one's own, described in JSON (see `settings/custom-sender.ts`)
 *     WEBHOOK_TOLERANCE_PADDLE              another time window for a source, in seconds
 *     WEBHOOK_VERIFY_TOKEN_META             the second secret of a sender that asks for one in its handshake
 *     WEBHOOK_PUBLIC_URL                    what the senders that sign the URL call, up to the path
 */
import { createSecretKey, type KeyObject } from "node:crypto";
import { OperatorError } from "../errors.ts";
import { defaultSenders } from "../senders/default-path.ts";
import type { Sender } from "../senders/sender.ts";
import { senderFor, senders } from "../senders/table.ts";
import { readySender } from "../signature/ready.ts";
import { defaultSourceName, type Source } from "../signature/source.ts";
import { readCustomSender } from "./custom-sender.ts";
import { checkSecret, readSecretKey } from "./secret.ts";

const maxToleranceSeconds = 7 * 86_400;

/**
 * @param environment where the variables are
 * @param isLoopback true when only this machine can reach the receiver: published secrets are then let through
 * @returns the sources by name, and what is worth a warning
 * @throws OperatorError naming the variable, never its value
 */
export function readSources(
  environment: NodeJS.ProcessEnv,
  isLoopback: boolean,
): { sources: Map<string, Source>; warnings: string[] } {
  const known = [...senders, ...readCustomSenders(environment)];
  const publicUrl = readPublicUrl(environment);
  const sources = new Map<string, Source>();
  const warnings: string[] = [];

  // Sorted, so that FOO comes before FOO_PREVIOUS and the current secret is the first to be tried.
  for (const variable of variablesOf(environment, "WEBHOOK_SECRET")) {
    const isPrevious = variable.endsWith("_PREVIOUS");
    const base = isPrevious ? variable.slice(0, -"_PREVIOUS".length) : variable;
    const name = base === "WEBHOOK_SECRET" ? defaultSourceName : nameFrom("WEBHOOK_SECRET_", base);
    const accepted = base === "WEBHOOK_SECRET" ? defaultSenders : [namedSender(known, name, variable)];
    const source = sources.get(name) ?? openSource(name, accepted, environment, publicUrl, variable);
    if (isPrevious && source.secrets.length === 0) {
      throw new OperatorError(`${variable} is set without ${base}, the secret that replaces it`, 2);
    }
    const text = environment[variable] ?? "";
    warnings.push(...checkSecret(variable, text, isLoopback));
    // The senders of the default source have the same format.
    const { key, warnings: more } = readSecretKey(variable, text, accepted[0]?.key ?? "text", isLoopback);
    warnings.push(...more);
    const secret = { key, age: isPrevious ? "previous" : "current" } as const;
    sources.set(name, { ...source, secrets: [...source.secrets, secret] });
  }
  checkBelongings(environment, sources);
  for (const variable of variablesOf(environment, "WEBHOOK_VERIFY_TOKEN")) {
    const text = environment[variable] ?? "";
    warnings.push(...checkSecret(variable, text, isLoopback));
    // A token signs nothing: one that is short is worth a warning wherever the receiver listens.
    warnings.push(...readSecretKey(variable, text, "text", true).warnings);
  }
  for (const { name } of known.slice(senders.length)) {
    const isUsed = [...sources.values()].some((source) =>
      source.senders.some((sender) => sender.name === name),
    );
    if (!isUsed)
      warnings.push(
        `${variableFor("WEBHOOK_SENDER_", name)} is set without ${variableFor("WEBHOOK_SECRET_", name)}`,
      );
  }
  return { sources, warnings };
}

function variablesOf(environment: NodeJS.ProcessEnv, prefix: string): string[] {
  return Object.keys(environment)
    .filter((variable) => variable === prefix || variable.startsWith(`${prefix}_`))
    .sort();
}

/** WEBHOOK_SECRET_GITHUB_ACME → github-acme */
function nameFrom(prefix: string, variable: string): string {
  const suffix = variable.slice(prefix.length);
  if (/^[A-Z0-9]+(_[A-Z0-9]+)*$/.test(suffix)) return suffix.toLowerCase().replaceAll("_", "-");
  throw new OperatorError(
    `${variable}: expected ${prefix}<NAME> in capitals, digits and single underscores`,
    2,
  );
}

/** github-acme → WEBHOOK_SECRET_GITHUB_ACME */
export function variableFor(prefix: string, name: string): string {
  return `${prefix}${name.toUpperCase().replaceAll("-", "_")}`;
}

function namedSender(known: readonly Sender[], name: string, variable: string): Sender {
  const sender = senderFor(known, name);
  if (sender !== undefined) return sender;
  const names = known.map((one) => variableFor("", one.name)).join(", ");
  throw new OperatorError(
    `${variable}: no such sender; expected one of ${names}, alone or with _<MORE> behind it`,
    2,
  );
}

/** The senders that WEBHOOK_SENDER_… variables describe. */
export function readCustomSenders(environment: NodeJS.ProcessEnv): Sender[] {
  return variablesOf(environment, "WEBHOOK_SENDER").map((variable) => {
    const name = nameFrom("WEBHOOK_SENDER_", variable);
    if (/(^|-)(file|previous)$/.test(name)) {
      throw new OperatorError(`${variable}: a name cannot end in FILE or PREVIOUS, which have a meaning`, 2);
    }
    if (name === defaultSourceName || senders.some((sender) => sender.name === name)) {
      throw new OperatorError(`${variable}: there is a sender of this name already`, 2);
    }
    return readCustomSender(name, variable, environment[variable] ?? "");
  });
}

/** Does the sender sign the URL too, so that it has to be known as the sender sees it? */
export function signsUrl({ schemes }: Sender): boolean {
  return schemes.some(({ signed }) => signed.includes("{url"));
}

function openSource(
  name: string,
  accepted: readonly Sender[],
  environment: NodeJS.ProcessEnv,
  publicUrl: string,
  variable: string,
): Source {
  const needsUrl = accepted.some(signsUrl);
  if (needsUrl && publicUrl === "") {
    throw new OperatorError(
      `${variable}: ${accepted[0]?.title} signs the URL; set WEBHOOK_PUBLIC_URL to what it calls, without the path, such as https://hooks.example.com`,
      2,
    );
  }
  return {
    name,
    ...factsOf(accepted),
    secrets: [],
    toleranceSeconds: readTolerance(environment, variableFor("WEBHOOK_TOLERANCE_", name)),
    verifyToken: readVerifyToken(environment, name),
    publicUrl: needsUrl ? publicUrl : "",
  };
}

/** What a source knows from its senders' rows. */
export function factsOf(
  accepted: readonly Sender[],
): Pick<Source, "senders" | "handshakes" | "maxBodyBytes"> {
  return {
    senders: accepted.map(readySender),
    handshakes: accepted.flatMap(({ handshakes = [] }) => handshakes),
    maxBodyBytes: Math.max(...accepted.map((sender) => sender.maxBodyBytes ?? Number.POSITIVE_INFINITY)),
  };
}

/** The second secret of a source whose sender asks for one; undefined when the variable is not set. */
export function readVerifyToken(environment: NodeJS.ProcessEnv, name: string): KeyObject | undefined {
  const token = environment[variableFor("WEBHOOK_VERIFY_TOKEN_", name)];
  return token === undefined ? undefined : createSecretKey(Buffer.from(token));
}

/** A time window in seconds; undefined when the variable is not set. */
export function readTolerance(environment: NodeJS.ProcessEnv, variable: string): number | undefined {
  const text = environment[variable];
  if (text === undefined) return undefined;
  const seconds = Number(text);
  if (/^\d{1,6}$/.test(text) && seconds >= 1 && seconds <= maxToleranceSeconds) return seconds;
  throw new OperatorError(`${variable}: expected a number of seconds from 1 to ${maxToleranceSeconds}`, 2);
}

/**
 * WEBHOOK_PUBLIC_URL without a slash at its end; empty when it is not set.
 * @throws OperatorError when it is no URL, or is more than the part in front of the path
 */
export function readPublicUrl(environment: NodeJS.ProcessEnv): string {
  const text = environment.WEBHOOK_PUBLIC_URL;
  if (text === undefined) return "";
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isPlain =
    url !== undefined && /^https?:$/.test(url.protocol) && !/[?#@]|\/webhooks?(\/|$)/.test(text);
  if (isPlain) return text.replace(/\/$/, "");
  throw new OperatorError(
    "WEBHOOK_PUBLIC_URL: expected a URL such as https://hooks.example.com, up to the path /webhook and without it",
    2,
  );
}

/** A tolerance or a token for a source that is not there is a slip of the pen: say so. */
function checkBelongings(environment: NodeJS.ProcessEnv, sources: ReadonlyMap<string, Source>): void {
  for (const prefix of ["WEBHOOK_TOLERANCE", "WEBHOOK_VERIFY_TOKEN"]) {
    for (const variable of variablesOf(environment, prefix)) {
      const source = sources.get(nameFrom(`${prefix}_`, variable));
      const belongs =
        prefix === "WEBHOOK_TOLERANCE"
          ? source?.senders.some(({ schemes }) => schemes.some(({ time }) => time !== null))
          : source?.handshakes.some((one) => "tokenAt" in one);
      if (belongs === true && environment[variable]?.trim() !== "") continue;
      const what = prefix === "WEBHOOK_TOLERANCE" ? "signs a time" : "asks for such a token";
      throw new OperatorError(`${variable}: there is no source of this name that ${what}, or it is empty`, 2);
    }
  }
}
