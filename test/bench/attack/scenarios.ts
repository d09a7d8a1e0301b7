/**
 * The attacks by name, with what has to hold under each of them. To add one: a function in `attacks.ts`, and a row here.
 */
import { secret } from "../../receiver.ts";
import {
  type Attack,
  largeForms,
  longLogLines,
  pipeline,
  pushedOutDeliveries,
  pushOut,
  refusedBodies,
  refusedBodiesDuringBackup,
  refusedBodiesThenFlood,
  repeatedUploads,
  silence,
  stoppedUploads,
} from "./attacks.ts";

export type Scenario = {
  /** As the table and the test call it. */
  readonly name: string;
  readonly attack: Attack;
  /** Settings that differ from those of a receiver with one secret. */
  readonly environment?: Readonly<Record<string, string>>;
  /** True: what the receiver writes on stdout is read by nobody meanwhile. */
  readonly isLogUnread?: boolean;
  /**
   * The only answers that the attacker may get, and one of them it has to get. "closed" is a connection that was closed
   * without one; empty where nothing is read.
   */
  readonly answers: readonly string[];
  readonly maxResidentMiB: number;
  /** An attack that is over sooner shows nothing. */
  readonly leastSeconds?: number;
  /** How many refused deliveries of another source have to be in the inbox afterwards. */
  readonly quarantined?: { readonly source: string; readonly rows: number };
};

/** What a busy receiver needs, and 50 for the attack. */
const maxResidentMiB = 250;
/** With as many bytes of bodies, or connections, as are allowed at a time. */
const maxResidentFullMiB = 400;
/** The write-ahead log under any attack. */
export const maxLogMiB = 64;

const pipelining = (connections: number, reading: "read" | "not read"): Omit<Scenario, "name"> => ({
  attack: pipeline(connections, reading),
  answers: reading === "read" ? ["404"] : [],
  maxResidentMiB,
});

export const scenarios: readonly Scenario[] = [
  { name: "pipelining on one connection, answers not read", ...pipelining(1, "not read") },
  { name: "pipelining on one connection, answers read", ...pipelining(1, "read") },
  { name: "pipelining on fifty connections, answers not read", ...pipelining(50, "not read") },
  { name: "pipelining on fifty connections, answers read", ...pipelining(50, "read") },
  {
    name: "refused bodies of 25 MB one after the other",
    attack: refusedBodies(1),
    leastSeconds: 2,
    answers: ["401"],
    maxResidentMiB: maxResidentFullMiB,
  },
  {
    name: "twelve refused bodies of 25 MB at once, then 2,000 wrong signatures a second",
    attack: refusedBodiesThenFlood(12, 2000),
    leastSeconds: 2,
    answers: ["401", "503", "closed"],
    maxResidentMiB: maxResidentFullMiB,
  },
  {
    name: "66 stopped uploads",
    attack: stoppedUploads(66),
    leastSeconds: 3,
    answers: ["408", "503", "closed"],
    maxResidentMiB: maxResidentFullMiB,
  },
  {
    name: "66 uploads that are too large together, again and again",
    attack: repeatedUploads(66),
    answers: ["408", "503", "closed"],
    maxResidentMiB: maxResidentFullMiB,
  },
  {
    name: "10,000 silent connections from one address",
    attack: silence,
    answers: ["closed", "408"], // the latter when opening all of them has taken longer than a head may
    maxResidentMiB: maxResidentFullMiB,
  },
  {
    name: "forms of 25 MB before they are authentic",
    attack: largeForms("/webhook/gitea", "X-Gitea-Signature"),
    environment: { WEBHOOK_SECRET_GITEA: secret },
    answers: ["413"],
    maxResidentMiB: maxResidentFullMiB,
  },
  {
    name: "long lines of log that nobody reads",
    attack: longLogLines,
    isLogUnread: true,
    leastSeconds: 2,
    answers: ["417"],
    maxResidentMiB,
  },
  {
    name: "refused bodies while a backup holds a snapshot",
    attack: refusedBodiesDuringBackup,
    answers: ["401"],
    maxResidentMiB: maxResidentFullMiB,
  },
  {
    name: "junk that pushes another source's refused deliveries out",
    attack: pushOut,
    environment: { WEBHOOK_SECRET_SHOPIFY: secret },
    answers: ["401"],
    maxResidentMiB,
    quarantined: { source: "shopify", rows: pushedOutDeliveries },
  },
];
