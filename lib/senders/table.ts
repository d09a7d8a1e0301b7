/** The senders this receiver knows. How to add one is written above the type in `sender.ts`. */
import { decnet } from "./decnet.ts";
import { github } from "./github.ts";
import { messaging } from "./messaging.ts";
import type { Sender } from "./sender.ts";

export const senders: readonly Sender[] = [decnet, github, messaging];

/**
 * The senders of the default path `/webhook`. One path may serve these three, because all of them sign exactly
 * the same bytes (the raw body) with the same key and algorithm: whichever header a caller picks, it has to
 * know the same secret. No other sender may share a path.
 */
export const defaultSenders: readonly Sender[] = [github, decnet, messaging];

/** The sender with the longest name that `name` equals or starts with: `github-acme` is `github`. */
export function senderFor(name: string): Sender | undefined {
  return senders
    .filter((sender) => name === sender.name || name.startsWith(`${sender.name}-`))
    .sort((a, b) => b.name.length - a.name.length)[0];
}
