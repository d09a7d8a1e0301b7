/**
 * What the main thread and the thread that owns the database say to each other.
 *
 * Calls travel many in one message, their bodies in one buffer: what `postMessage` clones, it clones name by name and
 * buffer by buffer, so a delivery goes as a list of values, and the bodies of a message stand one behind the other in
 * memory that is moved and not copied. A refused request travels alone: nothing that was accepted waits for it.
 */
import type { Format } from "../../log.ts";
import type { LoopMemory } from "../loop-watch.ts";
import type { Incoming } from "./accept.ts";
import type { Inbox } from "./inbox.ts";
import type { Quarantine, Refused } from "./quarantine.ts";
import type { Retention } from "./retention.ts";

/** What the main thread may call: everything the inbox and the retention can do. */
export type Room = Inbox & { removeBefore: Retention["removeBefore"] };
export type Keep = Quarantine["add"];

/** One call of a function of the room; `close` ends the thread. */
export type Call = { readonly method: keyof Room | "close"; readonly args: readonly unknown[] };

export type Parcel = {
  readonly calls: readonly PackedCall[];
  readonly bodies: Uint8Array<ArrayBuffer>;
};

export type ToThread = Parcel | { readonly refused: Refused };

/** What so many calls returned, in their order; or why nothing of any of them was done. */
export type Reply =
  | { readonly values: readonly unknown[] }
  | { readonly error: string; readonly count: number };
/** The first message: open, or why not. */
export type Opened =
  | { readonly opened: true }
  | { readonly opened: false; readonly error: string; readonly exitCode: 1 | 2 };
/** Jobs of receivers that have ended are free. */
export type News = { readonly freedJobs: number };
export type FromThread = Reply | { readonly isQuarantined: boolean } | Opened | News;

/** What the thread is started with. */
export type ThreadData = {
  readonly file: string;
  /** The name under which this receiver claims jobs. */
  readonly owner: string;
  readonly memory: LoopMemory;
  readonly handlers: readonly string[];
  readonly logFormat: Format;
  /** How long after SIGTERM the process ends at the latest; without it the thread hears no signals. */
  readonly stopSeconds: number | undefined;
};

/** Without the body there is its size: the bytes are in the parcel's buffer, in the order of the calls. */
type PackedCall =
  | readonly ["accept", bodyBytes: number, ...row: Row]
  | readonly [method: Call["method"], bodyBytes: number | undefined, ...args: readonly unknown[]];
type Row = readonly [
  source: string,
  sender: string,
  id: string,
  isIdSigned: boolean,
  event: string,
  form: Incoming["form"],
  headers: string,
  receivedAt: number,
  jobs: Incoming["jobs"],
];

export function pack(calls: readonly Call[]): Parcel {
  const found = calls.map(bodyOf);
  const bodies = new Uint8Array(found.reduce((sum, body) => sum + (body?.length ?? 0), 0));
  let at = 0;
  for (const body of found) {
    if (body === undefined) continue;
    bodies.set(body, at);
    at += body.length;
  }
  return { calls: calls.map((call, index) => packCall(call, found[index])), bodies };
}

/** @returns the calls as they were; their bodies are pieces of the parcel's buffer */
export function unpack({ calls, bodies }: Parcel): Call[] {
  let at = 0;
  return calls.map((call) => {
    const bodyBytes = call[1] ?? 0;
    // A piece of an empty buffer has no address, and many versions of node:sqlite take it for NULL.
    const body = bodyBytes === 0 ? new Uint8Array() : bodies.subarray(at, at + bodyBytes);
    at += bodyBytes;
    return unpackCall(call, body);
  });
}

/** Accepted deliveries have one, in their first argument. */
export function bodyOf({ args: [first] }: Call): Uint8Array | undefined {
  const body = (first as { body?: unknown } | undefined)?.body;
  return body instanceof Uint8Array ? body : undefined;
}

function packCall({ method, args }: Call, body: Uint8Array | undefined): PackedCall {
  if (body === undefined) return [method, undefined, ...args];
  if (method !== "accept") return [method, body.length, { ...(args[0] as object), body: undefined }];
  const incoming = args[0] as Incoming;
  const { source, sender, id, isIdSigned, event, form, headers, receivedAt, jobs } = incoming;
  return ["accept", body.length, source, sender, id, isIdSigned, event, form, headers, receivedAt, jobs];
}

function unpackCall([method, bodyBytes, ...args]: PackedCall, body: Uint8Array): Call {
  if (bodyBytes === undefined) return { method, args };
  if (method !== "accept") return { method, args: [{ ...(args[0] as object), body }] };
  const [source, sender, id, isIdSigned, event, form, headers, receivedAt, jobs] = args as unknown as Row;
  const incoming: Incoming = {
    source,
    sender,
    id,
    isIdSigned,
    event,
    form,
    headers,
    body,
    receivedAt,
    jobs,
  };
  return { method, args: [incoming] };
}
