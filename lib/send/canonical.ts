/**
 * JSON in one form only: the keys of every object sorted, no white space, UTF-8 without escapes that are not
 * needed. DECNET writes its bodies so, with orjson's OPT_SORT_KEYS; the known answers come from there
 * (test/send/orjson.json).
 *
 * Where JavaScript's numbers make a difference: 1 and 1.0 are one number here, and written `1`; Python has two.
 * Integers are exact up to 2^53; a number beyond is taken for a float (1e16 is `1e+16`), an integer is a BigInt.
 * -0 can only be a float, `-0.0`. What is no number (NaN, Infinity) is `null`, as with orjson.
 * Refused, as with orjson: integers beyond 64 bits, text that is not Unicode, deep nesting, and whatever is no JSON.
 */

/** orjson's own limit; it also ends an object that holds itself. */
const maxDepth = 254;
const smallestInteger = -(2n ** 63n);
const largestInteger = 2n ** 64n - 1n;

/**
 * @param value of plain objects, arrays, strings, numbers, BigInts, booleans and null; an object's fields that are
 *   undefined are left out, as everywhere in JavaScript
 * @throws TypeError for anything else, never quoting it
 */
export function canonicalJson(value: unknown): Buffer {
  return Buffer.from(write(value, 0), "utf8");
}

function write(value: unknown, depth: number): string {
  switch (typeof value) {
    case "string":
      return writeString(value);
    case "number":
      return writeNumber(value);
    case "bigint":
      if (value >= smallestInteger && value <= largestInteger) return value.toString();
      throw new TypeError("an integer has more than 64 bits");
    case "boolean":
      return String(value);
    case "object":
      return value === null ? "null" : writeContainer(value, depth + 1);
    default:
      throw new TypeError(`a value of type ${typeof value} is no JSON`);
  }
}

function writeContainer(value: object, depth: number): string {
  if (depth > maxDepth) throw new TypeError(`more than ${maxDepth} objects and arrays inside each other`);
  // Array.from: a hole is undefined, which is refused, and not left out.
  if (Array.isArray(value)) return `[${Array.from(value, (element) => write(element, depth)).join(",")}]`;
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null)
    throw new TypeError("an object that is neither plain nor an array is no JSON");
  const fields = Object.entries(value)
    .filter(([, field]) => field !== undefined)
    .map(([key, field]) => ({ key, field, bytes: Buffer.from(key) }))
    // By code points, as UTF-8 sorts. JavaScript's own order is that of UTF-16, where U+1F600 comes before U+FFFF.
    .sort((a, b) => Buffer.compare(a.bytes, b.bytes));
  return `{${fields.map(({ key, field }) => `${writeString(key)}:${write(field, depth)}`).join(",")}}`;
}

/** RFC 8259 §7: JSON.stringify escapes what must be escaped and, of Unicode text, nothing else. */
function writeString(text: string): string {
  if (text.isWellFormed()) return JSON.stringify(text);
  throw new TypeError("a text with half a surrogate pair is not Unicode");
}

/** The digits are JavaScript's, the shortest that read back as the same number; the form is orjson's. */
function writeNumber(value: number): string {
  if (!Number.isFinite(value)) return "null";
  if (Object.is(value, -0)) return "-0.0";
  if (Number.isSafeInteger(value)) return String(value);
  const scientific = value.toExponential();
  const exponent = Number(scientific.slice(scientific.indexOf("e") + 1));
  if (exponent < -5 || exponent > 15) return scientific;
  return Number.isInteger(value) ? `${value}.0` : String(value);
}
