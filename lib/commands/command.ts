/**
 * What a command is: a function that reads its arguments, writes text for stdout, and says how it has ended.
 */

/**
 * 0: done, or yes. 1: no. 128 + n: ended by signal n. What cannot be done at all is an OperatorError, which has an exit
 * code of its own.
 */
export type ExitCode = number;

/**
 * @param environment the process's own; the variables of the `.env` file are added to it
 * @param write takes the text for stdout
 * @param now the clock, in a parameter so that tests can stop it
 * @throws OperatorError
 */
export type Command = (
  argv: readonly string[],
  environment: NodeJS.ProcessEnv,
  write: (text: string) => void,
  now?: () => Date,
) => Promise<ExitCode>;
