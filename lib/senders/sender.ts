/**
 * How one kind of sender signs and shapes its deliveries: a row of data, never code.
 *
 * HOW TO ADD A SENDER
 *   1. Find the page where the sender documents its signature.
 *   2. Find the file of its kind of signature (`raw-body.ts`, `time-and-body.ts`, …) and add a row: what the kind has in
 *      common is said above the rows, so a row says what is special. Put every trap you meet into a comment there.
 *   3. Write down at least one known answer that does not come from this code in `test/vectors/<name>.json`.
 *   4. `npm test` says what is missing: the vector, the line in this folder's README.md, a part that does not exist.
 *
 * A sender that signs by HMAC can also be described without code, in the same words: see `settings/custom-sender.ts`.
 */

export type Sender = {
  /** In the path (`/webhook/<name>`) and, in capitals, in the variable (`WEBHOOK_SECRET_<NAME>`). */
  readonly name: string;
  /** As the sender writes its own name. */
  readonly title: string;
  /** The page that says how it signs, where there is one. */
  readonly documentation?: string;
  /** For README.md: where the secret comes from or goes to in the sender's settings. */
  readonly secretAt: string;
  /** How the text of the secret becomes a key. */
  readonly key: KeyFormat;
  /** Mostly one. Several when the sender has several header families; a request must use exactly one of them. */
  readonly schemes: readonly Scheme[];
  /** The event's type: the parts that are there, joined by dots; the first must be. None: `unknown`. */
  readonly event: readonly PartText[];
  /** Names for event types that the sender gives as numbers. */
  readonly eventNames?: Readonly<Record<string, string>>;
  /** The delivery's id: all of these parts, the same on every retry of one delivery. None, or one missing: a random id. */
  readonly id: readonly PartText[];
  /** How the sender uses forms (`signature/payload.ts`); without it, every body is JSON, whatever its Content-Type says. */
  readonly form?: FormUse;
  /** What an authentic payload must look like; anything else is answered 422. */
  readonly shape?: readonly Rule[];
  /** A limit below the receiver's own: the sender's stated one, or ours where the body is read before it is authentic. */
  readonly maxBodyBytes?: number;
  /** Requests that are no deliveries but want an answer of their own, before or after the signature is checked. */
  readonly handshakes?: readonly Handshake[];
  /** The answer to an accepted delivery, where the sender expects another than the usual one. */
  readonly acceptedAnswer?: FixedAnswer | readonly FixedAnswer[];
  /** How long the sender waits for the answer; null when it does not say. */
  readonly answerWithinSeconds: number | null;
  /** `never`, `unknown`, or when it sends again, in words. */
  readonly retries: string;
};

/**
 * payload             a form whose first field, `payload`, holds JSON; anything else is JSON
 * fields              a form's fields are the payload; what starts with `{` or `[` is JSON
 * payload or fields   both
 */
export type FormUse = "payload" | "fields" | "payload or fields";

/**
 * text            the text itself, as UTF-8
 * whsec           base64 behind an optional `whsec_` (Standard Webhooks) or `v1,whsec_` (Supabase)
 * ed25519-hex     an Ed25519 public key, 32 bytes in hex
 * ed25519-whpk    an Ed25519 public key, 32 bytes in base64 behind `whpk_`
 * spki-base64     a P-256 public key as base64 of its DER form, without PEM armour
 */
export type KeyFormat = "text" | "whsec" | "ed25519-hex" | "ed25519-whpk" | "spki-base64";

export type Algorithm = "hmac-sha256" | "hmac-sha1" | "ed25519" | "ecdsa-sha256" | "token";

export type Scheme = {
  readonly algorithm: Algorithm;
  /**
   * Where the signature is. A header in lower case, `…-*` for numbered ones; or `field:a.b` of the payload, which
   * then has to be parsed before it is authentic.
   */
  readonly signature: string;
  /** `text` for a token, which is compared as it is. */
  readonly encoding: "hex" | "base64" | "text";
  /** What stands before the signature: `sha256=`. In a list, what marks the entries that are signatures. */
  readonly prefix?: string;
  /** RFC 9110 §11.1: an auth scheme word in any case, and spaces, in place of a prefix. */
  readonly authScheme?: string;
  /** The header is a list, split here: several signatures (rotation), or `name=value` pairs. */
  readonly separator?: string;
  /** The text that is signed, with parts in braces: `v0:{header:x-slack-request-timestamp}:{body}`. */
  readonly signed: string;
  /** When it was signed; null when the signature covers no time. */
  readonly time: SignedTime | null;
  /** Headers that must not be there too: a stronger signature that would be passed over, an id that is not signed. */
  readonly refusedBeside?: readonly string[];
  /** A query parameter of the URL that holds the hex SHA-256 of the body, when that is JSON (Twilio). */
  readonly bodyHashParameter?: string;
};

