/**
 * Which file a command is, and whether it can be started: said when the receiver starts, and not at the first
 * delivery. No shell is there to ask, so what a shell would say is said here, with what to do about it.
 */
import { accessSync, closeSync, constants, openSync, readSync, type Stats, statSync } from "node:fs";
import { delimiter, resolve } from "node:path";

/** Linux reads this much of a file to find out what runs it. https://man7.org/linux/man-pages/man2/execve.2.html */
const headBytes = 256;

/**
 * @param command a path, or a name without a slash, which is looked for in `path` as shells do it
 * @param folder what a relative path starts from
 * @param path as in the variable PATH
 * @returns an absolute path; undefined when the name is in no folder of PATH
 */
export function findExecutable(command: string, folder: string, path: string): string | undefined {
  if (command.includes("/")) return resolve(folder, command);
  const files = path.split(delimiter).map((entry) => resolve(folder, entry, command));
  return files.find((file) => statusOf(file)?.isFile() && isExecutable(file));
}

/** @returns why this file cannot be started in this folder, and what to do; undefined when nothing speaks against it */
export function startFault(file: string, folder: string): string | undefined {
  if (!statusOf(folder)?.isDirectory()) return `there is no folder ${folder}`;
  const status = statusOf(file);
  if (status === undefined)
    return `there is no file ${file}${file.includes(" ") ? " (arguments go into args)" : ""}`;
  if (!status.isFile()) return `${file} is not a file`;
  if (!isExecutable(file)) return `${file} is not executable (chmod +x ${file})`;
  return scriptFault(file, folder);
}

function statusOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** What is wrong with the first line of a script. A program (it has a NUL byte in its head) has none. */
function scriptFault(file: string, folder: string): string | undefined {
  const head = readHead(file);
  if (head === undefined || (head.includes("\0") && !head.startsWith("#!"))) return undefined;
  const [, interpreter] = /^#![ \t]*([^\s\0]+)/.exec(head) ?? [];
  // The C library of one system would run it with /bin/sh, that of the next one would not.
  if (interpreter === undefined)
    return `${file} does not say what runs it: begin it with a line such as #!/bin/sh`;
  if (/^[^\n]*\r\n/.test(head)) return `${file} has the line ends of Windows (\\r\\n), and needs \\n`;
  return statusOf(resolve(folder, interpreter))?.isFile()
    ? undefined
    : `${file} is to be run by ${interpreter}, which is not there`;
}

/** The beginning of a file; undefined when it cannot be read: to be run, a program need not be readable. */
function readHead(file: string): string | undefined {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(file, "r");
    const head = Buffer.alloc(headBytes);
    return head.toString("latin1", 0, readSync(descriptor, head, 0, headBytes, 0));
  } catch {
    return undefined;
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}
