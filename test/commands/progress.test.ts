/** The progress bar: what it draws, and for whom it does not. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openProgress } from "../../lib/commands/progress.ts";

function openTerminal(isTTY?: boolean) {
  let text = "";
  const write = (more: string): void => {
    text += more;
  };
  return { ...(isTTY === undefined ? {} : { isTTY }), write, text: () => text };
}

test("the progress bar is for a terminal, and for more than a few", () => {
  for (const [isTTY, total] of [
    [false, 101],
    [undefined, 101],
    [true, 100],
  ] as const) {
    const terminal = openTerminal(isTTY);
    const progress = openProgress(terminal, total, 100);
    progress.show(100);
    progress.clear();
    assert.equal(terminal.text(), "");
  }
});

test("the progress bar grows on its line, and leaves nothing behind", () => {
  const terminal = openTerminal(true);
  const progress = openProgress(terminal, 400, 100);
  progress.show(100);
  progress.show(400);
  progress.clear();
  assert.equal(
    terminal.text(),
    `\r${"█".repeat(7)}${"░".repeat(23)} 25 %  100 of 400\r${"█".repeat(30)} 100 %  400 of 400\r\u001b[K`,
  );
});

test("the progress bar is drawn once for each percent", () => {
  const terminal = openTerminal(true);
  const progress = openProgress(terminal, 100_000, 1);
  for (let done = 1; done <= 100_000; done++) progress.show(done);
  assert.equal(terminal.text().split("\r").length - 1, 101);
});
