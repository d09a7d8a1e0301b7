/** Several processes on one file, and more of what may happen to it: honest use is no alarm, and the rest loses nothing. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, describe, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { openDatabase } from "../../lib/keep/sqlite/database.ts";
import { openRetention } from "../../lib/keep/sqlite/retention.ts";
import { exchange, type Program, rawPost, startProgram } from "../receiver.ts";

const root = mkdtempSync(join(tmpdir(), "loss-"));
after(() => rmSync(root, { recursive: true, force: true }));

async function start(t: TestContext, folder = mkdtempSync(join(root, "run-")), args: string[] = []) {
  const program = await startProgram({ folder, args });
  t.after(() => program.child.kill("SIGKILL"));
  return { program, folder, file: join(folder, "inbox.db") };
}

const bodyOf = (kilobytes: number) => JSON.stringify({ x: "y".repeat(kilobytes * 1024) });

async function post(program: Program, id: string, kilobytes = 0): Promise<number | undefined> {
  const headers = { "X-GitHub-Delivery": id, Connection: "close" };
  const [answer] = await exchange(program.port, rawPost(bodyOf(kilobytes), headers));
  return answer?.status;
}

/** Sends deliveries until `isOver`; those that were acknowledged go to `kept`. */
async function keepSending(
  program: Program,
  name: string,
  kilobytes: number,
  kept: string[],
  isOver: () => boolean,
) {
  for (let count = 0; !isOver(); count += 1) {
    const id = `${name}-${count}`;
    const status = await post(program, id, kilobytes);
    if (status === 200) kept.push(id);
    else await sleep(20);
  }
}

async function untilAccepted(program: Program, id: string): Promise<void> {
  for (let count = 0; count < 200; count += 1) {
    if ((await post(program, id)) === 200) return;
    await sleep(100);
  }
  assert.fail(`never accepted again:\n${program.output()}`);
}

function assertThere(file: string, ids: readonly string[]): void {
  const database = new DatabaseSync(file);
  assert.equal(Object.values(database.prepare("PRAGMA integrity_check").get() ?? {})[0], "ok");
  const rows = database.prepare("SELECT id FROM deliveries").all();
  database.close();
  const found = new Set(rows.map(({ id }) => String(id)));
  assert.deepEqual(
    ids.filter((id) => !found.has(id)),
    [],
  );
}

function backUp(file: string, backup: string): void {
  const database = new DatabaseSync(file);
  database.exec(`VACUUM INTO '${backup}'`);
  database.close();
}

/** Enough for several checkpoints; afterwards the log has been begun anew. */
async function fill(program: Program): Promise<void> {
  for (let count = 0; count < 250; count += 1) assert.equal(await post(program, `fill-${count}`, 30), 200);
}

