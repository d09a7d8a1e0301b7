/**
 * The receiver with a store that makes a transaction with a sync of its own for every call, in the thread that
 * answers. Tables, pragmas and SQL are the receiver's: what is left to tell them apart is that the real store writes
 * what comes close together in one transaction, in a thread of its own.
 */
import { openDatabase, transaction } from "../../../lib/keep/sqlite/database.ts";
import { openInbox } from "../../../lib/keep/sqlite/inbox.ts";
import { openQuarantine } from "../../../lib/keep/sqlite/quarantine.ts";
import { openRetention } from "../../../lib/keep/sqlite/retention.ts";
import type { openStore as realOpenStore, Store } from "../../../lib/keep/sqlite/store.ts";
import { replaceStore } from "./replace-store.ts";

replaceStore(import.meta.url);

export const openStore: typeof realOpenStore = async (file) => {
  const database = openDatabase(file);
  const { removeBefore } = openRetention(database);
  const room = { ...openInbox(database), quarantine: openQuarantine(database).add, removeBefore };
  const calls = Object.entries(room).map(([name, run]) => {
    const call = run as (...args: unknown[]) => unknown;
    return [name, async (...args: unknown[]) => transaction(database, () => call(...args))];
  });
  return {
    ...Object.fromEntries(calls),
    owner: "each",
    onFreedJobs: () => {},
    showRunning: () => {},
    close: async () => database.close(),
  } as Store;
};
