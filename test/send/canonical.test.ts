/** The known answers are orjson's own; `orjson.json` says how they were made. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { canonicalJson } from "../../lib/send/canonical.ts";

type Known = {
  same: { name: string; given: string; expected: string }[];
  different: { why: string; given: string; orjson: string; ours: string };
};
const known = JSON.parse(readFileSync(new URL("orjson.json", import.meta.url), "utf8")) as Known;

const written = (value: unknown): string => canonicalJson(value).toString("utf8");

/** As Python reads it: an integer of any length is that integer. */
function read(json: string): unknown {
  return JSON.parse(json, (_, value: unknown, { source = "" }: { source?: string } = {}) =>
    /^-?\d{16,}$/.test(source) && !Number.isSafeInteger(value) ? BigInt(source) : value,
  );
}

for (const { name, given, expected } of known.same) {
  test(`canonicalJson() writes the bytes that orjson writes: ${name}`, () => {
    const bytes = canonicalJson(read(given));
    assert.equal(bytes.toString("utf8"), expected);
    assert.ok(bytes.equals(Buffer.from(expected, "utf8")));
  });
}

test("canonicalJson() and orjson differ in floats without a fraction, as stated, and the value is the same", () => {
  const { given, orjson, ours } = known.different;
  assert.equal(written(JSON.parse(given)), ours);
  assert.notEqual(ours, orjson);
  assert.deepEqual(JSON.parse(ours), JSON.parse(orjson));
});

// orjson.dumps(float("nan")), and of inf and -inf: null.
for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
  test(`canonicalJson() writes ${value} as null, as orjson does`, () => {
    assert.equal(written({ a: value }), '{"a":null}');
  });
}

test("canonicalJson() leaves out fields that are undefined", () => {
  assert.equal(written({ b: undefined, a: 1 }), '{"a":1}');
});

const nested = (depth: number, leaf: unknown): unknown =>
  depth === 0 ? leaf : depth % 2 === 0 ? [nested(depth - 1, leaf)] : { a: nested(depth - 1, leaf) };

test("canonicalJson() writes 254 objects and arrays inside each other, and refuses 255, as orjson does", () => {
  for (const deep of [nested(254, 0), nested(253, [])]) assert.equal(written(deep), JSON.stringify(deep));
  for (const deep of [nested(255, 0), nested(254, [])])
    assert.throws(() => canonicalJson(deep), {
      name: "TypeError",
      message: "more than 254 objects and arrays inside each other",
    });
});

const itself: unknown[] = [];
itself.push(itself);
const surrogate = "a text with half a surrogate pair is not Unicode";
const notPlain = "an object that is neither plain nor an array is no JSON";
const refused: [name: string, value: unknown, message: string][] = [
  ["2^64", 2n ** 64n, "an integer has more than 64 bits"],
  ["-2^63 - 1", -(2n ** 63n) - 1n, "an integer has more than 64 bits"],
  ["half a surrogate pair", ["\ud800"], surrogate],
  ["the other half, in a key", { "\udc00": 1 }, surrogate],
  ["the two halves the wrong way round", "\udc00\ud800", surrogate],
  ["undefined", undefined, "a value of type undefined is no JSON"],
  ["a hole in an array", new Array(1), "a value of type undefined is no JSON"],
  ["a function", { a: () => {} }, "a value of type function is no JSON"],
  ["a symbol", Symbol("a"), "a value of type symbol is no JSON"],
  ["a Date", new Date(0), notPlain],
  ["a Map", new Map([["a", 1]]), notPlain],
  ["a Buffer", Buffer.from("a"), notPlain],
  ["an array that holds itself", itself, "more than 254 objects and arrays inside each other"],
];
for (const [name, value, message] of refused) {
  test(`canonicalJson() refuses ${name}`, () => {
    assert.throws(() => canonicalJson(value), { name: "TypeError", message });
  });
}
