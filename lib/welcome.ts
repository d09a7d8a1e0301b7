/**
 * The first lines: where to post, who may, and, for a person at a terminal, a first signed delivery to paste.
 */
import type { Leftover } from "./keep/sqlite/inbox.ts";
import type { Log } from "./log.ts";
import type { Settings } from "./settings/settings.ts";
import { defaultSourceName } from "./signature/source.ts";

/**
 * @param port the one that is really listened on
 */
export function logWelcome(settings: Settings, port: number, log: Log): void {
  const paths = [...settings.sources.keys()].map(pathOf);
  if (settings.isFirstStart) {
    log.info("wrote .env with a random WEBHOOK_SECRET: give the same one to the sender");
  }
  for (const warning of settings.warnings) log.warn(warning);
  log.info("listening", {
    url: `${originOf(settings.host, port)}${paths[0]}`,
    sources: [...settings.sources.keys()],
    paths,
  });
}

/** What an earlier run has left behind, and which senders will not have tried again while nobody was there. */
export function logLeftover(settings: Settings, { jobs, lastBeatAt }: Leftover, log: Log): void {
  if (lastBeatAt === null) return;
  const downSeconds = Math.max(0, Math.round((Date.now() - lastBeatAt) / 1000));
  const neverAgain = [...settings.sources.values()].flatMap(({ senders }) =>
    senders.filter(({ retries }) => retries === "never").map(({ title }) => title),
  );
  log.info("inbox", {
    leftoverJobs: jobs,
    downSeconds,
    neverSendAgain: [...new Set(neverAgain)].join(", ") || undefined,
  });
}

/**
 * A signed curl, for sh. It lets the shell look the secret up: the text holds neither a secret nor a signature.
 * @returns undefined when there is no default source to post to
 */
export function firstDelivery(settings: Settings, port: number): string | undefined {
  if (!settings.sources.has(defaultSourceName)) return undefined;
  // "Every address" (0.0.0.0, ::) is not one that can be posted to.
  const host = settings.host === "0.0.0.0" ? "127.0.0.1" : settings.host === "::" ? "::1" : settings.host;
  const url = `${originOf(host, port)}/webhook`;
  return `
Try it, in a second terminal in this folder:

  body='{"zen":"Keep it logically awesome."}'
  signature=$(printf '%s' "$body" | openssl dgst -sha256 -hmac ${settings.secretInShell} | sed 's/^.* //')
  curl -sS -i ${url} -H 'Content-Type: application/json' -H 'X-GitHub-Event: ping' -H "X-Hub-Signature-256: sha256=$signature" -d "$body"

`;
}

function originOf(host: string, port: number): string {
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

function pathOf(source: string): string {
  return source === defaultSourceName ? "/webhook" : `/webhook/${source}`;
}
