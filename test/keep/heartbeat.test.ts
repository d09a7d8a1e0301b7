/** The hearts of several receivers on one file, with the time passed in. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { inLine } from "../../lib/keep/sqlite/accept.ts";
import { openHeartbeat } from "../../lib/keep/sqlite/heartbeat.ts";
import { longestDelayMilliseconds, openInbox } from "../../lib/keep/sqlite/inbox.ts";
import { openHeld } from "./held.ts";

function openEmpty() {
  const database = openHeld();
  const inbox = openInbox(database);
  const accept = (id: string, orderKey: string | null = null) =>
    inbox.accept({
      ...{
        source: "default",
        sender: "github",
        id,
        isIdSigned: true,
        event: "push",
        form: null,
        headers: "{}",
      },
      ...{ body: Buffer.from("{}"), receivedAt: 1, jobs: [{ handler: "push", orderKey }] },
    });
  const jobs = () =>
    database
      .prepare("SELECT state, owner, next_attempt_at AS at FROM jobs ORDER BY number")
      .all()
      .map((row) => ({ ...row }));
  return { database, inbox, accept, jobs };
}

test("a receiver whose beat stands still over five looks is dead, and its jobs are free", () => {
  const { inbox, accept, jobs } = openEmpty();
  const [dead, looking] = [openHeartbeat("dead"), openHeartbeat("looking")];
  accept("1");
  dead(inbox, 0);
  inbox.claim("dead", ["push"], 10, 10);
  const freed = Array.from({ length: 8 }, (_, second) => {
    inbox.beat("living", second * 1000);
    return looking(inbox, second * 1000);
  });
  assert.deepEqual(freed, [0, 0, 0, 0, 0, 1, 0, 0]);
  assert.deepEqual(jobs(), [{ state: "pending", owner: null, at: 5000 }]);
});

test("beats that were held up for a while, all together, are not taken for the silence of another", () => {
  const { inbox, accept } = openEmpty();
  const [one, two] = [openHeartbeat("one"), openHeartbeat("two")];
  accept("1");
  one(inbox, 0);
  inbox.claim("one", ["push"], 10, 10);
  two(inbox, 0);
  // The file was locked for a minute: neither could beat, and neither has looked.
  for (let second = 60; second < 70; second += 1) {
    assert.equal(two(inbox, second * 1000), 0);
    one(inbox, second * 1000);
  }
});

test("a time that no delay reaches comes down to the longest delay, and what is behind another job stays there", () => {
  const { database, inbox, accept, jobs } = openEmpty();
  for (const [id, key] of [
    ["1", "a"],
    ["2", "a"],
    ["3", null],
  ] as const)
    accept(id, key);
  const now = 1_700_000_000_000;
  const sixHours = now + 6 * 3_600_000;
  database.prepare("UPDATE jobs SET next_attempt_at = ? WHERE number = 1").run(sixHours);
  database.prepare("UPDATE jobs SET next_attempt_at = ? WHERE number = 3").run(now + 5000);
  openHeartbeat("me")(inbox, now);
  assert.deepEqual(
    jobs().map(({ at }) => at),
    [now + longestDelayMilliseconds, inLine, now + 5000],
  );
});
