/**
 * Every known answer of every sender, and each of them spoilt in every small way.
 * The vectors come from the senders' documentation, their SDKs, or were computed with other tools: see `source`
 * and `verifiedBy` in the files.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { type Delivery, hashChunk, readClaim, verify } from "../../lib/receive/signature.ts";
import { readKey, readSigningKey } from "../../lib/senders/key.ts";
import type { Part } from "../../lib/senders/part.ts";
import { type ReadyScheme, readySender } from "../../lib/senders/ready.ts";
import type { Sender } from "../../lib/senders/sender.ts";
import { sign } from "../../lib/senders/sign.ts";
import { senders } from "../../lib/senders/table.ts";
import type { Source } from "../../lib/sources.ts";

type Vector = {
  name: string;
  mark: string;
  source: string;
  verifiedBy: string;
  secret: string | null;
  publicKey?: string;
  method?: string;
  url?: string;
  headers: Record<string, string>;
  body: string;
  refused?: string;
};
type Attempt = {
  headers?: Record<string, string | string[]>;
  body?: Buffer;
  secret?: string;
  now?: Date;
  target?: string;
};

const folder = new URL("../vectors/", import.meta.url);
const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");

function vectorsOf(sender: Sender): Vector[] {
  const file = new URL(`${sender.name}.json`, folder);
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Vector[]) : [];
}

/** Runs a vector, as it is or with something changed, through the whole way: claim, bytes, verdict. */
function check(sender: Sender, vector: Vector, attempt: Attempt = {}): Delivery {
  const url = new URL(vector.url ?? "https://example.com/webhooks");
  const key = readKey(sender.key, attempt.secret ?? vector.publicKey ?? vector.secret ?? "");
  assert(key !== undefined, "the vector's secret does not decode");
  const source: Source = {
    name: sender.name,
    senders: [readySender(sender)],
    secrets: [{ key, age: "current" }],
    handshakes: sender.handshakes ?? [],
    maxBodyBytes: Number.POSITIVE_INFINITY,
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
  for (let at = 0; at < body.length; at += 7) hashChunk(claim, body.subarray(at, at + 7));
  return verify(claim, attempt.now ?? timeOf(sender, vector));
}

/** A clock that stands so many seconds after the vector's own time. */
function timeOf(sender: Sender, vector: Vector, offsetSeconds = 0): Date {
  const { time } = schemeOf(sender, vector);
  if (time === null) return new Date("2026-01-01T00:00:00Z");
  const [kind, name = ""] = (time.at.split(" | ")[0] ?? "").split(":");
  const inList = new RegExp(`\\b${name}=(\\d+)`);
  const inBody = new RegExp(`"${name.split(".").at(-1)}":\\s*"?(\\d+)`);
  const text =
    kind === "header"
      ? vector.headers[name]
      : (kind === "param"
          ? inList.exec(Object.values(vector.headers).join(" "))
          : inBody.exec(vector.body))?.[1];
  assert(text !== undefined, `no ${time.at} in the vector`);
  return new Date(Number(text) * (time.unit === "seconds" ? 1000 : 1) + offsetSeconds * 1000);
}

/** The one of the sender's schemes that this vector uses. */
function schemeOf(sender: Sender, vector: Vector): ReadyScheme {
  const { schemes } = readySender(sender);
  const found = schemes.find((scheme) => signatureNames(scheme, vector).length > 0) ?? schemes[0];
  assert(found !== undefined);
  return found;
}

function signatureNames({ numberedHeader, signature }: ReadyScheme, vector: Vector): string[] {
  return Object.keys(vector.headers).filter((name) =>
    numberedHeader === undefined ? name === signature : name.startsWith(numberedHeader),
  );
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

function signedParts({ before, rest }: ReadyScheme): readonly Part[] {
  return before === undefined ? rest : [...before, { kind: "body" }, ...rest];
}

function coversBody(scheme: ReadyScheme): boolean {
  const isBody = ({ kind }: Part) => kind === "body" || kind === "payload" || kind === "form-sorted";
  return signedParts(scheme).some(isBody);
}

/** Another character than the one that is there, of the same alphabet. */
function flipFirst(text: string): string {
  return (/^a/i.test(text) ? "b" : "a") + text.slice(1);
}

function flipByte(vector: Vector): Buffer {
  const body = Buffer.from(vector.body);
  const at = Math.max(0, body.length - 3);
  body[at] = (body[at] ?? 0) ^ 1;
  return body;
}

const publicKeyOfAnother = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"; // RFC 8032 §7.1, test 1

function otherSecret(sender: Sender, vector: Vector): string {
  return {
    text: `${vector.secret}x`,
    whsec: `whsec_${Buffer.alloc(24, 7).toString("base64")}`,
    "ed25519-hex": vector.publicKey === publicKeyOfAnother ? "00".repeat(32) : publicKeyOfAnother,
    "ed25519-whpk": `whpk_${Buffer.from(publicKeyOfAnother, "hex").toString("base64")}`,
    // The example key of RFC 9500 §2.3, P-256.
    "spki-base64":
      "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEQiVI+I+3gv+17KN0RFLHKh5Vj71vc75eSOkyMsxFxbFsTNEMTLjVuKFxOelIgsiZJXKZNCX0FBmrfpCkKklCcg==",
  }[sender.key];
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
    test(`${title}: the signature does not cover the body, and the README says so`, () => {
      const body = Buffer.from(vector.body.replace(/\}\s*$/, ',"added":1}'));
      assert.notDeepEqual(body, Buffer.from(vector.body));
      assert.equal(check(sender, vector, { body }).sender.name, sender.name);
      const row = readme.split("\n").find((line) => line.startsWith(`| ${sender.title} |`));
      assert.match(row ?? "", /\| no \|/);
    });
  }

  if (scheme.time !== null) testTime(title, sender, vector, scheme.time.toleranceSeconds, refuses);

  for (const part of signedParts(scheme)) {
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

  if (signedParts(scheme).some(({ kind }) => kind.startsWith("url"))) {
    refuses("another URL", ["signature-mismatch"], () => ({ target: "/elsewhere?foo=1" }));
  }
}

function testTime(
  title: string,
  sender: Sender,
  vector: Vector,
  tolerance: number | null,
  refuses: (what: string, codes: string[], attempt: () => Attempt) => void,
): void {
  for (const side of [1, -1]) {
    const [where, code] = side === 1 ? ["ago", "timestamp-too-old"] : ["ahead", "timestamp-in-future"];
    if (tolerance === null) {
      test(`${title} signed ten years ${where} verifies: its sender documents no window`, () => {
        assert.ok(check(sender, vector, { now: timeOf(sender, vector, side * 315_360_000) }));
      });
      continue;
    }
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
  test(`the README's line for ${sender.title} says what its row says`, () => {
    const scheme = sender.schemes[0];
    assert(scheme !== undefined);
    const variable = `WEBHOOK_SECRET_${sender.name.toUpperCase().replaceAll("-", "_")}`;
    const isBodySigned = /\{(body|payload|form-sorted)\}/.test(scheme.signed) ? "yes" : "no";
    const tolerance = scheme.time?.toleranceSeconds ?? null;
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
    assert.ok(readme.includes(`\n| ${cells.join(" | ")} |\n`), cells.join(" | "));
  });
}
