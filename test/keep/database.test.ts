/** Opening the inbox file: what is made, what is refused, and that a refused file is left as it is. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import { Worker } from "node:worker_threads";
import { openDatabase, transaction } from "../../lib/keep/sqlite/database.ts";
import { projectFolder, secret, startProgram } from "../receiver.ts";

const folder = mkdtempSync(join(tmpdir(), "database-"));
after(() => rmSync(folder, { recursive: true, force: true }));
let count = 0;

/** A path in a folder of its own. */
function freshPath(): string {
  count += 1;
  const own = join(folder, String(count));
  mkdirSync(own);
  return join(own, "inbox.db");
}

function makeDatabase(sql: string): string {
  const file = freshPath();
  const database = new DatabaseSync(file);
  database.exec(sql);
  database.close();
  return file;
}

const pragma = (database: DatabaseSync, name: string) => database.prepare(`PRAGMA ${name}`).get()?.[name];

/** Root may write everywhere, so where the tests run as root, what has to be refused runs as nobody. */
const nobody = 65_534;
const isRoot = process.getuid?.() === 0;

/** Starts the program with this inbox, to its end. */
function start(inbox: string, options: { uid?: number; program?: string } = {}) {
  const program = options.program ?? join(projectFolder, "webhook-receiver.ts");
  const { PATH = "" } = process.env;
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [program, "--port", "0", "--log", "json", "--inbox", inbox],
    {
      cwd: folder,
      // Node would hand on where coverage is written to, and another user may not write there.
      env: { PATH, WEBHOOK_SECRET: secret, NODE_V8_COVERAGE: "" },
      encoding: "utf8",
      timeout: 15_000,
      ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
    },
  );
  return { code: status, stdout, stderr };
}

test("openDatabase() makes a file that is marked as ours, in WAL mode, synced at each commit", () => {
  const file = freshPath();
  const database = openDatabase(file);
  assert.deepEqual(
    ["application_id", "user_version", "journal_mode", "synchronous", "foreign_keys", "auto_vacuum"].map(
      (name) => pragma(database, name),
    ),
    [0x57485243, 4, "wal", 2, 1, 2],
  );
  database.close();
  assert.equal(readFileSync(file).toString("latin1", 68, 72), "WHRC"); // https://www.sqlite.org/fileformat.html, 1.3
  assert.deepEqual(readdirSync(join(file, "..")), ["inbox.db"]);
});

test("the file and those beside it can be read by their owner only, whatever the umask", () => {
  const file = freshPath();
  const before = process.umask(0);
  const database = openDatabase(file);
  process.umask(before);
  const modes = ["", "-wal", "-shm"].map((suffix) => statSync(file + suffix).mode & 0o777);
  database.close();
  assert.deepEqual(modes, [0o600, 0o600, 0o600]);
});

test("so it is for the running program too", async () => {
  const program = await startProgram();
  const modes = ["", "-wal", "-shm"].map(
    (suffix) => statSync(join(program.folder, `inbox.db${suffix}`)).mode & 0o777,
  );
  assert.equal(await program.end(), 0);
  assert.deepEqual(modes, [0o600, 0o600, 0o600]);
});

test("openDatabase() opens what it has made, with everything in it", () => {
  const file = freshPath();
  const first = openDatabase(file);
  first.exec("INSERT INTO receivers VALUES ('me', 1, 2)");
  first.close();
  const second = openDatabase(file);
  assert.deepEqual(
    { ...second.prepare("SELECT * FROM receivers").get() },
    { owner: "me", beat: 1, beat_at: 2 },
  );
  second.close();
});

