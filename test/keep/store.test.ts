/** The inbox under a running receiver: many at once, a disk that says no, and files that others lock or take away. */
import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { appendFileSync, chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, describe, type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { openStore } from "../../lib/keep/sqlite/store.ts";
import { exchange, type Program, parseLines, rawPost, startProgram } from "../receiver.ts";

const root = mkdtempSync(join(tmpdir(), "store-"));
after(() => rmSync(root, { recursive: true, force: true }));
const freshFolder = () => mkdtempSync(join(root, "run-"));

/** Posts a delivery on a connection of its own. */
async function post(port: number, id: string, body: string | Buffer = "{}") {
  const [answer] = await exchange(
    port,
    rawPost(body, { "X-GitHub-Delivery": id, "X-GitHub-Event": "push", Connection: "close" }),
  );
  assert.ok(answer !== undefined, `no answer to ${id}`);
  return answer;
}

function storedIn(file: string): { id: string; body: string; repeats: number }[] {
  const database = new DatabaseSync(file, { readOnly: true });
  const rows = database
    .prepare("SELECT id, CAST(body AS TEXT) AS body, repeats FROM deliveries ORDER BY number")
    .all()
    .map((row) => ({ id: String(row.id), body: String(row.body), repeats: Number(row.repeats) }));
  database.close();
  return rows;
}

/** The program with a lasting folder; a test that fails leaves none running. */
async function startIn(folder: string, t: TestContext, args: string[] = []): Promise<Program> {
  const program = await startProgram({ folder, args });
  t.after(() => program.child.kill("SIGKILL"));
  return program;
}

async function assertUnavailable(
  { status, headers, body }: Awaited<ReturnType<typeof post>>,
  program: Program,
): Promise<void> {
  assert.deepEqual([status, headers.get("retry-after")], [503, "5"]);
  assert.equal(JSON.parse(body).detail, "The delivery cannot be kept at the moment. Try again shortly.");
  await program.waitFor('"message":"failed"'); // the line may come later than the answer
  const line = parseLines(program.output()).findLast(({ message }) => message === "failed");
  assert.deepEqual([line?.level, line?.reason, line?.status], ["error", "storage-unavailable", 503]);
}

test("50 copies sent at once on 50 connections are one row and one run", async (t) => {
  const folder = freshFolder();
  const file = join(folder, "handlers.mjs");
  writeFileSync(
    file,
    `import { appendFileSync } from "node:fs";
     export const handlers = { push: ({ id }) => appendFileSync("runs", id + "\\n"), ping: (_, { log }) => log.info("pong") };`,
  );
  const program = await startIn(folder, t, ["--handlers", file]);
  const copy = rawPost("{}", { "X-GitHub-Delivery": "copy", "X-GitHub-Event": "push", Connection: "close" });
  let ready = 0;
  const { promise: allConnected, resolve } = Promise.withResolvers<void>();
  const gate = async () => {
    ready += 1;
    if (ready === 50) resolve();
    await allConnected;
  };
  const answers = (
    await Promise.all(Array.from({ length: 50 }, () => exchange(program.port, gate, copy)))
  ).flat();
  const statuses = answers.map(({ status, body }) => `${status} ${JSON.parse(body).status}`).sort();
  assert.deepEqual(statuses, ["200 accepted", ...Array.from({ length: 49 }, () => "200 duplicate")]);
  assert.equal(await program.end(), 0);
  assert.deepEqual(storedIn(join(folder, "inbox.db")), [{ id: "copy", body: "{}", repeats: 49 }]);
  assert.equal(execFileSync("cat", [join(folder, "runs")], { encoding: "utf8" }), "copy\n");
});

const delivery = (id: string, body: Uint8Array = Buffer.from("{}")) => ({
  ...{ source: "default", sender: "github", id, isIdSigned: false, event: "push", form: null },
  ...{ headers: "{}", body, receivedAt: 1, jobs: [] },
});

test("what is given to the store is there once it has answered, whatever came with it", async () => {
  const file = join(freshFolder(), "inbox.db");
  const store = await openStore(file);
  const chunk = Buffer.from('[{"n":1},{"n":2}]'); // two bodies in one buffer, as the network brings them
  const outcomes = await Promise.all([
    store.accept(delivery("1", chunk.subarray(1, 8))),
    store.accept(delivery("2", chunk.subarray(9, 16))),
    store.accept(delivery("1", chunk.subarray(1, 8))),
    store.accept(delivery("3", Buffer.alloc(0))),
    store.accept(delivery("4", randomBytes(8 * 1024 * 1024))),
  ]);
  assert.deepEqual(outcomes, ["accepted", "accepted", "duplicate", "accepted", "accepted"]);
  assert.deepEqual(
    storedIn(file)
      .slice(0, 3)
      .map(({ body }) => body),
    ['{"n":1}', '{"n":2}', ""],
  );
  assert.equal(chunk.toString(), '[{"n":1},{"n":2}]'); // moved was a copy
  await store.close();
});

test("nothing at all is kept too: an empty body that comes alone, and a refused request without one", async () => {
  const file = join(freshFolder(), "inbox.db");
  const store = await openStore(file);
  assert.equal(await store.accept(delivery("empty", Buffer.alloc(0))), "accepted");
  const refused = { source: "default", receivedAt: 1, reason: "body-not-json", head: "{}" };
  assert.equal(await store.quarantine({ ...refused, body: Buffer.alloc(0) }), true);
  assert.deepEqual(storedIn(file), [{ id: "empty", body: "", repeats: 0 }]);
  await store.close();
});

test("a call that cannot be done takes none of those that came with it along", async () => {
  const file = join(freshFolder(), "inbox.db");
  const store = await openStore(file);
  const bad = { ...delivery("bad"), source: null as unknown as string };
  const unbindable = { ...delivery("unbindable"), event: {} as string };
  const outcomes = await Promise.allSettled([
    store.accept(delivery("1")),
    store.accept(bad),
    store.accept(delivery("2")),
    store.accept(unbindable),
    store.accept(delivery("3")),
  ]);
  const seen = outcomes.map((one) => (one.status === "fulfilled" ? one.value : one.reason.code));
  const no = "storage-unavailable";
  assert.deepEqual(seen, ["accepted", no, "accepted", no, "accepted"]);
  assert.deepEqual(
    storedIn(file).map(({ id }) => id),
    ["1", "2", "3"],
  );
  await store.close();
});

test("close() finishes what was asked for before it", async () => {
  const file = join(freshFolder(), "inbox.db");
  const store = await openStore(file);
  const asked = store.beat("me", 7);
  await Promise.all([store.close(), asked]);
  const database = new DatabaseSync(file);
  assert.equal(database.prepare("SELECT beat_at FROM receivers WHERE owner = 'me'").get()?.beat_at, 7);
  database.close();
});

test("close() with refused requests that cannot be written lets the process end", () => {
  const code = `
    const { openStore } = await import(process.argv[1]);
    const { DatabaseSync } = await import("node:sqlite");
    const store = await openStore("inbox.db");
    const holder = new DatabaseSync("inbox.db");
    holder.exec("BEGIN IMMEDIATE");
    for (let count = 0; count < 100; count += 1)
      void store.quarantine({ source: "default", receivedAt: 1, reason: "x", head: "{}", body: Buffer.from([count]) });
    await store.close();
    holder.close();`;
  const module = fileURLToPath(import.meta.resolve("../../lib/keep/sqlite/store.ts"));
  const args = ["--no-warnings", "--input-type=module", "-e", code, module];
  const { status, signal } = spawnSync(process.execPath, args, { cwd: freshFolder(), timeout: 30_000 });
  assert.deepEqual([status, signal], [0, null]);
});

test("one delivery larger than all that may wait for the disk is kept when nothing else waits", async () => {
  const store = await openStore(join(freshFolder(), "inbox.db"));
  const large = Buffer.alloc(130 * 1024 * 1024, "x");
  const first = store.accept(delivery("large", large));
  await assert.rejects(store.accept(delivery("behind it", Buffer.from("{}"))), {
    code: "storage-unavailable",
  });
  assert.equal(await first, "accepted");
  await store.close();
});

/** Stops this thread until another process has written into the file: that is what a handler that computes does. */
function writeElsewhere(file: string): void {
  const code = `import { DatabaseSync } from "node:sqlite";
    const database = new DatabaseSync(process.argv[1]);
    database.exec("PRAGMA busy_timeout = 3000; BEGIN IMMEDIATE; COMMIT");`;
  execFileSync(process.execPath, ["--no-warnings", "--input-type=module", "-e", code, file]);
}

test("others can write while a part of a group has come and this thread is busy", async () => {
  const file = join(freshFolder(), "inbox.db");
  const store = await openStore(file);
  const kept = Promise.all(Array.from({ length: 17 }, (_, index) => store.accept(delivery(`${index}`))));
  writeElsewhere(file);
  await kept;
  await store.close();
  assert.equal(storedIn(file).length, 17);
});

test("close() that comes at the end of a part closes, though this thread is busy then", async () => {
  const file = join(freshFolder(), "inbox.db");
  const store = await openStore(file);
  const kept = Promise.all(Array.from({ length: 15 }, (_, index) => store.accept(delivery(`${index}`))));
  const closed = store.close();
  writeElsewhere(file);
  await closed;
  await kept;
  assert.equal(storedIn(file).length, 15);
});

test("a receiver that cannot listen gives its inbox back", async () => {
  const first = await startProgram();
  const { port } = first;
  const other = spawnSync(
    process.execPath,
    ["webhook-receiver.ts", "--port", String(port), "--inbox", join(freshFolder(), "i.db")],
    {
      env: { PATH: process.env.PATH, WEBHOOK_SECRET: "a-secret-that-only-the-tests-know" },
      encoding: "utf8",
      timeout: 5000,
    },
  );
  assert.equal(await first.end(), 0);
  assert.deepEqual([other.status, other.signal], [1, null]);
});

// Each has a program and a file of its own, and some wait for seconds: together.
describe("when the disk is not as it should be", { concurrency: true }, () => {
  describe("a full disk", () => {
    /** Full, and with room again. */
    type Disk = { fill(program: Program): void; empty(program: Program): void };

    async function refusesAndRecovers(program: Program, folder: string, disk: Disk): Promise<void> {
      const body = JSON.stringify({ random: randomBytes(300_000).toString("hex") });
      assert.equal((await post(program.port, "before")).status, 200);
      disk.fill(program);
      await assertUnavailable(await post(program.port, "full-1", body), program);
      await assertUnavailable(await post(program.port, "full-2", body), program);
      assert.equal((await fetch(`http://127.0.0.1:${program.port}/healthz`)).status, 200);
      disk.empty(program);
      const answers = [await post(program.port, "full-1", body), await post(program.port, "after")];
      assert.deepEqual(
        answers.map((answer) => [answer.status, JSON.parse(answer.body).status]),
        [
          [200, "accepted"],
          [200, "accepted"],
        ],
      );
      assert.equal(await program.end(), 0);
      assert.deepEqual(storedIn(join(folder, "inbox.db")), [
        { id: "before", body: "{}", repeats: 0 },
        { id: "full-1", body, repeats: 0 },
        { id: "after", body: "{}", repeats: 0 },
      ]);
    }

    test("a small file system that is full gives 503, and is used again when there is room", async (t) => {
      const folder = freshFolder();
      const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", folder], {
        encoding: "utf8",
      });
      if (mounted.status !== 0)
        return t.skip(`a tmpfs cannot be mounted here: ${mounted.stderr ?? mounted.error?.message}`);
      t.after(() => spawnSync("umount", ["-l", folder]));
      const program = await startIn(folder, t);
      const filler = join(folder, "filler");
      await refusesAndRecovers(program, folder, {
        fill: () => {
          assert.throws(
            () => {
              for (;;) appendFileSync(filler, Buffer.alloc(4096));
            },
            { code: "ENOSPC" },
          );
        },
        empty: () => rmSync(filler),
      });
    });

    test("a limit on the size of files gives 503, and is used again when it is lifted", async (t) => {
      if (spawnSync("prlimit", ["--version"]).status !== 0) return t.skip("there is no prlimit here");
      const folder = freshFolder();
      const program = await startIn(folder, t);
      const limit = (bytes: string) =>
        execFileSync("prlimit", ["--pid", String(program.child.pid), `--fsize=${bytes}:`]);
      await refusesAndRecovers(program, folder, {
        // Not one byte may be written any more: what a file system that has turned read-only is to a process.
        fill: () => limit("0"),
        empty: () => limit("unlimited"),
      });
    });
  });

  describe("the file, while the receiver runs", () => {
    test("when its mode turns read-only nothing changes: it is open, and what is acknowledged is in it", async (t) => {
      const folder = freshFolder();
      const program = await startIn(folder, t);
      for (const suffix of ["", "-wal", "-shm"]) chmodSync(join(folder, `inbox.db${suffix}`), 0o400);
      assert.equal((await post(program.port, "1")).status, 200);
      assert.equal(await program.end("SIGKILL"), "SIGKILL");
      for (const suffix of ["", "-wal", "-shm"]) chmodSync(join(folder, `inbox.db${suffix}`), 0o600);
      assert.deepEqual(
        storedIn(join(folder, "inbox.db")).map(({ id }) => id),
        ["1"],
      );
    });

    test("when it is deleted, nothing is acknowledged that the next start would not find", async (t) => {
      // The process could go on writing into a file that has no name any more, and all of that would be lost.
      const folder = freshFolder();
      const program = await startIn(folder, t);
      assert.equal((await post(program.port, "before")).status, 200);
      for (const suffix of ["", "-wal", "-shm"]) rmSync(join(folder, `inbox.db${suffix}`));
      const [answer] = await exchange(
        program.port,
        rawPost("{}", { "X-GitHub-Delivery": "after", Connection: "close" }),
      );
      await program.end();
      const next = await startIn(folder, t);
      await next.end();
      const found = storedIn(join(folder, "inbox.db")).map(({ id }) => id);
      assert.ok(answer?.status !== 200 || found.includes("after"), "it was acknowledged, and is gone");
    });
  });

  describe("while another process holds the file locked", { concurrency: true }, () => {
    /** @returns how to let go of it */
    async function lock(folder: string, t: TestContext): Promise<() => Promise<void>> {
      const script = `
      const { DatabaseSync } = require("node:sqlite");
      const database = new DatabaseSync("inbox.db");
      database.exec("PRAGMA busy_timeout = 10000; BEGIN EXCLUSIVE");
      process.stdout.write("locked");
      process.stdin.on("end", () => database.close()).resume();`;
      const other = spawn(process.execPath, ["--no-warnings", "-e", script], {
        cwd: folder,
        stdio: ["pipe", "pipe", "inherit"],
      });
      t.after(() => other.kill("SIGKILL"));
      await once(other.stdout, "data");
      return async () => {
        other.stdin.end();
        await once(other, "exit");
      };
    }

    test("/healthz answers and a delivery waits; when the lock goes it is accepted", async (t) => {
      const folder = freshFolder();
      const program = await startIn(folder, t);
      const unlock = await lock(folder, t);
      let isAnswered = false;
      const waiting = post(program.port, "waits").finally(() => {
        isAnswered = true;
      });
      for (let count = 0; count < 20; count += 1) {
        assert.equal((await fetch(`http://127.0.0.1:${program.port}/healthz`)).status, 200);
      }
      assert.equal(isAnswered, false);
      await unlock();
      assert.equal((await waiting).status, 200);
      assert.equal(await program.end(), 0);
      assert.deepEqual(
        storedIn(join(folder, "inbox.db")).map(({ id }) => id),
        ["waits"],
      );
    });

    test("for longer than anybody should wait, a delivery gets 503; afterwards it is accepted", async (t) => {
      const folder = freshFolder();
      const program = await startIn(folder, t);
      const unlock = await lock(folder, t);
      await assertUnavailable(await post(program.port, "too long"), program);
      assert.equal((await fetch(`http://127.0.0.1:${program.port}/healthz`)).status, 200);
      await unlock();
      assert.equal((await post(program.port, "too long")).status, 200);
      assert.equal(await program.end(), 0);
      assert.deepEqual(
        storedIn(join(folder, "inbox.db")).map(({ id }) => id),
        ["too long"],
      );
    });

    test("the calls of that time are refused, a step of the retention too, and the store lives on", async () => {
      const file = join(freshFolder(), "inbox.db");
      const store = await openStore(file);
      const other = new DatabaseSync(file);
      other.exec("BEGIN EXCLUSIVE");
      const refused = { code: "storage-unavailable", message: "database is locked" };
      await assert.rejects(store.removeBefore(1), refused);
      await assert.rejects(store.beat("me", 1), refused);
      other.close();
      await store.beat("me", 1);
      assert.deepEqual(await store.otherBeats(store.owner), [{ owner: "me", beat: 1 }]);
      await store.close();
    });

    test("SIGTERM ends the receiver with exit code 0", async (t) => {
      const folder = freshFolder();
      const program = await startIn(folder, t);
      const unlock = await lock(folder, t);
      const code = await program.end();
      await unlock();
      assert.equal(code, 0, program.output());
    });

    test("a start says so in one line, with exit code 1", async (t) => {
      const folder = freshFolder();
      await (await startIn(folder, t)).end();
      const unlock = await lock(folder, t);
      await assert.rejects(startIn(folder, t), (error: Error) => {
        assert.match(
          error.message,
          /\nwebhook-receiver: cannot open the inbox \S*inbox\.db: database is locked\n$/,
        );
        return true;
      });
      await unlock();
    });
  });
});
