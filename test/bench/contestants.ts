/**
 * Who is measured. Each one checks the same HMAC-SHA256 over the body, parses it and answers 200; the ceiling
 * alone does neither. The peers are set up as their own documentation says, log nothing and keep nothing; the
 * receiver writes its line for every delivery. To add one: a row here, and a program that listens on a free port of
 * 127.0.0.1 and prints it.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { closedPort } from "../receiver.ts";
import type { Command } from "./server.ts";

export type Contestant = {
  readonly name: string;
  readonly keeps: "nothing" | "every delivery";
  /** Undefined: it is not installed here. */
  readonly version: string | undefined;
  /** The command that installs it. */
  readonly install?: string;
  readonly command: () => Command | Promise<Command>;
};

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const project = (name: string) => here(`../../${name}`);

const tsx = project("node_modules/tsx/dist/cli.mjs");
/** Peers run no code of their own for a delivery, so neither does the receiver. */
export const noHandlers = ["--handlers", here("servers/no-handlers.ts")];

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
  version: process.version,
  command: () => node(here("servers/ceiling.ts")),
};
export const receiver: Contestant = {
  name: "webhook-receiver",
  keeps: "every delivery",
  version: process.version,
  command: () => receiverCommand(),
};
export const receiverWithHandlers: Contestant = {
  name: "webhook-receiver, two handlers run",
  keeps: "every delivery",
  version: process.version,
  command: () => receiverCommand([]),
};
export const receiverWithoutStore: Contestant = {
  name: "webhook-receiver, storage stubbed out",
  keeps: "nothing",
  version: process.version,
  command: () => receiverCommand(noHandlers, ["--import", here("servers/no-store.ts")]),
};
export const byHand: Contestant = {
  name: "the same checks by hand",
  keeps: "nothing",
  version: process.version,
  command: () => node(here("servers/by-hand.ts")),
};
export const receiverOneEach: Contestant = {
  name: "webhook-receiver, one transaction a request",
  keeps: "every delivery",
  version: process.version,
  command: () => receiverCommand(noHandlers, ["--import", here("servers/each-store.ts")]),
};
export const oneEachByHand: Contestant = {
  name: "node:sqlite by hand, one transaction a request",
  keeps: "every delivery",
  version: process.version,
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
    version: output("webhook", "-version"),
    install: "apt-get install webhook",
    command: async () => {
      const port = await closedPort();
      const args = ["-hooks", here("peers/hooks.json"), "-template", "-urlprefix", "", "-ip", "127.0.0.1"];
      return { program: "webhook", args: [...args, "-port", String(port)], port };
    },
  },
  {
    name: "Python http.server, threaded",
    keeps: "nothing",
    version: output("python3", "--version"),
    install: "apt-get install python3",
    command: () => ({ program: "python3", args: [here("peers/http-server.py")] }),
  },
];

function nodePeer(name: string, packageName: string, file: string): Contestant {
  const manifest = here(`peers/node_modules/${packageName}/package.json`);
  return {
    name,
    keeps: "nothing",
    version: existsSync(manifest) ? JSON.parse(readFileSync(manifest, "utf8")).version : undefined,
    install: "npm ci --prefix test/bench/peers",
    command: () => node(here(file)),
  };
}

/** What a program says about itself; undefined when there is no such program. */
function output(program: string, flag: string): string | undefined {
  const { status, stdout } = spawnSync(program, [flag], { encoding: "utf8" });
  return status === 0 ? stdout.trim() : undefined;
}
