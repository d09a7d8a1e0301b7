/**
 * May we call this URL? A target that somebody else has a say in must not lead to what only this machine or its
 * network can reach: a cloud's metadata, a router's page, a database (CWE-918, server-side request forgery).
 *
 * http and https only. The name is resolved once for each connection, every address it has is checked, and the
 * connection goes to one of those (`post.ts` hands `checkedLookup` to the agent): a name that answers differently
 * the next time gains nothing. URLs in odd forms need no rules of their own: the URL parser turns 2130706433,
 * 0x7f.1, 0177.0.0.1 and full-width digits into 127.0.0.1 before anything looks at them.
 *
 * Not known here: which prefix of its own a network uses for NAT64 (RFC 6052 §2.2); only the well-known one is.
 * https://www.iana.org/assignments/iana-ipv4-special-registry
 * https://www.iana.org/assignments/iana-ipv6-special-registry
 */
import type { LookupAddress } from "node:dns";
import { lookup } from "node:dns/promises";
import { BlockList, isIP, type LookupFunction } from "node:net";

/** The URL or its address is not to be called: final, for trying again changes nothing. Names no more than the host. */
export class AddressRefused extends Error {}

/** Every address of a name. */
export type Resolve = (hostname: string) => Promise<readonly LookupAddress[]>;

type Row = readonly [network: string, why: string];

const privateUse = "is in a private network (RFC 1918)";
const documentation = "is for documentation (RFC 5737)";

const ipv4Rows: readonly Row[] = [
  ["0.0.0.0/8", "is unspecified (RFC 1122 §3.2.1.3)"],
  ["10.0.0.0/8", privateUse],
  ["100.64.0.0/10", "is behind a carrier's NAT (RFC 6598)"],
  ["127.0.0.0/8", "is this machine itself (RFC 1122 §3.2.1.3)"],
  // In a public network, and all the same only there for virtual machines on Azure: its metadata.
  ["168.63.129.16/32", "is the platform behind a virtual machine"],
  ["169.254.0.0/16", "is link-local (RFC 3927), where clouds have their metadata"],
  ["172.16.0.0/12", privateUse],
  ["192.0.0.0/24", "is for protocols (RFC 6890)"],
  ["192.0.2.0/24", documentation],
  ["192.88.99.0/24", "is a relay of 6to4 (RFC 7526)"],
  ["192.168.0.0/16", privateUse],
  ["198.18.0.0/15", "is for benchmarks (RFC 2544)"],
  ["198.51.100.0/24", documentation],
  ["203.0.113.0/24", documentation],
  ["224.0.0.0/4", "is multicast (RFC 5771)"],
  ["240.0.0.0/4", "is reserved (RFC 1112 §4)"],
];

const ipv6Rows: readonly Row[] = [
  ["::/128", "is unspecified (RFC 4291 §2.5.2)"],
  ["::1/128", "is this machine itself (RFC 4291 §2.5.3)"],
  ["64:ff9b:1::/48", "is the NAT64 of a local network (RFC 8215)"],
  ["100::/64", "is discarded (RFC 6666)"],
  ["2001::/32", "is Teredo (RFC 4380), which hides an IPv4 address"],
  ["2001::/23", "is for protocols (RFC 2928)"],
  ["2001:db8::/32", "is for documentation (RFC 3849)"],
  ["3fff::/20", "is for documentation (RFC 9637)"],
  ["fc00::/7", "is in a private network (RFC 4193)"],
  ["fe80::/10", "is link-local (RFC 4291 §2.5.6)"],
  ["fec0::/10", "is site-local (RFC 3879)"],
  ["ff00::/8", "is multicast (RFC 4291 §2.7)"],
];

/** Where IPv6 addresses may be: global unicast (RFC 4291 §2.5.4), and IPv4 in other clothes. */
const globalNetworks = ["2000::/3", "::ffff:0:0/96", "64:ff9b::/96"].map(blockList);

