/**
 * The chart of a comparison, as SVG: a bar for each server and kind of connection, as a part of the ceiling. Its
 * colours follow the reader's: light or dark, also where it is shown as an image in a page.
 */
import { type Kind, kinds } from "./load.ts";

export type Bar = {
  readonly name: string;
  readonly keeps: "nothing" | "every delivery";
  /** × the ceiling. */
  readonly ratios: Readonly<Record<Kind, number>>;
};

const width = 820;
const left = 360;
/** Longer names would be cut off. */
export const maxNameLength = 46;
const barHeight = 11;
const rowHeight = 38;
const top = 74;
const fullBar = width - left - 60;

const style = `
  .ground { fill: #ffffff } text { fill: #1f2328; font: 13px system-ui, sans-serif }
  .quiet { fill: #59636e; font-size: 11px } .title { font-size: 15px; font-weight: 600 } .line { stroke: #d1d9e0 }
  .keeps.b0 { fill: #0969da } .keeps.b1 { fill: #7cb8f5 } .loses.b0 { fill: #6e7781 } .loses.b1 { fill: #b5bcc4 }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117 } text { fill: #f0f6fc } .quiet { fill: #9198a1 } .line { stroke: #3d444d }
    .keeps.b0 { fill: #4493f8 } .keeps.b1 { fill: #1f5a9e } .loses.b0 { fill: #9198a1 } .loses.b1 { fill: #5a626b }
  }`;

export function drawChart(bars: readonly Bar[]): string {
  const height = top + bars.length * rowHeight + 34;
  const most = Math.max(...bars.flatMap(({ ratios }) => Object.values(ratios)));
  const scale = (ratio: number) => (ratio / most) * fullBar;
  const legend = kinds.map((kind, index) => {
    const x = left + index * 130;
    return `<rect class="keeps b${index}" x="${x}" y="44" width="10" height="10"/><text class="quiet" x="${x + 15}" y="53">${kind}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">
<title>Signed deliveries accepted in a second, as a part of what a bare node:http server answers</title>
<style>${style}
</style>
<rect class="ground" width="${width}" height="${height}" rx="6"/>
<text class="title" x="16" y="28">Signed deliveries accepted in a second, × a bare node:http server</text>
${legend.join("\n")}
${bars.map((bar, index) => drawRow(bar, top + index * rowHeight, scale)).join("\n")}
<line class="line" x1="${left}" x2="${left}" y1="${top - 8}" y2="${height - 30}"/>
<text class="quiet" x="16" y="${height - 12}">Blue: on the disk before the answer. Grey: verified and kept nowhere.</text>
</svg>
`;
}

function drawRow({ name, keeps, ratios }: Bar, y: number, scale: (ratio: number) => number): string {
  const colour = keeps === "nothing" ? "loses" : "keeps";
  const drawn = kinds.map((kind, index) => {
    const barTop = y + index * (barHeight + 2);
    const length = scale(ratios[kind]);
    return `<rect class="${colour} b${index}" x="${left}" y="${barTop}" width="${length.toFixed(1)}" height="${barHeight}"/><text class="quiet" x="${(left + length + 6).toFixed(1)}" y="${barTop + barHeight - 2}">${ratios[kind].toFixed(2)}</text>`;
  });
  return [`<text x="${left - 12}" y="${y + 16}" text-anchor="end">${escaped(name)}</text>`, ...drawn].join(
    "\n",
  );
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
