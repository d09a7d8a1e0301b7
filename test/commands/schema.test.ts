/** The queries for sqlite3 of lib/keep/README.md, run on an inbox. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { now, openFolder, setJob } from "./folder.ts";

const page = readFileSync(new URL("../../lib/keep/README.md", import.meta.url), "utf8");

test("the page's three queries find what they say", (t) => {
  const folder = openFolder(t);
  folder.keep({ id: "small", body: Buffer.from("{}"), receivedAt: now.getTime() - 86_400_000 });
  folder.keep({ id: "large", body: Buffer.from('{"a":1}'), receivedAt: now.getTime() });
  folder.keep({ id: "middle", body: Buffer.from("[0]"), receivedAt: now.getTime(), event: "ping" });
  folder.keep({ id: "fourth", body: Buffer.from("1"), receivedAt: now.getTime() });
  setJob(folder, 2, "dead", { attempts: 12, lastError: "Error: no", finishedAt: now.getTime() });
  const queries = [...page.matchAll(/^```sql\n(.*?)^```$/gms)].map(([, sql = ""]) => sql);
  const found = queries.map((sql) =>
    folder.database
      .prepare(sql)
      .all()
      .map((row) => Object.values(row).join(" ")),
  );
  assert.deepEqual(found, [
    ["large push push 12 2026-11-22 12:00:00 Error: no"],
    ["2026-11-22 default push 2", "2026-11-22 default ping 1", "2026-11-21 default push 1"],
    ["2 push large 7", "3 ping middle 3", "1 push small 2", "4 push fourth 1"],
  ]);
});

test("every table and column that the page names is there", (t) => {
  const { database } = openFolder(t);
  const tables = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
  const lists = /^For everything else there is .*$/m.exec(page)?.[0].split(". Times are")[0] ?? "";
  const named = [...lists.matchAll(/`(\w+)`(?: (?:has|one)[^`(]*\(([^)]+)\))?/g)];
  assert.deepEqual(
    named.map(([, table]) => table).sort(),
    tables
      .map(({ name }) => name)
      .filter((name) => name !== "receivers")
      .sort(),
  );
  for (const [, table = "", columns = ""] of named) {
    const there = database.prepare("SELECT name FROM pragma_table_info(?)").all(table);
    for (const [, column] of columns.matchAll(/`(\w+)`/g))
      assert.ok(
        there.some(({ name }) => name === column),
        `${table}.${column}`,
      );
  }
});