const rules = [...ipv4Rows, ...ipv4Rows.flatMap(ipv6Forms), ...ipv6Rows].map(([network, why]) => ({
  network: blockList(network),
  why,
}));

/**
 * @returns the URL, when it is one that could be called at all
 * @throws AddressRefused for another scheme, and for user names and passwords: `http://example.com@10.0.0.1/` is
 *   made to be misread, and a password in a URL ends up in logs
 */
export function parseTarget(url: string): URL {
  const target = URL.parse(url);
  if (target === null) throw new AddressRefused("expected a URL such as https://example.com/hook");
  if (target.protocol !== "http:" && target.protocol !== "https:")
    throw new AddressRefused(`expected http or https, not ${target.protocol}`);
  if (target.username !== "" || target.password !== "")
    throw new AddressRefused(`${target.hostname}: a URL with a user name or a password is not called`);
  return target;
}

/**
 * Node connects to an address that is written in the URL without looking it up, so it is checked before.
 * @throws AddressRefused when it is one that is not public; names pass, `checkedLookup` is for them
 */
export function checkLiteral({ hostname }: URL): void {
  const address = hostname.replace(/^\[|\]$/g, "");
  const why = isIP(address) === 0 ? undefined : addressFault(address);
  if (why !== undefined) throw new AddressRefused(`refused to call ${address}: it ${why}`);
}

/** A `lookup` for Node's agents: fails with AddressRefused when one of the name's addresses is not public. */
export function checkedLookup(resolve: Resolve = resolveAll): LookupFunction {
  return plainLookup(async (hostname) => {
    const addresses = await resolve(hostname);
    for (const { address } of addresses) {
      const why = addressFault(address);
      if (why !== undefined) throw new AddressRefused(`refused to call ${hostname}: ${address} ${why}`);
    }
    return addresses;
  });
}

/** The same without a check, for targets in one's own network. */
export function plainLookup(resolve: Resolve = resolveAll): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname).then(
      (addresses) => {
        const [first] = addresses;
        if (first === undefined) callback(new Error(`${hostname} has no address`), "");
        else if (options.all === true) callback(null, [...addresses]);
        else callback(null, first.address, first.family);
      },
      (thrown: NodeJS.ErrnoException) => callback(thrown, ""),
    );
  };
}

/** @returns why the address is not to be called, or undefined for a public one */
export function addressFault(address: string): string | undefined {
  const family = isIP(address);
  if (family === 0) return "is no address";
  const type = family === 4 ? "ipv4" : "ipv6";
  const rule = rules.find(({ network }) => network.check(address, type));
  if (rule !== undefined) return rule.why;
  const isGlobal = family === 4 || globalNetworks.some((network) => network.check(address, type));
  return isGlobal ? undefined : "is in no public network (RFC 4291 §2.4)";
}

function resolveAll(hostname: string): Promise<LookupAddress[]> {
  return lookup(hostname, { all: true });
}

function blockList(network: string): BlockList {
  const [address = "", length] = network.split("/");
  const list = new BlockList();
  list.addSubnet(address, Number(length), address.includes(":") ? "ipv6" : "ipv4");
  return list;
}

/**
 * The same network as IPv6 reaches it: by NAT64 (RFC 6052), by 6to4 (RFC 3056). The third way, IPv4-mapped addresses
 * (RFC 4291 §2.5.5.2), needs no rows: a BlockList takes them for the IPv4 addresses that they are.
 */
function ipv6Forms([network, why]: Row): Row[] {
  const [address = "", length] = network.split("/");
  const hex = Buffer.from(address.split(".").map(Number)).toString("hex");
  return [
    [`64:ff9b::${address}/${96 + Number(length)}`, `by NAT64 ${why}`],
    [`2002:${hex.slice(0, 4)}:${hex.slice(4)}::/${16 + Number(length)}`, `by 6to4 ${why}`],
  ];
}
