/**
 * Is this Node new enough? An older one says so in one line, instead of failing somewhere inside with a stack trace.
 *
 * It is JavaScript, unlike everything else here, and imports nothing, so that it loads on any Node that knows modules:
 * `npm start` runs it before the receiver, which a Node that does not strip types could not even read. It is the first
 * module of the receiver too, for those who start that without npm.
 */
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
// node:sqlite without a flag came with 22.13; Node strips types by itself from 22.18 and 23.6 on.
const isTooOld = major < 22 || (major === 22 && minor < 13);
const isBeforeStart = process.argv[1] === import.meta.filename;

if (isTooOld || (isBeforeStart && !process.features.typescript)) {
  process.stderr.write(
    "webhook-receiver needs a Node that runs TypeScript, 22.18, 23.6 or newer, and this is " +
      `${process.version}. Run "npm ci --include=dev && npm start" in its folder: that brings a Node of its own.\n`,
  );
  process.exit(1);
}
