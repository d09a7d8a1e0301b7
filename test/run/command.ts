/**
 * Real commands to run: scripts in a folder of their own, run once by a handler whose log lines can be waited for.
 * A script that prints `pid=<number>` tells which processes have to be gone in the end.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { openLog } from "../../lib/log.ts";
import type { HandlerOptions } from "../../lib/process/handlers.ts";
import type { WebhookEvent } from "../../lib/signature/event.ts";
import { type Line, parseLines } from "../receiver.ts";

export function openFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "command-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** @returns the path of an executable script for /bin/sh */
export function writeScript(t: TestContext, ...lines: string[]): string {
  const file = join(openFolder(t), "command.sh");
  writeFileSync(file, `#!/bin/sh\n${lines.join("\n")}\n`, { mode: 0o755 });
  return file;
}

export const push: WebhookEvent = {
  source: "default",
  sender: "github",
  type: "push",
  types: ["push"],
  id: "1",
  payload: {},
  body: Buffer.from("{}"),
  headers: {},
};

export type Run = {
  /** Every line so far, and as it was written. */
  lines(): Line[];
  text(): string;
  /** Resolves once a line says this; rejects when the run is over without it. */
  says(message: string): Promise<void>;
  /** Tells the handler to stop, as the worker does when the receiver ends. */
  abort(): void;
  /** Resolves when the handler does: to undefined, or to what it threw. */
  readonly failure: Promise<unknown>;
  /** The numbers behind `pid=` in the lines. */
  pids(): number[];
};

/** Runs a handler once. */
export function start({ handle }: HandlerOptions, event: Partial<WebhookEvent> = {}, attempt = 1): Run {
  let text = "";
  let isOver = false;
  const lookers = new Set<() => void>();
  const lookAgain = (): void => {
    for (const look of lookers) look();
  };
  const log = openLog("json", (more) => {
    text += more;
    lookAgain();
  });
  const controller = new AbortController();
  const lines = (): Line[] => {
    log.flush();
    return parseLines(text);
  };
  const failure = (async () =>
    handle(
      { ...push, ...event },
      { attempt, receivedAt: new Date(0), signal: controller.signal, log },
    ))().then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  void failure.then(() => {
    log.flush();
    isOver = true;
    lookAgain();
  });
  return {
    lines,
    text: () => text,
    says: (message) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const isSaid = parseLines(text).some((line) => line.message === message);
          if (!isSaid && !isOver) return;
          lookers.delete(look);
          if (isSaid) resolve();
          else reject(new Error(`it ended without saying ${message}:\n${text}`));
        };
        lookers.add(look);
        look();
      }),
    abort: () => controller.abort(new Error("the receiver is shutting down")),
    failure,
    pids: () => pidsIn(lines().map(({ message }) => message)),
  };
}

export function pidsIn(messages: readonly string[]): number[] {
  return messages.flatMap((message) => [...message.matchAll(/\bpid=(\d+)/g)].map(([, pid]) => Number(pid)));
}

/** A process that has ended and that nobody has asked about yet (a zombie, on Linux) runs nothing any more. */
export function isGone(pid: number): boolean {
  try {
    process.kill(pid, 0);
    if (process.platform !== "linux") return false;
    const status = readFileSync(`/proc/${pid}/stat`, "latin1");
    return status.slice(status.lastIndexOf(")")).startsWith(") Z");
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    if (code === "ESRCH" || code === "ENOENT") return true;
    throw thrown;
  }
}
