/**
 * The first lines: where to post, who may, and, for a person at a terminal, a first signed delivery to paste.
 */
import type { Log } from "./log.ts";
import type { Settings } from "./settings.ts";
import { defaultSourceName } from "./sources.ts";

/**
 * @param port the one that is really listened on
 */
export function logWelcome(settings: Settings, port: number, log: Log): void {
  const host = settings.host.includes(":") ? `[${settings.host}]` : settings.host;
  const origin = `http://${host}:${port}`;
  const paths = [...settings.sources.keys()].map(pathOf);
  if (settings.secretFrom === "written") {
    log.info("wrote .env with a random WEBHOOK_SECRET: give the same one to the sender");
  }
  for (const warning of settings.warnings) log.warn(warning);
  log.info("listening", { url: `${origin}${paths[0]}`, sources: [...settings.sources.keys()], paths });
}

/**
 * A signed curl, for sh. It lets the shell look the secret up: the text holds neither a secret nor a signature.
 * @returns undefined when there is no default source to post to
 */
export function firstDelivery(settings: Settings, port: number): string | undefined {
  if (!settings.sources.has(defaultSourceName)) return undefined;
  const secret =
    settings.secretFrom === "environment" ? '"$WEBHOOK_SECRET"' : `"$(sed -n 's/^WEBHOOK_SECRET=//p' .env)"`;
  return `
Try it, in a second terminal in this folder:

  body='{"zen":"Keep it logically awesome."}'
  signature=$(printf '%s' "$body" | openssl dgst -sha256 -hmac ${secret} | sed 's/^.* //')
  curl -i http://127.0.0.1:${port}/webhook -H 'Content-Type: application/json' -H 'X-GitHub-Event: ping' -H "X-Hub-Signature-256: sha256=$signature" -d "$body"

`;
}

function pathOf(source: string): string {
  return source === defaultSourceName ? "/webhook" : `/webhook/${source}`;
}
