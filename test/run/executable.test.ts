import assert from "node:assert/strict";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { findExecutable, startFault } from "../../lib/run/executable.ts";
import { openFolder } from "./command.ts";

test("a command with a slash is a path, relative to the folder", () => {
  assert.equal(findExecutable("./deploy.sh", "/srv/app", "/bin"), "/srv/app/deploy.sh");
  assert.equal(findExecutable("bin/deploy", "/srv/app", "/bin"), "/srv/app/bin/deploy");
  assert.equal(findExecutable("/bin/sh", "/srv/app", ""), "/bin/sh");
});

test("a command without a slash is looked for in PATH, past what cannot be run", (t) => {
  const folder = openFolder(t);
  for (const name of ["none", "folder", "plain", "good", "later"]) mkdirSync(join(folder, name));
  mkdirSync(join(folder, "folder/deploy"));
  writeFileSync(join(folder, "plain/deploy"), "");
  for (const name of ["good", "later"]) writeFileSync(join(folder, name, "deploy"), "", { mode: 0o755 });
  const path = ["nowhere", "none", "folder", "plain", "good", "later"].join(":");
  assert.equal(findExecutable("deploy", folder, path), join(folder, "good/deploy"));
  assert.equal(findExecutable("deploy", folder, "none:plain"), undefined);
});

/** @param mode the permissions of the file */
const scripts: [name: string, text: string | Buffer, mode: number, fault: RegExp | undefined][] = [
  ["a script", "#!/bin/sh\nexit\n", 0o755, undefined],
  ["a script with an argument for what runs it", "#! /bin/sh -e\nexit\n", 0o755, undefined],
  ["a first line that is the only one", "#!/bin/sh", 0o755, undefined],
  ["a program", Buffer.from("\x7fELF\x02\x01\x01\0\0"), 0o755, undefined],
  [
    "a script without the permission",
    "#!/bin/sh\n",
    0o644,
    /command is not executable \(chmod \+x \/.*command\)$/,
  ],
  [
    "a script that does not say what runs it",
    "echo\n",
    0o755,
    /does not say what runs it: begin it with a line such as #!\/bin\/sh$/,
  ],
  ["an empty file", "", 0o755, /does not say what runs it/],
  ["a first line that names nothing", "#!\n/bin/sh\n", 0o755, /does not say what runs it/],
  [
    "a script that is run by what is not there",
    "#!/nowhere/bash\n",
    0o755,
    /is to be run by \/nowhere\/bash, which is not there$/,
  ],
  ["a script that is run by a folder", "#!/\n", 0o755, /is to be run by \/, which is not there$/],
  [
    "a script written on Windows",
    "#!/bin/sh\r\nexit\r\n",
    0o755,
    /has the line ends of Windows \(\\r\\n\), and needs \\n$/,
  ],
  ["a script with such an end further down only", "#!/bin/sh\nexit\r\n", 0o755, undefined],
];
for (const [name, text, mode, fault] of scripts) {
  test(`${name} ${fault === undefined ? "can be started" : "is refused, with the reason"}`, (t) => {
    const folder = openFolder(t);
    const file = join(folder, "command");
    writeFileSync(file, text);
    chmodSync(file, mode);
    const seen = startFault(file, folder);
    if (fault === undefined) assert.equal(seen, undefined);
    else assert.match(String(seen), fault);
  });
}

test("what is not there, or no file, is refused", (t) => {
  const folder = openFolder(t);
  assert.equal(startFault("/nowhere/deploy.sh", folder), "there is no file /nowhere/deploy.sh");
  assert.equal(startFault(folder, folder), `${folder} is not a file`);
  assert.equal(startFault("/bin/sh", "/nowhere"), "there is no folder /nowhere");
  assert.equal(startFault("/bin/sh", "/bin/sh"), "there is no folder /bin/sh");
  assert.equal(
    startFault("/srv/deploy.sh --now", folder),
    "there is no file /srv/deploy.sh --now (arguments go into args)",
  );
});
