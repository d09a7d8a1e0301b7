/**
 * The `.env` file: loaded when it is there, written on the first start when it is not.
 *
 * Node parses it (`process.loadEnvFile`); a variable that the environment already has is not replaced.
 */
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { errorLine, OperatorError } from "../errors.ts";

export const defaultEnvFile = ".env";

/**
 * @param file a file named by the operator, which then has to exist; undefined for `.env`, which may be missing
 * @throws OperatorError when the file cannot be read
 */
export function loadEnvFile(file: string | undefined): void {
  if (file === undefined && !existsSync(defaultEnvFile)) return;
  const name = file ?? defaultEnvFile;
  try {
    // Node would take the mark for a part of the first name.
    if (
      readFileSync(name)
        .subarray(0, 3)
        .equals(Buffer.from([0xef, 0xbb, 0xbf]))
    ) {
      throw new OperatorError(`${name} begins with a byte order mark: save it as UTF-8 without one`, 1);
    }
    process.loadEnvFile(name);
  } catch (thrown) {
    if (thrown instanceof OperatorError) throw thrown;
    throw new OperatorError(`cannot read the environment file: ${errorLine(thrown)}`, 1);
  }
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
