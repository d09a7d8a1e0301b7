import assert from "node:assert/strict";
import { test } from "node:test";
import type { Incoming } from "../../lib/keep/sqlite/accept.ts";
import { type Call, pack, unpack } from "../../lib/keep/sqlite/protocol.ts";

const incoming = (id: string, body: string): Incoming => ({
  source: "default",
  sender: "github",
  id,
  isIdSigned: false,
  event: "push",
  form: "payload",
  headers: '{"x-github-event":"push"}',
  body: Buffer.from(body),
  receivedAt: 1_700_000_000_000,
  jobs: [{ handler: "push", orderKey: null }],
});

/** As it arrives: cloned, and its memory moved. */
function send(calls: Call[]): Call[] {
  const parcel = pack(calls);
  const arrived = structuredClone(parcel, { transfer: [parcel.bodies.buffer] });
  return unpack(arrived);
}

/** Bodies as text, so that a difference can be read. */
const readable = (calls: readonly Call[]) =>
  calls.map(({ method, args }) => [
    method,
    ...args.map((argument) => {
      const { body } = (argument ?? {}) as { body?: Uint8Array };
      return body === undefined ? argument : { ...(argument as object), body: Buffer.from(body).toString() };
    }),
  ]);

test("calls of every kind arrive as they were, each with its own body", () => {
  const calls: Call[] = [
    { method: "accept", args: [incoming("1", "first")] },
    { method: "beat", args: ["owner", 5] },
    { method: "leftover", args: [] },
    { method: "accept", args: [incoming("2", "")] },
    { method: "claim", args: ["owner", ["push", "*"], 10, 7] },
    { method: "finish", args: ["owner", 1, { state: "dead", error: "stack" }, 8] },
    { method: "accept", args: [incoming("3", "third")] },
    { method: "close", args: [] },
  ];
  const arrived = send(calls);
  assert.deepEqual(readable(arrived), readable(calls));
  const keys = Object.keys(arrived[0]?.args[0] as object).sort();
  assert.deepEqual(keys, Object.keys(incoming("1", "")).sort());
});

test("the caller keeps its bodies: they are copied, also where a body is a piece of a larger buffer", () => {
  const large = Buffer.from("....body....");
  const piece = large.subarray(4, 8);
  const calls: Call[] = [{ method: "accept", args: [{ ...incoming("1", ""), body: piece }] }];
  assert.deepEqual(
    readable(send(calls)),
    [["accept", incoming("1", "body")]].map(([method, one]) => [
      method,
      { ...(one as Incoming), body: "body" },
    ]),
  );
  assert.equal(large.toString(), "....body....");
});
