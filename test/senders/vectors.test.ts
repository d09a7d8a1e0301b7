/** Every known answer of every sender, and each of them spoilt in every small way. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import type { Sender } from "../../lib/senders/sender.ts";
import { senders } from "../../lib/senders/table.ts";
import { factsOf } from "../../lib/settings/sources.ts";
import { readClaim } from "../../lib/signature/claim.ts";
import { readKey, readSigningKey } from "../../lib/signature/key.ts";
import type { Part } from "../../lib/signature/part.ts";
import { type ReadyScheme, readySender } from "../../lib/signature/ready.ts";
import { sign } from "../../lib/signature/sign.ts";
import type { Source } from "../../lib/signature/source.ts";
import { type Delivery, verify } from "../../lib/signature/verify.ts";
import {
  coversBody,
  flipByte,
  folder,
  otherSecret,
  schemeOf,
  signatureNames,
  timeOf,
  type Vector,
  vectorsOf,
} from "./vectors.ts";

type Attempt = {
  headers?: Record<string, string | string[]>;
  body?: Buffer;
  secret?: string;
  now?: Date;
  target?: string;
};

const page = readFileSync(new URL("../../lib/senders/README.md", import.meta.url), "utf8");

/** Runs a vector, as it is or with something changed, through the whole way: claim, bytes, verdict. */
function check(sender: Sender, vector: Vector, attempt: Attempt = {}): Delivery {
  const url = new URL(vector.url ?? "https://example.com/webhooks");
  const key = readKey(sender.key, attempt.secret ?? vector.publicKey ?? vector.secret ?? "");
  assert(key !== undefined, "the vector's secret does not decode");
  const source: Source = {
    name: sender.name,
    ...factsOf([sender]),
    secrets: [{ key, age: "current" }],
    toleranceSeconds: undefined,
    verifyToken: undefined,
    publicUrl: url.origin,
  };
  const given = Object.entries(attempt.headers ?? vector.headers).map(
    ([name, values]) => [name, [values].flat()] as const,
  );
  const headers = Object.fromEntries(given.map(([name, values]) => [name, values.join(", ")]));
  const rawHeaders = given.flatMap(([name, values]) => values.flatMap((value) => [name, value]));
  const target = attempt.target ?? `${url.pathname}${url.search}`;
  const claim = readClaim(source, { method: vector.method ?? "POST", target, headers, rawHeaders });
  const body = attempt.body ?? Buffer.from(vector.body);
  return verify(claim, body, attempt.now ?? timeOf(sender, vector));
}

/** Every signature of the vector put through `change`; what stands around it stays. */
function withSignatures(scheme: ReadyScheme, vector: Vector, change: (signature: string) => string): Attempt {
  const { separator, prefix = "", authScheme, signatureField } = scheme;
  if (signatureField !== undefined) {
    const payload = JSON.parse(vector.body) as unknown;
    changeField(payload, signatureField.split("."), change);
    return { body: Buffer.from(JSON.stringify(payload)) };
  }
  const mark = authScheme === undefined ? prefix : `${authScheme} `;
  const changeEntry = (entry: string): string =>
    entry.startsWith(mark) ? mark + change(entry.slice(mark.length)) : entry;
  const headers = { ...vector.headers };
  for (const name of signatureNames(scheme, vector)) {
    const value = headers[name] ?? "";
    headers[name] = (separator === undefined ? [value] : value.split(separator))
      .map(changeEntry)
      .join(separator ?? "");
  }
  return { headers };
}

function changeField(
  target: unknown,
  [name = "", ...rest]: string[],
  change: (text: string) => string,
): void {
  const object = target as Record<string, unknown>;
  for (const key of name === "*" ? Object.keys(object) : [name]) {
    if (rest.length === 0) object[key] = change(String(object[key]));
    else changeField(object[key], rest, change);
  }
}

function without(headers: Record<string, string>, names: string[]): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !names.includes(name)));
}

/** Another character than the one that is there, of the same alphabet. */
function flipFirst(text: string): string {
  return (/^a/i.test(text) ? "b" : "a") + text.slice(1);
}

test("every sender has vectors, and every file of vectors has a sender", () => {
  const files = readdirSync(folder).map((file) => file.replace(/\.json$/, ""));
  assert.deepEqual(files.sort(), senders.map(({ name }) => name).sort());
});

test("all of the 54 collected vectors are here, each with its source", () => {
  const all = senders.flatMap(vectorsOf);
  assert.ok(all.length >= 54, `${all.length}`);
  for (const { name, mark, source, verifiedBy } of all) assert.ok(name && mark && source && verifiedBy, name);
});

for (const sender of senders) {
  for (const vector of vectorsOf(sender)) {
    if (vector.refused === undefined) testVector(sender, vector);
    else {
      test(`${sender.name}/${vector.name} is refused by design`, () => {
        assert.throws(() => check(sender, vector), { code: vector.refused });
      });
    }
  }
}

