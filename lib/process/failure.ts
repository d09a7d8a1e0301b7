/**
 * What a handler can throw to say more than "it did not work"; anything else that it throws means just that.
 *
 *     throw new Postponed(30_000, "the other side rests")    not now: again in 30 s, and this was no attempt
 *     throw new Hopeless("there is no such account")         never: the job is dead at once
 */

export class Postponed extends Error {
  readonly milliseconds: number;

  /** @throws RangeError for a time that is none: the job would come again at once, for ever */
  constructor(milliseconds: number, why: string) {
    super(why);
    if (!(milliseconds > 0 && milliseconds < Number.POSITIVE_INFINITY))
      throw new RangeError(`expected a number of milliseconds above 0, not ${milliseconds}`);
    this.milliseconds = Math.ceil(milliseconds);
  }
}

export class Hopeless extends Error {}
