/** What is JSON, and where its members are, held against `JSON.parse`, which is the independent answer here. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fieldAt } from "../../lib/signature/field.ts";
import { findMembers, maxMembers } from "../../lib/signature/json.ts";
import { readPayload } from "../../lib/signature/payload.ts";
import { lehmer } from "../random.ts";

/** What `JSON.parse` makes of the bytes, behind a byte order mark. */
function parsed(body: Buffer): { value: unknown } | undefined {
  try {
    return { value: JSON.parse(body.toString("utf8").replace(/^\ufeff/, "")) };
  } catch {
    return undefined;
  }
}

function isTaken(body: Buffer): boolean {
  try {
    readPayload(body, undefined);
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
    assert.notEqual(parsed(Buffer.from(text)), undefined);
    assert.equal(isTaken(Buffer.from(text)), true);
  });
}
for (const text of noJson) {
  test(`no JSON: ${JSON.stringify(text)}`, () => {
    assert.equal(parsed(Buffer.from(text)), undefined);
    assert.throws(() => readPayload(Buffer.from(text), undefined), { code: "body-not-json" });
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

test("the members of the outermost object are found, with the places of their names and values", () => {
  const text = ' {"a" : {"x":[1,{"a":2}]} , "b":"}" ,"c": 3 } ';
  const found = findMembers(Buffer.from(text), 0)?.map(({ nameStart, nameEnd, valueStart, valueEnd }) => [
    text.slice(nameStart, nameEnd),
    text.slice(valueStart, valueEnd).trim(),
  ]);
  assert.deepEqual(found, [
    ['"a"', '{"x":[1,{"a":2}]}'],
    ['"b"', '"}"'],
    ['"c"', "3"],
  ]);
  for (const none of ["{}", "[]", '[{"a":1}]', "1", '"a"', "null"]) {
    assert.deepEqual(findMembers(Buffer.from(none), 0), []);
  }
});

const paths = [
  "a",
  "b",
  "a.b",
  "d.e",
  "a.b.c",
  "*",
  "*.a",
  "0",
  "0.a",
  "length",
  "",
  "é",
  "__proto__",
  "__proto__.x",
];
const objects = [
  ...[
    '{"a":1}',
    '{"a":{"b":{"c":"deep"}}}',
    '{"a":1,"b":2,"a":3}',
    '{"a":{"b":1},"a":null}',
    '{"\\u0061":4}',
  ],
  ...[
    '{"\\u0061":4,"a":5}',
    '{"a":5,"\\u0061":4}',
    '{"é":1}',
    '{"\\u00e9":2}',
    '{"":3}',
    '{"*":{"a":1}}',
    "{}",
  ],
  ...[
    '{"__proto__":{"x":1}}',
    '{"ab":1,"a ":2,"\\ta":3}',
    '[{"a":1},{"a":1}]',
    '[{"a":1},{"a":2}]',
    "[]",
    '"a"',
  ],
  ...["null", "5", '{"length":9}', '{"0":{"a":7}}', '{"d":{"e":"x"} , "a" :\n[1,2] }', '\ufeff{"a":true}'],
];
for (const text of objects) {
  test(`each field of ${JSON.stringify(text)} is what it is in the whole`, () => {
    const body = Buffer.from(text);
    const payload = readPayload(body, undefined);
    const whole = parsed(body)?.value;
    for (const path of paths) assert.deepEqual(payload.field(path), fieldAt(whole, path), path);
    assert.deepEqual(payload.whole(), whole);
  });
}

for (const count of [maxMembers, maxMembers + 1, 100_000]) {
  test(`a field is found among ${count} members, first or last, and the last of two counts`, () => {
    const names = Array.from({ length: count - 2 }, (_, index) => `"k${index}":${index}`);
    const body = Buffer.from(`{"a":1,${names.join(",")},"a":2}`);
    const payload = readPayload(body, undefined);
    const found = ["a", "k0", `k${count - 3}`, "no"].map((path) => payload.field(path));
    assert.deepEqual(found, [2, 0, count - 3, undefined]);
    assert.equal(findMembers(body, 0)?.length, Math.min(count, maxMembers + 1));
    assert.equal(isTaken(body.subarray(0, -1)), false);
  });
}

test("of 200,000 texts with a few bytes changed, exactly those are taken that JSON.parse takes", () => {
  const random = lehmer(20_261_122);
  const seeds = [...json, ...objects].filter((text) => text.length < 100).map((text) => Buffer.from(text));
  const alphabet = Buffer.concat([
    Buffer.from('{}[]:,"\\/ \t\r\n0123456789+-.eEtrufalsnbx\u0001\u007f'),
    Buffer.from([0xef, 0xbb, 0xbf, 0xe2, 0x80, 0xff]),
  ]);
  let taken = 0;
  for (let round = 0; round < 200_000; round += 1) {
    const bytes = [...(seeds[random(seeds.length)] ?? [])];
    for (let change = random(4); change > 0; change -= 1) {
      const at = random(bytes.length + 1);
      const removed = random(2);
      bytes.splice(at, removed, ...(random(3) === 0 ? [] : [alphabet[random(alphabet.length)] ?? 0]));
    }
    const body = Buffer.from(bytes);
    const expected = parsed(body);
    assert.equal(isTaken(body), expected !== undefined, JSON.stringify(body.toString("latin1")));
    if (expected === undefined) continue;
    taken += 1;
    const payload = readPayload(body, undefined);
    for (const path of ["a", "d.e", "*.a", ""]) {
      const found = payload.field(path);
      assert.deepEqual(found, fieldAt(expected.value, path), JSON.stringify(body.toString("latin1")));
    }
  }
  assert.ok(taken > 20_000 && taken < 180_000, `${taken} were JSON`); // or the changes say nothing
});
