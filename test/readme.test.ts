/** The README is a promise too: its commands are run, and show what it says. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { followPage } from "./page.ts";
import { openTestReceiver, projectFolder } from "./receiver.ts";

const readme = readFileSync(join(projectFolder, "README.md"), "utf8");
/** What .ci/run runs on a fresh clone, so it need not be run in here. */
const ranByCi = ["npm ci && npm test", "npm run check"];

test("every command of the README shows what the README says", async (t) => {
  const reports = await followPage(t, readme, {
    otherLanguages: ["ts", "ini", "sql"],
    ranElsewhere: ranByCi,
  });
  assert.deepEqual(reports, []);
});

test("the commands that are not run here are run by CI, and are in the README", () => {
  const script = readFileSync(join(projectFolder, ".ci/run"), "utf8");
  for (const command of ranByCi) {
    assert.ok(script.split("\n").includes(command), command);
    assert.ok(readme.includes(`\`\`\`sh\n${command}\n`), command);
  }
});

test("the README's example of a sender of one's own is a good one", async () => {
  const lines = /```ini\n([\s\S]*?)```/.exec(readme)?.[1]?.trim().split("\n") ?? [];
  assert.equal(lines.length, 2);
  const environment = Object.fromEntries(
    lines.map((line) => [line.split("=", 1)[0], line.slice(line.indexOf("=") + 1).replace(/^'|'$/g, "")]),
  );
  const receiver = await openTestReceiver({ environment });
  assert.equal((await fetch(`${receiver.url}/acme`, { method: "POST", body: "{}" })).status, 401);
  await receiver.stop();
});

test("every file that the README refers to is there", () => {
  const targets = [...readme.matchAll(/\]\((?!https:)([^)#]+)\)/g)].map(([, target = ""]) => target);
  assert.ok(targets.length > 5);
  for (const target of targets) assert.ok(existsSync(join(projectFolder, target)), target);
});

test("every ratio in the README is one that the benchmark's last full run found", () => {
  const section = /## How fast\n([\s\S]*?)\n## /.exec(readme)?.[1] ?? "";
  const results = readFileSync(join(projectFolder, "test/bench/RESULTS.md"), "utf8");
  const ratios = section.match(/\d+\.\d+/g) ?? [];
  assert.ok(ratios.length > 3);
  for (const ratio of ratios)
    assert.match(results, new RegExp(`\\| ${ratio.replace(".", "\\.")}[ |]`), ratio);
});

test("nothing is installed at run time", () => {
  const manifest = JSON.parse(readFileSync(join(projectFolder, "package.json"), "utf8"));
  for (const kind of ["dependencies", "optionalDependencies", "peerDependencies"])
    assert.equal(manifest[kind], undefined);
});
