/** What is taken for JSON: RFC 8259 section by section, with a byte order mark in front or not. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePayload } from "../../lib/signature/payload.ts";

function isTaken(body: Buffer): boolean {
  try {
    parsePayload(body, undefined);
    return true;
  } catch {
    return false;
  }
}

// RFC 8259, section by section.
const json = [
  // §2: white space, and any value alone
  ...["0", '""', "true", "false", "null", "[]", "{}", " \t\r\n[ \t\r\n] \t\r\n", ' { "a" : 1 , "b" : [ ] } '],
  // §4, §5: objects and arrays within each other; a name may be empty, and come twice
  ...['{"a":{"b":{}}}', "[[],[[]],{}]", '[{"a":[{"b":[1,2,3]}]}]', '{"":0}', '{"a":1,"a":2}'],
  // §6: numbers
  ...[
    "-0",
    "0.0",
    "1e1",
    "1E+1",
    "1e-1",
    "-1.25e+10",
    "0e0",
    "9".repeat(400),
    "1e999",
    "12345678901234567890",
  ],
  // §7: strings
  ...[
    '"\\"\\\\\\/\\b\\f\\n\\r\\t"',
    '"\\u00e9\\uD83D\\uDE00"',
    '"\\ud800"',
    '"\u007f\u0080 ü 😀"',
    '"\u2028"',
  ],
  // §8.1: a byte order mark
  '\ufeff{"a":1}',
];
const noJson = [
  ...[
    "",
    " ",
    "\u00a0[]",
    "\u000b[]",
    "\f1",
    "[]x",
    "[] []",
    "{}{}",
    "1 2",
    "\ufeff",
    "\ufeff\ufeff[]",
    "/**/1",
  ],
  ...["[", "]", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "[1}", "[1;2]", "{]", "}"],
  ...["{", '{"a"', '{"a":', '{"a":1', '{"a":1,', '{"a":1,}', '{,"a":1}', '{"a" 1}', '{"a":1 "b":2}', "{a:1}"],
  ...[
    '{"a":1]',
    "{'a':1}",
    "{1:1}",
    '{"a"::1}',
    '{"a":}',
    "{null:1}",
    '{"a":1,,"b":2}',
    '["a":1]',
    '{"a","b"}',
  ],
  ...[
    "-",
    "+1",
    "01",
    "-01",
    "00",
    "1.",
    ".5",
    "-.5",
    "1.e1",
    "1e",
    "1e+",
    "1e+-1",
    "0x10",
    "1_000",
    "1,5",
    "--1",
  ],
  ...["NaN", "Infinity", "-Infinity", "undefined", "True", "tru", "truex", "nul", "falsey", "t", "nulll"],
  ...[
    '"',
    '"a',
    '"\\"',
    '"\\x41"',
    '"\\u12"',
    '"\\u12g4"',
    '"\\U0041"',
    "'a'",
    '"a\nb"',
    '"\u0000"',
    '"\u001f"',
    '"\t"',
  ],
  ...['"\\', '"\\u', '"\\u123', '{"a\n":1}', '{"\\q":1}'],
];

for (const text of json) {
  test(`JSON: ${JSON.stringify(text).slice(0, 60)}`, () => {
    assert.equal(isTaken(Buffer.from(text)), true);
  });
}
for (const text of noJson) {
  test(`no JSON: ${JSON.stringify(text)}`, () => {
    assert.throws(() => parsePayload(Buffer.from(text), undefined), { code: "body-not-json" });
  });
}

test("bytes that are no UTF-8 are let through inside of strings, and nowhere else", () => {
  assert.equal(isTaken(Buffer.from([0x22, 0xff, 0x22])), true);
  assert.equal(isTaken(Buffer.from([0x22, 0xe2, 0x82, 0x22])), true); // a character cut off by the quote
  assert.equal(isTaken(Buffer.from([0x22, 0xe2, 0x22])), true);
  assert.equal(isTaken(Buffer.from([0xff])), false);
  assert.equal(isTaken(Buffer.from([0x5b, 0x5d, 0xc2])), false);
  assert.equal(isTaken(Buffer.from([0xef, 0xbb, 0x5b, 0x5d])), false); // two thirds of a byte order mark
});

const deepLevels = 1_000_000;
for (const [open, close] of [
  ["[", "]"],
  ['{"a":', "}"],
] as const) {
  test(`a million levels of ${open} are JSON, and one bracket too few or too many is none`, () => {
    const deep = `${open.repeat(deepLevels)}0${close.repeat(deepLevels)}`;
    assert.equal(isTaken(Buffer.from(deep)), true);
    assert.equal(isTaken(Buffer.from(deep.slice(0, -1))), false);
    assert.equal(isTaken(Buffer.from(`${deep}${close}`)), false);
  });
}
