/**
 * What strangers do to a receiver, each as a function that resolves once the attack is under way. It goes on until its
 * process ends (`attacker.ts`), and touches nothing but the port and the inbox that it is given.
 */

import { DatabaseSync } from "node:sqlite";
import { setTimeout as pause } from "node:timers/promises";
import { type Answers, type Attacker, connected, open } from "./connection.ts";

export type Target = {
  readonly port: number;
  readonly inboxFile: string;
  /** How long the attack will go on. */
  readonly seconds: number;
  readonly answers: Answers;
};

/** Resolves once the attack is under way. `ended` is for those that have something to do to its end. */
export type Attack = (target: Target) => Promise<void | { readonly ended: Promise<void> }>;

export const largestBodyBytes = 25 * 1024 * 1024;
/** More connections than the receiver has places. */
export const silentConnections = 10_000;

const signatureOfNothing = `X-Hub-Signature-256: sha256=${"0".repeat(64)}`;
const pipelinedBytes = 12_000_000;
const reopenMilliseconds = 100;
const fillMilliseconds = 30;
const stoppedBytes = 4 * 1024 * 1024;
/** Less than a good delivery has. */
const smallestStoppedBytes = 4 * 1024;
/** A sender that writes without waiting keeps so much for a receiver that is behind. */
const maxUnsentBytes = 64 * 1024;

/** Requests one behind the other, on each connection; whether their answers are read or not. */
export function pipeline(connections: number, reading: "read" | "not read"): Attack {
  return async ({ port, answers }) => {
    const request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const requests = Buffer.from(request.repeat(Math.floor(pipelinedBytes / request.length)));
    for (let count = 0; count < connections; count += 1) {
      const attacker = open(port, answers);
      if (reading === "not read") attacker.socket.pause();
      void writeForEver(attacker, requests);
    }
  };
}

/** Bodies as large as they may be, well-formed, each with a wrong signature: the next when the last has its answer. */
export function refusedBodies(connections: number): Attack {
  return async (target) => {
    const body = jsonOf(largestBodyBytes);
    for (let count = 0; count < connections; count += 1) void postForEver(target, "/webhook", body);
  };
}

/** Half of the time large bodies at once, then small wrong deliveries at the given rate. */
export function refusedBodiesThenFlood(connections: number, perSecond: number): Attack {
  return async (target) => {
    const body = jsonOf(largestBodyBytes);
    const endsAt = performance.now() + (target.seconds * 1000) / 2;
    for (let count = 0; count < connections; count += 1)
      void postForEver(target, "/webhook", body, signatureOfNothing, endsAt);
    setTimeout(() => flood(target, perSecond), (target.seconds * 1000) / 2);
  };
}

/** Uploads that stop in the middle, and smaller ones behind them, until nothing more may be held. */
export function stoppedUploads(connections: number): Attack {
  return async ({ port, answers }) => {
    for (let count = 0; count < connections; count += 1) beginUpload(open(port, answers), stoppedBytes);
    void fillUp(port, answers);
  };
}

/** What is refused has not fitted: the next one stops at half of it. */
async function fillUp(port: number, answers: Answers): Promise<void> {
  for (let bytes = stoppedBytes; ; ) {
    const attacker = beginUpload(open(port, answers), bytes);
    await Promise.race([attacker.next(), pause(fillMilliseconds)]);
    if (!attacker.isOpen()) bytes = Math.max(smallestStoppedBytes, bytes / 2);
  }
}

/** Uploads that stop in the middle, too large to be held together; each one that is ended begins again. */
export function repeatedUploads(connections: number): Attack {
  return async ({ port, answers }) => {
    for (let count = 0; count < connections; count += 1)
      void keepOpen(() => beginUpload(open(port, answers), stoppedBytes));
  };
}

function beginUpload(attacker: Attacker, bytes: number): Attacker {
  attacker.socket.write(headOf("/webhook", largestBodyBytes));
  attacker.socket.write(Buffer.alloc(bytes));
  return attacker;
}

/** Connections on which nothing is ever sent; each one that is closed is opened again. */
export const silence: Attack = async ({ port, answers }) => {
  const atOnce = 200; // more than a listen backlog holds would be refused
  for (let count = 0; count < silentConnections; count += atOnce) {
    const opened = Array.from({ length: atOnce }, () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      void keepOpen(() => {
        const attacker = open(port, answers);
        void connected(attacker).then(resolve);
        return attacker;
      });
      return promise;
    });
    await Promise.all(opened);
  }
};

