-- Catalog schema 6: what a job saw.

-- How the tree was walked, so that a set can be continued.
ALTER TABLE backup_set ADD COLUMN exclude TEXT NOT NULL DEFAULT '[]';
ALTER TABLE backup_set ADD COLUMN one_file_system INTEGER NOT NULL DEFAULT 0;

-- 0 full, 1 incremental, 2 differential; the sets (uuid) that hold what was unchanged, the nearest first.
ALTER TABLE backup_set ADD COLUMN kind INTEGER NOT NULL DEFAULT 0;
ALTER TABLE backup_set ADD COLUMN bases TEXT NOT NULL DEFAULT '[]';
-- Rows of `seen` that a checkpoint committed.
ALTER TABLE backup_set ADD COLUMN committed_seen INTEGER NOT NULL DEFAULT 0;

-- What was in a directory, or some of it (docs/tape-format.md, chapter 7). Keys: set id * 2^40 + number, in the order of the walk.
CREATE TABLE seen (
  key INTEGER PRIMARY KEY,
  directory_id INTEGER NOT NULL,
  part INTEGER NOT NULL,
  list BLOB NOT NULL
) STRICT;
CREATE INDEX seen_directory ON seen (directory_id, key);
