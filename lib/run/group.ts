/**
 * A command in a process group of its own, so that it ends together with everything that it has started.
 *
 * A signal to the negative of a group's number reaches all of its members (POSIX, kill()), and the system gives the
 * number to nobody else while one of them is there. Out of reach is what leaves the group (`setsid`, daemons) or
 * belongs to another user (`sudo`). A receiver that is itself ended without a word (SIGKILL, or SIGHUP when its
 * terminal is closed) ends no group; service managers and containers then end what it has left.
 */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

export type Exit = { readonly code: number | null; readonly signal: NodeJS.Signals | null };

export type Group = {
  readonly number: number;
  readonly command: ChildProcessWithoutNullStreams;
  /** Resolves when the command itself has ended; others of its group may still be there. */
  readonly exited: Promise<Exit>;
};

/** Nothing tells when a group becomes empty, so it is looked at: soon, and then less and less often. */
const firstLookMilliseconds = 5;
const rarestLookMilliseconds = 200;
/** What is left of any wait when the receiver has to end: its worker then grants one second altogether. */
const hurriedMilliseconds = 500;
/** How long others of the group may outlive the command: `exec > >(tee file)` in bash has to write its last line. */
const afterwardsMilliseconds = 500;
/** How long is waited for the system to clear up, and for output that somebody outside of the group may hold open. */
const clearingMilliseconds = 2000;

/** They end when this process does, for whatever reason. */
const living = new Set<number>();
process.on("exit", () => {
  for (const number of living) signalGroup(number, "SIGKILL");
});

/**
 * @param file absolute; neither it nor the arguments are seen by a shell
 * @throws the system's error when it cannot be started
 */
export async function startGroup(
  file: string,
  args: readonly string[],
  options: { readonly cwd: string; readonly env: NodeJS.ProcessEnv },
): Promise<Group> {
  const command = spawn(file, args, { ...options, detached: true, shell: false, stdio: "pipe" });
  const exited = once(command, "exit").then(([code, signal]): Exit => ({ code, signal }));
  const { pid: number } = command;
  if (number === undefined) throw await exited; // it rejects with the reason
  living.add(number);
  // EPIPE: a command need not read what it is given. And whatever happens to its output, how it ends decides.
  for (const stream of [command.stdin, command.stdout, command.stderr]) stream.on("error", () => {});
  return { number, command, exited };
}

/**
 * Ends a group: SIGTERM, and SIGKILL for what is still there after the grace period.
 * Resolves when nothing is left of it.
 * @param hurry when this is aborted, the grace period is over soon
 */
export async function endGroup(group: Group, graceMilliseconds: number, hurry: AbortSignal): Promise<void> {
  signalGroup(group.number, "SIGTERM");
  if (!(await isGone(group, graceMilliseconds, hurry))) await killGroup(group, hurry);
}

/**
 * Ends what a command has left behind, once it has ended itself.
 * @returns whether there was anything
 */
export async function endRest(group: Group, hurry: AbortSignal): Promise<boolean> {
  if (await isGone(group, afterwardsMilliseconds, hurry)) return false;
  await killGroup(group, hurry);
  return true;
}

/** Resolves when all output of a group that has ended is read, or when somebody else holds on to it. */
export async function closeOutput({ command }: Group, hurry: AbortSignal): Promise<void> {
  const { stdout, stderr } = command;
  await until(() => stdout.closed && stderr.closed, clearingMilliseconds, hurry);
  stdout.destroy();
  stderr.destroy();
}

async function killGroup(group: Group, hurry: AbortSignal): Promise<void> {
  signalGroup(group.number, "SIGKILL");
  await group.exited;
  await isGone(group, clearingMilliseconds, hurry);
  living.delete(group.number);
}

async function isGone({ number }: Group, milliseconds: number, hurry: AbortSignal): Promise<boolean> {
  if (!(await until(() => !isThere(number), milliseconds, hurry))) return false;
  living.delete(number);
  return true;
}

/**
 * Whether some process of a group still runs. The system counts those that have ended and that nobody has asked how
 * (zombies); in a container whose first process never asks, such as a receiver, they stay. Linux tells them apart.
 */
function isThere(number: number): boolean {
  if (!signalGroup(number, 0)) return false;
  if (!existsSync(`/proc/${process.pid}/stat`)) return true;
  return readdirSync("/proc").some((name) => isLivingMember(name, number));
}

/** proc_pid_stat(5): `<number> (<name>) <state> <parent> <group> …`; the name may hold anything. */
function isLivingMember(name: string, group: number): boolean {
  if (!/^\d+$/.test(name)) return false;
  try {
    const status = readFileSync(`/proc/${name}/stat`, "latin1");
    const [state, , itsGroup] = status.slice(status.lastIndexOf(")") + 2).split(" ");
    return Number(itsGroup) === group && state !== "Z";
  } catch {
    return false; // it has ended meanwhile
  }
}

/** Signal 0 only looks. @returns false when the group has no members */
function signalGroup(number: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-number, signal);
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code !== "ESRCH"; // EPERM: it belongs to somebody else
  }
}

/** Waits until something holds. @returns false when it took too long */
async function until(holds: () => boolean, milliseconds: number, hurry: AbortSignal): Promise<boolean> {
  let deadline = performance.now() + milliseconds;
  let pause = firstLookMilliseconds;
  let isHurried = false;
  while (!holds()) {
    if (hurry.aborted && !isHurried) {
      isHurried = true;
      deadline = Math.min(deadline, performance.now() + hurriedMilliseconds);
    }
    const left = deadline - performance.now();
    if (left <= 0) return false;
    await sleep(Math.min(pause, left));
    pause = Math.min(rarestLookMilliseconds, pause * 2);
  }
  return true;
}
