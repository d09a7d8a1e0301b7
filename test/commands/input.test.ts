/** Files and stdin, as bytes, up to a limit. */
import assert from "node:assert/strict";
import { mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { Readable } from "node:stream";
import { test } from "node:test";
import { readInput } from "../../lib/commands/input.ts";
import { openFolder } from "./folder.ts";

const bytes = Buffer.from([0, 1, 0x0d, 0x0a, 0xff]);

test("a file and stdin are read byte for byte, up to the limit and not beyond", async (t) => {
  openFolder(t);
  writeFileSync("a-file", bytes);
  const stdin = (): Readable => Readable.from([bytes.subarray(0, 2), bytes.subarray(2)]);
  assert.deepEqual(await readInput("a-file", 5), bytes);
  assert.deepEqual(await readInput("-", 5, stdin()), bytes);
  await assert.rejects(readInput("a-file", 4), { message: "a-file holds more than 4 bytes", exitCode: 2 });
  await assert.rejects(readInput("-", 4, stdin()), { message: "stdin holds more than 4 bytes", exitCode: 2 });
});

test("no more than the limit is read of a file that is much larger, or has no end", async (t) => {
  openFolder(t);
  writeFileSync("large", "");
  truncateSync("large", 2 ** 40);
  await assert.rejects(readInput("large", 1000), { message: "large holds more than 1000 bytes" });
  await assert.rejects(readInput("/dev/zero", 1000), { message: "/dev/zero holds more than 1000 bytes" });
  let read = 0;
  const endless = new Readable({
    read(size) {
      read += size;
      this.push(Buffer.alloc(size));
    },
  });
  await assert.rejects(readInput("-", 1000, endless), { message: "stdin holds more than 1000 bytes" });
  assert.ok(endless.destroyed && read <= 4 * endless.readableHighWaterMark, `${read} bytes`);
});

test("an empty file is no bytes", async (t) => {
  openFolder(t);
  writeFileSync("empty", "");
  assert.equal((await readInput("empty", 0)).length, 0);
});

test("a file that is not there, and a folder, are refused by name", async (t) => {
  openFolder(t);
  mkdirSync("a-folder");
  await assert.rejects(readInput("nowhere", 1), {
    message: "cannot read nowhere: there is no such file",
    exitCode: 2,
  });
  await assert.rejects(readInput("a-folder", 1), { message: /^cannot read a-folder: EISDIR/, exitCode: 2 });
});
