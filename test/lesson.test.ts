/**
 * The lesson is a promise: what its page shows is what a reader gets. Here everything on it is run (see `page.ts`).
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { test } from "node:test";
import { cloneProject, environment, followPage, lessonFolder, readExercises, startReceiver } from "./page.ts";
import { closedPort, listenLocally, projectFolder } from "./receiver.ts";

const page = readFileSync(join(lessonFolder, "README.md"), "utf8");
const allScripts = readdirSync(lessonFolder).filter((name) => name.endsWith(".sh"));
/** Without `lesson.sh`, which the others share. */
const numberedScripts = allScripts.filter((name) => /^\d/.test(name));

/** Runs a script by hand, from the project's folder. */
function runScript(
  folder: string,
  name: string,
  more: Record<string, string>,
): Promise<{ name: string; exitCode: number; output: string }> {
  return new Promise((resolve) => {
    const options = { cwd: folder, env: { ...environment, ...more } };
    const child = execFile("bash", [`test/lesson/${name}`], options, (_, stdout, stderr) => {
      resolve({ name, exitCode: child.exitCode ?? -1, output: stdout + stderr });
    });
  });
}

test("every command of the lesson shows what the page says, and the receiver logs it", async (t) => {
  assert.deepEqual(await followPage(t, page), []);
});

test("`npm start` is what these tests start", () => {
  const { scripts } = JSON.parse(readFileSync(join(projectFolder, "package.json"), "utf8"));
  assert.equal(scripts.start, "exec node webhook-receiver.ts");
});