export type SignedTime = {
  readonly at: PartText;
  readonly unit: "seconds" | "milliseconds";
  /** How far the time may be off, to either side; null when the sender says nothing of it: then it is a day. */
  readonly toleranceSeconds: number | null;
};

/**
 * A piece of a delivery, in words:
 *
 *     header:NAME       a header
 *     param:NAME        NAME=… in the signature header's list
 *     field:a.b         a field of the payload; `*` for every element of an array, which then must agree
 *     keyBeside:NAME    the first key of the payload's top level that is not NAME
 *     text:…            these very letters
 *     digest            the SHA-256 of the body, in hex: as an id, where equal bodies are the same event
 *     digestWithout:a   the SHA-256 of the payload without every field of that name: a counter of attempts
 *
 * and, in `signed` only:
 *
 *     body              the raw body
 *     payload           the field `payload` that a form begins with, decoded; of anything else, the raw body
 *     method            POST
 *     url               the public URL, with its query
 *     url-unescaped     the same, with the escapes decoded that HubSpot decodes
 *     form-sorted       every field of a form, sorted: name and value without anything between (Twilio)
 *
 * In `event`, `id` and `time.at`, alternatives are written `header:a | header:b`: the first that is there.
 */
export type PartText = string;

/** One field of the payload's top level. */
export type Rule = { readonly field: string; readonly required: boolean } & (
  | { readonly is: "non-empty string" }
  | { readonly is: "date-time" }
  | { readonly oneOf: readonly string[] }
);

/** Of several answers the first one counts whose field `with` is in the payload, or that has no `with`. */
export type FixedAnswer = {
  readonly status: 200 | 202 | 204;
  readonly json?: Readonly<Record<string, unknown>>;
  readonly with?: string;
};

/**
 * echo      an unsigned request whose query holds a text to be sent back, as `text/plain`. `where` are further
 *           query parameters it must have; `tokenAt` is one that must hold WEBHOOK_VERIFY_TOKEN_<NAME>.
 * head      a HEAD request, answered 200 with nothing.
 * form      an unsigned form that has exactly these fields' values: answered 200 with nothing.
 * payload   a signed delivery whose payload has these values at its top level, and none of the fields `without`:
 *           answered with `answer`, in which `{field:a.b}` stands for a field of the payload and `{hmac:a.b}` for
 *           its hex HMAC with the secret.
 */
export type Handshake =
  | {
      readonly kind: "echo";
      readonly method: "GET" | "POST";
      readonly parameter: string;
      readonly where?: Readonly<Record<string, string>>;
      readonly tokenAt?: string;
    }
  | { readonly kind: "head" }
  | { readonly kind: "form"; readonly fields: Readonly<Record<string, string>> }
  | {
      readonly kind: "payload";
      readonly where: Readonly<Record<string, string | number>>;
      readonly without?: readonly string[];
      readonly answer: FixedAnswer;
    };

/** A row as it is written: what it does not say, its kind says; and what neither says is the commonest value. */
export type Row = Pick<Sender, "title" | "secretAt"> &
  Partial<Omit<Sender, "schemes">> & { readonly schemes?: readonly Partial<Scheme>[] } & Partial<Scheme>;

/**
 * The senders of one kind of signature.
 * @param kind what their schemes have in common
 * @param rows by name; what a row says replaces what its kind says
 * @throws TypeError when neither of them says how the signature is made
 */
export function sendersOf(
  { key: usualKey = "text", ...kind }: Partial<Scheme> & { readonly key?: KeyFormat },
  rows: Readonly<Record<string, Row>>,
): Sender[] {
  return Object.entries(rows).map(([name, row]) => {
    const { key = usualKey, schemes, ...facts } = row;
    const usual = { event: [], id: [], answerWithinSeconds: null, retries: "unknown" };
    const own = { ...kind, ...pick(facts, isSchemeField) };
    return {
      ...usual,
      ...pick(facts, (field) => !isSchemeField(field)),
      name,
      key,
      schemes: (schemes ?? [{}]).map((scheme) => wholeScheme(name, { ...own, ...scheme })),
    } as unknown as Sender;
  });
}

const schemeFields = new Set([
  ...["algorithm", "signature", "encoding", "prefix", "authScheme", "separator"],
  ...["signed", "time", "refusedBeside", "bodyHashParameter"],
]);
const isSchemeField = (field: string): boolean => schemeFields.has(field);

function pick(row: object, isWanted: (field: string) => boolean): object {
  return Object.fromEntries(Object.entries(row).filter(([field]) => isWanted(field)));
}

/** A row that forgot something would verify nothing: it stops the program when it starts. */
function wholeScheme(name: string, scheme: Partial<Scheme>): Scheme {
  const { algorithm, signature, encoding, signed, time } = scheme;
  for (const [field, value] of Object.entries({ algorithm, signature, encoding, signed, time })) {
    if (value === undefined) throw new TypeError(`the sender ${name} does not say its "${field}"`);
  }
  return scheme as Scheme;
}
