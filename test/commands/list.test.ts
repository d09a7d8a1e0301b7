/** `list`: its lines, its filters, and what comes from outside and wants to be more than a text. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { list } from "../../lib/commands/list.ts";
import { type Folder, now, openFolder, run, setJob } from "./folder.ts";

const at = (text: string): number => Date.parse(`2026-11-22T${text}Z`);
const twoJobs = [
  { handler: "push", orderKey: null },
  { handler: "*", orderKey: null },
];

/** Five deliveries in every state, with and without repeats and jobs. */
function keepFive(folder: Folder): void {
  const { keep } = folder;
  const dead = keep({ id: "one", receivedAt: at("08:00:00.000"), jobs: twoJobs });
  setJob(folder, dead, "dead", { attempts: 12 });
  const done = keep({
    id: "two",
    source: "github-acme",
    event: "pull_request.opened",
    receivedAt: at("09:00:00.000"),
  });
  setJob(folder, done, "done");
  const running = keep({ id: "three", receivedAt: at("10:00:00.000"), jobs: twoJobs });
  setJob(folder, running, "running", { attempts: 2 });
  keep({
    id: "four",
    source: "stripe",
    sender: "stripe",
    event: "charge.failed",
    receivedAt: at("11:00:00.000"),
  });
  const nobody = { id: "five", event: "push.tag", receivedAt: at("11:30:00.500"), jobs: [] };
  keep(nobody);
  keep(nobody);
}

const all = `number  received                  source       event                id     state    attempts  repeats
5       2026-11-22T11:30:00.500Z  default      push.tag             five   done     0         1
4       2026-11-22T11:00:00.000Z  stripe       charge.failed        four   pending  0         0
3       2026-11-22T10:00:00.000Z  default      push                 three  running  2         0
2       2026-11-22T09:00:00.000Z  github-acme  pull_request.opened  two    done     1         0
1       2026-11-22T08:00:00.000Z  default      push                 one    dead     12        0
`;

test("list shows every delivery, newest first, in columns", async (t) => {
  keepFive(openFolder(t));
  assert.equal(await run(list, []), all);
});

test("list --json shows one object on each line", async (t) => {
  const folder = openFolder(t);
  folder.keep({ id: "same", isIdSigned: false });
  folder.keep({ id: "same", isIdSigned: false, body: Buffer.from("{}"), receivedAt: at("11:30:00.000") });
  assert.equal(
    await run(list, ["--json"]),
    '{"number":2,"receivedAt":"2026-11-22T11:30:00.000Z","source":"default","event":"push","id":"same","state":"pending","attempts":0,"repeats":0,"isTwin":true}\n' +
      '{"number":1,"receivedAt":"2026-11-22T11:00:00.000Z","source":"default","event":"push","id":"same","state":"pending","attempts":0,"repeats":0,"isTwin":false}\n',
  );
});

const filters: [args: string[], numbers: number[]][] = [
  [["--state", "dead"], [1]],
  [["--state", "running"], [3]],
  [["--state", "pending"], [4]],
  [
    ["--state", "done"],
    [5, 2],
  ],
  [
    ["--source", "default"],
    [5, 3, 1],
  ],
  [["--source", "nobody"], []],
  [
    ["--event", "push"],
    [5, 3, 1],
  ],
  [["--event", "push.tag"], [5]],
  [["--event", "*.opened"], [2]],
  [["--event", "charge.>"], [4]],
  [
    ["--event", "*"],
    [5, 4, 3, 2, 1],
  ],
  [["--event", "pus"], []],
  [
    ["--since", "2h"],
    [5, 4, 3],
  ],
  [
    ["--since", "2026-11-22T10:00:00.001"],
    [5, 4],
  ],
  [["--limit", "1"], [5]],
  [["--source", "default", "--event", "push", "--state", "dead", "--since", "1d"], [1]],
  [["--source", "default", "--state", "done"], [5]],
  [["--source", "stripe", "--state", "dead"], []],
];
for (const [args, numbers] of filters) {
  test(`list ${args.join(" ")} shows ${numbers.join(", ") || "nothing"}`, async (t) => {
    keepFive(openFolder(t));
    const text = await run(list, [...args, "--json"]);
    const rows = text.split("\n").filter((line) => line !== "");
    assert.deepEqual(
      rows.map((row) => JSON.parse(row).number),
      numbers,
    );
  });
}

test("a delivery is dead when one of its jobs is, else running, else pending", async (t) => {
  const folder = openFolder(t);
  const names = ["push", "push.>", "*", ">"];
  const number = folder.keep({ jobs: names.map((handler) => ({ handler, orderKey: null })) });
  for (const [handler, state] of [
    ["*", "pending"],
    ["push", "running"],
    [">", "dead"],
    ["push.>", "done"],
  ] as const) {
    setJob(folder, number, state, { handler });
    const shown = state === "done" ? "dead" : state;
    for (const wanted of ["pending", "running", "done", "dead"]) {
      const text = await run(list, ["--state", wanted, "--json"]);
      assert.equal(text.includes(`"state":"${shown}"`), wanted === shown, `${state} ${wanted}`);
    }
  }
});

