/** Known answers from elsewhere, an independent signer (openssl), and every small way to be wrong. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { sourceAt } from "../../lib/receive/route.ts";
import { readSources } from "../../lib/settings/sources.ts";
import { readClaim } from "../../lib/signature/claim.ts";
import { hmacsInSlices } from "../../lib/signature/hmac-slices.ts";
import type { Source } from "../../lib/signature/source.ts";
import { verify } from "../../lib/signature/verify.ts";

type Vector = { name: string; secret: string; headers: Record<string, string>; body: string };

const suites = [
  { sender: "github", carrier: "x-hub-signature-256" },
  { sender: "decnet", carrier: "x-decnet-signature" },
  { sender: "messaging", carrier: "authorization" },
].map((suite) => ({ ...suite, vectors: readVectors(suite.sender) }));

function readVectors(sender: string): Vector[] {
  return JSON.parse(readFileSync(new URL(`../vectors/${sender}.json`, import.meta.url), "utf8")) as Vector[];
}

function sourceWith(environment: Record<string, string>, path = "/webhook"): Source {
  return sourceAt(readSources(environment, true).sources, path);
}

/** The whole way: claim, body, verdict. Headers with an array are sent once for each value. */
function check(source: Source, headers: Record<string, string | string[]>, body: Buffer) {
  const rawHeaders = Object.entries(headers).flatMap(([name, values]) =>
    [values].flat().flatMap((value) => [name, value]),
  );
  const joined = Object.fromEntries(
    Object.entries(headers).map(([name, values]) => [name, [values].flat().join(", ")]),
  );
  const claim = readClaim(source, { headers: joined, rawHeaders, method: "POST", target: "/webhook" });
  return verify(claim, body, new Date());
}

for (const { sender, carrier, vectors } of suites) {
  for (const vector of vectors) {
    const source = sourceWith({ WEBHOOK_SECRET: vector.secret });
    const body = Buffer.from(vector.body);
    const good = vector.headers[carrier] ?? "";
    const withSignature = (value: string | string[]) => ({ ...vector.headers, [carrier]: value });
    const hex = good.slice(-64);
    const flipped = hex.slice(0, -1) + (hex.endsWith("0") ? "1" : "0");
    const prefix = good.slice(0, -64);

    test(`verify() accepts the known answer ${sender}/${vector.name} on the default path and on its own`, () => {
      const own = sourceWith(
        { [`WEBHOOK_SECRET_${sender.toUpperCase()}`]: vector.secret },
        `/webhook/${sender}`,
      );
      for (const accepting of [source, own]) {
        const delivery = check(accepting, vector.headers, body);
        assert.deepEqual(delivery.body, body);
        assert.equal(delivery.sender.name, sender);
        assert.equal(delivery.secret.age, "current");
      }
    });

    test(`openssl computes the same signature for ${sender}/${vector.name}`, () => {
      const args = ["dgst", "-sha256", "-hmac", vector.secret, "-hex"];
      const printed = execFileSync("openssl", args, { input: body }).toString().trim();
      assert.equal(printed.replace(/^.* /, ""), hex);
    });

    const refused: [string, string, () => unknown][] = [
      [
        "another secret",
        "signature-mismatch",
        () => check(sourceWith({ WEBHOOK_SECRET: `${vector.secret}x` }), vector.headers, body),
      ],
      [
        "a flipped byte in the body",
        "signature-mismatch",
        () => check(source, vector.headers, flipFirstBit(body)),
      ],
      [
        "a body cut by one byte",
        "signature-mismatch",
        () => check(source, vector.headers, body.subarray(0, -1)),
      ],
      [
        "a body longer by a line end",
        "signature-mismatch",
        () => check(source, vector.headers, Buffer.concat([body, Buffer.from("\n")])),
      ],
      ["a flipped digit", "signature-mismatch", () => check(source, withSignature(prefix + flipped), body)],
      ["63 digits", "signature-malformed", () => check(source, withSignature(good.slice(0, -1)), body)],
      ["65 digits", "signature-malformed", () => check(source, withSignature(`${good}0`), body)],
      [
        "a digit that is none",
        "signature-malformed",
        () => check(source, withSignature(`${good.slice(0, -1)}g`), body),
      ],
      ["an empty signature", "signature-malformed", () => check(source, withSignature(prefix), body)],
      [
        "base64 in place of hex",
        "signature-malformed",
        () => check(source, withSignature(prefix + Buffer.from(hex, "hex").toString("base64")), body),
      ],
      [
        "64 characters that are more bytes",
        "signature-malformed",
        () => check(source, withSignature(`${prefix}${"é".repeat(64)}`), body),
      ],
      [
        "a space before the digits' end",
        "signature-malformed",
        () => check(source, withSignature(`${good} `), body),
      ],
      [
        "two joined by a comma",
        "signature-malformed",
        () => check(source, withSignature(`${good}, ${good}`), body),
      ],
      ["a doubled header", "signature-ambiguous", () => check(source, withSignature([good, good]), body)],
    ];
    for (const [what, code, attempt] of refused) {
      test(`${sender}/${vector.name} with ${what} is refused as ${code}`, () => {
        assert.throws(attempt, { code });
      });
    }

    test(`${sender}/${vector.name} without its header is refused as signature-missing`, () => {
      const { [carrier]: _, ...rest } = vector.headers;
      assert.throws(() => check(source, rest, body), { code: "signature-missing" });
    });

    test(`${sender}/${vector.name} in capital digits is accepted`, () => {
      assert.equal(check(source, withSignature(prefix + hex.toUpperCase()), body).sender.name, sender);
    });
  }
}

