/** Databases for tests that go on with what was made of them: the inbox, say. */
import type { DatabaseSync } from "node:sqlite";
import { openDatabase } from "../../lib/keep/sqlite/database.ts";

const held: DatabaseSync[] = [];

/** Node 22.13 closes a database that nobody refers to any more, and finalizes its statements, which are in use. */
export function openHeld(file = ":memory:"): DatabaseSync {
  const database = openDatabase(file);
  held.push(database);
  return database;
}
