/**
 * A temporary folder with an inbox in it, as it would be left by a receiver, and the commands run there.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import type { TestContext } from "node:test";
import type { Incoming } from "../../lib/keep/sqlite/accept.ts";
import { openDatabase } from "../../lib/keep/sqlite/database.ts";
import { type Inbox, openInbox } from "../../lib/keep/sqlite/inbox.ts";

type Command = (
  argv: readonly string[],
  environment: NodeJS.ProcessEnv,
  write: (text: string) => void,
  now?: () => Date,
) => Promise<unknown>;

/** The clock of the commands in these tests. */
export const now = new Date("2026-11-22T12:00:00.000Z");

export type Folder = {
  readonly folder: string;
  /** The inbox, with a connection of the test's own. */
  readonly file: string;
  readonly database: DatabaseSync;
  readonly inbox: Inbox;
  /** Keeps a delivery: an ordinary push with what differs from it. @returns its number */
  keep(what?: Partial<Incoming>): number;
};

/** Makes an empty inbox in a folder, and goes there: a `.env` of whoever runs the tests is not read. */
export function openFolder(t: TestContext): Folder {
  const folder = mkdtempSync(join(tmpdir(), "webhook-commands-"));
  const before = process.cwd();
  process.chdir(folder);
  const file = join(folder, "inbox.db");
  const database = openDatabase(file);
  const inbox = openInbox(database);
  t.after(() => {
    process.chdir(before);
    database.close();
    rmSync(folder, { recursive: true });
  });
  const newest = database.prepare("SELECT max(number) AS number FROM deliveries");
  const keep = (what: Partial<Incoming> = {}): number => {
    inbox.accept({
      source: "default",
      sender: "github",
      id: "id-1",
      isIdSigned: true,
      event: "push",
      form: null,
      headers: '{"content-type":"application/json"}',
      body: Buffer.from('{"ref":"refs/heads/main"}'),
      receivedAt: now.getTime() - 3_600_000,
      jobs: [{ handler: "push", orderKey: null }],
      ...what,
    });
    return Number(newest.get()?.number);
  };
  return { folder, file, database, inbox, keep };
}

/** Runs a command as the program does. @returns what it wrote to stdout */
export async function run(
  command: Command,
  args: readonly string[],
  environment: Record<string, string> = {},
): Promise<string> {
  return (await runToEnd(command, args, environment)).text;
}

/** The same for a command that has more to say. @returns its exit code too */
export async function runToEnd(
  command: Command,
  args: readonly string[],
  environment: Record<string, string> = {},
): Promise<{ exitCode: unknown; text: string }> {
  let text = "";
  const exitCode = await command(
    args,
    environment,
    (more) => {
      text += more;
    },
    () => now,
  );
  return { exitCode, text };
}

/** Sets what a job has come to. */
export function setJob(
  { database }: Folder,
  delivery: number,
  state: "pending" | "running" | "done" | "dead",
  more: { handler?: string; attempts?: number; lastError?: string; finishedAt?: number } = {},
): void {
  database
    .prepare(
      `UPDATE jobs SET state = ?, attempts = ?, last_error = ?, finished_at = ?, owner = ?
       WHERE delivery = ? AND handler = ?`,
    )
    .run(
      state,
      more.attempts ?? 1,
      more.lastError ?? null,
      more.finishedAt ?? null,
      state === "running" ? "somebody" : null,
      delivery,
      more.handler ?? "push",
    );
}

/** A receiver that has beaten so many milliseconds before the tests' clock. */
export function beat({ inbox }: Folder, ageMilliseconds: number): void {
  inbox.beat("a-receiver", now.getTime() - ageMilliseconds);
}
