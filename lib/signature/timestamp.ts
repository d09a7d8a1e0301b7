/**
 * Was it signed just now? A signed time is what keeps a captured delivery from being sent again later, so it is
 * judged on both sides: too old, and too far ahead of our clock.
 */
import { Refusal } from "../refusal.ts";
import { firstOf, lookUp, type Material, type Part } from "./part.ts";
import type { ReadyScheme } from "./ready.ts";

/** Where the sender names no window: longer than most senders' retries, and a captured delivery is not good for ever. */
export const defaultToleranceSeconds = 86_400;

/**
 * Looks at the time that was signed, where the sender signs one.
 * @param override the tolerance in seconds that the operator set in place of the sender's
 * @throws Refusal 401 when it is no time, or too far from `now`
 */
export function checkTime(
  scheme: ReadyScheme,
  override: number | undefined,
  material: Material,
  now: Date,
): void {
  const { time, timeAt } = scheme;
  if (time === null) return;
  const text = firstOf(timeAt, material) ?? "";
  // Digits only: parsers that are kind to "1614265330abc" check another time than was signed.
  const digits = time.unit === "seconds" ? 10 : 13; // until the year 2286
  const isShort = text.length < digits && isFollowedByDigit(scheme, material);
  if (text.length > digits || isShort || !/^\d+$/.test(text)) {
    throw new Refusal("timestamp-malformed", `${time.at} is not a Unix time in ${time.unit}`);
  }
  const toleranceSeconds = override ?? time.toleranceSeconds ?? defaultToleranceSeconds;
  const ageSeconds = now.getTime() / 1000 - Number(text) / (time.unit === "seconds" ? 1 : 1000);
  const rounded = `${Math.abs(Math.round(ageSeconds))} seconds`;
  if (ageSeconds > toleranceSeconds) {
    throw new Refusal("timestamp-too-old", `signed ${rounded} ago; ${toleranceSeconds} are allowed`);
  }
  if (-ageSeconds > toleranceSeconds) {
    throw new Refusal(
      "timestamp-in-future",
      `signed ${rounded} ahead of this clock; ${toleranceSeconds} are allowed`,
    );
  }
}

/** Where nothing stands between the time and what is signed behind it, a digit could be moved from one to the other. */
function isFollowedByDigit({ signedParts, timeAt }: ReadyScheme, material: Material): boolean {
  const isTime = (part: Part) =>
    timeAt.some((time) => time.kind === part.kind && "name" in part && time.name === part.name);
  const next = signedParts[signedParts.findIndex(isTime) + 1];
  const piece = next === undefined ? undefined : lookUp(next, material);
  return (
    piece !== undefined && /^\d/.test(typeof piece === "string" ? piece : piece.toString("latin1", 0, 1))
  );
}
