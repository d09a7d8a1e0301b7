/**
 * Path → what is there: the health check, or the source whose deliveries arrive at it.
 *
 * `/webhook` and `/webhooks` are the default source, either with `/<name>` behind it is that source. One slash at the end
 * makes no difference. The path names the source, never a header: a header would let the caller choose the weakest.
 */
import { Refusal } from "../refusal.ts";
import { defaultSourceName, type Source } from "../signature/source.ts";

export const healthPath = "/healthz";

const webhookPath = /^\/webhooks?(?:\/([a-z0-9-]+))?\/?$/;

/** @throws Refusal 404 for a path that can never be a source's: nothing more is asked about it */
export function checkPath(path: string): void {
  if (!/^\/webhooks?(\/|$)/.test(path))
    throw new Refusal("path-unknown", `no route for ${path.slice(0, 200)}`);
}

/** @throws Refusal 404 when no source is at this path */
export function sourceAt(sources: ReadonlyMap<string, Source>, path: string): Source {
  const [match, name = defaultSourceName] = webhookPath.exec(path) ?? [];
  // The default source has no second path: `/webhook/default` is nothing.
  const isSecondPath = name === defaultSourceName && path.includes(defaultSourceName);
  const source = match === undefined || isSecondPath ? undefined : sources.get(name);
  if (source === undefined) throw new Refusal("source-unknown", `no source at ${path.slice(0, 200)}`);
  return source;
}