function testVector(sender: Sender, vector: Vector): void {
  const title = `${sender.name}/${vector.name}`;
  const scheme = schemeOf(sender, vector);
  const names = signatureNames(scheme, vector);
  const isInside = scheme.signatureField !== undefined;
  const refuses = (what: string, codes: string[], attempt: () => Attempt): void => {
    test(`${title} with ${what} is refused`, () => {
      assert.throws(
        () => check(sender, vector, attempt()),
        (thrown: { code: string }) => {
          assert.ok(codes.includes(thrown.code), String(thrown.code));
          return true;
        },
      );
    });
  };
  const malformed = [isInside ? "signature-missing" : "signature-malformed"];

  test(`${title} verifies`, () => {
    const delivery = check(sender, vector);
    assert.deepEqual(delivery.body, Buffer.from(vector.body));
    assert.equal(delivery.sender.name, sender.name);
  });

  const isFirstScheme = readySender(sender).schemes[0]?.signature === scheme.signature;
  if (vector.secret !== null && scheme.algorithm !== "ecdsa-sha256" && isFirstScheme) {
    test(`sign() gives the signature of ${title}`, () => testSign(sender, scheme, vector));
  }

  refuses("another secret", ["signature-mismatch"], () => ({ secret: otherSecret(sender, vector) }));
  refuses("a flipped character in the signature", ["signature-mismatch", ...malformed], () =>
    withSignatures(scheme, vector, flipFirst),
  );
  refuses("an empty signature", malformed, () => withSignatures(scheme, vector, () => ""));
  refuses("a truncated signature", scheme.encoding === "text" ? ["signature-mismatch"] : malformed, () =>
    withSignatures(scheme, vector, (text) => text.slice(0, -4)),
  );
  if (scheme.encoding !== "text") {
    const [from, to] =
      scheme.encoding === "hex" ? (["hex", "base64"] as const) : (["base64", "hex"] as const);
    refuses("its signature in another encoding", malformed, () =>
      withSignatures(scheme, vector, (text) => Buffer.from(text, from).toString(to)),
    );
  }

  if (!isInside) {
    refuses("its signature headers missing", ["signature-missing"], () => ({
      headers: without(vector.headers, names),
    }));
    refuses("a doubled signature header", ["signature-ambiguous"], () => {
      const value = vector.headers[names[0] ?? ""] ?? "";
      return { headers: { ...vector.headers, [names[0] ?? ""]: [value, value] } };
    });
  }

  if (coversBody(scheme) || scheme.bodyHashParameter !== undefined) {
    refuses("a flipped byte in the body", ["signature-mismatch"], () => ({ body: flipByte(vector) }));
  } else {
    test(`${title}: the signature does not cover the body, and README.md says so`, () => {
      const body = Buffer.from(vector.body.replace(/\}\s*$/, ',"added":1}'));
      assert.notDeepEqual(body, Buffer.from(vector.body));
      assert.equal(check(sender, vector, { body }).sender.name, sender.name);
      const row = page.split("\n").find((line) => line.startsWith(`| ${sender.title} |`));
      assert.match(row ?? "", /\| no \|/);
    });
  }

  if (scheme.time !== null) testTime(title, sender, vector, scheme.time.toleranceSeconds ?? 86_400, refuses);

  for (const part of scheme.signedParts) {
    if (part.kind !== "header") continue;
    const codes = ["signature-mismatch", "timestamp-malformed", "timestamp-too-old", "timestamp-in-future"];
    refuses(`another ${part.name}`, codes, () => ({
      headers: { ...vector.headers, [part.name]: `1${vector.headers[part.name]}` },
    }));
    refuses(`no ${part.name}`, ["signed-part-missing"], () => ({
      headers: without(vector.headers, [part.name]),
    }));
  }

  const idHeader = readySender(sender)
    .id.flat()
    .flatMap((part) => (part.kind === "header" ? [part.name] : []));
  const idName = idHeader.find((name) => vector.headers[name] !== undefined);
  if (idName !== undefined) {
    const isSigned = readySender(sender).isIdSigned;
    test(`${title}: a swapped id is ${isSigned ? "refused" : "not noticed, and known to be unsigned"}`, () => {
      const attempt = { headers: { ...vector.headers, [idName]: "another-id" } };
      if (isSigned) assert.throws(() => check(sender, vector, attempt), { code: "signature-mismatch" });
      else assert.ok(check(sender, vector, attempt));
    });
  }

  if (scheme.signedParts.some(({ kind }) => kind.startsWith("url"))) {
    refuses("another URL", ["signature-mismatch"], () => ({ target: "/elsewhere?foo=1" }));
  }
}

function testTime(
  title: string,
  sender: Sender,
  vector: Vector,
  tolerance: number,
  refuses: (what: string, codes: string[], attempt: () => Attempt) => void,
): void {
  for (const side of [1, -1]) {
    const [where, code] = side === 1 ? ["ago", "timestamp-too-old"] : ["ahead", "timestamp-in-future"];
    test(`${title} signed ${tolerance - 1} and ${tolerance} seconds ${where} verifies`, () => {
      for (const seconds of [tolerance - 1, tolerance]) {
        assert.ok(check(sender, vector, { now: timeOf(sender, vector, side * seconds) }));
      }
    });
    refuses(`a time ${tolerance + 1} seconds ${where}`, [code], () => ({
      now: timeOf(sender, vector, side * (tolerance + 1)),
    }));
  }
}

