/**
 * Which sources deliver here, and with which secrets: read from the environment, checked once, at the start.
 *
 *     WEBHOOK_SECRET                        /webhook, the default source
 *     WEBHOOK_SECRET_GITHUB_ACME            /webhook/github-acme; the sender is the longest name that fits
 *     WEBHOOK_SECRET_GITHUB_ACME_PREVIOUS   still accepted while a secret is being rotated
 *
 * A secret leaves this file only as a `KeyObject`, which prints as `SecretKeyObject {}`:
 * it cannot reach a log line or an error by accident.
 */
import { createSecretKey, type KeyObject } from "node:crypto";
import { OperatorError } from "./operator-error.ts";
import { Refusal } from "./refusal.ts";
import type { Sender } from "./senders/sender.ts";
import { defaultSenders, senderFor, senders } from "./senders/table.ts";

/** One path with its secrets. Two GitHub organisations are two sources of one sender. */
export type Source = {
  /** In the log and in the path: `/webhook/<name>`; the default source is at `/webhook`. */
  readonly name: string;
  readonly senders: readonly Sender[];
  readonly secrets: readonly Secret[];
};

export type Secret = { readonly key: KeyObject; readonly age: "current" | "previous" };

/** The name of the source at `/webhook`. */
export const defaultSourceName = "default";

/** Shorter than this is worth a warning; a random one of 32 characters or more is what senders recommend. */
const shortSecretLength = 16;

/** Secrets printed in documentation and tutorials, in lower case: everybody knows them. */
const publishedSecrets = new Set([
  "changeme",
  "decnet-secret",
  "dev-secret-12345",
  "development",
  "it's a secret to everybody",
  "lesson-secret",
  "messaging-secret",
  "my-secret",
  "mysecret",
  "password",
  "secret",
  "test",
  "webhook-secret",
  "your-secret",
  "your_secret_here",
]);

/**
 * @param environment where the `WEBHOOK_SECRET…` variables are
 * @param isLoopback true when only this machine can reach the receiver: published secrets are then let through
 * @returns the sources by name, and what is worth a warning
 * @throws OperatorError naming the variable, never its value
 */
export function readSources(
  environment: NodeJS.ProcessEnv,
  isLoopback: boolean,
): { sources: Map<string, Source>; warnings: string[] } {
  const sources = new Map<string, Source>();
  const warnings: string[] = [];

  // Sorted, so that FOO comes before FOO_PREVIOUS and the current secret is the first to be tried.
  for (const variable of Object.keys(environment).sort()) {
    const match = /^WEBHOOK_SECRET(?:_(?<suffix>.*?))??(?<previous>_PREVIOUS)?$/.exec(variable);
    if (match === null) continue;
    const age = match.groups?.previous === undefined ? "current" : "previous";
    const suffix = match.groups?.suffix;
    const name = suffix === undefined ? defaultSourceName : nameFrom(suffix, variable);
    const value = environment[variable] ?? "";
    warnings.push(...checkSecret(variable, value, isLoopback));

    const secret: Secret = { key: createSecretKey(Buffer.from(value, "utf8")), age };
    const source = sources.get(name);
    if (age === "current") {
      const accepted = suffix === undefined ? defaultSenders : [namedSender(name, variable)];
      sources.set(name, { name, senders: accepted, secrets: [secret] });
    } else if (source !== undefined) {
      sources.set(name, { ...source, secrets: [...source.secrets, secret] });
    } else {
      const current = variable.slice(0, -"_PREVIOUS".length);
      throw new OperatorError(`${variable} is set without ${current}, the secret that replaces it`, 2);
    }
  }
  return { sources, warnings };
}

/** GITHUB_ACME → github-acme */
function nameFrom(suffix: string, variable: string): string {
  if (/^[A-Z0-9]+(_[A-Z0-9]+)*$/.test(suffix)) return suffix.toLowerCase().replaceAll("_", "-");
  throw new OperatorError(
    `${variable}: expected WEBHOOK_SECRET_<NAME> in capitals, digits and single underscores`,
    2,
  );
}

function namedSender(name: string, variable: string): Sender {
  const sender = senderFor(name);
  if (sender !== undefined) return sender;
  const known = senders.map((known) => known.name.toUpperCase().replaceAll("-", "_")).join(", ");
  throw new OperatorError(
    `${variable}: no such sender; expected one of ${known}, alone or with _<MORE> behind it`,
    2,
  );
}

/** The warnings about one secret. An empty one is refused everywhere: anybody can sign with it. */
function checkSecret(variable: string, value: string, isLoopback: boolean): string[] {
  if (value.trim() === "") {
    throw new OperatorError(`${variable} is empty: give it a secret, or remove the line`, 2);
  }
  if (publishedSecrets.has(value.trim().toLowerCase())) {
    if (!isLoopback) {
      throw new OperatorError(
        `${variable} holds a secret published as an example; anybody could sign with it`,
        2,
      );
    }
    return [`${variable} holds a secret published as an example: good enough on this machine only`];
  }
  if (value.length < shortSecretLength) {
    return [`${variable} is short: ${shortSecretLength} characters or more are hard to guess`];
  }
  return [];
}

/**
 * The source whose deliveries arrive at a path: `/webhook` and `/webhooks`, or either with `/<name>` behind it.
 * @throws Refusal 404 when there is none
 */
export function sourceAt(sources: ReadonlyMap<string, Source>, path: string): Source {
  const match = /^\/webhooks?(?:\/([a-z0-9-]+))?$/.exec(path);
  const name = match?.[1] ?? defaultSourceName;
  // The default source has no second path: `/webhook/default` is nobody.
  const source = match === null || match[1] === defaultSourceName ? undefined : sources.get(name);
  if (source === undefined) throw new Refusal("source-unknown", `no source at ${path.slice(0, 200)}`);
  return source;
}
