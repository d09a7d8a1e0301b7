/** The benchmark's machinery, on real servers for a moment each. Nothing here depends on how fast they are. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { faultsOf, type Observed, obstacle } from "./bench/attack/attacked.ts";
import { type Scenario, scenarios } from "./bench/attack/scenarios.ts";
import { drawChart, maxNameLength } from "./bench/chart.ts";
import * as contestants from "./bench/contestants.ts";
import { type Contestant, ceiling, receiver, receiverWithoutStore } from "./bench/contestants.ts";
import { nodeGenerator } from "./bench/load.ts";
import { attack } from "./bench/measurements/attack.ts";
import { compare } from "./bench/measurements/compare.ts";
import { selfTimeTable } from "./bench/profile.ts";
import { type Bench, type Row, runRounds, type Slice } from "./bench/rounds.ts";
import { startServer } from "./bench/server.ts";
import { median, ratioTo } from "./bench/tables.ts";
import { targetTable } from "./bench/targets.ts";
import { sign } from "./receiver.ts";

const folder = mkdtempSync(join(tmpdir(), "bench-test-"));
after(() => rmSync(folder, { recursive: true }));

const bench: Bench = {
  generator: nodeGenerator(folder),
  folder,
  load: { bodyBytes: 1000, connections: 4 },
  ...{ rounds: 1, seconds: 0.1, warmSeconds: 0, budgetSeconds: Number.POSITIVE_INFINITY },
  report: () => {},
};

test("a comparison gives ratios to the ceiling, and names who is not there", async () => {
  const absent: Contestant = { ...receiver, name: "nobody", version: undefined, install: "install nobody" };
  const { text, findings } = await compare(bench, [ceiling, receiver, absent]);
  for (const kind of ["kept alive", "a connection each"]) {
    assert.match(
      text,
      new RegExp(`\\| ${kind}, rounds: 1 \\| × bare node:http .*\n.*\n\\| bare node:http \\| 1\\.00 `),
    );
    assert.ok(Number(findings.get(`durable, ${kind}, × ceiling`)) > 0, text);
    assert.equal(findings.get(`storage stubbed out, ${kind}, × ceiling`), undefined);
  }
  assert.doesNotMatch(text, /failed/);
  assert.match(text, /^- Absent: nobody \(`install nobody`\)\.$/m);
});

test("a server that accepts forged deliveries is not measured", async () => {
  const visit = {
    contestant: { ...ceiling, name: "yes" },
    load: { ...bench.load, kind: "kept alive" },
  } as const;
  await assert.rejects(
    runRounds(bench, [visit]),
    /yes answers 200 to a good delivery and 200 to a forged one/,
  );
});

test("with the storage stubbed out the receiver says yes and writes no inbox", async (t) => {
  for (const [contestant, isKept] of [
    [receiver, true],
    [receiverWithoutStore, false],
  ] as const) {
    const root = mkdtempSync(join(folder, "stub-"));
    const server = await startServer(root, await contestant.command());
    t.after(server.stop);
    const headers = { "X-GitHub-Event": "ping", "X-Hub-Signature-256": sign("{}") };
    const answer = await fetch(`http://127.0.0.1:${server.port}/webhook`, {
      method: "POST",
      headers,
      body: "{}",
    });
    assert.equal(answer.status, 200);
    assert.equal(existsSync(join(root, String(readdirSync(root)[0]), "inbox.db")), isKept);
  }
});

test("medians are the middle, and ratios are those within a round", () => {
  assert.deepEqual([median([3, 1, 2]), median([4, 1, 3, 2]), median([])], [2, 2.5, Number.NaN]);
  const row = (...rates: number[]): Row => ({
    contestant: ceiling,
    load: { ...bench.load, kind: "kept alive" },
    slices: rates.map((perSecond) => ({ perSecond }) as Slice),
  });
  // The middle of 0.5, 0.1 and 0.3, where the ratio of the medians would be 30 / 100.
  assert.deepEqual(ratioTo(row(100, 300, 50), row(50, 30, 15)), { median: 0.3, least: 0.1, most: 0.5 });
});

test("an attack is shown with what another client saw of it, and what it took", async (t) => {
  const why = obstacle(scenarios[0] as Scenario);
  if (why !== undefined) return t.skip(why);
  const { text, findings } = await attack({ ...bench, seconds: 0.2, part: "one connection, answers read" });
  assert.match(text, /^\| a good client, 100 deliveries a second, under \| p99 × without \|/);
  assert.match(
    text,
    /\n\| pipelining on one connection, answers read \|( [\d.]+ \|){3} 20 of 20 \|( \d+ \|){4} 404 × \d+ \|$/,
  );
  for (const name of ["another client's p99 × without it", "another client's p99 ms", "peak resident MiB"])
    assert.ok(Number(findings.get(`under attack, ${name}`)) > 0, text);
  assert.equal(findings.get("under attack, good deliveries not accepted"), 0);
  await assert.rejects(attack({ ...bench, part: "nothing like it" }), /there is no attack "nothing like it"/);
});

test("what does not hold under an attack is said, each thing by itself", () => {
  const scenario = { ...(scenarios[0] as Scenario), answers: ["401"], quarantined: { source: "a", rows: 3 } };
  const served = { sent: 5, accepted: 5, others: new Map(), p50: 1, p99: 1, longest: 1 };
  const good: Observed = {
    ...{ control: served, attacked: served, answers: new Map([["401", 7]]) },
    ...{ peakBeforeMiB: 100, peakMiB: scenario.maxResidentMiB, logMiB: 64, stallMilliseconds: 1 },
    quarantinedRows: 3,
  };
  assert.deepEqual(faultsOf(scenario, good), []);
  const others = new Map([
    ["503", 1],
    ["timeout", 2],
  ]);
  const broken: [Partial<Observed>, string][] = [
    [
      { attacked: { ...served, accepted: 2, others } },
      "2 of 5 good deliveries got 200, the others 503 × 1, timeout × 2",
    ],
    [{ peakMiB: 251 }, "251 MiB resident; the bound is 250"],
    [{ logMiB: 65 }, "a write-ahead log of 65 MiB; the bound is 64"],
    [
      {
        answers: new Map([
          ["401", 1],
          ["500", 2],
        ]),
      },
      "the attacker was answered 401 × 1, 500 × 2; expected is 401 only",
    ],
    [{ answers: new Map() }, "the attacker was answered none; expected is 401 only"],
    [{ quarantinedRows: 2 }, "2 of 3 refused deliveries of a were kept"],
  ];
  for (const [change, fault] of broken) assert.deepEqual(faultsOf(scenario, { ...good, ...change }), [fault]);
});

test("a target is reached at its floor or at its dare, high or low", () => {
  const verdictOf = (finding: string, found: number) =>
    targetTable(new Map([[finding, found]]), "measured")
      .split("\n")[2]
      ?.split(" | ")
      .at(-1);
  const [ratio, memory] = ["durable, kept alive, × ceiling", "64 uploads of 1 MB at once, peak resident MiB"];
  assert.deepEqual(
    [0.19, 0.2, 0.33].map((found) => verdictOf(ratio, found)),
    ["**no** |", "floor |", "dare |"],
  );
  assert.deepEqual(
    [401, 400, 250].map((found) => verdictOf(memory, found)),
    ["**no** |", "floor |", "dare |"],
  );
});

test("a profile becomes a table of self time without the time that was waited", () => {
  const frame = (functionName: string, url: string) => ({ functionName, url, lineNumber: 6 });
  const nodes = [
    { id: 1, callFrame: frame("(idle)", "") },
    { id: 2, callFrame: frame("verify", "node:crypto") },
    { id: 3, callFrame: frame("", "node:fs") },
  ];
  const table = selfTimeTable("main", {
    nodes,
    samples: [1, 2, 3, 2],
    timeDeltas: [9000, 1000, 1000, 2000],
  });
  assert.deepEqual(table.split("\n").slice(2), [
    "| verify node:crypto:7 | 75.0 % | 3 |",
    "| (anonymous) node:fs:7 | 25.0 % | 1 |",
  ]);
});

test("the chart has a bar for each kind of connection, as long as its ratio", () => {
  const bar = (name: string, ratio: number) => ({
    ...{ name, keeps: "nothing" as const },
    ratios: { "kept alive": ratio, "a connection each": 2 * ratio },
  });
  const svg = drawChart([bar("a & b", 0.25), bar("c", 0.125)]);
  const lengths = [...svg.matchAll(/class="loses b\d" .*? width="([\d.]+)"/g)].map(([, length]) =>
    Number(length),
  );
  assert.deepEqual(lengths, [200, 400, 100, 200]);
  assert.match(svg, />a &amp; b</);
});

test("no server's name is too long for the chart", () => {
  const named = [...Object.values(contestants), ...contestants.peers].filter((one) => "name" in one);
  assert.ok(named.length > 10);
  assert.deepEqual(
    named.filter(({ name }) => name.length > maxNameLength),
    [],
  );
});