/** What sign() makes of the vector's event has to hold the vector's own signature. */
function testSign(sender: Sender, scheme: ReadyScheme, vector: Vector): void {
  const key = readSigningKey(sender.key, vector.secret ?? "");
  assert(key !== undefined);
  const { event, id } = readySender(sender);
  const headerOf = (parts: readonly Part[] = []): string | undefined =>
    parts.flatMap((part) => (part.kind === "header" ? (vector.headers[part.name] ?? []) : []))[0];
  const idField = id
    .flat()
    .flatMap((part) => (part.kind === "field" ? (part.name.split(".").at(-1) ?? []) : []))[0];
  const signed = sign(sender, key, {
    type: headerOf(event[0]) ?? "",
    id: headerOf(id[0]) ?? new RegExp(`"${idField}":\\s*"([^"]+)"`).exec(vector.body)?.[1] ?? "",
    body: Buffer.from(vector.body),
    contentType: vector.headers["content-type"] ?? "application/json",
    url: (vector.url ?? "https://example.com/webhooks").replace(/&?bodySHA256=.*$/, ""),
    now: timeOf(sender, vector),
  });
  if (scheme.signatureField !== undefined) {
    assert.deepEqual(JSON.parse(signed.body.toString()), JSON.parse(vector.body));
    return;
  }
  if (vector.url !== undefined) assert.equal(signed.url, vector.url);
  const made =
    signed.headers[scheme.numberedHeader === undefined ? scheme.signature : `${scheme.numberedHeader}1`] ??
    "";
  const sent = signatureNames(scheme, vector).map((name) => vector.headers[name]);
  for (const entry of scheme.separator === undefined ? [made] : made.split(scheme.separator)) {
    assert.ok(sent.join(" ").includes(entry) && entry !== "", `${entry} is not in ${sent}`);
  }
}

test("HubSpot's refused v1 and v2 are what they say: SHA-256 of secret and text, open to length extension", () => {
  const hubspot = senders.find(({ name }) => name === "hubspot");
  assert(hubspot !== undefined);
  const refused = vectorsOf(hubspot).filter((vector) => vector.refused !== undefined);
  assert.equal(refused.length, 2);
  for (const { secret, headers, body, url } of refused) {
    const isV2 = headers["x-hubspot-signature-version"] === "v2";
    const text = isV2 ? `${secret}POST${url}${body}` : `${secret}${body}`;
    assert.equal(createHash("sha256").update(text).digest("hex"), headers["x-hubspot-signature"]);
  }
});

test("one request must not mix Svix's two header families: the id would not be the one that is signed", () => {
  const svix = senders.find(({ name }) => name === "svix");
  const standard = senders.find(({ name }) => name === "standard-webhooks");
  assert(svix !== undefined && standard !== undefined);
  const [own] = vectorsOf(svix);
  const [white] = vectorsOf(standard);
  assert(own !== undefined && white !== undefined);
  assert.equal(check(svix, white).sender.name, "svix");
  for (const [vector, name] of [
    [white, "svix-id"],
    [own, "webhook-id"],
  ] as const) {
    assert.throws(() => check(svix, vector, { headers: { ...vector.headers, [name]: "fresh" } }), {
      code: "signature-ambiguous",
    });
  }
  assert.throws(() => check(svix, own, { headers: { ...own.headers, ...white.headers } }), {
    code: "signature-ambiguous",
  });
});

test("GitLab's token is not looked at when a signature is there", () => {
  const gitlab = senders.find(({ name }) => name === "gitlab-token");
  assert(gitlab !== undefined);
  const [vector] = vectorsOf(gitlab);
  assert(vector !== undefined);
  const headers = { ...vector.headers, "webhook-signature": "v1,AAAA" };
  assert.throws(() => check(gitlab, vector, { headers }), { code: "signature-ambiguous" });
});

for (const sender of senders) {
  test(`README.md's line for ${sender.title} says what its row says`, () => {
    const scheme = sender.schemes[0];
    assert(scheme !== undefined);
    const variable = `WEBHOOK_SECRET_${sender.name.toUpperCase().replaceAll("-", "_")}`;
    const isBodySigned = /\{(body|payload|form-sorted)\}/.test(scheme.signed) ? "yes" : "no";
    const tolerance = scheme.time === null ? null : (scheme.time.toleranceSeconds ?? 86_400);
    const cells = [
      sender.title,
      `\`/webhook/${sender.name}\``,
      `\`${variable}\``,
      sender.secretAt,
      isBodySigned,
      tolerance === null ? "none" : `${tolerance} s`,
      sender.answerWithinSeconds === null ? "unknown" : `${sender.answerWithinSeconds} s`,
      sender.retries,
    ];
    assert.ok(page.includes(`\n| ${cells.join(" | ")} |\n`), cells.join(" | "));
  });
}
