/**
 * A source: one path, with the senders that may use it and the secrets that they sign with.
 * Which sources there are is read from the environment, in `settings/sources.ts`.
 */
import type { KeyObject } from "node:crypto";
import type { Handshake } from "../senders/sender.ts";
import type { ReadySender } from "./ready.ts";

/** The name of the source at `/webhook`. */
export const defaultSourceName = "default";

/** One path with its secrets. Two GitHub organisations are two sources of one sender. */
export type Source = {
  /** In the log and in the path: `/webhook/<name>`; the default source is at `/webhook`. */
  readonly name: string;
  /** One, except for the default source. */
  readonly senders: readonly ReadySender[];
  /** Those of all its senders. */
  readonly handshakes: readonly Handshake[];
  /** No sender of it sends more in one body; Infinity where one does not say. */
  readonly maxBodyBytes: number;
  /** The current one first. */
  readonly secrets: readonly Secret[];
  /** In place of the window that the sender's row gives. */
  readonly toleranceSeconds: number | undefined;
  readonly verifyToken: KeyObject | undefined;
  /** Scheme, host and prefix as the sender sees them; empty where no URL is signed. */
  readonly publicUrl: string;
};

export type Secret = { readonly key: KeyObject; readonly age: "current" | "previous" };