test("receivers that start together on a new file do not stand in each other's way", async () => {
  // Four threads wait for each other before each of many new files, so that they open it in the same moment.
  const [threads, files] = [4, 50];
  const gates = new Int32Array(new SharedArrayBuffer(4 * files));
  const script = `
    const { parentPort, workerData } = require("node:worker_threads");
    const { gates, threads, files, folder, module } = workerData;
    void import(module).then(({ openDatabase }) => {
      const errors = [];
      for (let index = 0; index < files; index += 1) {
        Atomics.add(gates, index, 1);
        while (Atomics.load(gates, index) < threads);
        try {
          openDatabase(folder + "/" + index + ".db").close();
        } catch (thrown) {
          errors.push(thrown.message);
        }
      }
      parentPort.postMessage(errors);
    });`;
  const module = new URL("../../lib/keep/sqlite/database.ts", import.meta.url).href;
  const workerData = { gates, threads, files, folder: join(freshPath(), ".."), module };
  const workers = Array.from({ length: threads }, () => new Worker(script, { eval: true, workerData }));
  const errors = await Promise.all(
    workers.map(async (worker) => (await once(worker, "message"))[0] as string[]),
  );
  assert.deepEqual(errors.flat(), []);
});

type Refusal = { file: () => string; error: (file: string) => string };
const refusals: Record<string, Refusal> = {
  "a file that is no database": {
    file: () => {
      const file = freshPath();
      writeFileSync(file, "These are my notes.\n".repeat(500));
      return file;
    },
    error: (file) => `cannot open the inbox ${file}: file is not a database`,
  },
  "a short file that is no database": {
    file: () => {
      const file = freshPath();
      writeFileSync(file, "note");
      return file;
    },
    error: (file) => `cannot open the inbox ${file}: file is not a database`,
  },
  "somebody else's database": {
    file: () => makeDatabase("CREATE TABLE songs (title TEXT); INSERT INTO songs VALUES ('Hey Jude')"),
    error: (file) => `${file} is a database, but not an inbox of webhook-receiver: choose another --inbox`,
  },
  "somebody else's database in WAL mode": {
    file: () => makeDatabase("PRAGMA journal_mode = WAL; CREATE TABLE songs (title TEXT)"),
    error: (file) => `${file} is a database, but not an inbox of webhook-receiver: choose another --inbox`,
  },
  "an empty database that is marked as somebody else's": {
    file: () => makeDatabase("PRAGMA application_id = 7; PRAGMA user_version = 1"),
    error: (file) => `${file} is a database, but not an inbox of webhook-receiver: choose another --inbox`,
  },
  "an inbox of a newer version": {
    file: () => {
      const file = freshPath();
      const database = openDatabase(file);
      database.exec("PRAGMA user_version = 99");
      database.close();
      return file;
    },
    error: (file) => `${file} was written by a newer version of webhook-receiver: use that one`,
  },
};

for (const [what, { file: make, error }] of Object.entries(refusals)) {
  test(`${what} is refused with one line and exit code 1, and not a byte of it changes`, () => {
    const file = make();
    const before = readFileSync(file);
    assert.deepEqual(start(file), { code: 1, stdout: "", stderr: `webhook-receiver: ${error(file)}\n` });
    assert.deepEqual([readFileSync(file), readdirSync(join(file, ".."))], [before, ["inbox.db"]]);
    assert.throws(() => openDatabase(file), { name: "Error", message: error(file), exitCode: 1 });
    assert.deepEqual([readFileSync(file), readdirSync(join(file, ".."))], [before, ["inbox.db"]]);
  });
}

test("somebody else's database that was not closed keeps the file beside it", () => {
  const file = freshPath();
  // A process that ended without closing: its last commit is in the -wal only.
  spawnSync(process.execPath, [
    "-e",
    `const { DatabaseSync } = require("node:sqlite"); const database = new DatabaseSync(${JSON.stringify(file)});
     database.exec("PRAGMA journal_mode = WAL; CREATE TABLE songs (title TEXT); INSERT INTO songs VALUES ('Yesterday')");
     process.kill(process.pid, "SIGKILL");`,
  ]);
  assert.ok(statSync(`${file}-wal`).size > 0);
  assert.equal(start(file).code, 1);
  const database = new DatabaseSync(file);
  assert.deepEqual({ ...database.prepare("SELECT title FROM songs").get() }, { title: "Yesterday" });
  assert.equal(pragma(database, "application_id"), 0);
  database.close();
});

