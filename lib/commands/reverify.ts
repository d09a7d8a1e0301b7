/**
 * `reverify`: what is in quarantine is tried again with today's secrets, as if it had just come.
 *
 * A request's time window is judged at the time it came. What verifies now goes into the inbox with that time,
 * and leaves the quarantine in the same transaction; the receiver runs its jobs. Everything else stays.
 */
import type { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { errorLine, OperatorError } from "../errors.ts";
import type { Incoming, Outcome } from "../keep/sqlite/accept.ts";
import { transaction } from "../keep/sqlite/database.ts";
import { type Inbox, openInbox } from "../keep/sqlite/inbox.ts";
import {
  findQuarantined,
  isReceiverAlive,
  readQuarantined,
  removeQuarantined,
  type StoredRefused,
} from "../keep/sqlite/queries.ts";
import { printable } from "../log.ts";
import { incomingFrom } from "../process/keeper.ts";
import { loadHandlers, type ReadyHandlers } from "../process/loader.ts";
import { answerSigned } from "../receive/verification-request.ts";
import { Refusal } from "../refusal.ts";
import { readSettings } from "../settings/settings.ts";
import { authenticate } from "../signature/authenticate.ts";
import { type Head, readClaim } from "../signature/claim.ts";
import type { Source } from "../signature/source.ts";
import { handlerFlags, handlersHelp, isoTime, parseCommand, readFiles, withInbox } from "./arguments.ts";
import type { ExitCode } from "./command.ts";

const help = `reverify: what was refused is tried again with today's secrets; what verifies now is admitted

Usage: tsx webhook-receiver.ts reverify [flags]

${handlersHelp}
`;

/** Between two requests the file is free for at least this long. */
const breathMilliseconds = 2;

/** A handshake is authentic, and there is nothing to keep of it: its answer is too late. */
type Verdict =
  | { readonly kind: "authentic"; readonly incoming: Incoming }
  | { readonly kind: "handshake" }
  | { readonly kind: "refused"; readonly reason: string };

/**
 * @param write takes the text for stdout
 * @param now the clock, in a parameter so that tests can stop it
 * @throws OperatorError
 */
export async function reverify(
  argv: readonly string[],
  environment: NodeJS.ProcessEnv,
  write: (text: string) => void,
  now: () => Date = () => new Date(),
): Promise<ExitCode> {
  const { values } = parseCommand({ args: [...argv], options: handlerFlags });
  if (values.help === true) {
    write(help);
    return 0;
  }
  const files = readFiles(values, environment);
  const sources = readSourcesOfReceiver(environment, files.envFile);
  await withInbox(files.inboxFile, async (database) => {
    const handlers = await loadHandlers(files.handlersFile);
    const inbox = openInbox(database);
    const counts = { admitted: 0, handshake: 0, refused: 0 };
    for (const number of findQuarantined(database)) {
      const refused = readQuarantined(database, number);
      // Whatever is not there any more was taken by another command or by the receiver's bounds.
      if (refused === undefined) continue;
      const done = settle(database, inbox, refused, await judge(refused, sources, handlers));
      if (done === undefined) continue;
      counts[done.word] += 1;
      write(line(done.word, refused, done.facts));
      await sleep(breathMilliseconds);
    }
    write(summary(counts, isReceiverAlive(database, now().getTime())));
  });
  return 0;
}

/** As the receiver reads them, with its rules for what is safe; but a command writes no `.env`. */
function readSourcesOfReceiver(
  environment: NodeJS.ProcessEnv,
  envFile: string | undefined,
): ReadonlyMap<string, Source> {
  const hasSecret = Object.keys(environment).some((name) => /^WEBHOOK_SECRET(_|$)/.test(name));
  if (!hasSecret) throw new OperatorError("no secret is set: there is nothing to verify with", 2);
  const request = readSettings(envFile === undefined ? [] : ["--env-file", envFile], environment);
  if ("text" in request) throw new TypeError("settings were asked for, and a text came");
  return request.settings.sources;
}

/** The steps of `receive` in webhook-receiver.ts, with the time at which the request came. */
async function judge(
  { source: name, receivedAt, head, body }: StoredRefused,
  sources: ReadonlyMap<string, Source>,
  handlers: ReadyHandlers,
): Promise<Verdict> {
  const source = sources.get(name);
  if (source === undefined) return { kind: "refused", reason: "source-unknown" };
  const time = new Date(receivedAt);
  try {
    const claim = readClaim(source, JSON.parse(head) as Head);
    const { delivery, event } = await authenticate(claim, Buffer.from(body), time);
    if (answerSigned(delivery, event) !== undefined) return { kind: "handshake" };
    return { kind: "authentic", incoming: incomingFrom(delivery.sender, event, handlers, time) };
  } catch (thrown) {
    // Not only a Refusal: a handler's `orderBy` may throw anything, and the other requests still have their turn.
    return { kind: "refused", reason: thrown instanceof Refusal ? thrown.code : errorLine(thrown) };
  }
}

type Done = { readonly word: "admitted" | "handshake" | "refused"; readonly facts: readonly string[] };

/** @returns undefined when it is not in quarantine any more: then somebody else has admitted it */
function settle(
  database: DatabaseSync,
  inbox: Inbox,
  { number }: StoredRefused,
  verdict: Verdict,
): Done | undefined {
  if (verdict.kind === "refused") return { word: "refused", facts: [verdict.reason] };
  const outcome = transaction(database, (): Outcome | "removed" | undefined => {
    if (!removeQuarantined(database, number)) return undefined;
    return verdict.kind === "handshake" ? "removed" : inbox.accept(verdict.incoming);
  });
  if (outcome === undefined) return undefined;
  if (verdict.kind === "handshake") return { word: "handshake", facts: [outcome] };
  return { word: "admitted", facts: [verdict.incoming.event, verdict.incoming.id, outcome] };
}

/** `admitted   2026-11-22T05:38:12.123Z  default  push  72d3162e…  accepted` */
function line(word: Done["word"], { receivedAt, source }: StoredRefused, facts: readonly string[]): string {
  const columns = [word.padEnd("handshake".length), isoTime(receivedAt), source, ...facts];
  return `${columns.map(printable).join("  ")}\n`;
}

function summary(counts: Record<Done["word"], number>, isAlive: boolean): string {
  const { admitted, handshake, refused } = counts;
  if (admitted + handshake + refused === 0) return "the quarantine is empty\n";
  const parts = [`${admitted} admitted`, `${refused} still refused`];
  if (handshake > 0) parts.push(`${handshake} no deliveries but handshakes, removed`);
  if (!isAlive && admitted > 0) parts.push("no receiver is running: their handlers run when one is started");
  return `${parts.join("; ")}\n`;
}
