/**
 * The `.env` file: loaded when it is there, written on the first start when it is not.
 *
 * Node parses it (`util.parseEnv`); a variable that the environment already has is not replaced. Where Node would read
 * a secret in another way than its owner has written it, the file is refused.
 */
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { parseEnv } from "node:util";
import { errorLine, OperatorError } from "../errors.ts";
import { secretName } from "../log.ts";
import { secretVariable } from "./secret.ts";

export const defaultEnvFile = ".env";

/**
 * @param file a file named by the operator, which then has to exist; undefined for `.env`, which may be missing
 * @param environment gets the variables that it does not have yet
 * @throws OperatorError when the file cannot be read, or a secret in it would not be read as it is written
 */
export function loadEnvFile(file: string | undefined, environment: NodeJS.ProcessEnv): void {
  if (file === undefined && !existsSync(defaultEnvFile)) return;
  const name = file ?? defaultEnvFile;
  let text: string;
  try {
    text = readFileSync(name, "utf8");
  } catch (thrown) {
    throw new OperatorError(`cannot read the environment file: ${errorLine(thrown)}`, 1);
  }
  // Node would take the mark for a part of the first name, and a variable ends at a NUL.
  if (text.startsWith("\ufeff"))
    throw new OperatorError(`${name} begins with a byte order mark: save it as UTF-8 without one`, 1);
  if (text.includes("\0")) throw new OperatorError(`${name} holds a NUL byte: save it as UTF-8`, 1);
  checkSecretLines(name, text);
  // All names first: a file that gives one secret in both ways is not decided here.
  const isGiven = new Set(Object.keys(environment));
  for (const [variable, value] of Object.entries(parseEnv(text))) {
    const other = otherWay(variable);
    if (!isGiven.has(variable) && (other === undefined || !isGiven.has(other))) environment[variable] = value;
  }
}

/** A secret of the environment beats one of the file also where one is given by its text and the other by …_FILE. */
function otherWay(variable: string): string | undefined {
  if (!secretVariable.test(variable)) return undefined;
  return variable.endsWith("_FILE") ? variable.slice(0, -"_FILE".length) : `${variable}_FILE`;
}

/** Node cuts an unquoted value at a `#`, drops what follows a closing quote, and reads on when a quote does not close. */
function checkSecretLines(file: string, text: string): void {
  for (const [index, line] of text.split("\n").entries()) {
    const [, variable = "", value = ""] = /^\s*(?:export\s+)?([\w.-]+)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (!secretName.test(variable)) continue;
    const fault = secretFault(value, secretVariable.test(variable));
    if (fault !== undefined)
      throw new OperatorError(
        `${file}, line ${index + 1}: ${variable} ${fault}: put the whole secret into 'single quotes'`,
        2,
      );
  }
}

/** @param isOneLine false where a value may go on in the next line, as a private key for a handler does */
function secretFault(value: string, isOneLine: boolean): string | undefined {
  const quote = /^["'`]/.exec(value)?.[0];
  if (quote === undefined) {
    return value.includes("#") ? "has a # outside of quotes, and would end in front of it" : undefined;
  }
  const end = value.indexOf(quote, 1);
  if (end === -1) return isOneLine ? "begins with a quote that does not end on its line" : undefined;
  const isWhole = /^\s*(#.*)?$/.test(value.slice(end + 1));
  return isWhole ? undefined : "goes on behind its closing quote, and would end there";
}

/**
 * Writes `.env` with one random secret of 256 bits, readable by its owner only, and sets the variable.
 * @throws OperatorError when there is such a file already (it is never changed) or it cannot be written
 */
export function writeFirstEnvFile(environment: NodeJS.ProcessEnv): void {
  const secret = randomBytes(32).toString("hex");
  const lines = [
    "# Written by webhook-receiver on its first start. Keep it out of version control.",
    "# The sender signs with this secret and the receiver checks with it: give it to both, and to nobody else.",
    `WEBHOOK_SECRET=${secret}`,
    "",
  ];
  try {
    // "wx": two first starts at the same time must not leave two different secrets behind.
    writeFileSync(defaultEnvFile, lines.join("\n"), { mode: 0o600, flag: "wx" });
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "EEXIST") {
      throw new OperatorError(
        `no secret is set: add a line WEBHOOK_SECRET=<random text> to ${defaultEnvFile} (openssl rand -hex 32 makes one)`,
        2,
      );
    }
    throw new OperatorError(
      `no secret is set, and ${defaultEnvFile} cannot be written: ${errorLine(thrown)}`,
      1,
    );
  }
  environment.WEBHOOK_SECRET = secret;
}

/**
 * True when the file has the plain line `<name>=<value>`, without quotes: then a shell can look the value up there.
 */
export function hasPlainLine(file: string, name: string, value: string): boolean {
  return existsSync(file) && readFileSync(file, "utf8").split(/\r?\n/).includes(`${name}=${value}`);
}
