/**
 * What `send` is asked for: its flags, checked as far as they can be without secrets and files.
 */
import { OperatorError, quoted } from "../errors.ts";
import { readSeconds } from "../settings/settings.ts";
import { maxNameLength } from "../signature/event.ts";
import { commonFlags, parseCommand, readUrl } from "./arguments.ts";
import { parseHeader } from "./capture.ts";

export const help = `send: signs a delivery as its sender would, posts it, and shows the answer

Usage: tsx webhook-receiver.ts send SENDER EVENT [FILE] --to URL [flags]
       tsx webhook-receiver.ts send test --to URL [flags]

  SENDER              github, stripe, github-acme, …: as in /webhook/<sender>
  EVENT               push, pull_request.opened, …: for the header, or for the body of our own
  FILE                the body, sent as it is; - for stdin; without it a small JSON of our own
  test                DECNET's event to try out a subscription, test.ping
  --to URL            where to; this machine and private networks are open, redirects are not followed
  --secret-from NAME  the variable with the secret in place of the receiver's own; for senders that sign
                      with a private key (Discord, SendGrid, Standard Webhooks v1a) the one that holds it
  --id ID             the delivery's id; a random one unless said
  --url URL           the URL to sign, where it is signed; else WEBHOOK_PUBLIC_URL with the path of --to,
                      else --to
  --header LINE       "Name: value", beside the sender's headers or in place of one; again for more
  --timeout SECONDS   how long to wait for an answer; 10
  --repeat NUMBER     so many deliveries, each with an id of its own, and a summary; up to 1000000
  --concurrency NUM   how many of them at the same time; 1, up to 1000
  --env-file FILE     file with the secrets [WEBHOOK_ENV_FILE; .env]

Exit code: 0 when every answer is 2xx, 1 when not, 2 for wrong usage.
`;

const text = { type: "string" } as const;
const flags = {
  ...commonFlags,
  to: text,
  "secret-from": text,
  id: text,
  url: text,
  header: { type: "string", multiple: true },
  timeout: { type: "string", default: "10" },
  repeat: text,
  concurrency: { type: "string", default: "1" },
} as const;

const maxRepeat = 1_000_000;
/** Each one is a connection. */
const maxConcurrency = 1000;

export type Order = {
  readonly sender: string;
  /** undefined: DECNET's test. */
  readonly event: string | undefined;
  readonly file: string | undefined;
  readonly to: string;
  readonly secretFrom: string | undefined;
  readonly envFile: string | undefined;
  readonly id: string | undefined;
  readonly url: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMilliseconds: number;
  /** undefined: one delivery, whose answer is shown. */
  readonly repeat: number | undefined;
  readonly concurrency: number;
};

/**
 * @returns undefined when only the help is wanted
 * @throws OperatorError
 */
export function readOrder(argv: readonly string[]): Order | undefined {
  const { values, positionals } = parseCommand({ args: [...argv], options: flags, allowPositionals: true });
  if (values.help === true) return undefined;
  const [sender, event, file, ...more] = positionals;
  const isTest = sender === "test" && event === undefined;
  if (sender === undefined || (event === undefined && !isTest) || more.length > 0)
    throw new OperatorError("send: expected a sender, an event and perhaps a file; or test", 2);
  if (values.to === undefined) throw new OperatorError("send: expected --to URL", 2);
  const { id, url, repeat } = values;
  if (id !== undefined && repeat !== undefined)
    throw new OperatorError("--id: with --repeat every delivery has an id of its own", 2);
  return {
    sender,
    event: event === undefined ? undefined : readName("the event", event),
    file,
    to: new URL(readUrl("--to", values.to)).href,
    secretFrom: values["secret-from"],
    envFile: values["env-file"],
    id: id === undefined ? undefined : readName("--id", id),
    url: url === undefined ? undefined : readUrl("--url", url),
    headers: Object.fromEntries((values.header ?? []).map(readHeader)),
    timeoutMilliseconds: readSeconds({ name: "--timeout", text: values.timeout }) * 1000,
    repeat: repeat === undefined ? undefined : readCount("--repeat", repeat, maxRepeat),
    concurrency: readCount("--concurrency", values.concurrency, maxConcurrency),
  };
}

/** What the receiver takes for a name, and what can be a header (RFC 9110 §5.5). */
function readName(what: string, given: string): string {
  if (given.length <= maxNameLength && /^[!-~]+(?: +[!-~]+)*$/.test(given)) return given;
  throw new OperatorError(
    `${what}: expected 1 to ${maxNameLength} printable ASCII characters, not ${quoted(given)}`,
    2,
  );
}

function readCount(flag: string, given: string, most: number): number {
  const count = Number(given);
  if (/^\d{1,7}$/.test(given) && count >= 1 && count <= most) return count;
  throw new OperatorError(`${flag}: expected a number from 1 to ${most}, not ${quoted(given)}`, 2);
}

/** In errors it is not quoted: it may hold a token. */
function readHeader(line: string): [name: string, value: string] {
  // The terminal's UTF-8 goes out byte for byte: Node writes heads as latin1.
  const [name = ":", value = ""] = parseHeader(Buffer.from(line).toString("latin1")) ?? [];
  if (name.startsWith(":"))
    throw new OperatorError('--header: expected a header, such as "Content-Type: text/plain"', 2);
  if (/^(content-length|transfer-encoding)$/i.test(name))
    throw new OperatorError(`--header: ${name} is said by the body itself`, 2);
  return [name.toLowerCase(), value];
}
