/** The queries for sqlite3 of lib/keep/README.md, run on an inbox. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { now, openFolder, setJob } from "./folder.ts";

test("the page's three queries find what they say", (t) => {
  const page = readFileSync(new URL("../../lib/keep/README.md", import.meta.url), "utf8");
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
