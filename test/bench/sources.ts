/**
 * What do many sources cost? One against forty: the time from start to listening, and the time to verify one
 * delivery. Interleaved rounds, medians; see README.md beside this file for what came out.
 *
 *     node test/bench/sources.ts
 */
import { readFileSync } from "node:fs";
import { sourceAt } from "../../lib/receive/route.ts";
import { readSources } from "../../lib/settings/sources.ts";
import { readClaim } from "../../lib/signature/claim.ts";
import { verify } from "../../lib/signature/verify.ts";
import { secret, sign, startProgram } from "../receiver.ts";

const rounds = 15;
const deliveriesPerRound = 2000;
const body = readFileSync(new URL("../payloads/push.json", import.meta.url));

const few: Record<string, string> = { WEBHOOK_SECRET_GITHUB: secret };
const many: Record<string, string> = { ...few };
for (let number = 2; number <= 40; number++)
  many[`WEBHOOK_SECRET_${number % 2 === 0 ? "GITHUB" : "STRIPE"}_${number}`] = secret;

function median(values: number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

async function startMilliseconds(environment: Record<string, string>): Promise<number> {
  const startedAt = performance.now();
  const program = await startProgram({ environment });
  const milliseconds = performance.now() - startedAt;
  await program.end();
  return milliseconds;
}

function verifyMicroseconds(environment: Record<string, string>): number {
  const source = sourceAt(readSources(environment, true).sources, "/webhook/github");
  const headers = { "x-hub-signature-256": sign(body), "content-type": "application/json" };
  const head = {
    method: "POST",
    target: "/webhook/github",
    headers,
    rawHeaders: Object.entries(headers).flat(),
  };
  const startedAt = performance.now();
  for (let count = 0; count < deliveriesPerRound; count++) {
    const claim = readClaim(source, head);
    verify(claim, body, new Date());
  }
  return ((performance.now() - startedAt) * 1000) / deliveriesPerRound;
}

const starts: Record<"few" | "many", number[]> = { few: [], many: [] };
const verifies: Record<"few" | "many", number[]> = { few: [], many: [] };
verifyMicroseconds(few); // warm
for (let round = 0; round < rounds; round++) {
  starts.few.push(await startMilliseconds(few));
  starts.many.push(await startMilliseconds(many));
  verifies.few.push(verifyMicroseconds(few));
  verifies.many.push(verifyMicroseconds(many));
}

const startDifference = median(starts.many) - median(starts.few);
const verifyRatio = median(verifies.many) / median(verifies.few);
console.log(`start with 40 sources in place of 1: ${startDifference.toFixed(1)} ms more (limit: 50)`);
console.log(`verifying a delivery with 40 sources: ${verifyRatio.toFixed(2)} x the time with 1`);
