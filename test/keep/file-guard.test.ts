/** What happens to the file while the receiver runs: nothing is acknowledged that the next start would not find. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, describe, type TestContext, test } from "node:test";
import { exchange, type Program, rawPost, startProgram } from "../receiver.ts";

const root = mkdtempSync(join(tmpdir(), "guard-"));
after(() => rmSync(root, { recursive: true, force: true }));

async function post(program: Program, id: string, body = "{}") {
  const [answer] = await exchange(
    program.port,
    rawPost(body, { "X-GitHub-Delivery": id, Connection: "close" }),
  );
  return answer?.status;
}

async function untilAccepted(program: Program, id: string): Promise<void> {
  for (let count = 0; count < 100; count += 1) {
    if ((await post(program, id)) === 200) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.fail(`never accepted again:\n${program.output()}`);
}

function idsIn(file: string): string[] {
  const database = new DatabaseSync(file);
  assert.equal(Object.values(database.prepare("PRAGMA integrity_check").get() ?? {})[0], "ok");
  const rows = database.prepare("SELECT id FROM deliveries ORDER BY number").all();
  database.close();
  return rows.map(({ id }) => String(id));
}

async function start(t: TestContext): Promise<{ program: Program; file: string; folder: string }> {
  const folder = mkdtempSync(join(root, "run-"));
  const program = await startProgram({ folder });
  t.after(() => program.child.kill("SIGKILL"));
  return { program, folder, file: join(folder, "inbox.db") };
}

describe("the inbox file, while the receiver runs", { concurrency: 3 }, () => {
  test("rm of its log: what was acknowledged before and after is there after kill -9", async (t) => {
    const { program, file } = await start(t);
    for (const id of ["1", "2"]) assert.equal(await post(program, id), 200);
    rmSync(`${file}-wal`);
    const statuses: (number | undefined)[] = [];
    for (const id of ["3", "4", "5", "6", "7"]) statuses.push(await post(program, id));
    await untilAccepted(program, "8");
    await program.end("SIGKILL");
    const acknowledged = ["3", "4", "5", "6", "7"].filter((_, index) => statuses[index] === 200);
    const found = idsIn(file);
    for (const id of ["1", "2", ...acknowledged, "8"]) assert.ok(found.includes(id), `${id} is gone`);
    // Either a delivery met it (503), or the heartbeat did.
    if (statuses.includes(503)) assert.match(program.output(), /inbox\.db-wal has been deleted or replaced/);
  });

  test("cp of a backup over it: 503, then the backup is used, whole, and nothing acknowledged is lost", async (t) => {
    const { program, file, folder } = await start(t);
    assert.equal(await post(program, "in the backup"), 200);
    const backup = join(folder, "backup.db");
    const other = new DatabaseSync(file);
    other.exec(`VACUUM INTO '${backup}'`);
    other.close();
    for (let count = 0; count < 20; count += 1)
      assert.equal(await post(program, `later ${count}`, JSON.stringify({ x: "y".repeat(20_000) })), 200);
    assert.equal(spawnSync("cp", [backup, file]).status, 0);
    await untilAccepted(program, "after");
    assert.equal(await program.end(), 0);
    assert.deepEqual(idsIn(file), ["in the backup", "after"]);
    // The log that belonged to the database that was written over is kept aside.
    assert.ok(readdirSync(folder).some((name) => /^inbox\.db-wal\.\d+$/.test(name)));
  });

  test("deleted: 503 that names it; put back: it goes on", async (t) => {
    const { program, file, folder } = await start(t);
    assert.equal(await post(program, "1"), 200);
    const aside = join(folder, "aside.db");
    renameSync(file, aside);
    assert.equal(await post(program, "2"), 503);
    assert.equal(await post(program, "3"), 503);
    renameSync(aside, file);
    await untilAccepted(program, "4");
    assert.equal(await program.end(), 0);
    assert.deepEqual(idsIn(file), ["1", "4"]);
  });

  test("replaced by another file: 503, then that one is used", async (t) => {
    const { program, file, folder } = await start(t);
    assert.equal(await post(program, "1"), 200);
    const next = join(folder, "next.db");
    const other = new DatabaseSync(file);
    other.exec(`VACUUM INTO '${next}'`);
    other.close();
    renameSync(next, file);
    await untilAccepted(program, "3");
    assert.equal(await program.end(), 0);
    assert.deepEqual(idsIn(file), ["1", "3"]);
  });

  test("touched only: nothing happens, and nothing is lost", async (t) => {
    const { program, file } = await start(t);
    assert.equal(await post(program, "1"), 200);
    utimesSync(file, new Date(), new Date());
    assert.equal(await post(program, "2"), 200);
    await program.end("SIGKILL");
    assert.deepEqual(idsIn(file), ["1", "2"]);
  });

  test("cut to nothing: 503 with one line that names it", async (t) => {
    const { program, file } = await start(t);
    assert.equal(await post(program, "1"), 200);
    truncateSync(file);
    assert.equal(await post(program, "2"), 503);
    assert.equal(await post(program, "3"), 503);
    assert.match(program.output(), /inbox\.db (has been written over|is empty)/);
    await program.end();
  });

  test("pages overwritten inside of it: one clear line names the file", async (t) => {
    const { program, file } = await start(t);
    for (let count = 0; count < 400; count += 1)
      await post(program, `${count}`, JSON.stringify({ x: "y".repeat(10_000) }));
    const size = statSync(file).size;
    assert.ok(size > 1_000_000, `${size}`);
    const descriptor = openSync(file, "r+");
    writeSync(descriptor, Buffer.alloc(size - 4096, 0x55), 0, size - 4096, 4096);
    closeSync(descriptor);
    await program.end("SIGKILL");
    const next = await startProgram({ folder: join(file, "..") }).catch((error: Error) => error);
    if (next instanceof Error) {
      assert.match(next.message, /inbox\.db.*(damaged|malformed)/);
      return;
    }
    assert.equal(await post(next, "new"), 503);
    assert.match(next.output(), /inbox\.db is damaged/);
    await next.end("SIGKILL");
  });

  test("the file is found again by its own name after a handler has changed the folder", async (t) => {
    const folder = mkdtempSync(join(root, "run-"));
    copyFileSync(new URL("../payloads/push.json", import.meta.url), join(folder, "x.json"));
    writeFileSync(
      join(folder, "handlers.ts"),
      'export const handlers = { "*": () => { process.chdir("/"); } };',
    );
    const program = await startProgram({ folder, args: ["--handlers", "handlers.ts"] });
    t.after(() => program.child.kill("SIGKILL"));
    for (const id of ["1", "2", "3"]) {
      assert.equal(await post(program, id), 200);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.equal(await program.end(), 0);
    assert.deepEqual(idsIn(join(folder, "inbox.db")), ["1", "2", "3"]);
  });

  test("an inbox that others can read is tightened, with its other files, and the log says so", async (t) => {
    const { program, file, folder } = await start(t);
    await program.end();
    for (const suffix of ["", "-wal", "-shm"]) {
      if (!existsSync(file + suffix)) writeFileSync(file + suffix, "");
      chmodSync(file + suffix, 0o644);
    }
    const next = await startProgram({ folder });
    t.after(() => next.child.kill("SIGKILL"));
    assert.equal(await post(next, "1"), 200);
    for (const suffix of ["", "-wal", "-shm"])
      assert.equal(statSync(file + suffix).mode & 0o777, 0o600, suffix);
    assert.match(
      next.output(),
      /"level":"warn","message":"others could read the inbox: it is for its owner only now"/,
    );
    assert.equal(await next.end(), 0);
  });
});
