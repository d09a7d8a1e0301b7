/**
 * The connections that are open: how many there may be, and which goes when there is no place for another.
 *
 * When all places are taken, a connection without a request makes room: first one that has never sent one, then one
 * that is kept alive between two; the oldest first. So thousands of silent connections keep no sender out. A public
 * address has a share of the places only. Loopback and private addresses have all of them: a proxy stands there for
 * all of its clients.
 */
import { BlockList, isIPv6, type Socket } from "node:net";
import type { Log } from "../log.ts";
import type { Refusal } from "../refusal.ts";
import type { BodyReading } from "./body.ts";

/** What is known about a connection beside what Node knows. */
export type Connection = {
  readonly socket: Socket;
  /** Requests that the parser has found and that have no answer yet. */
  unanswered: number;
  /** Its latest request: settled once that one is answered or its socket is gone. */
  latest?: Promise<void> | undefined;
  /** While the body of a request is on its way. */
  reading?: BodyReading | undefined;
  /** What Node's parser had to say when it gave up. */
  broken?: Refusal;
  bodyBytesLeft(): number;
  /** To be called when a request has been answered: the next ones may come. */
  goOn: () => void;
};

export type Places = {
  readonly maxConnections: number;
  /** Of one public address, or one IPv6 network of 64 bits. */
  readonly maxConnectionsOfAddress: number;
};

export type Connections = {
  /** @returns undefined when there is no place: the socket is closed then */
  add(socket: Socket): Connection | undefined;
  get(socket: Socket): Connection | undefined;
  /** A request has come in, or the last one has been answered. */
  isBusy(connection: Connection, busy: boolean): void;
  sockets(): Iterable<Socket>;
};

/** RFC 1918, RFC 6598, RFC 3927, RFC 4193, RFC 4291 §2.5.6, and loopback: where proxies and containers are. */
const closeBy = new BlockList();
for (const [network, prefix] of [
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.168.0.0", 16],
] as const) {
  closeBy.addSubnet(network, prefix, "ipv4");
}
closeBy.addAddress("::1", "ipv6");
closeBy.addSubnet("fc00::", 7, "ipv6");
closeBy.addSubnet("fe80::", 10, "ipv6");

/**
 * Whose share of the places a connection takes.
 * @returns undefined for an address that has no limit of its own; an IPv6 address stands for its network of 64 bits
 */
export function shareOf(address: string): string | undefined {
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, "");
  if (!isIPv6(plain)) return closeBy.check(plain, "ipv4") ? undefined : plain;
  if (closeBy.check(plain, "ipv6")) return undefined;
  const [head = "", tail] = plain.split("%", 1)[0]?.split("::") ?? [];
  const groups = head.split(":");
  const zeros = tail === undefined ? 0 : 8 - groups.length - tail.split(":").length;
  const all = [...groups, ...Array<string>(Math.max(0, zeros)).fill("0"), ...(tail?.split(":") ?? [])];
  return `${all.slice(0, 4).join(":")}::/64`;
}

/** One line a second says how many were dropped. */
const dropLineMilliseconds = 1000;

export function openConnections(
  { maxConnections, maxConnectionsOfAddress }: Places,
  log: Log,
  share: (address: string) => string | undefined = shareOf,
): Connections {
  const all = new Map<Socket, Connection>();
  /** Without a request so far, and between two requests; each in the order in which they came. */
  const silent = new Set<Connection>();
  const idle = new Set<Connection>();
  const counts = new Map<string, number>();
  let dropped = 0;

  function drop(socket: Socket, why: string): void {
    if (dropped === 0) {
      setTimeout(() => {
        log.warn("connections dropped", { connections: dropped, why });
        dropped = 0;
      }, dropLineMilliseconds).unref();
    }
    dropped += 1;
    socket.destroy();
  }

  /** Makes room by closing a connection without a request. @returns false when all of them have one */
  function makeRoom(mayGo: (connection: Connection) => boolean, why: string): boolean {
    for (const without of [silent, idle]) {
      for (const connection of without) {
        if (!mayGo(connection)) continue;
        forget(connection);
        drop(connection.socket, why);
        return true;
      }
    }
    return false;
  }

  function forget(connection: Connection): void {
    if (!all.delete(connection.socket)) return;
    silent.delete(connection);
    idle.delete(connection);
    const of = shareByConnection.get(connection);
    if (of === undefined) return;
    const left = (counts.get(of) ?? 1) - 1;
    if (left === 0) counts.delete(of);
    else counts.set(of, left);
  }

  const shareByConnection = new WeakMap<Connection, string>();

  return {
    add(socket) {
      const of = share(socket.remoteAddress ?? "");
      const isShareTaken = of !== undefined && (counts.get(of) ?? 0) >= maxConnectionsOfAddress;
      const ofShare = (connection: Connection) => shareByConnection.get(connection) === of;
      const [mayGo, why] = isShareTaken
        ? [ofShare, `already ${maxConnectionsOfAddress} connections from ${of}`]
        : [() => true, `already ${maxConnections} connections`];
      if ((isShareTaken || all.size >= maxConnections) && !makeRoom(mayGo, why)) {
        drop(socket, why);
        return undefined;
      }
      const connection: Connection = {
        socket,
        unanswered: 0,
        bodyBytesLeft: () => connection.reading?.left() ?? 0,
        goOn: () => {},
      };
      all.set(socket, connection);
      silent.add(connection);
      if (of !== undefined) {
        shareByConnection.set(connection, of);
        counts.set(of, (counts.get(of) ?? 0) + 1);
      }
      socket.on("close", () => forget(connection));
      return connection;
    },
    get: (socket) => all.get(socket),
    isBusy(connection, busy) {
      silent.delete(connection);
      idle.delete(connection);
      if (!busy && all.has(connection.socket)) idle.add(connection);
    },
    sockets: () => all.keys(),
  };
}
