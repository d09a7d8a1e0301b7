/**
 * The networks are those of IANA's special-purpose registries, written down here a second time, by their first and
 * last address. Nothing here ever connects: a refusal comes before, and what is public is only looked up.
 */
import assert from "node:assert/strict";
import type { LookupAddress } from "node:dns";
import { isIP } from "node:net";
import { describe, test } from "node:test";
import { openPost } from "../../lib/send/post.ts";
import {
  AddressRefused,
  addressFault,
  checkedLookup,
  checkLiteral,
  parseTarget,
  plainLookup,
} from "../../lib/send/safe-address.ts";

const found = (...addresses: string[]): LookupAddress[] =>
  addresses.map((address) => ({ address, family: isIP(address) }));

/** Sends to a URL whose name has these addresses. @returns the refusal's text */
async function refusalOf(url: string, addresses: string[] = []): Promise<string> {
  const { post, close } = openPost({ allowPrivate: false, resolve: async () => found(...addresses) });
  const signal = AbortSignal.timeout(10_000);
  try {
    await post(url, { method: "POST", headers: {}, body: Buffer.from("{}"), redirect: "manual", signal });
  } catch (thrown) {
    assert.ok(thrown instanceof AddressRefused, `${url}: ${thrown}`);
    return thrown.message;
  } finally {
    close();
  }
  return assert.fail(`${url} was called`);
}

