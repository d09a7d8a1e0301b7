/**
 * From slices to what is read: medians with the least and the most of all rounds, ratios within a round, and
 * tables in Markdown, which a terminal shows as well.
 */
import type { Bar } from "./chart.ts";
import type { Row, Slice } from "./rounds.ts";

/** Over all rounds. */
export type Spread = { readonly median: number; readonly least: number; readonly most: number };

/** What a measurement has found: a text for people, and the numbers that have a target, by its name. */
export type Report = {
  readonly text: string;
  readonly findings: ReadonlyMap<string, number>;
  readonly bars?: readonly Bar[];
};

/** The middle one; of an even number, the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(middle)] ?? Number.NaN) + (sorted[Math.ceil(middle)] ?? Number.NaN)) / 2;
}

export function spread(values: readonly number[]): Spread {
  return { median: median(values), least: Math.min(...values), most: Math.max(...values) };
}

/** Answers in a second as a part of another row's, round by round. */
export function ratioTo(base: Row, row: Row): Spread {
  return spread(
    row.slices.map(({ perSecond }, round) => perSecond / (base.slices[round]?.perSecond ?? Number.NaN)),
  );
}

export function medianOf(row: Row, name: keyof Slice): number {
  return median(row.slices.map((slice) => slice[name]));
}

/** `0.21 (0.19–0.22)` */
export function shownSpread({ median, least, most }: Spread, digits = 2): string {
  return `${shown(median, digits)} (${shown(least, digits)}–${shown(most, digits)})`;
}

/** A dash for what could not be measured. */
export function shown(value: number, digits: number): string {
  return Number.isFinite(value) ? value.toFixed(digits) : "–";
}

/** The first column is text, the others are numbers. */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), `|---|${"--:|".repeat(head.length - 1)}`, ...rows.map(line)].join("\n");
}

/**
 * The table of one load.
 * @param base the row that the first column of numbers is a ratio to
 */
export function loadTable(rows: readonly Row[], base: Row): string {
  const head = [
    `${base.load.kind}, rounds: ${base.slices.length}`,
    `× ${base.contestant.name} (least–most)`,
    "requests/s",
    "p50 ms",
    "p99 ms",
    "longest ms",
    "CPU µs a request",
    "resident MiB",
    "at most",
  ];
  return markdownTable(
    head,
    rows.map((row) => {
      const of = (name: keyof Slice, digits = 0) => shown(medianOf(row, name), digits);
      return [
        `${row.contestant.name}${failuresOf(row)}`,
        shownSpread(ratioTo(base, row)),
        of("perSecond"),
        of("p50", 1),
        of("p99", 1),
        of("longest", 1),
        of("cpuMicroseconds"),
        of("residentMiB"),
        of("peakMiB"),
      ];
    }),
  );
}

export function failuresOf(row: Row): string {
  const failures = row.slices.reduce((sum, slice) => sum + slice.failures, 0);
  return failures === 0 ? "" : ` (${failures} failed)`;
}
