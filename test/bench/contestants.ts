/**
 * Who is measured. Each one checks the same HMAC-SHA256 over the body, parses it and answers 200; the ceiling
 * alone does neither. The peers are set up as their own documentation says, log nothing and keep nothing; the
 * receiver writes its line for every delivery. To add one: a row here, and a program that listens on a free port of
 * 127.0.0.1 and prints it.
 */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Command, freePort } from "./server.ts";

export type Contestant = {
  readonly name: string;
  readonly keeps: "nothing" | "every delivery";
  /** Why it cannot be measured here; undefined when it can. */
  readonly absence?: string | undefined;
  readonly command: () => Command | Promise<Command>;
};

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const project = (name: string) => here(`../../${name}`);

const tsx = project("node_modules/tsx/dist/cli.mjs");
/** Peers run no code of their own for a delivery, so neither does the receiver. */
const noHandlers = ["--handlers", here("servers/no-handlers.ts")];

function node(...args: string[]): Command {
  return { program: process.execPath, args };
}

/** The receiver as a person starts it, on an inbox of its own. @param tsxArgs for `tsx`, before the program */
export function receiverCommand(
  args: readonly string[] = noHandlers,
  tsxArgs: readonly string[] = [],
): Command {
  return node(tsx, ...tsxArgs, project("webhook-receiver.ts"), "--port", "0", "--log", "json", ...args);
}

export const ceiling: Contestant = {
  name: "bare node:http",
  keeps: "nothing",
  command: () => node(here("servers/ceiling.ts")),
};
export const receiver: Contestant = {
  name: "webhook-receiver",
  keeps: "every delivery",
  command: () => receiverCommand(),
};
export const receiverWithHandlers: Contestant = {
  name: "webhook-receiver, and its two handlers for a push run",
  keeps: "every delivery",
  command: () => receiverCommand([]),
};
export const receiverWithoutStore: Contestant = {
  name: "webhook-receiver, storage stubbed out",
  keeps: "nothing",
  command: () => receiverCommand(noHandlers, ["--import", here("servers/no-store.ts")]),
};
export const oneEach: Contestant = {
  name: "node:sqlite, one transaction a request",
  keeps: "every delivery",
  command: () => node(here("servers/one-each.ts")),
};

export const fastify = nodePeer("fastify", "fastify", "peers/fastify.mjs");
export const peers: readonly Contestant[] = [
  fastify,
  nodePeer("hono", "@hono/node-server", "peers/hono.mjs"),
  nodePeer("@octokit/webhooks", "@octokit/webhooks", "peers/octokit.mjs"),
  nodePeer("express", "express", "peers/express.mjs"),
  {
    name: "adnanh/webhook, no command run",
    keeps: "nothing",
    absence: isCommand("webhook", "-version") ? undefined : "apt-get install webhook",
    command: async () => {
      const port = await freePort();
      const args = ["-hooks", here("peers/hooks.json"), "-template", "-urlprefix", "", "-ip", "127.0.0.1"];
      return { program: "webhook", args: [...args, "-port", String(port)], port };
    },
  },
  {
    name: "Python http.server, threaded",
    keeps: "nothing",
    absence: isCommand("python3", "--version") ? undefined : "apt-get install python3",
    command: () => ({ program: "python3", args: [here("peers/http-server.py")] }),
  },
];

function nodePeer(name: string, packageName: string, file: string): Contestant {
  const isInstalled = existsSync(here(`peers/node_modules/${packageName}/package.json`));
  const absence = isInstalled ? undefined : "npm ci --prefix test/bench/peers";
  return { name, keeps: "nothing", absence, command: () => node(here(file)) };
}

function isCommand(program: string, flag: string): boolean {
  try {
    execFileSync(program, [flag], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
