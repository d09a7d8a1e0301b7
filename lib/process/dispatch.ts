/**
 * Runs every handler whose pattern matches an event, and waits for them.
 *
 * A handler that fails does not keep the others from running; the delivery as a whole has then failed, and the
 * sender is to send it again. So a handler may run more than once for one event, and must be idempotent.
 */
import { pathToFileURL } from "node:url";
import { type Log, stackOf } from "../log.ts";
import { errorLine, OperatorError } from "../operator-error.ts";
import type { WebhookEvent } from "../receive/event.ts";
import type { Handler, Handlers } from "./handlers.ts";
import { matchesPattern, patternFault } from "./pattern.ts";

/**
 * Loads a module that exports `handlers`.
 * @param file as given by the operator, relative to the working directory; undefined for the ones that come along
 * @throws OperatorError when it cannot be loaded, exports no handlers, or has a pattern that cannot match
 */
export async function loadHandlers(file: string | undefined): Promise<Handlers> {
  const url = file === undefined ? new URL("./handlers.ts", import.meta.url) : pathToFileURL(file);
  let module: { handlers?: unknown };
  try {
    module = await import(url.href);
  } catch (thrown) {
    throw new OperatorError(`cannot load the handlers from ${file}: ${errorLine(thrown)}`, 1);
  }
  const { handlers } = module;
  if (typeof handlers !== "object" || handlers === null || Array.isArray(handlers)) {
    throw new OperatorError(`${file} exports no object named "handlers"`, 1);
  }
  for (const [pattern, handler] of Object.entries(handlers)) {
    const fault = typeof handler === "function" ? patternFault(pattern) : "its handler is not a function";
    if (fault !== undefined)
      throw new OperatorError(`handlers, pattern ${JSON.stringify(pattern)}: ${fault}`, 1);
  }
  return handlers as Handlers;
}

/**
 * @throws AggregateError with everything the handlers threw, when at least one of them did
 */
export async function dispatch(handlers: Handlers, event: WebhookEvent, log: Log): Promise<void> {
  // The names of events come from outside. They are compared with the patterns and never looked up in an
  // object, so `constructor` and `__proto__` are names like any other.
  const matching = Object.entries(handlers).filter(([pattern]) => matchesPattern(pattern, event.type));
  const failures = await Promise.all(matching.map(([pattern, handler]) => run(pattern, handler, event, log)));
  const thrown = failures.flat();
  if (thrown.length > 0) throw new AggregateError(thrown, `${thrown.length} handlers failed`);
}

/** @returns what the handler threw (which may be anything), or nothing */
async function run(pattern: string, handler: Handler, event: WebhookEvent, log: Log): Promise<unknown[]> {
  const bound = log.with({ handler: pattern, event: event.type, id: event.id });
  try {
    await handler(event, { log: bound });
    return [];
  } catch (thrown) {
    bound.error("handler failed", { stack: stackOf(thrown) });
    return [thrown];
  }
}
