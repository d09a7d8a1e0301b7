/** A sender described in a variable: the worked example of lib/senders/README.md, and every way to get it wrong. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { readSources } from "../../lib/settings/sources.ts";
import { openTestReceiver } from "../receiver.ts";

const secret = "a text that is long enough";
const simple = { signature: "X-Acme-Signature", prefix: "sha256=", encoding: "hex", signed: "{body}" };
const full = {
  signature: "X-Acme-Signature",
  separator: ",",
  prefix: "v1=",
  encoding: "base64",
  algorithm: "hmac-sha1",
  signed: "{header:X-Acme-Id}:{param:t}.{body}",
  time: { at: "param:t", unit: "seconds", toleranceSeconds: 60 },
  event: ["header:X-Acme-Event", "field:action"],
  id: ["header:X-Acme-Id"],
};

const environmentWith = (row: unknown) => ({
  WEBHOOK_SENDER_ACME: typeof row === "string" ? row : JSON.stringify(row),
  WEBHOOK_SECRET_ACME: secret,
});

/** openssl, not our own code, computes the signatures here. */
function openssl(text: string, digest: string, encoding: BufferEncoding): string {
  return execFileSync("openssl", ["dgst", `-${digest}`, "-hmac", secret, "-binary"], {
    input: text,
  }).toString(encoding);
}

test("a sender with a plain signature header is accepted at its own path", async () => {
  const receiver = await openTestReceiver({ environment: environmentWith(simple) });
  const url = receiver.url.replace("/webhook", "/webhook/acme");
  const post = async (signature: string) =>
    (await fetch(url, { method: "POST", body: "{}", headers: { "X-Acme-Signature": signature } })).status;
  assert.equal(await post(`sha256=${openssl("{}", "sha256", "hex")}`), 200);
  assert.equal(await post(`sha256=${openssl("{} ", "sha256", "hex")}`), 401);
  assert.equal(await post(openssl("{}", "sha256", "hex")), 401);
  await receiver.stop();
});

test("a sender with a list, a signed time and id, SHA-1 and base64 is accepted, and its window is kept", async () => {
  const receiver = await openTestReceiver({ environment: environmentWith(full) });
  const url = receiver.url.replace("/webhook", "/webhook/acme");
  const body = '{"action":"closed"}';
  const post = async (time: number, id = "d-1") => {
    const signature = `t=${time},v1=${openssl(`d-1:${time}.${body}`, "sha1", "base64")},v2=other`;
    const headers = { "X-Acme-Signature": signature, "X-Acme-Id": id, "X-Acme-Event": "door" };
    return fetch(url, { method: "POST", body, headers });
  };
  const now = Math.floor(Date.now() / 1000);
  const good = await post(now);
  assert.deepEqual(await good.json(), { status: "accepted", id: "d-1", event: "door.closed" });
  assert.equal((await post(now, "d-2")).status, 401);
  assert.equal((await post(now - 120)).status, 401);
  assert.equal(receiver.lines.at(-1)?.reason, "timestamp-too-old");
  assert.equal((await post(now + 120)).status, 401);
  assert.equal(receiver.lines.at(-1)?.reason, "timestamp-in-future");
  await receiver.stop();
});

test("several sources can share one sender of one's own", () => {
  const { sources } = readSources({ ...environmentWith(simple), WEBHOOK_SECRET_ACME_EAST: secret }, true);
  assert.deepEqual([...sources.keys()], ["acme", "acme-east"]);
});

const wrong: [row: unknown, message: RegExp][] = [
  ["", /expected a JSON object/],
  ["{", /expected a JSON object/],
  ["[]", /expected a JSON object/],
  ["null", /expected a JSON object/],
  [{}, /"signature" is missing: the name of a header/],
  [{ signature: "x" }, /"encoding" is missing: "hex" or "base64"/],
  [{ signature: "x", encoding: "hex" }, /"signed" is missing/],
  [{ ...simple, signature: "a b" }, /"signature" should be the name of a header/],
  [{ ...simple, signature: "__proto__" }, /"signature" should be the name of a header/],
  [{ ...simple, signature: "field:a" }, /"signature" should be the name of a header/],
  [{ ...simple, encoding: "text" }, /"encoding" should be "hex" or "base64"/],
  [{ ...simple, algorithm: "token" }, /"algorithm" should be "hmac-sha256" or "hmac-sha1"/],
  [{ ...simple, algorithm: "md5" }, /"algorithm" should be/],
  [{ ...simple, signed: "{header:x}" }, /"signed" should be a template with the body in it/],
  [{ ...simple, signed: "{nothing}{body}" }, /there is no part "nothing"/],
  [{ ...simple, signed: "{header:}{body}" }, /there is no part "header:"/],
  [{ ...simple, id: ["text:acme"] }, /"id" is the same for every delivery/],
  [{ ...simple, id: ["header:x-id | text:none"] }, /"id" is the same for every delivery/],
  [{ ...simple, event: "push" }, /"event" should be a list of parts/],
  [{ ...simple, event: ["body"] }, /"body" can only stand in a signed text/],
  [{ ...simple, id: ["nowhere"] }, /there is no part "nowhere"/],
  [{ ...simple, time: { at: "param:t", unit: "minutes", toleranceSeconds: 5 } }, /"time" should be such as/],
  [{ ...simple, time: { at: "param:t", unit: "seconds", toleranceSeconds: 0 } }, /"time" should be such as/],
  [{ ...simple, time: { at: "param:t", unit: "seconds" } }, /"time" should be such as/],
  [{ ...simple, separator: "|" }, /"separator" should be/],
  [{ ...simple, prefix: 5 }, /"prefix" should be a text of 1 to 200 characters/],
  [{ ...simple, prefix: "x".repeat(201) }, /"prefix" should be/],
  [{ ...simple, key: "ed25519-hex" }, /"key" should be "text" or "whsec"/],
  [{ ...simple, constructor: "x" }, /there is no "constructor"/],
  [{ ...simple, secret: "x" }, /there is no "secret"; expected signature, algorithm/],
];
for (const [row, message] of wrong) {
  test(`the description ${JSON.stringify(row).slice(0, 70)} is refused by name`, () => {
    assert.throws(
      () => readSources(environmentWith(row), true),
      (error: Error & { exitCode: number }) => {
        assert.match(error.message, /^WEBHOOK_SENDER_ACME: /);
        assert.match(error.message, message);
        assert.equal(error.exitCode, 2);
        return true;
      },
    );
  });
}

test("the name of a sender that is there already is refused", () => {
  for (const name of ["GITHUB", "DEFAULT"]) {
    const environment = { [`WEBHOOK_SENDER_${name}`]: JSON.stringify(simple), WEBHOOK_SECRET: secret };
    assert.throws(() => readSources(environment, true), {
      message: /there is a sender of this name already/,
    });
  }
});
