/**
 * Preloaded with `--import`: the receiver as it is, but with a store that keeps nothing and says yes at once. So
 * the program needs no switch for it, and everything else (limits, answers, log lines, worker) is the real thing.
 */
import { registerHooks } from "node:module";
import type { openStore as realOpenStore } from "../../../lib/keep/store.ts";

const real = new URL("../../../lib/keep/store.ts", import.meta.url).href;

registerHooks({
  resolve(specifier, context, nextResolve) {
    const resolved = nextResolve(specifier, context);
    return resolved.url.split("?", 1)[0] === real ? { ...resolved, url: import.meta.url } : resolved;
  },
});

export const openStore: typeof realOpenStore = async () => ({
  accept: async () => "accepted",
  claim: async () => ({ jobs: [], nextAttemptAt: null }),
  finish: async () => true,
  release: async () => {},
  beat: async () => {},
  otherBeats: async () => [],
  bury: async () => 0,
  leftover: async () => ({ jobs: 0, lastBeatAt: null }),
  quarantine: async () => true,
  removeBefore: async () => 0,
  close: async () => {},
});
