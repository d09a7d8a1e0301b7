/**
 * Numbers that look random and are the same in every run.
 * https://en.wikipedia.org/wiki/Lehmer_random_number_generator
 */
export function lehmer(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
}