test("a page that promises something else is reported, line by line", async (t) => {
  const [beginning = ""] = page.split("## Step 2");
  const wrong = beginning
    .replace("has 64 characters.\n```", "has 65 characters.\n```")
    .replace("HTTP/1.1 405 Method Not Allowed\n", "")
    .replace("why=GET  status=405", "why=GET  status=404")
    .replace("says hello", "says nothing");
  const reports = await followPage(t, wrong);
  const about = (pattern: RegExp) => reports.some((report) => pattern.test(report));
  assert.ok(about(/65 characters.*seen was "The secret has 64 characters\."/));
  assert.ok(about(/"Content-Type: .*seen was "HTTP\/1\.1 405 Method Not Allowed"/));
  assert.ok(about(/below line \d+: "\{.*405.*\}" too/));
  assert.ok(about(/status=404 .*seen was .*status=405 /));
  assert.ok(about(/says nothing.*seen was .*says hello/));
});

test("a command that says not what it shows, and a block of another language, are no page", () => {
  const block = (language: string) => `\`\`\`${language}\ntrue\n\`\`\`\n`;
  assert.throws(() => readExercises(`\n${block("sh")}`), /^Error: line 2: a command without what it shows$/);
  assert.throws(() => readExercises(block("sh") + block("log")), /line 1: a command without/);
  assert.throws(() => readExercises(block("text")), /line 1: a text block without a command/);
  assert.throws(() => readExercises(block("bash")), /line 1: a block of "bash"/);
  assert.throws(() => readExercises("```sh\ntrue\n"), /line 1: a block that does not end/);
  assert.equal(readExercises(block("sh") + block("text") + block("log")).length, 1);
});

test("every script passes against a receiver as a reader has started it", async (t) => {
  const folder = cloneProject(t);
  const { port } = await startReceiver(t, folder);
  const url = { WEBHOOK_URL: `http://127.0.0.1:${port}/webhook` };
  const runs = await Promise.all(numberedScripts.map((name) => runScript(folder, name, url)));
  const failed = runs.filter(({ exitCode, output }) => exitCode !== 0 || !output.includes("ok: "));
  assert.deepEqual(failed, []);
});

test("a script that signs with another secret than the receiver's fails, and says what it saw", async (t) => {
  const folder = cloneProject(t);
  const { port } = await startReceiver(t, folder);
  const run = await runScript(folder, "07a-valid-signature.sh", {
    WEBHOOK_URL: `http://127.0.0.1:${port}/webhook`,
    WEBHOOK_SECRET: "the receiver has another one",
  });
  assert.equal(run.exitCode, 1);
  assert.match(
    run.output,
    /NOT OK: expected 200 "status":"accepted"\n\s+but saw 401 \{"title":"Unauthorized"/,
  );
});

test("every script fails against a receiver that says yes to everything", async (t) => {
  const folder = cloneProject(t);
  rmSync(join(folder, "webhook-receiver.ts"));
  writeFileSync(join(folder, "webhook-receiver.ts"), "console.log('yes');\n");
  const server = createServer((request, response) => {
    request.resume().on("end", () => response.end("{}"));
    request.on("error", () => {}); // the one that announces more than it sends
    if (request.headers["content-length"] === "99999999") response.end("{}");
  });
  const port = await listenLocally(t, server);
  const target = { WEBHOOK_URL: `http://127.0.0.1:${port}/webhook`, WEBHOOK_SECRET: "any" };
  const runs = await Promise.all(numberedScripts.map((name) => runScript(folder, name, target)));
  const passed = runs.filter(({ exitCode, output }) => exitCode !== 1 || !output.includes("NOT OK: "));
  assert.deepEqual(passed, []);
});

test("without a receiver or without a secret, a script fails with a line that says so", async (t) => {
  const folder = cloneProject(t);
  const name = "07a-valid-signature.sh";
  const withoutSecret = await runScript(folder, name, {});
  assert.equal(withoutSecret.exitCode, 1);
  assert.match(withoutSecret.output, /no secret: start the receiver, and run this in the same folder/);

  const url = `http://127.0.0.1:${await closedPort()}/webhook`;
  const withoutReceiver = await runScript(folder, name, { WEBHOOK_URL: url, WEBHOOK_SECRET: "any" });
  assert.equal(withoutReceiver.exitCode, 1);
  assert.match(withoutReceiver.output, /curl: \(7\)/);
});

test("the steps are the lesson's objectives, in their order, each in five parts", () => {
  const steps = page.split(/^## /m).slice(1);
  const titles = steps.map((step) => step.slice(0, step.indexOf("\n")));
  assert.deepEqual(titles, [
    "Step 0: Start the receiver",
    "Step 1: Handle POST",
    "Step 2: Read the raw body by Content-Length",
    "Step 3: Parse JSON and answer 400",
    "Step 4: Compute HMAC-SHA256 and look at its hex form",
    "Step 5: Understand why the constant-time compare is required",
    "Step 6: Validate X-Hub-Signature-256 and answer 401",
    "Step 7: Test with curl",
    "Step 8: Build the complete server with arguments, structured logging and event routing",
  ]);
  for (const [number, step] of steps.entries()) {
    if (number === 0) continue;
    const parts = step.split(/^### /m).slice(1);
    const names = parts.map((part) => part.slice(0, part.indexOf("\n")));
    const expected = [
      "What you will see",
      "Commands to run",
      "What this does",
      "Expected outcome",
      "Common mistakes",
    ];
    assert.deepEqual(names, expected, `step ${number}`);
    assert.match(parts[1] ?? "", /^```sh$/m, `step ${number} has commands`);
    assert.match(parts[2] ?? "", /\]\([^)]+\)/, `step ${number} says which file to read`);
    assert.match(parts[4] ?? "", /^- /m, `step ${number} has mistakes`);
  }
});

test("every script has at most 25 lines and is run in the step whose number it has", () => {
  const steps = page.split(/^## Step /m);
  for (const name of allScripts) {
    const lines = readFileSync(join(lessonFolder, name), "utf8").trimEnd().split("\n");
    assert.ok(lines.length <= 25, `${name} has ${lines.length} lines`);
    const step = /^\d/.test(name) ? steps[Number(name.slice(0, 2)) + 1] : page;
    // `07*.sh` stands for its scripts, and running the page shows that it finds them.
    const isMentioned = step?.includes(name) || step?.includes(`test/lesson/${name.slice(0, 2)}*.sh`);
    assert.ok(isMentioned, `${name} is not in its step`);
  }
  const numbers = new Set(numberedScripts.map((name) => Number(name.slice(0, 2))));
  assert.deepEqual([...numbers], [1, 2, 3, 4, 5, 6, 7, 8]);
});

test("every file that the lesson refers to is there", () => {
  const targets = [...page.matchAll(/\]\((?!https:)([^)]+)\)/g)].map(([, target = ""]) => target);
  assert.deepEqual(
    targets.filter((target) => !existsSync(join(lessonFolder, target))),
    [],
  );
});
