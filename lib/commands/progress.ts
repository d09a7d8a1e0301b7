/** The bar of a command that takes its time: for a person who looks at a terminal, and for nobody else. */

type Terminal = { readonly isTTY?: boolean; write(text: string): unknown };

/**
 * @param stream stderr, for stdout is for what the command has to say
 * @param quietTotal for so few there is no bar: they are over at once
 */
export function openProgress(
  stream: Terminal,
  total: number,
  quietTotal: number,
): { show(done: number): void; clear(): void } {
  if (stream.isTTY !== true || total <= quietTotal) return { show: () => {}, clear: () => {} };
  const width = 30;
  let shown = -1;
  return {
    // A terminal takes longer to draw a line than many a step takes: it is drawn when the number changes.
    show: (done) => {
      const percent = Math.floor((done / total) * 100);
      if (percent === shown) return;
      shown = percent;
      const bar = "█".repeat(Math.floor((done / total) * width)).padEnd(width, "░");
      stream.write(`\r${bar} ${percent} %  ${done} of ${total}`);
    },
    // Erases the line (ECMA-48, EL): the summary takes its place.
    clear: () => stream.write("\r\u001b[K"),
  };
}