describe("an address in the URL is refused in whatever form it is written", () => {
  const forms: [url: string, why: RegExp][] = [
    [
      "http://127.0.0.1/",
      /^refused to call 127\.0\.0\.1: it is this machine itself \(RFC 1122 §3\.2\.1\.3\)$/,
    ],
    ["http://127.255.255.254/", /this machine/],
    ["http://127.1/", /127\.0\.0\.1: it is this machine/],
    ["http://127.0.1/", /127\.0\.0\.1: it is this machine/],
    ["http://2130706433/", /127\.0\.0\.1: it is this machine/],
    ["http://017700000001/", /127\.0\.0\.1: it is this machine/],
    ["http://0x7f000001/", /127\.0\.0\.1: it is this machine/],
    ["http://0x7f.0x0.0x0.0x1/", /127\.0\.0\.1: it is this machine/],
    ["http://0177.0.0.1/", /127\.0\.0\.1: it is this machine/],
    ["http://0177.0x0.0.1/", /127\.0\.0\.1: it is this machine/],
    ["http://127.0.0.1./", /127\.0\.0\.1: it is this machine/],
    ["http://%31%32%37.0.0.1/", /127\.0\.0\.1: it is this machine/],
    ["http://①②⑦.⓪.⓪.①/", /127\.0\.0\.1: it is this machine/],
    ["http://１２７.0.0.1/", /127\.0\.0\.1: it is this machine/],
    ["http://127。0。0。1/", /127\.0\.0\.1: it is this machine/],
    ["http:\\\\127.0.0.1\\", /127\.0\.0\.1: it is this machine/],
    ["http:/127.0.0.1/", /127\.0\.0\.1: it is this machine/],
    ["  http://127.0.0.1/  ", /127\.0\.0\.1: it is this machine/],
    ["http://127.0.0\t.1/", /127\.0\.0\.1: it is this machine/],
    ["HTTPS://127.0.0.1:443/", /127\.0\.0\.1: it is this machine/],
    ["http://0/", /0\.0\.0\.0: it is unspecified/],
    ["http://0.0.0.0/", /it is unspecified/],
    ["http://0.1.2.3/", /it is unspecified/],
    ["http://10.0.0.1/", /private network \(RFC 1918\)/],
    ["http://10.1/", /10\.0\.0\.1: it is in a private network/],
    ["http://167772161/", /10\.0\.0\.1: it is in a private network/],
    ["http://172.16.0.1/", /private network/],
    ["http://192.168.0.1/", /private network/],
    ["http://0xc0a80001/", /192\.168\.0\.1: it is in a private network/],
    ["http://100.64.0.1/", /carrier's NAT/],
    ["http://169.254.169.254/latest/meta-data/", /169\.254\.169\.254: it is link-local .*metadata/],
    ["http://2852039166/", /169\.254\.169\.254: it is link-local/],
    ["http://0xa9fea9fe/", /169\.254\.169\.254: it is link-local/],
    ["http://0251.0376.0251.0376/", /169\.254\.169\.254: it is link-local/],
    ["http://168.63.129.16/", /platform behind a virtual machine/],
    ["http://192.0.0.192/", /for protocols/],
    ["http://192.0.2.1/", /documentation/],
    ["http://198.18.0.1/", /benchmarks/],
    ["http://224.0.0.1/", /multicast/],
    ["http://240.0.0.1/", /reserved/],
    ["http://255.255.255.255/", /reserved/],
    ["http://[::1]/", /^refused to call ::1: it is this machine itself/],
    ["http://[0:0:0:0:0:0:0:1]/", /::1: it is this machine itself/],
    ["http://[::]/", /unspecified/],
    ["http://[::127.0.0.1]/", /no public network/],
    ["http://[::ffff:127.0.0.1]/", /::ffff:7f00:1: it is this machine itself/],
    ["http://[::ffff:7f00:1]/", /this machine itself/],
    ["http://[0:0:0:0:0:ffff:a9fe:a9fe]/", /link-local/],
    ["http://[::ffff:10.0.0.1]/", /private network/],
    ["http://[::ffff:0:127.0.0.1]/", /no public network/],
    ["http://[64:ff9b::127.0.0.1]/", /by NAT64 is this machine itself/],
    ["http://[64:ff9b::a9fe:a9fe]/", /by NAT64 is link-local/],
    ["http://[64:ff9b:1::1]/", /NAT64 of a local network/],
    ["http://[2002:7f00:1::]/", /by 6to4 is this machine itself/],
    ["http://[2002:a9fe:a9fe::1]/", /by 6to4 is link-local/],
    ["http://[2002:c0a8:1::1]/", /by 6to4 is in a private network/],
    ["http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/", /Teredo/],
    ["http://[2001:db8::1]/", /documentation/],
    ["http://[3fff::1]/", /documentation/],
    ["http://[fc00::1]/", /private network \(RFC 4193\)/],
    ["http://[fd00:ec2::254]/", /private network \(RFC 4193\)/],
    ["http://[fe80::1]/", /link-local/],
    ["http://[febf:ffff::1]/", /link-local/],
    ["http://[fec0::1]/", /site-local/],
    ["http://[ff02::1]/", /multicast/],
    ["http://[100::1]/", /discarded/],
    ["http://[5f00::1]/", /no public network/],
    ["http://[4000::1]/", /no public network/],
  ];
  assert.ok(forms.length >= 40);
  for (const [url, why] of forms) {
    test(JSON.stringify(url), async () => assert.match(await refusalOf(url), why));
  }
});

describe("a name is refused for any of its addresses", () => {
  const names: [url: string, addresses: string[], why: string][] = [
    ["http://localhost/", ["127.0.0.1"], "localhost: 127.0.0.1 is this machine itself"],
    ["http://localhost./", ["127.0.0.1"], "localhost.: 127.0.0.1 is this machine itself"],
    ["http://LOCALHOST/", ["::1", "127.0.0.1"], "localhost: ::1 is this machine itself"],
    ["https://a.example/", ["93.184.216.34", "10.0.0.1"], "a.example: 10.0.0.1 is in a private network"],
    ["https://a.example/", ["2606:4700::1111", "fd00::1"], "a.example: fd00::1 is in a private network"],
    [
      "https://a.example/",
      ["8.8.8.8", "8.8.4.4", "169.254.169.254"],
      "a.example: 169.254.169.254 is link-local",
    ],
    ["https://a.example/", ["fe80::1%eth0"], "a.example: fe80::1%eth0 is link-local"],
    ["https://a.example/", ["::ffff:127.0.0.1"], "a.example: ::ffff:127.0.0.1 is this machine itself"],
    [
      "https://a.example/",
      ["64:ff9b::10.0.0.1"],
      "a.example: 64:ff9b::10.0.0.1 by NAT64 is in a private network",
    ],
    ["https://a.example/", ["0"], "a.example: 0 is no address"],
  ];
  for (const [url, addresses, why] of names) {
    test(`${url}, which is ${addresses.join(" and ")}`, async () => {
      const text = await refusalOf(url, addresses);
      assert.equal(text.slice(0, "refused to call ".length + why.length), `refused to call ${why}`);
    });
  }
});

describe("what is no target at all", () => {
  const urls: [url: string, message: string][] = [
    ["", "expected a URL such as https://example.com/hook"],
    ["example.com/hook", "expected a URL such as https://example.com/hook"],
    ["http://", "expected a URL such as https://example.com/hook"],
    ["http://1.2.3.256/", "expected a URL such as https://example.com/hook"],
    ["http://[fe80::1%25eth0]/", "expected a URL such as https://example.com/hook"],
    ["ftp://example.com/", "expected http or https, not ftp:"],
    ["file:///etc/passwd", "expected http or https, not file:"],
    ["data:,hello", "expected http or https, not data:"],
    ["javascript:alert(1)", "expected http or https, not javascript:"],
    ["gopher://127.0.0.1:6379/_INFO", "expected http or https, not gopher:"],
    ["unix:///var/run/docker.sock", "expected http or https, not unix:"],
    ["http://user@example.com/", "example.com: a URL with a user name or a password is not called"],
    ["http://:word@example.com/", "example.com: a URL with a user name or a password is not called"],
    ["http://example.com@10.0.0.1/", "10.0.0.1: a URL with a user name or a password is not called"],
    ["http://example.com:80@127.0.0.1/", "127.0.0.1: a URL with a user name or a password is not called"],
  ];
  for (const [url, message] of urls) {
    test(`${JSON.stringify(url)} is refused, also where everything private is open`, async () => {
      assert.throws(() => parseTarget(url), new AddressRefused(message));
      const { post } = openPost({ allowPrivate: true });
      const init = { method: "POST", headers: {}, body: Buffer.from("{}"), redirect: "manual" } as const;
      const signal = AbortSignal.timeout(10_000);
      await assert.rejects(post(url, { ...init, signal }), new AddressRefused(message));
    });
  }
});

describe("a network is refused from its first address to its last, and its neighbours are not", () => {
  // https://www.iana.org/assignments/iana-ipv4-special-registry, iana-ipv6-special-registry, and the address spaces.
  const networks: [before: string, first: string, last: string, after: string][] = [
    ["", "0.0.0.0", "0.255.255.255", "1.0.0.0"],
    ["9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"],
    ["100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0"],
    ["126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0"],
    ["168.63.129.15", "168.63.129.16", "168.63.129.16", "168.63.129.17"],
    ["169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0"],
    ["172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0"],
    ["191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0"],
    ["192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0"],
    ["192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0"],
    ["192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0"],
    ["198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0"],
    ["198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0"],
    ["203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0"],
    ["223.255.255.255", "224.0.0.0", "239.255.255.255", ""],
    ["", "240.0.0.0", "255.255.255.255", ""],
    ["", "::", "::", ""],
    ["", "::1", "::1", ""],
    ["::ffff:9.255.255.255", "::ffff:10.0.0.0", "::ffff:10.255.255.255", "::ffff:11.0.0.0"],
    ["::ffff:1.1.1.1", "::ffff:127.0.0.0", "::ffff:127.255.255.255", "::ffff:128.0.0.0"],
    ["64:ff9b::9ff:ffff", "64:ff9b::a00:0", "64:ff9b::aff:ffff", "64:ff9b::b00:0"],
    ["64:ff9b::a9fd:ffff", "64:ff9b::a9fe:0", "64:ff9b::a9fe:ffff", "64:ff9b::a9ff:0"],
    ["64:ff9b::dfff:ffff", "64:ff9b::e000:0", "64:ff9b::ffff:ffff", ""],
    ["", "64:ff9b:0:0:0:1::", "64:ff9b:0:0:ffff:ffff:ffff:ffff", ""],
    ["", "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", ""],
    ["", "100::", "100::ffff:ffff:ffff:ffff", ""],
    ["", "1fff:ffff::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2000::"],
    [
      "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
      "2001::",
      "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
      "2001:200::",
    ],
    ["2001:db7:ffff::", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"],
    ["2002:9ff:ffff::", "2002:a00::", "2002:aff:ffff:ffff:ffff:ffff:ffff:ffff", "2002:b00::"],
    ["2002:c0a7:ffff::", "2002:c0a8::", "2002:c0a8:ffff:ffff:ffff:ffff:ffff:ffff", "2002:c0a9::"],
    ["2002:dfff:ffff::", "2002:e000::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::"],
    ["3ffe:ffff::", "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::"],
    ["3fff:ffff::", "4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""],
    ["", "5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""],
    ["", "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""],
    ["", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""],
    ["", "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""],
    ["", "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""],
  ];
  for (const [before, first, last, after] of networks) {
    test(`${first} to ${last}`, () => {
      for (const address of [first, last]) assert.equal(typeof addressFault(address), "string", address);
      for (const address of [before, after].filter((one) => one !== ""))
        assert.equal(addressFault(address), undefined, address);
    });
  }
});

describe("public addresses are not refused", () => {
  const addresses = [
    ...["1.1.1.1", "8.8.8.8", "93.184.216.34", "140.82.112.3", "192.30.252.1", "100.1.1.1", "172.217.0.1"],
    ...[
      "2606:4700:4700::1111",
      "2001:4860:4860::8888",
      "2a00:1450:4001:810::200e",
      "2620:fe::fe",
      "2400:cb00::1",
    ],
    // IPv4 networks reach the others through these.
    ...["::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"],
  ];
  for (const address of addresses) {
    test(address, async () => {
      assert.equal(addressFault(address), undefined);
      const literal = address.includes(":") ? `[${address}]` : address;
      assert.doesNotThrow(() => checkLiteral(parseTarget(`https://${literal}:8443/hook?a=b`)));
      assert.deepEqual(
        await lookUp(
          checkedLookup(async () => found(address)),
          true,
        ),
        found(address),
      );
    });
  }
  test("a name passes the check of what is written in a URL: its addresses are still to come", () => {
    assert.doesNotThrow(() => checkLiteral(parseTarget("https://localhost/")));
  });
});

function lookUp(lookup: ReturnType<typeof plainLookup>, all: boolean): Promise<unknown> {
  return new Promise((resolve, reject) => {
    lookup("a.example", { all }, (error, address, family) => {
      if (error === null) resolve(all ? address : { address, family });
      else reject(error);
    });
  });
}

for (const make of [checkedLookup, plainLookup]) {
  test(`${make.name}() resolves once, and hands over just what it got: all addresses, or the first`, async () => {
    let calls = 0;
    const both = found("2606:4700::1111", "8.8.8.8");
    const lookup = make(async (hostname) => {
      calls += 1;
      assert.equal(hostname, "a.example");
      return both;
    });
    assert.deepEqual([await lookUp(lookup, true), calls], [both, 1]);
    assert.deepEqual([await lookUp(lookup, false), calls], [both[0], 2]);
  });

  test(`${make.name}() fails as the resolver fails, and for a name without addresses`, async () => {
    const error = Object.assign(new Error("getaddrinfo ENOTFOUND a.example"), { code: "ENOTFOUND" });
    await assert.rejects(
      lookUp(
        make(() => Promise.reject(error)),
        true,
      ),
      error,
    );
    await assert.rejects(
      lookUp(
        make(async () => []),
        true,
      ),
      { message: "a.example has no address" },
    );
  });
}

test("a name that answers differently the next time is checked the next time", async () => {
  const answers = [found("8.8.8.8"), found("127.0.0.1")];
  const lookup = checkedLookup(async () => answers.shift() ?? []);
  assert.deepEqual(await lookUp(lookup, true), found("8.8.8.8"));
  await assert.rejects(lookUp(lookup, true), AddressRefused);
});

test("plainLookup() lets every address pass", async () => {
  assert.deepEqual(
    await lookUp(
      plainLookup(async () => found("127.0.0.1")),
      true,
    ),
    found("127.0.0.1"),
  );
});

test("a refusal names the host, and nothing else of the URL", async () => {
  for (const url of ["http://10.0.0.1/hush?hush#hush", "http://hush:hush@a.example/hush"]) {
    assert.equal((await refusalOf(url)).includes("hush"), false, url);
  }
});
