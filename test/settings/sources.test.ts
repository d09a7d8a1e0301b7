/** What the variables of the sources may hold. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { readSources } from "../../lib/settings/sources.ts";
import { keyExpectations } from "../../lib/signature/key.ts";

const secret = "a text that is long enough";

function refused(environment: Record<string, string>, message: RegExp): void {
  assert.throws(
    () => readSources(environment, true),
    (error: Error & { exitCode: number }) => {
      assert.match(error.message, message);
      for (const value of Object.values(environment)) {
        if (value.length > 6)
          assert.equal(error.message.includes(value), false, "the value is in the message");
      }
      assert.equal(error.exitCode, 2);
      return true;
    },
  );
}

const keys: [variable: string, good: string[], bad: string[], expected: string][] = [
  [
    "WEBHOOK_SECRET_STANDARD_WEBHOOKS",
    ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    ["whsec_", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", "whsec_not base64 at all", "whsec_-_-_-_-_"],
    keyExpectations.whsec,
  ],
  [
    "WEBHOOK_SECRET_DISCORD",
    ["d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"],
    [
      "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f70751",
      "zz5a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    ],
    keyExpectations["ed25519-hex"],
  ],
  [
    "WEBHOOK_SECRET_STANDARD_WEBHOOKS_V1A",
    ["whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOiro="],
    [
      "1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOiro=",
      "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbO",
      "whsk_6Xb/dCcH",
    ],
    keyExpectations["ed25519-whpk"],
  ],
  [
    "WEBHOOK_SECRET_SENDGRID",
    [
      "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEQiVI+I+3gv+17KN0RFLHKh5Vj71vc75eSOkyMsxFxbFsTNEMTLjVuKFxOelIgsiZJXKZNCX0FBmrfpCkKklCcg==",
    ],
    [
      "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE",
      "-----BEGIN PUBLIC KEY-----",
      "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    ],
    keyExpectations["spki-base64"],
  ],
];
for (const [variable, good, bad, expected] of keys) {
  test(`${variable} takes ${expected}`, () => {
    for (const value of good) assert.equal(readSources({ [variable]: value }, true).sources.size, 1);
  });
  for (const value of bad) {
    test(`${variable} refuses ${value.slice(0, 40)}`, () => {
      refused({ [variable]: value }, new RegExp(`^${variable}: expected ${expected.slice(0, 20)}`));
    });
  }
}

test("senders that sign the URL need WEBHOOK_PUBLIC_URL", () => {
  for (const name of ["TWILIO", "SQUARE", "HUBSPOT"]) {
    refused({ [`WEBHOOK_SECRET_${name}`]: secret }, /signs the URL; set WEBHOOK_PUBLIC_URL/);
    const environment = {
      [`WEBHOOK_SECRET_${name}`]: secret,
      WEBHOOK_PUBLIC_URL: "https://hooks.example.com/in/",
    };
    const [source] = readSources(environment, true).sources.values();
    assert.equal(source?.publicUrl, "https://hooks.example.com/in");
  }
});

for (const value of [
  "hooks.example.com",
  "ftp://x",
  "https://x/?a",
  "https://x/#a",
  "https://u:p@x",
  "https://x/webhook",
  "https://x/webhook/twilio",
  "",
]) {
  test(`WEBHOOK_PUBLIC_URL=${value} is refused`, () => {
    assert.throws(() => readSources({ WEBHOOK_SECRET: secret, WEBHOOK_PUBLIC_URL: value }, true), {
      message: /^WEBHOOK_PUBLIC_URL: expected a URL/,
    });
  });
}

test("WEBHOOK_TOLERANCE_<NAME> takes the place of the sender's window", () => {
  const environment = { WEBHOOK_SECRET_PADDLE: secret, WEBHOOK_TOLERANCE_PADDLE: "30" };
  assert.equal(readSources(environment, true).sources.get("paddle")?.toleranceSeconds, 30);
  for (const value of ["1", "604800"]) {
    assert.ok(readSources({ ...environment, WEBHOOK_TOLERANCE_PADDLE: value }, true));
  }
  for (const value of ["0", "604801", "-1", "5s", "", "1.5"]) {
    refused(
      { ...environment, WEBHOOK_TOLERANCE_PADDLE: value },
      /^WEBHOOK_TOLERANCE_PADDLE: expected a number/,
    );
  }
});

test("a tolerance or a verify token without a source it belongs to is refused", () => {
  refused(
    { WEBHOOK_SECRET: secret, WEBHOOK_TOLERANCE_PADLE: "30" },
    /^WEBHOOK_TOLERANCE_PADLE: there is no source/,
  );
  refused({ WEBHOOK_SECRET_GITHUB: secret, WEBHOOK_TOLERANCE_GITHUB: "30" }, /that signs a time/);
  refused({ WEBHOOK_SECRET: secret, WEBHOOK_VERIFY_TOKEN_META: "some token" }, /that asks for such a token/);
  refused({ WEBHOOK_SECRET_META: secret, WEBHOOK_VERIFY_TOKEN_META: "" }, /or it is empty/);
});
