/**
 * One attack, in a process of its own: it says when it is under way, goes on for the time that it is given, prints what
 * was answered to it, and ends.
 *
 *     node attacker.ts NAME PORT INBOX SECONDS
 */
import { setPriority } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import { scenarios } from "./scenarios.ts";

/** To be under way, and to be answered at all. */
const maxBeginMilliseconds = 20_000;
/** A real attacker has a processor of its own: this one gets what the receiver and the good client leave. */
const lowPriority = 10;

const [name, port, inboxFile = "", seconds] = process.argv.slice(2);
const scenario = scenarios.find((one) => one.name === name);
if (scenario === undefined) throw new TypeError(`there is no attack ${name}`);
const answers = new Map<string, number>();
setPriority(lowPriority);
const giveUp = setTimeout(() => process.exit(1), maxBeginMilliseconds);
const begun = await scenario.attack({ port: Number(port), inboxFile, seconds: Number(seconds), answers });
clearTimeout(giveUp);
process.stdout.write("attacking\n");
await pause(Number(seconds) * 1000);
await Promise.race([begun?.ended, pause(maxBeginMilliseconds)]);
// On a busy machine the first answer may take longer than all was meant to.
const waitsUntil = performance.now() + maxBeginMilliseconds;
while (scenario.answers.length > 0 && answers.size === 0 && performance.now() < waitsUntil) await pause(20);
process.stdout.write(`${JSON.stringify(Object.fromEntries(answers))}\n`, () => process.exit());
