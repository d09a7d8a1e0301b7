/**
 * The text of one secret, on its way from a variable or a file to a key: what is cut off, refused, or worth a warning.
 * Errors and warnings name the variable, never its value.
 *
 *     WEBHOOK_SECRET_GITHUB=…
 *     WEBHOOK_SECRET_GITHUB_FILE=/run/secrets/github   the same from a file, as Docker and Kubernetes mount secrets
 */
import { isUtf8 } from "node:buffer";
import type { KeyObject } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";
import { errorLine, OperatorError } from "../errors.ts";
import type { KeyFormat } from "../senders/sender.ts";
import { isPublicKey, keyExpectations, keyFault, readKey } from "../signature/key.ts";

/** A key that is shorter can be guessed: 128 bits is what all recommendations begin with. */
const leastKeyBytes = 16;
/** Far more than any secret; a file that is longer is another file. */
const maxFileBytes = 16 * 1024;

/** WEBHOOK_SECRET…, WEBHOOK_VERIFY_TOKEN… */
export const secretVariable = /^WEBHOOK_(SECRET|VERIFY_TOKEN)(_|$)/;

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
 * Puts the content of each `…_FILE` into the variable that it stands for, and takes the `…_FILE` away.
 * @returns the files by these variables
 * @throws OperatorError for a file that cannot be read, or a variable that is there in both ways
 */
export function readSecretFiles(environment: NodeJS.ProcessEnv): Map<string, string> {
  const files = new Map<string, string>();
  for (const name of secretsOf(environment)) {
    if (name.endsWith("_FILE_PREVIOUS"))
      throw new OperatorError(`${name}: expected ${name.replace("_FILE_PREVIOUS", "_PREVIOUS_FILE")}`, 2);
    if (!name.endsWith("_FILE")) continue;
    const variable = name.slice(0, -"_FILE".length);
    const file = environment[name] ?? "";
    if (environment[variable] !== undefined)
      throw new OperatorError(`${variable} and ${name} are both set: keep one of them`, 2);
    environment[variable] = readSecretFile(name, file);
    delete environment[name];
    files.set(variable, file);
  }
  return files;
}

/**
 * Cuts line breaks off the end of secrets: no sender has one there, and a copied text often does.
 * @returns a warning for each secret that had one
 */
export function cutLineBreaks(environment: NodeJS.ProcessEnv): string[] {
  return secretsOf(environment).flatMap((variable) => {
    const text = environment[variable] ?? "";
    const withoutBreaks = text.replace(/[\r\n]+$/, "");
    if (withoutBreaks === text) return [];
    environment[variable] = withoutBreaks;
    return [`${variable} ended with a line break, which was cut off`];
  });
}

function secretsOf(environment: NodeJS.ProcessEnv): string[] {
  return Object.keys(environment).filter((name) => secretVariable.test(name));
}

/** @returns the file's text without the one line break that editors and `echo` end a file with */
function readSecretFile(name: string, file: string): string {
  if (file.trim() === "") throw new OperatorError(`${name}: expected a file name`, 2);
  const bytes = readAtMost(name, file, maxFileBytes + 1);
  if (bytes.length > maxFileBytes)
    throw new OperatorError(`${name}: the file is longer than ${maxFileBytes} bytes: that is no secret`, 1);
  const text = bytes.toString("utf8");
  // A variable ends at a NUL: the rest of such a text would be lost without a word.
  if (!isUtf8(bytes) || /[\0\ufeff]/.test(text))
    throw new OperatorError(`${name}: the file is not plain UTF-8 text without a byte order mark`, 1);
  const secret = text.replace(/\r?\n$/, "");
  if (secret.trim() === "") throw new OperatorError(`${name}: the file is empty`, 1);
  return secret;
}

/** What it names may be a pipe, which has no size. */
function readAtMost(name: string, file: string, maxBytes: number): Buffer {
  const bytes = Buffer.alloc(maxBytes);
  let length = 0;
  try {
    const descriptor = openSync(file, "r");
    for (let read = -1; read !== 0 && length < maxBytes; length += read) {
      read = readSync(descriptor, bytes, length, maxBytes - length, null);
    }
    closeSync(descriptor);
  } catch (thrown) {
    throw new OperatorError(`${name}: cannot read the file: ${errorLine(thrown)}`, 1);
  }
  return bytes.subarray(0, length);
}

/**
 * The warnings about one secret. An empty one is refused everywhere: anybody can sign with it.
 * @param isLoopback true when only this machine can reach the receiver: published secrets are then let through
 */
export function checkSecret(variable: string, value: string, isLoopback: boolean): string[] {
  const trimmed = value.trim();
  if (trimmed === "") {
    throw new OperatorError(`${variable} is empty: give it a secret, or remove the line`, 2);
  }
  if (publishedSecrets.has(trimmed.replace(/^(["'`])(.*)\1$/, "$2").toLowerCase())) {
    if (isLoopback)
      return [`${variable} holds a secret published as an example: good enough on this machine only`];
    throw new OperatorError(
      `${variable} holds a secret published as an example; anybody could sign with it`,
      2,
    );
  }
  const warnings: string[] = [];
  if (value !== trimmed)
    warnings.push(`${variable} begins or ends with white space: is that a part of the secret?`);
  if (/^["'`]|["'`]$/.test(trimmed)) {
    warnings.push(
      `${variable} begins or ends with a quote: is that a part of the secret? (docker --env-file leaves quotes in)`,
    );
  }
  return warnings;
}

/**
 * The key of a secret, and the warning about one that is short.
 * @throws OperatorError for a text of another format, and off loopback for a key that can be guessed
 */
export function readSecretKey(
  variable: string,
  text: string,
  format: KeyFormat,
  isLoopback: boolean,
): { key: KeyObject; warnings: string[] } {
  const key = keyFrom(variable, text, format);
  // What a whsec_ text stands before is the secret, also for the senders that sign with the text as it is.
  const bytes = key.symmetricKeySize ?? 0;
  const secretBytes = format === "text" && text.startsWith("whsec_") ? bytes - "whsec_".length : bytes;
  if (isPublicKey(format) || secretBytes >= leastKeyBytes) return { key, warnings: [] };
  const fault = `${variable} is short: its key has ${secretBytes} bytes, and fewer than ${leastKeyBytes} can be guessed`;
  if (!isLoopback) throw new OperatorError(`${fault} (openssl rand -hex 32 makes a good one)`, 2);
  return { key, warnings: [fault] };
}

/** @throws OperatorError naming the variable, what was expected, and what is wrong with the text */
export function keyFrom(variable: string, text: string, format: KeyFormat): KeyObject {
  const key = readKey(format, text);
  if (key !== undefined) return key;
  throw new OperatorError(`${variable}: expected ${keyExpectations[format]}${keyFault(format, text)}`, 2);
}
