import assert from "node:assert/strict";
import { test } from "node:test";
import type { Fields } from "../../lib/log.ts";
import { openOutput } from "../../lib/run/output.ts";

function read(chunks: readonly (string | Buffer)[]) {
  const lines: [line: string, fields?: Fields][] = [];
  const output = openOutput((line, fields) => lines.push(fields === undefined ? [line] : [line, fields]));
  for (const chunk of chunks) output.add(Buffer.from(chunk));
  output.end();
  return { lines, last: output.lastLine() };
}

test("each line is one line of the log, wherever the pieces were cut", () => {
  const text = Buffer.from("one\ntwo – zwölf 🚀\r\n\n\nthree\n");
  for (let cut = 0; cut <= text.length; cut += 1) {
    const { lines, last } = read([text.subarray(0, cut), text.subarray(cut)]);
    assert.deepEqual(lines, [["one"], ["two – zwölf 🚀"], ["three"]]);
    assert.equal(last, "three");
  }
  assert.deepEqual(read([...text].map((byte) => Buffer.of(byte))).lines.length, 3);
});

test("a last line without its end is a line too", () => {
  assert.deepEqual(read(["one\ntw", "o"]).lines, [["one"], ["two"]]);
});

test("nothing, or only empty lines, is no line", () => {
  assert.deepEqual(read([]), { lines: [], last: undefined });
  assert.deepEqual(read(["\n\r\n\n"]), { lines: [], last: undefined });
});

test("bytes that are no UTF-8 are shown as U+FFFD", () => {
  assert.deepEqual(read([Buffer.of(0x61, 0xff, 0x62, 0x0a, 0xc3)]).lines, [["a\ufffdb"], ["\ufffd"]]);
});

test("a line of 4096 bytes is whole, and one of 4097 is cut", () => {
  const longest = "x".repeat(4096);
  assert.deepEqual(read([`${longest}\n`]).lines, [[longest]]);
  assert.deepEqual(read([`${longest}y\nz\n`]).lines, [[`${longest}…`, { cutBytes: 1 }], ["z"]]);
  assert.deepEqual(read([longest, "y", "\nz"]).lines, [[`${longest}…`, { cutBytes: 1 }], ["z"]]);
});

test("a line is not cut within a character", () => {
  assert.deepEqual(read([`${"x".repeat(4095)}ü\n`]).lines, [[`${"x".repeat(4095)}…`, { cutBytes: 1 }]]);
});

test("a line that never ends is held in 4096 bytes", () => {
  const chunks = Array.from({ length: 1000 }, () => "x".repeat(65_536));
  assert.deepEqual(read(chunks).lines, [[`${"x".repeat(4096)}…`, { cutBytes: 65_536_000 - 4096 }]]);
});

test("1000 lines are all there; of more, it is said how much was left out", () => {
  const { lines, last } = read(["x\n".repeat(999), "last\n"]);
  assert.deepEqual([lines.length, lines.at(-1), last], [1000, ["last"], "last"]);
  const more = read(["x\n".repeat(999), "last\nmore", "\n", "and more\n"]);
  assert.deepEqual(more.lines.slice(999), [
    ["last"],
    ["the rest of the output is not shown", { droppedBytes: "more\nand more\n".length }],
  ]);
  assert.equal(more.last, undefined);
});

test("256 KiB are all there; of more, it is said how much was left out", () => {
  const longest = `${"x".repeat(4096)}\n`;
  assert.equal(read([longest.repeat(64)]).lines.length, 64);
  assert.deepEqual(read([longest.repeat(64), "y\n"]).lines.slice(64), [
    ["the rest of the output is not shown", { droppedBytes: 2 }],
  ]);
});

test("empty lines come to the limit too", () => {
  for (const [end, count] of [
    ["\n", 262_144],
    ["\r\n", 131_072],
  ] as const) {
    assert.deepEqual(read([end.repeat(count), "y\n"]).lines, [
      ["the rest of the output is not shown", { droppedBytes: 2 }],
    ]);
    assert.deepEqual(read([end.repeat(count - 1), "y\n"]).lines, [["y"]]);
  }
});
