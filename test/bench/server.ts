/**
 * A server under test: a process that is started in an empty folder of its own, and what Linux says about it in
 * /proc: processor time over all of its threads, and resident memory. Elsewhere these numbers are missing.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import { secret } from "../receiver.ts";

/** How to start it. A server that cannot say which port it found is given one. */
export type Command = {
  readonly program: string;
  readonly args: readonly string[];
  readonly environment?: NodeJS.ProcessEnv;
  readonly port?: number;
};

export type Server = {
  readonly port: number;
  /** The process that listens: `tsx` starts it as its child. */
  readonly processId: number;
  /** From the start of the process until it listened. */
  readonly startMilliseconds: number;
  /** The empty folder in which it was started. */
  readonly folder: string;
  /** Its stdout, which is read and forgotten as long as it is not paused. */
  readonly output: Readable;
  /** Its stderr. */
  readonly errors: Readable;
  /** Asks it to end, and removes its folder once it has. */
  stop(): Promise<void>;
};

export type Usage = {
  /** Since its start. */
  readonly cpuSeconds: number;
  readonly residentMiB: number;
  /** The highest since its start. */
  readonly peakMiB: number;
};

const clockTicksPerSecond = 100; // USER_HZ, the same on every Linux (man 5 proc_pid_stat)
const startDeadlineMilliseconds = 20_000;
const stopDeadlineMilliseconds = 15_000;

/** Those that run: none is left behind when the benchmark is interrupted. SIGKILL would not reach tsx's child. */
const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGTERM");
});

/**
 * Starts it and waits until it listens.
 * @param root where its folder is made
 * @throws Error with what it has written, when it ends or does not listen in time
 */
export async function startServer(root: string, command: Command): Promise<Server> {
  const folder = mkdtempSync(join(root, "server-"));
  const startedAt = performance.now();
  const child = spawn(command.program, command.args, {
    cwd: folder,
    env: { ...process.env, WEBHOOK_SECRET: secret, ...command.environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  running.add(child);
  child.on("close", () => running.delete(child));
  let errors = "";
  child.stderr.on("data", (chunk: Buffer) => {
    errors += chunk;
  });
  child.on("error", (error) => {
    errors += error.message;
  });
  const deadline = setTimeout(() => killHard(child), startDeadlineMilliseconds);
  const port = await (command.port === undefined ? saidPort(child) : acceptingPort(child, command.port));
  const startMilliseconds = performance.now() - startedAt;
  clearTimeout(deadline);
  if (port === undefined) throw new Error(`${[command.program, ...command.args].join(" ")}: ${errors}`);
  return {
    port,
    processId: listener(Number(child.pid)),
    startMilliseconds,
    folder,
    output: child.stdout,
    errors: child.stderr,
    stop: async () => {
      await end(child);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The port in the first line that has one; undefined when the process has ended without. */
function saidPort(child: ChildProcess): Promise<number | undefined> {
  let text = "";
  return new Promise((resolve) => {
    child.on("close", () => resolve(undefined));
    child.stdout?.on("data", (chunk: Buffer) => {
      if (text === "said") return; // the rest is read, so that nobody has to wait with writing, and forgotten
      text += chunk;
      const port = /127\.0\.0\.1:(\d+)/.exec(text)?.[1];
      if (port === undefined) return;
      text = "said";
      resolve(Number(port));
    });
  });
}

async function acceptingPort(child: ChildProcess, port: number): Promise<number | undefined> {
  child.stdout?.resume();
  while (!(await accepts(port))) {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return undefined;
    await pause(10);
  }
  return port;
}

/** tsx ends by itself when its child has. */
function killHard({ pid }: ChildProcess): void {
  if (pid !== undefined) process.kill(listener(pid), "SIGKILL");
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const closed = once(child, "close");
  child.stdout?.resume();
  child.kill("SIGTERM");
  const deadline = setTimeout(() => killHard(child), stopDeadlineMilliseconds);
  await closed;
  clearTimeout(deadline);
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("connect", () => resolve(true)).on("error", () => resolve(false));
    socket.on("connect", () => socket.destroy());
  });
}

function listener(processId: number): number {
  const [child] = read(`/proc/${processId}/task/${processId}/children`).split(" ").filter(Boolean);
  return child === undefined ? processId : listener(Number(child));
}

/** NaN for everything that this system does not say. */
export function usageOf(processId: number): Usage {
  // The name in brackets may hold blanks; behind it the fields are counted from 3.
  const fields = read(`/proc/${processId}/stat`).split(") ")[1]?.split(" ") ?? [];
  const status = read(`/proc/${processId}/status`);
  const mebibytes = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1]) / 1024;
  return {
    cpuSeconds: (Number(fields[14 - 3]) + Number(fields[15 - 3])) / clockTicksPerSecond,
    residentMiB: mebibytes("VmRSS"),
    peakMiB: mebibytes("VmHWM"),
  };
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
