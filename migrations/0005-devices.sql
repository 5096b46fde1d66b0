-- Catalog schema 5: drives, libraries, slots, encryption keys, copies of the catalog; what people say of volumes.

ALTER TABLE volume ADD COLUMN offsite_location TEXT;
ALTER TABLE volume ADD COLUMN write_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE volume ADD COLUMN updated INTEGER NOT NULL DEFAULT 0;
-- The status to return to when an exported volume is imported.
ALTER TABLE volume ADD COLUMN exported_from INTEGER;
UPDATE volume SET updated = ifnull(last_written, created),
  write_count = (SELECT count(*) FROM part WHERE part.volume_id = volume.id);

CREATE TABLE library (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  device TEXT NOT NULL UNIQUE,
  vendor TEXT NOT NULL,
  model TEXT NOT NULL,
  serial TEXT NOT NULL,
  slots INTEGER NOT NULL,
  drives INTEGER NOT NULL,
  import_export INTEGER NOT NULL,
  barcode_reader INTEGER NOT NULL,
  enabled INTEGER NOT NULL,
  is_virtual INTEGER NOT NULL,
  last_inventory INTEGER,
  created INTEGER NOT NULL,
  updated INTEGER NOT NULL
) STRICT;

-- element: the drive's address in its library.
CREATE TABLE drive (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  device TEXT NOT NULL UNIQUE,
  display_name TEXT NOT NULL,
  vendor TEXT NOT NULL,
  model TEXT NOT NULL,
  serial TEXT NOT NULL,
  enabled INTEGER NOT NULL,
  selected INTEGER NOT NULL,
  library_id INTEGER REFERENCES library (id),
  element INTEGER,
  is_virtual INTEGER NOT NULL,
  created INTEGER NOT NULL,
  updated INTEGER NOT NULL
) STRICT;

-- number: storage from 1, import/export going on behind it, drives from 0.
CREATE TABLE slot (
  id INTEGER PRIMARY KEY,
  library_id INTEGER NOT NULL REFERENCES library (id),
  number INTEGER NOT NULL,
  element INTEGER NOT NULL,
  kind TEXT NOT NULL,
  barcode TEXT,
  full INTEGER NOT NULL,
  UNIQUE (library_id, element)
) STRICT;

-- sealed: the private identity, sealed by config::vault.
CREATE TABLE encryption_key (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  recipient TEXT NOT NULL UNIQUE,
  fingerprint TEXT NOT NULL,
  sealed BLOB NOT NULL,
  created INTEGER NOT NULL,
  retired INTEGER
) STRICT;

-- A copy of this catalog on tape: a backup set like any other. The row stays when the set is gone.
CREATE TABLE database_copy (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  volume_id INTEGER REFERENCES volume (id) ON DELETE SET NULL,
  label TEXT NOT NULL,
  set_uuid TEXT,
  taken INTEGER NOT NULL,
  size INTEGER NOT NULL,
  checksum TEXT,
  status TEXT NOT NULL,
  error TEXT,
  created INTEGER NOT NULL
) STRICT;
CREATE INDEX database_copy_volume ON database_copy (volume_id);
