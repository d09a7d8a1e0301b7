/**
 * What to do when something happens: the file to edit.
 *
 * Each entry is an event pattern and a function. `pull_request.opened` runs for that event, `pull_request` for
 * all of its actions, `attacker.>` for everything below `attacker`, `*` for everything (see `pattern.ts`).
 * Every entry that matches gets a job of its own: when one fails, the others do not run again.
 *
 * A handler runs after the sender has had its answer, at least once, and again when the receiver was killed while
 * it ran: doing the thing twice has to be harmless. `event.id` is the same each time.
 * Throw when it did not work: it is tried again, later and later. In place of a function there may be an object:
 *
 *     push: { handle: deploy, retries: 3, timeoutSeconds: 600, orderBy: (event) => event.source }
 *     push: run("./deploy.sh", { timeoutSeconds: 600 })          // a command (see `run.ts`)
 *     push: forward({ url: "https://internal.example/webhook", … }) // sent on to another receiver (see `forward.ts`)
 */
import type { Log } from "../log.ts";
import type { WebhookEvent } from "../signature/event.ts";

export type Context = {
  /** Which attempt this is, from 1. */
  readonly attempt: number;
  /** When the delivery came in; the same in every attempt. */
  readonly receivedAt: Date;
  /** Aborted when the time is up, and when the receiver has to end. */
  readonly signal: AbortSignal;
  /** Writes lines that carry the handler, the event and its id. */
  readonly log: Log;
};
export type Handler = (event: WebhookEvent, context: Context) => void | Promise<void>;
export type HandlerOptions = {
  readonly handle: Handler;
  /** How often it is tried again after the first time; 11 unless said. */
  readonly retries?: number;
  /** After this long an attempt has failed; 300 unless said. */
  readonly timeoutSeconds?: number;
  /** Events with the same key run one after the other, in the order they came, others beside them. */
  readonly orderBy?: (event: WebhookEvent) => string;
};
export type Handlers = Readonly<Record<string, Handler | HandlerOptions>>;

/**
 * The parts of the payloads that are used here. The signature proves who sent them, not that they are there: so
 * every one may be missing, and what is not there is shown as "?".
 */
type Ping = { zen?: unknown };
type Push = {
  ref?: unknown;
  repository?: { full_name?: unknown };
  pusher?: { name?: unknown };
  commits?: { id?: unknown; message?: unknown }[];
};
type PullRequest = {
  number?: unknown;
  pull_request?: { title?: unknown; user?: { login?: unknown }; merged?: unknown };
  repository?: { full_name?: unknown };
};
type Message = { id?: unknown; deliveredAt?: unknown };
type Topic = { ts?: unknown; payload?: { address?: unknown } };

const shown = (value: unknown): string => String(value ?? "?");

export const handlers: Handlers = {
  ping: ({ payload }, { log }) => {
    const ping = payload as Ping | null;
    log.info("the sender says hello", { zen: ping?.zen });
  },

  push: ({ payload }, { log }) => {
    const push = payload as Push | null;
    const commits = Array.isArray(push?.commits) ? push.commits : [];
    const where = shown(push?.repository?.full_name);
    log.info(`${shown(push?.pusher?.name)} pushed ${commits.length} commits to ${where}`, { ref: push?.ref });
    for (const commit of commits) {
      const [subject] = shown(commit?.message).split("\n", 1);
      log.info(`commit ${shown(commit?.id).slice(0, 7)}`, { subject });
    }
  },

  pull_request: ({ type, payload }, { log }) => {
    const event = payload as PullRequest | null;
    const request = event?.pull_request;
    const action = type === "pull_request.closed" && request?.merged === true ? "merged" : type.split(".")[1];
    log.info(`pull request ${shown(event?.repository?.full_name)}#${shown(event?.number)} ${shown(action)}`, {
      title: request?.title,
      by: request?.user?.login,
    });
  },

  "message.delivered": ({ payload }, { log }) => {
    const message = payload as Message | null;
    log.info(`message ${shown(message?.id)} has arrived`, { deliveredAt: message?.deliveredAt });
  },

  "message.failed": ({ payload }, { log }) => {
    const message = payload as Message | null;
    log.warn(`message ${shown(message?.id)} could not be delivered`);
  },

  "attacker.>": ({ type, payload }, { log }) => {
    const topic = payload as Topic | null;
    log.warn(`attacker seen: ${type}`, { at: topic?.ts, address: topic?.payload?.address });
  },

  "*": ({ type, sender, body }, { log }) => {
    log.info(`received ${type} from ${sender}`, { bytes: body.length });
  },
};
