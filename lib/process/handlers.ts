/**
 * What to do when something happens: the file to edit.
 *
 * Each entry is an event pattern and a function. `pull_request.opened` runs for that event, `pull_request` for
 * all of its actions, `attacker.>` for everything below `attacker`, `*` for everything (see `pattern.ts`).
 * All entries that match are run. A handler may be run again for the same event, after a crash or when the
 * sender repeats itself: doing the thing twice has to be harmless. `event.id` is the same each time.
 *
 * Throw when it did not work: the sender is then told to send again.
 */
import type { Log } from "../log.ts";
import type { WebhookEvent } from "../receive/event.ts";

export type Context = {
  /** Writes lines that carry the handler, the event and its id. */
  readonly log: Log;
};
export type Handler = (event: WebhookEvent, context: Context) => void | Promise<void>;
export type Handlers = Readonly<Record<string, Handler>>;

/** The parts of the payloads that are used here. The signature proves who sent them, not that they are there. */
type Ping = { zen?: string };
type Push = {
  ref?: string;
  repository?: { full_name?: string };
  pusher?: { name?: string };
  commits?: { id?: string; message?: string }[];
};
type PullRequest = {
  number?: number;
  pull_request?: { title?: string; user?: { login?: string }; merged?: boolean };
  repository?: { full_name?: string };
};
type Message = { id?: string; deliveredAt?: string };
type Topic = { ts?: string; payload?: { address?: string } };

export const handlers: Handlers = {
  ping: ({ payload }, { log }) => {
    const { zen } = payload as Ping;
    log.info("the sender says hello", { zen });
  },

  push: ({ payload }, { log }) => {
    const { ref, repository, pusher, commits = [] } = payload as Push;
    const { name = "somebody" } = pusher ?? {};
    log.info(`${name} pushed ${commits.length} commits to ${repository?.full_name ?? "a repository"}`, {
      ref,
    });
    for (const { id, message } of commits) {
      log.info(`commit ${id?.slice(0, 7) ?? "?"}`, { subject: message?.split("\n", 1)[0] });
    }
  },

  pull_request: ({ type, payload }, { log }) => {
    const { number, pull_request: request, repository } = payload as PullRequest;
    const action = type === "pull_request.closed" && request?.merged === true ? "merged" : type.split(".")[1];
    log.info(`pull request ${repository?.full_name ?? "?"}#${number ?? "?"} ${action ?? "changed"}`, {
      title: request?.title,
      by: request?.user?.login,
    });
  },

  "message.delivered": ({ payload }, { log }) => {
    const { id, deliveredAt } = payload as Message;
    log.info(`message ${id ?? "?"} has arrived`, { deliveredAt });
  },

  "message.failed": ({ payload }, { log }) => {
    const { id } = payload as Message;
    log.warn(`message ${id ?? "?"} could not be delivered`);
  },

  "attacker.>": ({ type, payload }, { log }) => {
    const { ts, payload: detail } = payload as Topic;
    log.warn(`attacker seen: ${type}`, { at: ts, address: detail?.address });
  },

  "*": ({ type, sender, body }, { log }) => {
    log.info(`received ${type} from ${sender}`, { bytes: body.length });
  },
};
