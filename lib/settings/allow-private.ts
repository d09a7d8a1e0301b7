/**
 * WEBHOOK_ALLOW_PRIVATE: may what is sent from here go to this machine and to private networks? A variable and no
 * flag, because the handlers ask too, and they are a module that nobody hands the settings to.
 */
import { OperatorError, quoted } from "../errors.ts";

/** @throws OperatorError for anything but `true` and `false`: a slip here would open what should be shut */
export function isPrivateAllowed(environment: NodeJS.ProcessEnv = process.env): boolean {
  const { WEBHOOK_ALLOW_PRIVATE: given = "false" } = environment;
  if (given === "true" || given === "false") return given === "true";
  throw new OperatorError(`WEBHOOK_ALLOW_PRIVATE: expected true or false, not ${quoted(given)}`, 2);
}
