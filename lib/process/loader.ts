/**
 * Loads the handlers and says which of them an event goes to.
 */
import { pathToFileURL } from "node:url";
import { errorLine, OperatorError } from "../errors.ts";
import { type Log, stackOf } from "../log.ts";
import type { WebhookEvent } from "../signature/event.ts";
import type { Handler, HandlerOptions, Handlers } from "./handlers.ts";
import { matchesPattern, patternFault } from "./pattern.ts";

/** A handler with everything that it did not say filled in. */
export type ReadyHandler = Required<Omit<HandlerOptions, "orderBy">> & Pick<HandlerOptions, "orderBy">;
/** By pattern. A Map, because names come back from the database: `constructor` is a name like any other. */
export type ReadyHandlers = ReadonlyMap<string, ReadyHandler>;

const optionNames = ["handle", "retries", "timeoutSeconds", "orderBy"];
const defaultRetries = 11;
export const defaultTimeoutSeconds = 300;

/**
 * Loads a module that exports `handlers`.
 * @param file as given by the operator, relative to the working directory; undefined for the ones that come along
 * @throws OperatorError when it cannot be loaded, exports no handlers, or has one that makes no sense
 */
export async function loadHandlers(file: string | undefined): Promise<ReadyHandlers> {
  const url = file === undefined ? new URL("./handlers.ts", import.meta.url) : pathToFileURL(file);
  const name = file ?? "lib/process/handlers.ts";
  let module: { handlers?: unknown };
  try {
    module = await import(url.href);
  } catch (thrown) {
    throw new OperatorError(`cannot load the handlers from ${name}: ${errorLine(thrown)}`, 1);
  }
  const { handlers } = module;
  if (typeof handlers !== "object" || handlers === null || Array.isArray(handlers)) {
    throw new OperatorError(`${name} exports no object named "handlers"`, 1);
  }
  return readyHandlers(handlers as Handlers);
}

/** @throws OperatorError naming the pattern whose entry makes no sense */
export function readyHandlers(handlers: Handlers): ReadyHandlers {
  return new Map(
    Object.entries(handlers).map(([pattern, entry]) => {
      const fault = patternFault(pattern) ?? entryFault(entry);
      if (fault !== undefined)
        throw new OperatorError(`handlers, pattern ${JSON.stringify(pattern)}: ${fault}`, 1);
      const options: HandlerOptions = typeof entry === "function" ? { handle: entry } : entry;
      return [pattern, { retries: defaultRetries, timeoutSeconds: defaultTimeoutSeconds, ...options }];
    }),
  );
}

/**
 * The jobs that an event brings: one for each handler whose pattern it matches.
 * @param log told when an `orderBy` throws: its job then waits for no other, for the event must not be lost;
 * without a log, `jobsFor` throws what it threw
 */
export function jobsFor(
  handlers: ReadyHandlers,
  event: WebhookEvent,
  log?: Log,
): { handler: string; orderKey: string | null }[] {
  const keyOf = (handler: string, orderBy: NonNullable<HandlerOptions["orderBy"]>): string | null => {
    try {
      return String(orderBy(event));
    } catch (thrown) {
      if (log === undefined) throw thrown;
      log.error("orderBy failed; the job is in no order", { handler, id: event.id, stack: stackOf(thrown) });
      return null;
    }
  };
  return [...handlers]
    .filter(([pattern]) => matchesPattern(pattern, event.type))
    .map(([handler, { orderBy }]) => ({
      handler,
      orderKey: orderBy === undefined ? null : keyOf(handler, orderBy),
    }));
}

function entryFault(entry: Handler | HandlerOptions | null): string | undefined {
  if (typeof entry === "function") return undefined;
  if (typeof entry !== "object" || entry === null || typeof entry.handle !== "function") {
    return "its handler is not a function";
  }
  const unknown = Object.keys(entry).find((name) => !optionNames.includes(name));
  if (unknown !== undefined) return `${unknown} is none of ${optionNames.join(", ")}`;
  const { retries = 0, timeoutSeconds = 1, orderBy } = entry;
  if (!Number.isInteger(retries) || retries < 0 || retries > 100)
    return "retries is a whole number from 0 to 100";
  if (typeof timeoutSeconds !== "number" || !(timeoutSeconds > 0 && timeoutSeconds <= 86_400))
    return "timeoutSeconds is more than 0 and at most 86400";
  if (orderBy !== undefined && typeof orderBy !== "function") return "orderBy is not a function";
  return undefined;
}