/** A form that is long, and slow to take apart, at a source whose signature is over a field of it. */
export function largeForms(path: string, signatureHeader: string): Attack {
  return async (target) => {
    const field = "payload=";
    const text = "%C3%A4".repeat(Math.floor((largestBodyBytes - field.length) / 6));
    const fields = `${signatureHeader}: ${"0".repeat(64)}\r\nContent-Type: application/x-www-form-urlencoded`;
    void postForEver(target, path, Buffer.from(field + text), fields);
  };
}

/** Requests whose refusal is as long a line of log as a stranger can make, sent without waiting for answers. */
export const longLogLines: Attack = async ({ port, answers }) => {
  const request = `GET /webhook HTTP/1.1\r\nHost: a\r\nExpect: ${'"'.repeat(15_000)}\r\n\r\n`;
  for (let count = 0; count < 4; count += 1) void writeForEver(open(port, answers), Buffer.from(request));
};

/** A backup reads the file for as long as it takes, while large and smaller bodies are refused, none like another. */
export const refusedBodiesDuringBackup: Attack = async (target) => {
  const database = new DatabaseSync(target.inboxFile, { readOnly: true });
  database.exec("BEGIN");
  database.prepare("SELECT count(*) FROM deliveries").get();
  process.on("exit", () => database.close());
  for (const bytes of [largestBodyBytes, 1_000_000]) void postForEver(target, "/webhook", jsonOf(bytes));
};

/** Deliveries of another source, refused, that `pushOut` sends. */
export const pushedOutDeliveries = 3;

/** Junk without end at one source, while deliveries of another are refused: those are worth to be kept. */
export const pushOut: Attack = async (target) => {
  flood(target, 200);
  async function sendDeliveries(): Promise<void> {
    for (let count = 1; count <= pushedOutDeliveries; count += 1) {
      await pause((target.seconds * 1000) / (pushedOutDeliveries + 1));
      const { socket, next } = open(target.port, target.answers);
      const body = `{"order":${count}}`;
      const signature = `X-Shopify-Hmac-Sha256: ${Buffer.alloc(32).toString("base64")}`;
      socket.write(headOf("/webhook/shopify", body.length, signature) + body);
      await next();
    }
  }
  return { ended: sendDeliveries() };
};

/** The same bytes once more as soon as they are gone. */
async function writeForEver({ socket, isOpen }: Attacker, bytes: Buffer): Promise<void> {
  while (isOpen()) await new Promise((sent) => socket.write(bytes, sent));
}

/** Small deliveries with a wrong signature, each with a body of its own, at a rate, whether they are answered or not. */
function flood({ port, answers }: Target, perSecond: number): void {
  const attackers = Array.from({ length: 20 }, () => open(port, answers));
  let sent = 0;
  const startedAt = performance.now();
  setInterval(() => {
    const due = ((performance.now() - startedAt) / 1000) * perSecond;
    for (; sent < due; sent += 1) {
      const { socket } = attackers[sent % attackers.length] ?? {};
      if (socket === undefined || socket.writableLength > maxUnsentBytes) continue;
      const body = JSON.stringify({ number: sent, padding: "x".repeat(900) });
      socket.write(headOf("/webhook", body.length) + body);
    }
  }, 5);
}

/** Sends the body again and again, a little different each time, on one connection as long as it stands. */
async function postForEver(
  { port, answers }: Target,
  path: string,
  body: Buffer,
  fields = signatureOfNothing,
  endsAt = Number.POSITIVE_INFINITY,
): Promise<void> {
  const head = headOf(path, body.length, fields);
  for (let sent = 0; performance.now() < endsAt; ) {
    const attacker = open(port, answers);
    while (attacker.isOpen() && performance.now() < endsAt) {
      body.write(String(sent).padStart(10, "0"), body.length - 20, "latin1");
      sent += 1;
      attacker.socket.write(head);
      attacker.socket.write(body);
      await attacker.next();
    }
    attacker.socket.destroy();
    await pause(1);
  }
}

async function keepOpen(begin: () => Attacker): Promise<void> {
  for (;;) {
    const attacker = begin();
    while (attacker.isOpen()) await attacker.next();
    attacker.socket.destroy();
    await pause(reopenMilliseconds);
  }
}

function headOf(path: string, length: number, fields = signatureOfNothing): string {
  return `POST ${path} HTTP/1.1\r\nHost: a\r\n${fields}\r\nContent-Length: ${length}\r\n\r\n`;
}

/** An object of exactly so many bytes, with digits where a number is written into it. */
function jsonOf(bytes: number): Buffer {
  const [start, end] = ['{"padding":"', '"}'];
  return Buffer.from(`${start}${"0".repeat(bytes - start.length - end.length)}${end}`);
}
