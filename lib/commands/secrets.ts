/**
 * For whom a command signs or verifies, and which variable holds the secret: the receiver's own names and rules.
 *
 * `stripe` is WEBHOOK_SECRET_STRIPE, `github-acme` is GitHub with WEBHOOK_SECRET_GITHUB_ACME, and the three senders
 * of `/webhook` fall back on WEBHOOK_SECRET. `--secret-from` names another variable. A secret is never a flag, and
 * whoever gives one to `--secret-from` by mistake does not find it in an error.
 */
import type { KeyObject } from "node:crypto";
import { OperatorError, quoted } from "../errors.ts";
import { defaultSenders } from "../senders/default-path.ts";
import type { Sender } from "../senders/sender.ts";
import { senderFor, senders } from "../senders/table.ts";
import { checkSecret } from "../settings/secret.ts";
import { readCustomSenders, variableFor } from "../settings/sources.ts";
import { isPublicKey, keyFault, readSigningKey, signingKeyExpectations } from "../signature/key.ts";

export type SecretText = { readonly variable: string; readonly text: string };

/** @throws OperatorError with the names that there are */
export function findSender(name: string, environment: NodeJS.ProcessEnv): Sender {
  const known = [...senders, ...readCustomSenders(environment)];
  const isName = /^[a-z0-9]+(-[a-z0-9]+)*$/.test(name);
  const sender = isName ? senderFor(known, name) : undefined;
  if (sender !== undefined) return sender;
  const names = known.map((one) => one.name).join(", ");
  throw new OperatorError(
    `no such sender: ${quoted(name)}; expected one of ${names}, alone or with -<more> behind it`,
    2,
  );
}

/**
 * @param name the sender's or the source's
 * @param secretFrom the variable that the operator names, or else the receiver's own is meant
 * @throws OperatorError when the variable is not set or empty
 */
export function findSecret(
  name: string,
  secretFrom: string | undefined,
  environment: NodeJS.ProcessEnv,
): SecretText {
  const variable = secretFrom ?? ownVariable(name, environment);
  const text = Object.hasOwn(environment, variable) ? environment[variable] : undefined;
  if (text !== undefined) {
    checkSecret(variable, text, true);
    return { variable, text };
  }
  if (secretFrom !== undefined) {
    const what = "expected the name of a variable that is set, in the environment or .env";
    throw new OperatorError(`--secret-from: ${what} (a name, not the secret)`, 2);
  }
  throw new OperatorError(
    `${variable} is not set: put the secret into it, or name another variable with --secret-from`,
    2,
  );
}

/**
 * The key to sign with as this sender.
 * @throws OperatorError where the receiver's own variable holds a public key, with which nobody can sign
 */
export function findSigningKey(
  name: string,
  sender: Sender,
  secretFrom: string | undefined,
  environment: NodeJS.ProcessEnv,
): KeyObject {
  const own = variableFor("WEBHOOK_SECRET_", name);
  const expected = signingKeyExpectations[sender.key];
  // A seed and a public key can look alike: what the receiver verifies with is never taken for the other one.
  if (isPublicKey(sender.key) && (secretFrom === undefined || secretFrom === own)) {
    throw new OperatorError(
      `${sender.title} signs with a private key, and ${own} is for the public one: name a variable that holds the private one with --secret-from (${expected})`,
      2,
    );
  }
  const { variable, text } = findSecret(name, secretFrom, environment);
  const key = readSigningKey(sender.key, text);
  if (key === undefined)
    throw new OperatorError(`${variable}: expected ${expected}${keyFault(sender.key, text)}`, 2);
  return key;
}

function ownVariable(name: string, environment: NodeJS.ProcessEnv): string {
  const own = variableFor("WEBHOOK_SECRET_", name);
  const isDefault = defaultSenders.some((sender) => sender.name === name);
  const hasOnlyDefault = environment[own] === undefined && environment.WEBHOOK_SECRET !== undefined;
  return isDefault && hasOnlyDefault ? "WEBHOOK_SECRET" : own;
}
