-- The inbox: what was accepted, and what is still to be done about it.
--
-- Each version is a step that is applied once, in a transaction; PRAGMA user_version counts them. A step is never changed
-- once it has been released: a change is another step. Times are Unix times in milliseconds.

-- Version 1

-- One row for each delivery that was answered with 200: what came, byte for byte.
CREATE TABLE deliveries (
  number INTEGER PRIMARY KEY,           -- in the order of arrival
  source TEXT NOT NULL,                 -- 'default', 'github-acme'
  sender TEXT NOT NULL,                 -- 'github'
  id TEXT NOT NULL,                     -- the sender's own, or a random one
  event TEXT NOT NULL,                  -- 'push'
  digest BLOB NOT NULL,                 -- of sender, event and body; empty where the id is signed and says enough
  received_at INTEGER NOT NULL,         -- Unix time in milliseconds
  repeats INTEGER NOT NULL DEFAULT 0,   -- how often the sender has sent it again
  is_twin INTEGER NOT NULL DEFAULT 0,   -- 1: there was another body under the same unsigned id before
  form TEXT,                            -- how the sender uses forms: see signature/payload.ts
  headers TEXT NOT NULL,                -- a JSON object
  body BLOB NOT NULL
) STRICT;
-- The same delivery again is the same source and id, and where the id is not signed, the same sender, event and body.
CREATE UNIQUE INDEX deliveries_dedupe ON deliveries (source, id, digest);
CREATE INDEX deliveries_received ON deliveries (received_at, source, event);

-- One row for each handler that a delivery has to go through.
CREATE TABLE jobs (
  number INTEGER PRIMARY KEY,
  delivery INTEGER NOT NULL REFERENCES deliveries (number) ON DELETE CASCADE,
  handler TEXT NOT NULL,                -- the pattern in handlers.ts
  state TEXT NOT NULL CHECK (state IN ('pending', 'running', 'done', 'dead')),
  attempts INTEGER NOT NULL DEFAULT 0,
  next_attempt_at INTEGER NOT NULL,     -- Unix time in milliseconds; 2^53 - 1: behind an earlier one of its key
  order_key TEXT,                       -- jobs of one handler and key run one after the other
  owner TEXT,                           -- the receiver that runs it
  last_error TEXT,
  finished_at INTEGER,
  UNIQUE (delivery, handler)
) STRICT;
CREATE INDEX jobs_pending ON jobs (next_attempt_at) WHERE state = 'pending';
CREATE INDEX jobs_running ON jobs (owner) WHERE state = 'running';
CREATE INDEX jobs_dead ON jobs (delivery) WHERE state = 'dead';
CREATE INDEX jobs_order ON jobs (handler, order_key, number)
  WHERE order_key IS NOT NULL AND state IN ('pending', 'running');

-- The receivers that work on this file. One whose beat has stopped is dead, and its jobs are free.
CREATE TABLE receivers (
  owner TEXT PRIMARY KEY,
  beat INTEGER NOT NULL,                -- counts up
  beat_at INTEGER NOT NULL              -- Unix time in milliseconds
) STRICT;

-- Requests that were read and refused, for a while: a secret may turn out to have been the wrong one.
CREATE TABLE quarantine (
  number INTEGER PRIMARY KEY,
  source TEXT NOT NULL,
  received_at INTEGER NOT NULL,
  reason TEXT NOT NULL,                 -- 'signature-mismatch'
  head TEXT NOT NULL,                   -- method, target and headers as JSON
  body BLOB NOT NULL
) STRICT;

-- Version 2

-- SHA-256 of head and body: the same request again is no new row. Rows from before have none.
ALTER TABLE quarantine ADD COLUMN digest BLOB;
CREATE UNIQUE INDEX quarantine_once ON quarantine (source, digest);
CREATE INDEX quarantine_source ON quarantine (source, number);

-- Version 3

-- What is left of a delivery whose time was up: a captured one that comes again is still a repeat.
CREATE TABLE old_deliveries (
  key BLOB PRIMARY KEY,                 -- SHA-256 of source, id and digest
  received_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX old_deliveries_received ON old_deliveries (received_at);
-- For how long its handler has put the job off, in milliseconds: a time further ahead is a clock's mistake.
ALTER TABLE jobs ADD COLUMN postponed_by INTEGER NOT NULL DEFAULT 0;

-- Version 4

-- At how many endings of a process in a row the job was running.
ALTER TABLE jobs ADD COLUMN endings INTEGER NOT NULL DEFAULT 0;
CREATE INDEX jobs_suspect ON jobs (number) WHERE endings > 0 AND state IN ('pending', 'running');