function flipFirstBit(body: Buffer): Buffer {
  const copy = Buffer.from(body);
  copy[0] = (copy[0] ?? 0) ^ 1;
  return copy;
}

const [github, decnet, messaging] = suites.map((suite) => suite.vectors[0]);
assert(github !== undefined && decnet !== undefined && messaging !== undefined);

test("an empty value is a malformed signature, not a missing one", () => {
  assert.throws(
    () => check(sourceWith({ WEBHOOK_SECRET: "s" }), { "x-hub-signature-256": "" }, Buffer.from("{}")),
    {
      code: "signature-malformed",
    },
  );
});

test("GitHub's legacy SHA-1 header alone counts as no signature", () => {
  const headers = { "x-hub-signature": `sha1=${"0".repeat(40)}` };
  assert.throws(() => check(sourceWith({ WEBHOOK_SECRET: "s" }), headers, Buffer.from("{}")), {
    code: "signature-missing",
  });
});

test("two kinds of signature in one request are refused, however good each is", () => {
  const headers = {
    ...github.headers,
    authorization: `Bearer ${github.headers["x-hub-signature-256"]?.slice(7)}`,
  };
  assert.throws(
    () => check(sourceWith({ WEBHOOK_SECRET: github.secret }), headers, Buffer.from(github.body)),
    {
      code: "signature-ambiguous",
    },
  );
});

test("an Authorization of another scheme belongs to somebody else and is passed over", () => {
  const headers = { ...github.headers, authorization: "Basic dXNlcjpwYXNz" };
  const delivery = check(sourceWith({ WEBHOOK_SECRET: github.secret }), headers, Buffer.from(github.body));
  assert.equal(delivery.sender.name, "github");
});

for (const scheme of ["bearer ", "BEARER ", "Bearer   "]) {
  test(`the scheme word may be written ${JSON.stringify(scheme)} (RFC 9110 §11.1)`, () => {
    const authorization = `${messaging.headers.authorization}`.replace("Bearer ", scheme);
    const source = sourceWith({ WEBHOOK_SECRET: messaging.secret });
    assert.equal(check(source, { authorization }, Buffer.from(messaging.body)).sender.name, "messaging");
  });
}

for (const authorization of ["Bearer", "Bearerx", `Bearer${"0".repeat(64)}`]) {
  test(`Authorization: ${authorization.slice(0, 8)}… holds no signature`, () => {
    const expected = authorization === "Bearer" ? "signature-malformed" : "signature-missing";
    const source = sourceWith({ WEBHOOK_SECRET: messaging.secret });
    assert.throws(() => check(source, { authorization }, Buffer.from(messaging.body)), { code: expected });
  });
}

test("the path decides: a source of one sender does not look at the headers of another", () => {
  const source = sourceWith({ WEBHOOK_SECRET_DECNET: github.secret }, "/webhook/decnet");
  assert.throws(() => check(source, github.headers, Buffer.from(github.body)), { code: "signature-missing" });
});

