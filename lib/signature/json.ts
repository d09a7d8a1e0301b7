/**
 * Is it JSON (RFC 8259), and where in it are the members of its outermost object? Answered without building anything.
 *
 * Why not `JSON.parse`? To accept a delivery takes two or three of its fields; all of it is built when a handler
 * runs. Building 8 KB of objects only to see that they can be built is a quarter of a busy receiver's time, and
 * 25 MB of them stop it for everybody. What is JSON here is JSON for `JSON.parse`, and the other way round:
 * `test/signature/json.test.ts` holds them against each other.
 *
 * Each `skip…` takes a place in the bytes and gives the place behind what it skips, or -1 when that is not there.
 */

/** Where a member's name, with its quotes, and its value stand in the text. */
export type Member = {
  readonly nameStart: number;
  readonly nameEnd: number;
  readonly valueStart: number;
  readonly valueEnd: number;
};

/** Members beyond these are checked and not noted: a body of 25 MB can have millions. */
export const maxMembers = 1000;

const none = -1;
const tab = 0x09;
const lineFeed = 0x0a;
const carriageReturn = 0x0d;
const space = 0x20;
const quote = 0x22;
const plus = 0x2b;
const comma = 0x2c;
const minus = 0x2d;
const point = 0x2e;
const zero = 0x30;
const nine = 0x39;
const colon = 0x3a;
const openBracket = 0x5b;
const backslash = 0x5c;
const closeBracket = 0x5d;
const lowerE = 0x65;
const lowerU = 0x75;
const openBrace = 0x7b;
const closeBrace = 0x7d;
/** Makes an ASCII letter a small one. */
const lowerCase = 0x20;

/** By its first byte: a value that is a word. */
const words = new Map(["true", "false", "null"].map((word) => [word.charCodeAt(0), Buffer.from(word)]));
/** What may stand behind a backslash, `u` aside. */
const escapes = new Set(Buffer.from('"\\/bfnrt'));

/**
 * @param from where the text begins: behind a byte order mark
 * @returns undefined when it is not JSON; no members for what is JSON and no object; one more than `maxMembers` for
 * an object that has more
 */
export function findMembers(bytes: Uint8Array, from: number): Member[] | undefined {
  const members: Member[] = [];
  /** Of the brackets around the innermost one: is it an object? A list, for calls within calls have a limit. */
  const outer: boolean[] = [];
  let depth = 0;
  let isObject = false;
  let nameStart = none;
  let nameEnd = none;
  let valueStart = none;
  let at = skipSpace(bytes, from);
  for (;;) {
    // Here begins a value.
    const first = byteAt(bytes, at);
    let isNext = false;
    if (first === openBrace || first === openBracket) {
      outer.push(isObject);
      depth += 1;
      isObject = first === openBrace;
      at = skipSpace(bytes, at + 1);
      isNext = byteAt(bytes, at) !== (isObject ? closeBrace : closeBracket);
    } else {
      at = skipScalar(bytes, at);
      if (at === none) return undefined;
      at = skipSpace(bytes, at);
    }
    // Behind it come the brackets that it is the last in, then a comma and the next one.
    while (!isNext) {
      if (depth === 0) return at === bytes.length ? members : undefined;
      const byte = byteAt(bytes, at);
      isNext = byte === comma;
      if (!isNext && byte !== (isObject ? closeBrace : closeBracket)) return undefined;
      if (depth === 1 && nameStart !== none) {
        if (members.length <= maxMembers) members.push({ nameStart, nameEnd, valueStart, valueEnd: at });
        nameStart = none;
      }
      at = skipSpace(bytes, at + 1);
      if (!isNext) {
        depth -= 1;
        isObject = outer.pop() === true;
      }
    }
    // In an object every value has a name in front.
    if (isObject) {
      const start = at;
      at = skipString(bytes, at);
      if (at === none) return undefined;
      const end = at;
      at = skipSpace(bytes, at);
      if (byteAt(bytes, at) !== colon) return undefined;
      at = skipSpace(bytes, at + 1);
      if (depth === 1) {
        nameStart = start;
        nameEnd = end;
        valueStart = at;
      }
    }
  }
}

/** -1 behind the end: where an array has been read there, all reading of arrays becomes slower. */
function byteAt(bytes: Uint8Array, at: number): number {
  return at < bytes.length ? (bytes[at] as number) : none;
}

function skipSpace(bytes: Uint8Array, from: number): number {
  let at = from;
  for (;;) {
    const byte = byteAt(bytes, at);
    if (byte > space || (byte !== space && byte !== lineFeed && byte !== carriageReturn && byte !== tab)) {
      return at;
    }
    at += 1;
  }
}

function skipScalar(bytes: Uint8Array, from: number): number {
  const first = byteAt(bytes, from);
  if (first === quote) return skipString(bytes, from);
  const word = words.get(first);
  if (word === undefined) return skipNumber(bytes, from);
  for (let index = 1; index < word.length; index += 1) {
    if (byteAt(bytes, from + index) !== word[index]) return none;
  }
  return from + word.length;
}

function skipString(bytes: Uint8Array, from: number): number {
  if (byteAt(bytes, from) !== quote) return none;
  let at = from + 1;
  for (;;) {
    const end = bytes.length; // asked for at every byte it would double the time of the whole
    while (at < end) {
      const byte = bytes[at] as number;
      if (byte < space || byte === quote || byte === backslash) break;
      at += 1;
    }
    const byte = byteAt(bytes, at);
    if (byte === quote) return at + 1;
    if (byte !== backslash) return none; // the end, or a control character that is not escaped
    at = skipEscape(bytes, at);
    if (at === none) return none;
  }
}

function skipEscape(bytes: Uint8Array, from: number): number {
  const kind = byteAt(bytes, from + 1);
  if (kind !== lowerU) return escapes.has(kind) ? from + 2 : none;
  for (let index = 2; index < 6; index += 1) {
    if (!isHexDigit(byteAt(bytes, from + index))) return none;
  }
  return from + 6;
}

function isHexDigit(byte: number): boolean {
  const letter = byte | lowerCase;
  return (byte >= zero && byte <= nine) || (letter >= 0x61 && letter <= 0x66);
}

/** `-0.5e+3`: no zero in front of another digit, and digits on both sides of the point. */
function skipNumber(bytes: Uint8Array, from: number): number {
  let at = byteAt(bytes, from) === minus ? from + 1 : from;
  at = byteAt(bytes, at) === zero ? at + 1 : skipDigits(bytes, at);
  if (at !== none && byteAt(bytes, at) === point) at = skipDigits(bytes, at + 1);
  if (at !== none && (byteAt(bytes, at) | lowerCase) === lowerE) {
    const sign = byteAt(bytes, at + 1);
    at = skipDigits(bytes, sign === plus || sign === minus ? at + 2 : at + 1);
  }
  return at;
}

function skipDigits(bytes: Uint8Array, from: number): number {
  let at = from;
  for (;;) {
    const byte = byteAt(bytes, at);
    if (byte < zero || byte > nine) return at === from ? none : at;
    at += 1;
  }
}
