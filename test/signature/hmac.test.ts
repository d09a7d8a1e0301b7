import assert from "node:assert/strict";
import { createHmac, createSecretKey, randomBytes } from "node:crypto";
import { test } from "node:test";
import { hmacOf, maxOneShotBytes } from "../../lib/signature/hmac.ts";

const bytes = (hex: string) => Buffer.from(hex, "hex");
const times = (byte: string, count: number) => bytes(byte.repeat(count));

/** Key, message, HMAC-SHA-256: RFC 4231 §4.2 to §4.8 (§4.6 is about truncation, and left out). */
const rfc4231: [Buffer, Buffer, string][] = [
  [
    times("0b", 20),
    Buffer.from("Hi There"),
    "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
  ],
  [
    Buffer.from("Jefe"),
    Buffer.from("what do ya want for nothing?"),
    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
  ],
  [times("aa", 20), times("dd", 50), "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"],
  [
    bytes("0102030405060708090a0b0c0d0e0f10111213141516171819"),
    times("cd", 50),
    "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
  ],
  [
    times("aa", 131),
    Buffer.from("Test Using Larger Than Block-Size Key - Hash Key First"),
    "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
  ],
  [
    times("aa", 131),
    Buffer.from(
      "This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed before being used by the HMAC algorithm.",
    ),
    "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
  ],
];

for (const [index, [key, message, expected]] of rfc4231.entries()) {
  test(`hmacOf() gives RFC 4231's answer ${index + 1}, in one piece and in many`, () => {
    const secret = createSecretKey(key);
    assert.equal(hmacOf("sha256", secret, [message]).toString("hex"), expected);
    const pieces = [...message].map((byte) => Buffer.from([byte]));
    assert.equal(hmacOf("sha256", secret, pieces).toString("hex"), expected);
  });
}

test("hmacOf() gives RFC 2202's answers for SHA-1", () => {
  // §3, test cases 1 and 6
  assert.equal(
    hmacOf("sha1", createSecretKey(times("0b", 20)), [Buffer.from("Hi There")]).toString("hex"),
    "b617318655057264e28bc0b6fb378c8ef146be00",
  );
  assert.equal(
    hmacOf("sha1", createSecretKey(times("aa", 80)), [
      Buffer.from("Test Using Larger Than Block-Size Key - Hash Key First"),
    ]).toString("hex"),
    "aa4ae5e15272d00e95705637ce8a3b55ed402112",
  );
});

test("hmacOf() agrees with createHmac for keys around a block and messages around its limit", () => {
  for (const digest of ["sha256", "sha1"] as const) {
    for (const keyBytes of [1, 63, 64, 65, 200]) {
      const key = createSecretKey(randomBytes(keyBytes));
      for (const length of [0, 1, 55, 56, 63, 64, 65, 8000, maxOneShotBytes, maxOneShotBytes + 1]) {
        const message = randomBytes(length);
        const expected = createHmac(digest, key).update(message).digest("hex");
        assert.equal(hmacOf(digest, key, [message]).toString("hex"), expected, `${keyBytes}, ${length}`);
      }
    }
  }
});

test("hmacOf() keeps the keys of two secrets apart, whatever was hashed before", () => {
  const [one, other] = [createSecretKey(randomBytes(32)), createSecretKey(randomBytes(32))];
  const message = [Buffer.from("message")];
  const first = hmacOf("sha256", one, message);
  const second = hmacOf("sha256", other, message);
  assert.notEqual(first.toString("hex"), second.toString("hex"));
  assert.equal(hmacOf("sha256", one, message).toString("hex"), first.toString("hex"));
});
