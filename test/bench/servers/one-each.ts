/**
 * What a receiver without group commit does: verify, parse, and a transaction with a sync of its own for every
 * request, in the thread that answers.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { DatabaseSync } from "node:sqlite";
import { serve } from "./bare.ts";

const database = new DatabaseSync("one-each.db");
database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
database.exec("CREATE TABLE deliveries (id TEXT PRIMARY KEY, event TEXT, body BLOB)");
const insert = database.prepare("INSERT INTO deliveries VALUES (?, ?, ?) ON CONFLICT DO NOTHING");

serve((headers, body) => {
  const expected = createHmac("sha256", String(process.env.WEBHOOK_SECRET)).update(body).digest();
  const given = Buffer.from(String(headers["x-hub-signature-256"]).slice("sha256=".length), "hex");
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return 401;
  JSON.parse(body.toString());
  insert.run(String(headers["x-github-delivery"]), String(headers["x-github-event"]), body);
  return 200;
});
