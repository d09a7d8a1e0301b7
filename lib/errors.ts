/**
 * What the person who starts the program got wrong: a flag, a file, a port in use.
 * It is shown as one line without a stack trace; `webhook-receiver.ts` ends the process with its exit code.
 * What a sender gets wrong is a `Refusal`; what we got wrong is any other throw.
 */
export class OperatorError extends Error {
  /** 2 for wrong usage (a flag or a variable), 1 for a world that does not fit (a port, a file). */
  readonly exitCode: 1 | 2;

  constructor(message: string, exitCode: 1 | 2) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** Whatever was thrown (JavaScript can throw anything), as one line of text for a person. */
export function errorLine(thrown: unknown): string {
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  return text.split("\n", 1)[0] ?? "";
}

/** A wrong value as it was given, but never long: somebody may have pasted the wrong thing. */
export function quoted(given: string): string {
  return JSON.stringify(given.length > 40 ? `${given.slice(0, 40)}…` : given);
}

/** What `parseArgs` threw, in one sentence and without its advice on how to write options that begin with a dash. */
export function usageError(thrown: unknown): OperatorError {
  const [problem] = errorLine(thrown).split(/\. (?:To specify|Did you|This command)/);
  return new OperatorError(`${problem} (--help shows what there is)`, 2);
}
