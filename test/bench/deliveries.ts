/**
 * The deliveries that a load generator sends: pushes as GitHub sends them, every one with a body and a signature
 * of its own, signed before the clock runs. The generator goes round in them and gives every request an id of its
 * own; no server here remembers bodies, so the second time round is as new to it as the first.
 */
import { createHmac } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { projectFolder, secret } from "../receiver.ts";

/** As much as a generator may hold, and no more lines than tell one from another. */
const mostBytes = 16_000_000;
const mostDeliveries = 1000;
const leastDeliveries = 16;

type Push = { commits: unknown[]; [name: string]: unknown };

/**
 * Writes them into `folder`, one to a line: the signature, a blank, the body.
 * @param bodyBytes about so long is each body
 * @returns the file
 */
export function writeDeliveries(folder: string, bodyBytes: number): string {
  const file = join(folder, `deliveries-${bodyBytes}.txt`);
  if (existsSync(file)) return file;
  const count = Math.max(leastDeliveries, Math.min(mostDeliveries, Math.floor(mostBytes / bodyBytes)));
  const push = pushOf(bodyBytes);
  const lines = Array.from({ length: count }, (_, number) => {
    const body = JSON.stringify({ number, ...push });
    return `${sign(body)} ${body}\n`;
  });
  writeFileSync(file, lines.join(""));
  return file;
}

/** The value that follows `sha256=` in X-Hub-Signature-256. */
export function sign(body: string): string {
  return createHmac("sha256", secret).update(body).digest("hex");
}

/** The recorded push with as many commits as fill it; a short one loses what it knows about the repository. */
function pushOf(bodyBytes: number): Push {
  const recorded = JSON.parse(readFileSync(join(projectFolder, "test/payloads/push.json"), "utf8")) as Push;
  const { ref, before, after, commits } = recorded;
  const length = (push: Push) => JSON.stringify({ number: 1000, ...push }).length;
  const push = length(recorded) <= bodyBytes ? { ...recorded } : { ref, before, after, commits: [] };
  const oneMore = JSON.stringify(commits[0]).length + 1;
  const more = Math.max(0, Math.floor((bodyBytes - length(push)) / oneMore));
  push.commits = [...push.commits, ...Array.from({ length: more }, () => commits[0])];
  return { ...push, padding: "x".repeat(Math.max(0, bodyBytes - length({ ...push, padding: "" }))) };
}