test("during a rotation both secrets verify, and the delivery says which one did", () => {
  const source = sourceWith({ WEBHOOK_SECRET: "the new one", WEBHOOK_SECRET_PREVIOUS: decnet.secret });
  assert.equal(check(source, decnet.headers, Buffer.from(decnet.body)).secret.age, "previous");
  const swapped = sourceWith({ WEBHOOK_SECRET: decnet.secret, WEBHOOK_SECRET_PREVIOUS: "the old one" });
  assert.equal(check(swapped, decnet.headers, Buffer.from(decnet.body)).secret.age, "current");
  const neither = sourceWith({ WEBHOOK_SECRET: "the new one", WEBHOOK_SECRET_PREVIOUS: "the old one" });
  assert.throws(() => check(neither, decnet.headers, Buffer.from(decnet.body)), {
    code: "signature-mismatch",
  });
});

test("no refusal holds the secret or the signature that was expected", () => {
  const digest = `${github.headers["x-hub-signature-256"]}`.slice(7);
  const source = sourceWith({ WEBHOOK_SECRET: github.secret });
  for (const value of [`sha256=${"0".repeat(64)}`, "sha256=zz", ""]) {
    try {
      check(source, { "x-hub-signature-256": value }, Buffer.from(github.body));
      assert.fail("accepted");
    } catch (thrown) {
      const text = `${(thrown as Error).stack} ${JSON.stringify(thrown)}`;
      assert.equal(text.includes(digest) || text.includes(github.secret), false);
    }
  }
});

for (const [what, environment, name, large, allowed] of [
  [
    "a form whose JSON is signed",
    { WEBHOOK_SECRET_GITEA: "secret-of-16-bytes" },
    "gitea",
    "payload=%C3%A4",
    '{"a":"',
  ],
  [
    "a payload of one's own",
    {
      WEBHOOK_SECRET_ACME: "secret-of-16-bytes",
      WEBHOOK_SENDER_ACME: '{"signature":"x-gitea-signature","encoding":"hex","signed":"{payload}"}',
    },
    "acme",
    "payload=%C3%A4",
    "[",
  ],
  [
    "a field of one's own",
    {
      WEBHOOK_SECRET_ACME: "secret-of-16-bytes",
      WEBHOOK_SENDER_ACME: '{"signature":"x-gitea-signature","encoding":"hex","signed":"{field:a}{body}"}',
    },
    "acme",
    '{"a":"',
    undefined,
  ],
] as const) {
  test(`${what} is read before it is authentic up to 1 MB, and no further`, () => {
    const source = sourceWith(environment, `/webhook/${name}`);
    const headers = { "x-gitea-signature": "0".repeat(64) };
    const head = { headers, rawHeaders: Object.entries(headers).flat(), method: "POST", target: "/" };
    const codeOf = (start: string, bytes: number): unknown => {
      const body = Buffer.alloc(bytes, "a");
      body.write(start);
      try {
        return verify(readClaim(source, head), body, new Date());
      } catch (thrown) {
        return (thrown as { code: string }).code;
      }
    };
    const isParsed = name === "acme" && large.startsWith("{");
    assert.equal(codeOf(large, 1024 * 1024), isParsed ? "body-not-json" : "signature-mismatch");
    assert.equal(codeOf(large, 1024 * 1024 + 1), "body-too-large");
    if (allowed !== undefined) assert.equal(codeOf(allowed, 25 * 1024 * 1024), "signature-mismatch");
  });
}

test("a large body is hashed in slices, each with a turn for others, to the same signature", async () => {
  const source = sourceWith({ WEBHOOK_SECRET: "current-secret", WEBHOOK_SECRET_PREVIOUS: "previous-secret" });
  const body = Buffer.alloc(5 * 1024 * 1024 + 1, "a");
  const head = (secret: string) => {
    const signature = `sha256=${createHmac("sha256", secret).update(body).digest("hex")}`;
    const headers = { "x-hub-signature-256": signature };
    return { headers, rawHeaders: Object.entries(headers).flat(), method: "POST", target: "/webhook" };
  };
  let turns = 0;
  const count = (): void => {
    turns += 1;
    counter = setImmediate(count);
  };
  let counter = setImmediate(count);
  const claim = readClaim(source, head("previous-secret"));
  const hmacs = await hmacsInSlices(claim, body);
  clearImmediate(counter);
  assert.ok(turns >= 12, `${turns} turns of the event loop`); // 6 slices for each of two secrets
  assert.equal(verify(claim, body, new Date(), hmacs).secret.age, "previous");
  const wrong = readClaim(source, head("another-secret"));
  const others = await hmacsInSlices(wrong, body);
  assert.throws(() => verify(wrong, body, new Date(), others), { code: "signature-mismatch" });
});
