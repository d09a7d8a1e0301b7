/**
 * For modules that are preloaded with `--import`: in place of `lib/keep/sqlite/store.ts` the receiver gets another store. So
 * the program needs no switch for it, and everything else (limits, answers, log lines, worker) is the real thing.
 */
import { registerHooks } from "node:module";

const real = new URL("../../../lib/keep/sqlite/store.ts", import.meta.url).href;

/** @param url of the module that has the other `openStore` */
export function replaceStore(url: string): void {
  registerHooks({
    resolve(specifier, context, nextResolve) {
      const resolved = nextResolve(specifier, context);
      return resolved.url.split("?", 1)[0] === real ? { ...resolved, url } : resolved;
    },
  });
}
