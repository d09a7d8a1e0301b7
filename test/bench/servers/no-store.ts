/** The receiver with a store that keeps nothing and says yes at once. */
import type {
  openStore as realOpenStore,
  resolvedFile as realResolvedFile,
} from "../../../lib/keep/sqlite/store.ts";
import { replaceStore } from "./replace-store.ts";

replaceStore(import.meta.url);

export const resolvedFile: typeof realResolvedFile = (file) => file;

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
  pullBack: async () => {},
  failDone: async () => {},
  owner: "nobody",
  onFreedJobs: () => {},
  showRunning: () => {},
  hurryAfter: () => {},
  close: async () => {},
});
