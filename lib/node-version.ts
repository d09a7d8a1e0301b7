/**
 * The first module to run: an older Node is told so in one line, instead of failing somewhere
 * inside with a stack trace. It imports nothing, so it loads on any Node that knows modules.
 */
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);

if (major < 22 || (major === 22 && minor < 13)) {
  process.stderr.write(
    `webhook-receiver needs Node 22.13 or newer, and this is ${process.version}. ` +
      `Run "npm ci && npm start" in its folder: that brings a Node of its own.\n`,
  );
  process.exit(1);
}