test("a folder in place of the file, or one that is not there, is one line and exit code 1", () => {
  for (const [file, error] of [
    [folder, /^webhook-receiver: cannot open the inbox \S+: EISDIR[^\n]*\n$/],
    [join(folder, "nowhere", "inbox.db"), /^webhook-receiver: cannot open the inbox \S+: ENOENT[^\n]*\n$/],
  ] as const) {
    const { code, stdout, stderr } = start(file);
    assert.deepEqual([code, stdout], [1, ""]);
    assert.match(stderr, error);
  }
});

/** The program where everybody may read it, since nobody may not look into every working folder. */
function readableProgram(): string {
  chmodSync(folder, 0o755);
  const copy = join(folder, "program");
  if (!existsSync(copy)) {
    mkdirSync(copy);
    for (const name of ["webhook-receiver.ts", "package.json", "lib"]) {
      cpSync(join(projectFolder, name), join(copy, name), { recursive: true });
    }
    if (existsSync(join(projectFolder, "node_modules"))) {
      symlinkSync(join(projectFolder, "node_modules"), join(copy, "node_modules"));
    }
  }
  return join(copy, "webhook-receiver.ts");
}

for (const [what, spoil] of Object.entries({
  "a file that may only be read": (file: string) => chmodSync(file, 0o400),
  "a folder that may only be read": (file: string) => {
    chmodSync(file, 0o600);
    chmodSync(join(file, ".."), 0o500);
  },
  "a new file in a folder that may only be read": (file: string) => {
    rmSync(file);
    chmodSync(join(file, ".."), 0o500);
  },
})) {
  test(`${what} is one line and exit code 1, and not a byte changes`, () => {
    const file = freshPath();
    openDatabase(file).close();
    const before = readFileSync(file);
    spoil(file);
    const isThere = existsSync(file);
    if (isRoot)
      for (const path of [file, join(file, "..")]) if (existsSync(path)) chownSync(path, nobody, nobody);
    const { code, stdout, stderr } = start(file, isRoot ? { uid: nobody, program: readableProgram() } : {});
    chmodSync(join(file, ".."), 0o700);
    assert.deepEqual([code, stdout], [1, ""]);
    assert.match(stderr, /^webhook-receiver: cannot open the inbox \S+: [^\n]+\n$/);
    assert.equal(existsSync(file), isThere);
    if (isThere) assert.deepEqual(readFileSync(file), before);
    assert.deepEqual(readdirSync(join(file, "..")), isThere ? ["inbox.db"] : []);
  });
}

test("transaction() keeps all of it or nothing", () => {
  const database = openDatabase(":memory:");
  const insert = database.prepare("INSERT INTO receivers VALUES (?, 1, 1)");
  const counted = () => database.prepare("SELECT count(*) AS count FROM receivers").get()?.count;
  assert.equal(
    transaction(database, () => {
      insert.run("a");
      return "kept";
    }),
    "kept",
  );
  const fault = new Error("stop");
  assert.throws(
    () =>
      transaction(database, () => {
        insert.run("b");
        throw fault;
      }),
    fault,
  );
  assert.equal(counted(), 1);
  transaction(database, () => insert.run("c"));
  assert.equal(counted(), 2);
});

test("transaction() rolls back where a database does not say whether it is in one: Node before 22.16", () => {
  // https://nodejs.org/docs/latest-v22.x/api/sqlite.html#databaseistransaction
  const whole = openDatabase(":memory:");
  const database = { exec: whole.exec.bind(whole), prepare: whole.prepare.bind(whole) } as DatabaseSync;
  const insert = database.prepare("INSERT INTO receivers VALUES (?, 1, 1)");
  assert.throws(
    () =>
      transaction(database, () => {
        insert.run("a");
        throw new Error("stop");
      }),
    { message: "stop" },
  );
  transaction(database, () => insert.run("b"));
  assert.deepEqual(
    database
      .prepare("SELECT owner FROM receivers")
      .all()
      .map(({ owner }) => owner),
    ["b"],
  );
});
