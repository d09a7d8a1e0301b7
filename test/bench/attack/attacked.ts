/**
 * A receiver as a person starts it, attacked by another process, while a client that has done nothing is served, and what
 * is seen of it from outside.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { noHandlers, receiverCommand } from "../contestants.ts";
import { type Server, startServer, usageOf } from "../server.ts";
import { longestStall, probe } from "../stalls.ts";
import { silentConnections } from "./attacks.ts";
import type { GoodClient, Served } from "./good-client.ts";
import { maxLogMiB, type Scenario } from "./scenarios.ts";

export type Pace = {
  /** Load before that: what an attack takes is held against what a busy receiver needs. */
  readonly warm: (port: number) => Promise<unknown>;
  /** The good client without the attack, to compare with; zero leaves that out. */
  readonly controlSeconds: number;
  readonly attackSeconds: number;
  readonly deliveriesPerSecond: number;
};

export type Observed = {
  readonly control: Served;
  readonly attacked: Served;
  /** What the attacker got, by status. */
  readonly answers: ReadonlyMap<string, number>;
  /** The highest since the start, before the attack and after it. */
  readonly peakBeforeMiB: number;
  readonly peakMiB: number;
  /** The write-ahead log, at most. */
  readonly logMiB: number;
  readonly stallMilliseconds: number;
  /** Refused deliveries of the source that the scenario names. */
  readonly quarantinedRows: number | undefined;
};

const attacker = fileURLToPath(new URL("attacker.ts", import.meta.url));
const lookMilliseconds = 20;
/** What was refused is put away when nothing better is to do. */
const quarantineMilliseconds = 3000;
/** The receiver's files, and the attacker's, beside their connections. */
const otherFiles = 500;

/** Why a scenario cannot be played here; undefined when it can. */
export function obstacle({ name }: Scenario): string | undefined {
  if (!existsSync("/proc/self/status")) return "there is no /proc here to read the resident memory from";
  // Node raises its own limit to the hard one.
  const limit = /^Max open files +\S+ +(\S+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
  const isTooLow = Number(limit) < silentConnections + otherFiles;
  return isTooLow && name.includes("silent")
    ? `a process may open ${limit} files here, and ${silentConnections + otherFiles} are needed (ulimit -Hn)`
    : undefined;
}

/** Starts a receiver below `folder`, plays the scenario once, and stops it. */
export async function play(
  folder: string,
  scenario: Scenario,
  goodClient: GoodClient,
  pace: Pace,
): Promise<Observed> {
  const command = receiverCommand(noHandlers, ["--import", probe]);
  const server = await startServer(folder, { ...command, environment: { ...scenario.environment } });
  try {
    return await observe(server, scenario, goodClient, pace);
  } finally {
    await server.stop();
  }
}

async function observe(
  server: Server,
  scenario: Scenario,
  goodClient: GoodClient,
  { warm, controlSeconds, attackSeconds: wantedSeconds, deliveriesPerSecond }: Pace,
): Promise<Observed> {
  const attackSeconds = Math.max(wantedSeconds, scenario.leastSeconds ?? 0);
  const { port, processId } = server;
  const inboxFile = join(server.folder, "inbox.db");
  await warm(port);
  const control = await goodClient(port, controlSeconds, deliveriesPerSecond);
  const peakBeforeMiB = usageOf(processId).peakMiB;
  await longestStall(server);
  if (scenario.isLogUnread) server.output.pause();

  let logBytes = 0;
  const looking = setInterval(() => {
    logBytes = Math.max(logBytes, statSync(`${inboxFile}-wal`, { throwIfNoEntry: false })?.size ?? 0);
  }, lookMilliseconds);
  const attack = await startAttack([scenario.name, String(port), inboxFile, String(attackSeconds)]);
  const attacked = await goodClient(port, attackSeconds, deliveriesPerSecond);
  const answers = await attack.ended;
  clearInterval(looking);
  const { peakMiB } = usageOf(processId);
  server.output.resume();
  const { quarantined } = scenario;
  return {
    ...{ control, attacked, answers, peakBeforeMiB, peakMiB },
    logMiB: logBytes / 1024 ** 2,
    stallMilliseconds: await longestStall(server),
    quarantinedRows: quarantined && (await rowsOf(inboxFile, quarantined)),
  };
}

/** Resolves once it is under way. */
async function startAttack(args: string[]) {
  const child = spawn(process.execPath, [attacker, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  const ended = once(child, "close").then(([code]) => {
    const [, said] = text.split("\n");
    if (code !== 0 || said === undefined) throw new Error(`the attacker ended with ${code}: ${text}`);
    return new Map(Object.entries(JSON.parse(said) as Record<string, number>));
  });
  ended.catch(() => {}); // whoever awaits it hears of it
  const begun = new Promise<void>((resolve) => {
    child.stdout.on("data", (chunk: Buffer) => {
      text += chunk;
      if (text.includes("\n")) resolve();
    });
  });
  await Promise.race([begun, ended]);
  return { ended };
}

async function rowsOf(
  inboxFile: string,
  { source, rows }: NonNullable<Scenario["quarantined"]>,
): Promise<number> {
  const database = new DatabaseSync(inboxFile, { readOnly: true });
  const count = database.prepare("SELECT count(*) AS rows FROM quarantine WHERE source = ?");
  const giveUpAt = performance.now() + quarantineMilliseconds;
  let found = 0;
  do {
    found = Number(count.get(source)?.rows);
    if (found < rows) await pause(lookMilliseconds);
  } while (found < rows && performance.now() < giveUpAt);
  database.close();
  return found;
}

/** What did not hold, one text each. How long anything took is not among it: that is for the benchmark to judge. */
export function faultsOf(scenario: Scenario, observed: Observed): string[] {
  const { attacked, answers, peakMiB, logMiB, quarantinedRows } = observed;
  const { maxResidentMiB, quarantined } = scenario;
  const faults: [boolean, string][] = [
    [
      attacked.accepted < attacked.sent,
      `${attacked.accepted} of ${attacked.sent} good deliveries got 200, the others ${listed(attacked.others)}`,
    ],
    [peakMiB > maxResidentMiB, `${Math.round(peakMiB)} MiB resident; the bound is ${maxResidentMiB}`],
    [logMiB > maxLogMiB, `a write-ahead log of ${Math.round(logMiB)} MiB; the bound is ${maxLogMiB}`],
    [
      answers.size === 0
        ? scenario.answers.length > 0
        : [...answers.keys()].some((answer) => !scenario.answers.includes(answer)),
      `the attacker was answered ${listed(answers)}; expected is ${scenario.answers.join(", ") || "nothing"} only`,
    ],
    [
      quarantinedRows !== quarantined?.rows,
      `${quarantinedRows} of ${quarantined?.rows} refused deliveries of ${quarantined?.source} were kept`,
    ],
  ];
  return faults.flatMap(([isBroken, text]) => (isBroken ? [text] : []));
}

export function listed(counts: ReadonlyMap<string, number>): string {
  return [...counts].map(([what, count]) => `${what} × ${count}`).join(", ") || "none";
}
