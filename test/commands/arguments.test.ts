/** What all commands share: which file, when they refuse it, and how times and patterns are read. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { readFiles, readPattern, readTime } from "../../lib/commands/arguments.ts";
import { list } from "../../lib/commands/list.ts";
import { replay } from "../../lib/commands/replay.ts";
import { reverify } from "../../lib/commands/reverify.ts";
import { show } from "../../lib/commands/show.ts";
import { now, openFolder, run } from "./folder.ts";

const secrets = { WEBHOOK_SECRET: "a-secret-that-only-the-tests-know" };
const commands = {
  list: [list],
  show: [show, "x"],
  replay: [replay, "--dead"],
  reverify: [reverify],
} as const;

for (const [name, [command, ...args]] of Object.entries(commands)) {
  test(`${name} refuses a file that is not there, and makes none`, async (t) => {
    openFolder(t);
    await assert.rejects(run(command, [...args, "--inbox", "nowhere.db"], secrets), {
      message: "cannot open the inbox nowhere.db: there is no such file",
      exitCode: 1,
    });
    assert.equal(existsSync("nowhere.db"), false);
  });

  test(`${name} refuses an empty file, and leaves it empty`, async (t) => {
    openFolder(t);
    writeFileSync("empty.db", "");
    await assert.rejects(run(command, [...args, "--inbox", "empty.db"], secrets), {
      message: "empty.db is not an inbox of webhook-receiver: choose another --inbox",
      exitCode: 1,
    });
    assert.equal(statSync("empty.db").size, 0);
  });

  test(`${name} refuses a flag that there is not`, async (t) => {
    openFolder(t);
    await assert.rejects(run(command, [...args, "--verbose"], secrets), {
      message: "Unknown option '--verbose' (--help shows what there is)",
      exitCode: 2,
    });
  });

  test(`${name} --help says how it is used, without any inbox`, async (t) => {
    openFolder(t);
    const text = await run(command, ["--help", "--inbox", "nowhere.db"]);
    assert.match(
      text,
      new RegExp(`^${name}: .*\n\nUsage: tsx webhook-receiver\\.ts ${name}.*--inbox FILE .*\n$`, "s"),
    );
  });
}

test("a database with an empty schema, a text, a folder and somebody else's database are no inboxes", async (t) => {
  openFolder(t);
  const bare = new DatabaseSync("bare.db");
  bare.exec("PRAGMA user_version = 1");
  bare.close();
  writeFileSync(
    "text.db",
    "only a text, but one that is a little longer than the head of a database. ".repeat(3),
  );
  mkdirSync("folder.db");
  const other = new DatabaseSync("other.db");
  other.exec("CREATE TABLE cats (name TEXT)");
  other.close();
  const refusals = {
    "bare.db": "bare.db is not an inbox of webhook-receiver: choose another --inbox",
    "text.db": "cannot open the inbox text.db: file is not a database",
    "folder.db": "folder.db is not an inbox of webhook-receiver: choose another --inbox",
    "other.db": "other.db is a database, but not an inbox of webhook-receiver: choose another --inbox",
  };
  for (const [file, message] of Object.entries(refusals))
    await assert.rejects(run(list, ["--inbox", file]), { message, exitCode: 1 });
});

test("an inbox of a newer version is refused", async (t) => {
  const { database } = openFolder(t);
  database.exec("PRAGMA user_version = 99");
  await assert.rejects(run(list, []), {
    message: "inbox.db was written by a newer version of webhook-receiver: use that one",
    exitCode: 1,
  });
});

test("what SQLite says no to is one line that names the file", async (t) => {
  const folder = openFolder(t);
  folder.keep();
  folder.database.exec("DROP TABLE receivers");
  await assert.rejects(run(replay, ["id-1"]), {
    message: "the inbox inbox.db: no such table: receivers",
    exitCode: 1,
  });
});

test("an inbox in memory, and one without a name, are refused by the name of the flag or the variable", () => {
  assert.throws(() => readFiles({ inbox: ":memory:" }, {}), {
    message: "--inbox: an inbox in memory can only be seen by its receiver",
    exitCode: 2,
  });
  assert.throws(() => readFiles({}, { WEBHOOK_INBOX: " " }), {
    message: "WEBHOOK_INBOX: expected a file name",
    exitCode: 2,
  });
});

test("a flag beats the environment, the environment beats .env, .env beats the default", (t) => {
  openFolder(t);
  const inboxOf = (given: { inbox?: string }): string => readFiles(given, process.env).inboxFile;
  t.after(() => {
    delete process.env.WEBHOOK_INBOX;
  });
  assert.equal(inboxOf({}), "inbox.db");
  writeFileSync(".env", "WEBHOOK_INBOX=from-dotenv.db\n");
  assert.equal(inboxOf({}), "from-dotenv.db");
  process.env.WEBHOOK_INBOX = "from-environment.db";
  assert.equal(inboxOf({}), "from-environment.db");
  assert.equal(inboxOf({ inbox: "from-flag.db" }), "from-flag.db");
});

test("an environment file that is named has to be there", async (t) => {
  openFolder(t);
  await assert.rejects(run(list, ["--env-file", "nowhere.env"]), {
    message: /^cannot read the environment file: .*nowhere\.env/,
    exitCode: 1,
  });
  await assert.rejects(run(list, [], { WEBHOOK_ENV_FILE: "elsewhere.env" }), { message: /elsewhere\.env/ });
});

const times = {
  "1s": "2026-11-22T11:59:59.000Z",
  "5m": "2026-11-22T11:55:00.000Z",
  "2h": "2026-11-22T10:00:00.000Z",
  "3650d": "2016-11-24T12:00:00.000Z",
  "2026-03-31": "2026-03-31T00:00:00.000Z",
  "2026-03-31T14:05": "2026-03-31T14:05:00.000Z",
  "2026-03-31 14:05:06.5": "2026-03-31T14:05:06.500Z",
  "2026-03-31T14:05:06.123Z": "2026-03-31T14:05:06.123Z",
  "2026-03-31T14:05+02:00": "2026-03-31T12:05:00.000Z",
};
for (const [given, expected] of Object.entries(times)) {
  test(`the time ${given} is ${expected}`, () => {
    assert.equal(new Date(readTime("--since", given, now)).toISOString(), expected);
  });
}

for (const given of [
  "",
  "2",
  "h",
  "2 h",
  "-2h",
  "1.5h",
  "2w",
  "3651d",
  "2026-02-30",
  "2026-13-01",
  "2026-03-31T24:01",
  "2026-03-31Z",
  "yesterday",
]) {
  test(`${JSON.stringify(given)} is no time`, () => {
    assert.throws(() => readTime("--since", given, now), {
      message: `--since: expected a time such as 2h, 30d, 2026-03-31 or 2026-03-31T14:00, not ${JSON.stringify(given)}`,
      exitCode: 2,
    });
  });
}

test("a pattern lets through at least what matches, with letters that a GLOB would take for its own", () => {
  assert.equal(readPattern("--event", "a.*.[b]?.>").glob, "a.*.[[]b][?].**");
  const { glob, matches } = readPattern("--event", "push");
  assert.deepEqual(
    [glob, matches("push"), matches("push.x"), matches("pushed")],
    ["push*", true, true, false],
  );
});

test("a pattern that is none is refused", () => {
  assert.throws(() => readPattern("--event", "a..b"), {
    message: '--event "a..b": a pattern is made of names with single dots between them',
    exitCode: 2,
  });
});
