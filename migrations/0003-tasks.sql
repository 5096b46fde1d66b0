-- Catalog schema 3: pools, sources, jobs, settings. Volumes and sets name pools and jobs; these rows are what is known beyond the name.

CREATE TABLE pool (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  description TEXT NOT NULL DEFAULT '',
  retention_days INTEGER,
  created INTEGER NOT NULL,
  updated INTEGER NOT NULL
) STRICT;
INSERT INTO pool (name, created, updated)
  SELECT pool, min(created), min(created) FROM volume WHERE pool IS NOT NULL GROUP BY pool ORDER BY min(id);

-- include and exclude: JSON arrays of patterns.
CREATE TABLE source (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,
  path TEXT NOT NULL,
  include TEXT NOT NULL,
  exclude TEXT NOT NULL,
  one_file_system INTEGER NOT NULL,
  created INTEGER NOT NULL,
  updated INTEGER NOT NULL
) STRICT;

CREATE TABLE job (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  source_id INTEGER NOT NULL REFERENCES source (id),
  pool_id INTEGER NOT NULL REFERENCES pool (id),
  backup_type TEXT NOT NULL,
  schedule TEXT,
  time_zone TEXT,
  enabled INTEGER NOT NULL,
  compression TEXT NOT NULL,
  encryption_key_id INTEGER,
  retries INTEGER NOT NULL,
  last_run INTEGER,
  created INTEGER NOT NULL,
  updated INTEGER NOT NULL
) STRICT;
CREATE INDEX job_source ON job (source_id);
CREATE INDEX job_pool ON job (pool_id);

-- A value is JSON, or a secret sealed by config::vault: exactly one of the two.
CREATE TABLE setting (
  key TEXT PRIMARY KEY,
  value TEXT,
  sealed BLOB,
  updated INTEGER NOT NULL,
  CHECK ((value IS NULL) <> (sealed IS NULL))
) STRICT, WITHOUT ROWID;