describe("the inbox file, with other processes on it", { concurrency: 2 }, () => {
  test("two receivers, and a reader that comes and goes: no alarm, and all is there after kill -9", async (t) => {
    const { program, folder, file } = await start(t);
    const { program: second } = await start(t, folder);
    const kept: string[] = [];
    const overAt = performance.now() + 9000;
    const isOver = () => performance.now() > overAt;
    async function readNowAndThen(): Promise<void> {
      while (!isOver()) {
        const reader = new DatabaseSync(file);
        reader.exec("BEGIN");
        reader.prepare("SELECT count(*) FROM deliveries").get();
        await sleep(1800);
        reader.exec("COMMIT");
        reader.close();
        await sleep(700);
      }
    }
    const senders = [program, second, program, second];
    await Promise.all([
      readNowAndThen(),
      ...senders.map((one, index) => keepSending(one, `${index}`, 40, kept, isOver)),
    ]);
    await Promise.all([program.end("SIGKILL"), second.end("SIGKILL")]);
    assert.ok(kept.length > 50, `${kept.length}`);
    assertThere(file, kept);
    assert.deepEqual(
      readdirSync(folder).filter((name) => /-wal\.\d/.test(name)),
      [],
    );
    assert.doesNotMatch(program.output() + second.output(), /has been lost/);
  });

  test("rm of the log under two receivers: what they have acknowledged before and after is there", async (t) => {
    const { program, folder, file } = await start(t);
    const { program: second } = await start(t, folder);
    const kept: string[] = [];
    for (let count = 0; count < 20; count += 1) {
      assert.equal(await post(count % 2 ? program : second, `before-${count}`, 4), 200);
      kept.push(`before-${count}`);
    }
    let isOver = false;
    const sending = [program, second].map((one, index) =>
      keepSending(one, `${index}`, 4, kept, () => isOver),
    );
    rmSync(`${file}-wal`);
    await Promise.all([program.waitFor("is open again"), second.waitFor("is open again")]);
    isOver = true;
    await Promise.all(sending);
    await untilAccepted(program, "a");
    await untilAccepted(second, "b");
    await Promise.all([program.end("SIGKILL"), second.end("SIGKILL")]);
    assertThere(file, [...kept, "a", "b"]);
  });

  test("rm of the wal-index: both receivers let go of it, and nothing is lost", async (t) => {
    const { program, folder, file } = await start(t);
    const { program: second } = await start(t, folder);
    for (const one of [program, second]) assert.equal(await post(one, `before-${one.port}`), 200);
    rmSync(`${file}-shm`);
    await Promise.all([program.waitFor("is open again"), second.waitFor("is open again")]);
    for (const one of [program, second]) await untilAccepted(one, `after-${one.port}`);
    await Promise.all([program.end("SIGKILL"), second.end("SIGKILL")]);
    assertThere(
      file,
      [program, second].flatMap(({ port }) => [`before-${port}`, `after-${port}`]),
    );
  });

  test("cp over it after checkpoints: no acknowledged delivery is lost, and the backup stays whole", async (t) => {
    const { program, folder, file } = await start(t);
    assert.equal(await post(program, "in the backup"), 200);
    backUp(file, join(folder, "backup.db"));
    await fill(program);
    assert.equal(spawnSync("cp", [join(folder, "backup.db"), file]).status, 0);
    const kept: string[] = [];
    for (let count = 0; count < 20; count += 1)
      if ((await post(program, `after-${count}`, 8)) === 200) kept.push(`after-${count}`);
    await untilAccepted(program, "last");
    await program.end("SIGKILL");
    assertThere(file, ["in the backup", ...kept, "last"]);
    assert.match(program.output(), /"why":"[^"]*inbox\.db has been written over"/);
  });

  test("killed directly after a cp over it: the log of the old database does not go into the backup", async (t) => {
    const { program, folder, file } = await start(t);
    assert.equal(await post(program, "in the backup"), 200);
    backUp(file, join(folder, "backup.db"));
    await fill(program);
    assert.equal(spawnSync("cp", [join(folder, "backup.db"), file]).status, 0);
    await program.waitFor("inbox.db has been written over");
    await program.end("SIGKILL");
    assertThere(file, ["in the backup"]);
  });

  test("an old backup moved over it: the log of the database that was there is kept aside", async (t) => {
    const { program, folder, file } = await start(t);
    assert.equal(await post(program, "in the backup"), 200);
    backUp(file, join(folder, "backup.db"));
    await fill(program);
    renameSync(join(folder, "backup.db"), file);
    await untilAccepted(program, "after");
    await program.end("SIGKILL");
    assertThere(file, ["in the backup", "after"]);
    assert.equal(readdirSync(folder).filter((name) => /^inbox\.db-wal\.\d+$/.test(name)).length, 1);
  });

  test("its log cut to nothing: 503 with a line that names it, then what is acknowledged is there", async (t) => {
    const { program, file } = await start(t);
    assert.equal(await post(program, "before"), 200);
    truncateSync(`${file}-wal`);
    const kept: string[] = [];
    for (let count = 0; count < 10; count += 1)
      if ((await post(program, `after-${count}`)) === 200) kept.push(`after-${count}`);
    await program.waitFor("inbox.db-wal has been written over");
    // The database may never have had a page outside of its log: then there is nothing to open.
    const isWhole = program.waitFor("is open again").then(() => untilAccepted(program, "last"));
    await Promise.race([isWhole, program.waitFor("is damaged"), program.waitFor("is empty")]);
    await program.end("SIGKILL");
    assertThere(file, kept);
  });

  test("pages overwritten inside of it: nothing is acknowledged any more, and a line names it", async (t) => {
    const { program, file } = await start(t);
    await fill(program);
    const descriptor = openSync(file, "r+");
    const { size } = statSync(file);
    writeSync(descriptor, Buffer.alloc(size - 4096, 0x55), 0, size - 4096, 4096);
    closeSync(descriptor);
    for (let count = 0; count < 10; count += 1)
      assert.equal(await post(program, `after-${count}`), 503, `${count}`);
    await program.waitFor("inbox.db has been written over");
  });
});

