/**
 * What a handler can throw to say more than "it did not work"; anything else that it throws means just that.
 *
 *     throw new Postponed(30_000, "the other side rests")    not now: again in 30 s, and this was no attempt
 *     throw new Hopeless("there is no such account")         never: the job is dead at once
 *
 * `instanceof` knows them by a mark: for handlers in a folder whose package.json does not say "type": "module", tsx
 * loads this file a second time, and then there are two classes of each name.
 */

const postponed = Symbol.for("webhook-receiver: postponed");
const hopeless = Symbol.for("webhook-receiver: hopeless");

/** Far beyond it would be no time that the inbox can hold, and a receiver says how long by its Retry-After. */
const longestMilliseconds = 365 * 86_400_000;

export class Postponed extends Error {
  readonly [postponed] = true;
  readonly milliseconds: number;

  static override [Symbol.hasInstance](thrown: unknown): boolean {
    return hasMark(thrown, postponed);
  }

  /** @throws RangeError for no time at all, with which the job would come again at once, for ever; and for over a year */
  constructor(milliseconds: number, why: string) {
    super(why);
    if (!(milliseconds > 0 && milliseconds <= longestMilliseconds))
      throw new RangeError(`expected milliseconds above 0 and up to a year, not ${milliseconds}`);
    this.milliseconds = Math.ceil(milliseconds);
  }
}

export class Hopeless extends Error {
  readonly [hopeless] = true;

  static override [Symbol.hasInstance](thrown: unknown): boolean {
    return hasMark(thrown, hopeless);
  }
}

function hasMark(thrown: unknown, mark: symbol): boolean {
  return typeof thrown === "object" && thrown !== null && mark in thrown;
}
