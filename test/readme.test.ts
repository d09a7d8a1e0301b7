/** The pages are promises too: their commands are run, and show what the pages say. The lesson has a test of its own. */
import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { senders } from "../lib/senders/table.ts";
import { followPage } from "./page.ts";
import { openTestReceiver, projectFolder } from "./receiver.ts";

const read = (file: string): string => readFileSync(join(projectFolder, file), "utf8");
const linesOf = (text: string): string[] => text.trimEnd().split("\n");

const readme = read("README.md");
const pages = ["README.md", ...globSync("lib/**/README.md", { cwd: projectFolder }).sort()];
const rooms = ["commands", "keep", "process", "receive", "run", "send", "senders", "settings"];
/** What .ci/run runs on a fresh clone, so it need not be run in here. */
const ranByCi = ["npm ci && npm test", "npm run check"];

test("what is looked up has a page in the room that does it, and the README leads to each of them", () => {
  for (const room of rooms) {
    const page = `lib/${room}/README.md`;
    assert.ok(pages.includes(page), page);
    assert.ok(readme.includes(`](${page})`), page);
  }
  assert.ok(linesOf(readme).length <= 200, `README.md has ${linesOf(readme).length} lines`);
});

for (const page of pages) {
  test(`every command of ${page} shows what the page says`, async (t) => {
    const reports = await followPage(t, read(page), {
      otherLanguages: ["ts", "ini", "sql"],
      ranElsewhere: ranByCi,
      isReceiverRunning: page !== "README.md",
    });
    assert.deepEqual(reports, []);
  });
}

test("the commands that are not run here are run by CI, and are in the README", () => {
  const script = read(".ci/run");
  for (const command of ranByCi) {
    assert.ok(script.split("\n").includes(command), command);
    assert.ok(readme.includes(`\`\`\`sh\n${command}\n`), command);
  }
});

test("the example of a sender of one's own is a good one", async () => {
  const lines = /```ini\n([\s\S]*?)```/.exec(read("lib/senders/README.md"))?.[1]?.trim().split("\n") ?? [];
  assert.equal(lines.length, 2);
  const environment = Object.fromEntries(
    lines.map((line) => [line.split("=", 1)[0], line.slice(line.indexOf("=") + 1).replace(/^'|'$/g, "")]),
  );
  const receiver = await openTestReceiver({ environment });
  assert.equal((await fetch(`${receiver.url}/acme`, { method: "POST", body: "{}" })).status, 401);
  await receiver.stop();
});

/** As GitHub makes the anchor of a heading. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\p{Letter}\p{Number} _-]/gu, "")
    .replaceAll(" ", "-");

for (const page of pages) {
  test(`every file and heading that ${page} refers to is there`, () => {
    const links = [...read(page).matchAll(/\]\((?!https:)([^)#]*)(?:#([^)]+))?\)/g)];
    assert.ok(links.length > 0);
    for (const [link, target = "", anchor] of links) {
      const file = target === "" ? page : join(dirname(page), target);
      assert.ok(existsSync(join(projectFolder, file)), `${page}: ${link}`);
      if (anchor === undefined) continue;
      const anchors = linesOf(read(file)).flatMap((line) => /^#+ (.*)$/.exec(line)?.[1] ?? []);
      assert.ok(anchors.map(anchorOf).includes(anchor), `${page}: ${link}`);
    }
  });
}

test("every status that the receiver refuses with is in the table of answers", () => {
  const statuses = [...read("lib/refusal.ts").matchAll(/^ {2}\S+: \[(\d{3}),/gm)].map(
    ([, status = ""]) => status,
  );
  assert.ok(statuses.length > 20);
  const table = read("lib/receive/README.md").match(/^\| [\d, ]+ \|/gm) ?? [];
  const documented = new Set(table.flatMap((row) => row.match(/\d{3}/g) ?? []));
  assert.deepEqual(documented, new Set(["200", ...statuses]));
});

const howFast = /## How fast\n([\s\S]*?)\n## /.exec(readme)?.[1] ?? "";

test("every figure in the README is one that the benchmark's last full run found", () => {
  const results = read("test/bench/RESULTS.md");
  const figures = howFast.match(/\d+\.\d+|\d{3,}/g) ?? [];
  assert.ok(figures.length > 7);
  for (const figure of figures)
    assert.match(results, new RegExp(`(?<![\\d.])${figure.replace(".", "\\.")}(?![\\d.])`), figure);
  const hardware = /The hardware: (.*?), a disk/.exec(howFast)?.[1] ?? "none";
  assert.ok(results.includes(`- ${hardware},`), hardware);
});

test("the kills and the senders that the README counts are the ones that there are", () => {
  const kills = [...read("test/keep/crash.test.ts").matchAll(/await crashRun\((\d+), "(\w+)"\)/g)];
  assert.equal(kills.length, 2);
  for (const [, count, signal = ""] of kills)
    assert.ok(howFast.includes(`${count} times by ${signal}`), signal);
  assert.ok(howFast.includes(`| ${senders.length} |`));
  assert.ok(readme.includes(`[All ${senders.length} of them]`));
});

test("nothing is installed at run time", () => {
  const manifest = JSON.parse(read("package.json"));
  for (const kind of ["dependencies", "optionalDependencies", "peerDependencies"])
    assert.equal(manifest[kind], undefined);
});