describe("the name of the inbox file", { concurrency: 2 }, () => {
  test("a symbolic link is followed, as SQLite does", async (t) => {
    const folder = mkdtempSync(join(root, "link-"));
    mkdirSync(join(folder, "data"));
    symlinkSync("data/inbox.db", join(folder, "inbox.db"));
    const { program } = await start(t, folder);
    assert.equal(await post(program, "1"), 200);
    rmSync(join(folder, "data", "inbox.db-wal"));
    await untilAccepted(program, "2");
    assert.equal(await program.end(), 0);
    assertThere(join(folder, "data", "inbox.db"), ["1", "2"]);
  });

  test("it is resolved before handlers are loaded, which may change the folder", async (t) => {
    const folder = mkdtempSync(join(root, "chdir-"));
    mkdirSync(join(folder, "other"));
    writeFileSync(
      join(folder, "handlers.ts"),
      'process.chdir(new URL("other", import.meta.url).pathname); export const handlers = {};',
    );
    const { program } = await start(t, folder, ["--handlers", "handlers.ts"]);
    assert.equal(await post(program, "1"), 200);
    assert.equal(await program.end(), 0);
    assertThere(join(folder, "inbox.db"), ["1"]);
    assert.deepEqual(readdirSync(join(folder, "other")), []);
  });
});

test("SIGTERM while another process holds the file locked: the receiver ends when its time for stopping is over", async (t) => {
  const folder = mkdtempSync(join(root, "stop-"));
  writeFileSync(
    join(folder, "handlers.ts"),
    'export const handlers = { "*": () => new Promise((resolve) => setTimeout(resolve, 500)) };',
  );
  const { program, file } = await start(t, folder, ["--handlers", "handlers.ts", "--stop-timeout", "2"]);
  for (let count = 0; count < 5; count += 1) assert.equal(await post(program, `${count}`), 200);
  const lock = new DatabaseSync(file, { timeout: 5000 });
  t.after(() => lock.close());
  lock.exec("BEGIN IMMEDIATE");
  await sleep(1200); // the handlers have ended, and wait for being marked
  // Before, two waits of 5 seconds for the lock came on top.
  const ended = await Promise.race([program.end(), sleep(5000, "still running", { ref: false })]);
  assert.equal(ended, 0);
});

test("each file that others can read is named and tightened, also when it is the log alone", async (t) => {
  const { program, folder, file } = await start(t);
  assert.equal(await post(program, "1"), 200);
  await program.end("SIGKILL");
  chmodSync(`${file}-wal`, 0o644);
  const { program: next } = await start(t, folder);
  assert.match(next.output(), /others could read the inbox[^\n]*inbox\.db-wal"/);
  assert.equal(statSync(`${file}-wal`).mode & 0o777, 0o600);
  assert.equal(await next.end(), 0);
});

test("a database that cannot shrink is not asked for ever", () => {
  const file = join(mkdtempSync(join(root, "none-")), "inbox.db");
  openDatabase(file).close();
  const database = new DatabaseSync(file);
  database.exec("PRAGMA journal_mode = DELETE; PRAGMA auto_vacuum = NONE; VACUUM");
  database.exec("CREATE TABLE more (bytes); INSERT INTO more VALUES (zeroblob(100000)); DROP TABLE more");
  database.close();
  assert.ok(existsSync(file));
  const again = openDatabase(file);
  assert.equal(openRetention(again).shrink(), false);
  again.close();
});
