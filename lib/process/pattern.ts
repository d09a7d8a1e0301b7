/**
 * Does an event match a pattern? Names are dotted, and patterns are those of NATS subjects, with one addition:
 * an entry also stands for everything below it.
 *
 *     push                 push
 *     pull_request         pull_request, and pull_request.opened, pull_request.closed, …
 *     pull_request.opened  that one
 *     decky.*.state        decky.7.state: `*` is exactly one token
 *     attacker.>           attacker.observed, attacker.session.started: `>` is one token or more, at the end
 *     *                    everything
 *
 * https://docs.nats.io/nats-concepts/subjects
 */

/**
 * @returns what is wrong with the pattern, or undefined
 */
export function patternFault(pattern: string): string | undefined {
  const tokens = pattern.split(".");
  if (tokens.includes("")) return "a pattern is made of names with single dots between them";
  if (tokens.slice(0, -1).includes(">")) return "`>` can only be the last token";
  if (pattern.includes(",")) return "a comma in a name is written \\u002c";
  return undefined;
}

/** @param event its name, or the names of a batch with commas between them; one that fits is enough */
export function matchesPattern(pattern: string, event: string): boolean {
  if (pattern === "*") return true;
  const tokens = pattern.split(".");
  return event.split(",").some((name) => fits(tokens, name.split(".")));
}

function fits(tokens: readonly string[], names: readonly string[]): boolean {
  if (names.length < tokens.length) return false;
  return tokens.every((token, index) => token === "*" || token === ">" || token === names[index]);
}
