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
