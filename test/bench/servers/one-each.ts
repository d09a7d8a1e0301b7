/**
 * What a receiver without group commit does: verify, parse, and a transaction with a sync of its own for every
 * request, in the thread that answers.
 */
import { DatabaseSync } from "node:sqlite";
import { isAuthentic } from "./authentic.ts";
import { serve } from "./bare.ts";

const database = new DatabaseSync("one-each.db");
database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
database.exec("CREATE TABLE deliveries (id TEXT PRIMARY KEY, event TEXT, body BLOB)");
const insert = database.prepare("INSERT INTO deliveries VALUES (?, ?, ?) ON CONFLICT DO NOTHING");

serve((headers, body) => {
  if (!isAuthentic(body, headers["x-hub-signature-256"])) return 401;
  JSON.parse(body.toString());
  insert.run(String(headers["x-github-delivery"]), String(headers["x-github-event"]), body);
  return 200;
});