test("list says when there is nothing, and JSON says nothing", async (t) => {
  openFolder(t);
  assert.equal(await run(list, []), "nothing found\n");
  assert.equal(await run(list, ["--json"]), "");
});

test("list shows 50 deliveries, and says when there are more", async (t) => {
  const { keep } = openFolder(t);
  for (let number = 1; number <= 50; number++) keep({ id: `id-${number}` });
  assert.equal((await run(list, [])).split("\n").length, 52); // the heading, and the end of the last line
  keep({ id: "id-51" });
  const lines = (await run(list, [])).split("\n");
  assert.deepEqual(
    [lines.length, lines.at(-2)],
    [53, "there are more than 50: --limit shows more, --since and the others fewer"],
  );
});

test("list breaks a tie by the order of arrival, newest first", async (t) => {
  const { keep } = openFolder(t);
  keep({ id: "a", source: "stripe" });
  keep({ id: "b", source: "default" });
  keep({ id: "c", source: "slack" });
  const text = await run(list, ["--json"]);
  assert.deepEqual(text.match(/"id":"."/g), ['"id":"c"', '"id":"b"', '"id":"a"']);
  assert.match(await run(list, ["--json", "--limit", "1"]), /"id":"c"/);
});

const hostile = "a\nnumber  \u001b[2J\u009b1A\u2028b";
test("an id or event from outside can neither move the cursor nor forge a line", async (t) => {
  const { keep } = openFolder(t);
  keep({ id: hostile, event: "e\rf", receivedAt: now.getTime() });
  const [, line] = (await run(list, [])).split("\n");
  assert.equal(
    line,
    "1       2026-11-22T12:00:00.000Z  default  e\\u000df  a\\u000anumber  \\u001b[2J\\u009b1A\\u2028b  pending  0         0",
  );
  const json = await run(list, ["--json"]);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this looks for
  assert.doesNotMatch(json.trimEnd(), /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/);
  assert.equal(JSON.parse(json).id, hostile);
});

test("an id of 60 characters is shown, of 61 it is cut; JSON has all of it", async (t) => {
  const { keep } = openFolder(t);
  keep({ id: "x".repeat(60) });
  assert.match(await run(list, []), / x{60} /);
  keep({ id: "y".repeat(61) });
  assert.match(await run(list, []), / y{59}… /);
  assert.match(await run(list, ["--json"]), /"y{61}"/);
});

for (const limit of ["1", "100000"]) {
  test(`list --limit ${limit} is taken`, async (t) => {
    keepFive(openFolder(t));
    assert.notEqual(await run(list, ["--limit", limit]), "");
  });
}

const refusals: [args: string[], message: string][] = [
  [["--limit", "0"], '--limit: expected a number from 1 to 100000, not "0"'],
  [["--limit", "100001"], '--limit: expected a number from 1 to 100000, not "100001"'],
  [["--limit", "1e3"], '--limit: expected a number from 1 to 100000, not "1e3"'],
  [["--state", "Dead"], '--state: expected pending, running, done or dead, not "Dead"'],
  [["--state"], "Option '--state <value>' argument missing (--help shows what there is)"],
  [["dead"], "Unexpected argument 'dead' (--help shows what there is)"],
];
for (const [args, message] of refusals) {
  test(`list ${args.join(" ")} is refused`, async (t) => {
    openFolder(t);
    await assert.rejects(run(list, args), {
      message: new RegExp(`^${message.replace(/[()<>]/g, "\\$&")}`),
      exitCode: 2,
    });
  });
}

/** So many jobs in one state that looking each of them up would take too long: another way is taken. */
for (const state of ["dead", "pending", "running"] as const) {
  test(`list --state ${state} shows the same when there are 20000 and 20001 such jobs`, async (t) => {
    const folder = openFolder(t);
    const fill = folder.database.prepare(`
      WITH RECURSIVE count (n) AS (SELECT ? UNION ALL SELECT n + 1 FROM count WHERE n < ?)
      INSERT INTO deliveries (source, sender, id, event, digest, received_at, form, headers, body)
      SELECT 'default', 'github', 'id-' || n, 'push', x'', 1000 * n, 0, '{}', x'' FROM count`);
    const addJobs = folder.database.prepare(`
      INSERT INTO jobs (delivery, handler, state, next_attempt_at)
      SELECT number, 'push', ?, 0 FROM deliveries WHERE number BETWEEN ? AND ?`);
    fill.run(1, 20_003);
    addJobs.run(state, 1, 20_000);
    const text = await run(list, ["--state", state, "--limit", "2"]);
    assert.match(text, /\n20000 .*\n19999 .*\nthere are more/);
    addJobs.run(state, 20_001, 20_001);
    assert.match(await run(list, ["--state", state, "--limit", "2"]), /\n20001 .*\n20000 .*\nthere are more/);
  });
}

test("list --source shows the same when the source has 2000 and 2001 deliveries", async (t) => {
  const { keep } = openFolder(t);
  for (let number = 1; number <= 2001; number++) {
    keep({ id: `id-${number}`, receivedAt: number });
    if (number >= 2000)
      assert.match(
        await run(list, ["--source", "default", "--limit", "1", "--json"]),
        new RegExp(`"id":"id-${number}"`),
      );
  }
});
