/**
 * How one kind of sender signs and shapes its deliveries: a row of data, never code.
 *
 * HOW TO ADD A SENDER
 *   1. Find the page where the sender documents its signature. Its address belongs above the row.
 *   2. Copy `github.ts`, rename it, fill in the row; put every trap you meet into a comment beside its field.
 *   3. Add the row to the list in `table.ts`.
 *   4. Write down at least one known answer that does not come from this code in `test/vectors/<name>.json`.
 */

export type Sender = {
  /** In the path (`/webhook/<name>`) and, in capitals, in the variable (`WEBHOOK_SECRET_<NAME>`). */
  readonly name: string;
  readonly signature: SignatureHeader;
  /** The event's type: the parts that are there, joined by dots. None of them there: `unknown`. */
  readonly event: readonly Part[];
  /** The delivery's id, in the same way; the same on every retry of one delivery. None: a random one. */
  readonly id: readonly Part[];
  /** What an authentic payload must look like; anything else is answered 422. */
  readonly shape?: readonly Rule[];
  /** The answer this sender expects to an accepted delivery, where it is not the usual one. */
  readonly acceptedAnswer?: Readonly<Record<string, string>>;
};

/** HMAC-SHA256 of the raw body, in hex, in one header: either after a fixed prefix or after an auth scheme. */
export type SignatureHeader =
  | { readonly header: string; readonly prefix: string }
  /** RFC 9110 §11.1: the scheme word is case-insensitive and followed by spaces. */
  | { readonly header: "authorization"; readonly scheme: string };

/** Where a piece of text is found: a header (lower case), a field of the payload (`a.b.c`), or the text itself. */
export type Part = { readonly header: string } | { readonly field: string } | { readonly text: string };

/** One field of the payload's top level. */
export type Rule = { readonly field: string; readonly required: boolean } & (
  | { readonly is: "non-empty string" }
  | { readonly is: "date-time" }
  | { readonly oneOf: readonly string[] }
);
