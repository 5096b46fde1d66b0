-- Catalog schema 6: what a job saw.

-- How the tree was walked, so that a set can be continued.
ALTER TABLE backup_set ADD COLUMN exclude TEXT NOT NULL DEFAULT '[]';
ALTER TABLE backup_set ADD COLUMN one_file_system INTEGER NOT NULL DEFAULT 0;
