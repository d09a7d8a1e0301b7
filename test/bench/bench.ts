/**
 * How fast is the receiver, beside a server that does nothing and beside its peers?
 *
 *     npm run bench -- --quick
 *
 * README.md beside this file says what is measured, how, and how to read it.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { findGenerator } from "./load.ts";
import { compareAll, compareStored, compareStubbed } from "./measurements/compare.ts";
import type { Bench } from "./rounds.ts";
import type { Report } from "./tables.ts";

/** By the name that `--only` takes. */
const measurements = new Map<string, (bench: Bench) => Promise<Report>>([
  ["compare", compareAll],
  ["durable", compareStored],
  ["stubbed", compareStubbed],
]);

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string" },
    rounds: { type: "string" },
    seconds: { type: "string" },
  },
});
const pace = values.quick
  ? { rounds: 3, seconds: 1, warmSeconds: 1, budgetSeconds: 50 }
  : { rounds: 5, seconds: 3, warmSeconds: 1, budgetSeconds: Number.POSITIVE_INFINITY };

const folder = mkdtempSync(join(tmpdir(), "bench-"));
try {
  const bench: Bench = {
    ...pace,
    ...(values.rounds === undefined ? {} : { rounds: Number(values.rounds) }),
    ...(values.seconds === undefined ? {} : { seconds: Number(values.seconds) }),
    generator: await findGenerator(folder),
    folder,
    report: (text) => process.stderr.write(`${text}\n`),
  };
  const measurement = measurements.get(values.only ?? "compare");
  if (measurement === undefined)
    throw new TypeError(`--only takes one of ${[...measurements.keys()].join(", ")}`);
  const { text } = await measurement(bench);
  console.log(`\n${text}`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
