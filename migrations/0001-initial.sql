-- Catalog schema 1. docs/catalog.md explains it. Times are nanoseconds since the epoch, UTC.

CREATE TABLE volume (
  id INTEGER PRIMARY KEY,
  uuid TEXT NOT NULL UNIQUE,
  label TEXT NOT NULL,
  barcode TEXT UNIQUE,
  pool TEXT,
  generation TEXT,
  record_size INTEGER NOT NULL,
  status INTEGER NOT NULL,
  capacity INTEGER NOT NULL,
  used INTEGER NOT NULL,
  end_block INTEGER NOT NULL,
  end_file INTEGER NOT NULL,
  change_reference INTEGER,
  created INTEGER NOT NULL,
  last_written INTEGER,
  notes TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE TABLE backup_set (
  id INTEGER PRIMARY KEY CHECK (id < 8388608),
  uuid TEXT NOT NULL UNIQUE,
  job TEXT NOT NULL,
  host TEXT NOT NULL,
  roots TEXT NOT NULL,
  compression TEXT NOT NULL,
  recipients TEXT NOT NULL,
  state INTEGER NOT NULL,
  started INTEGER NOT NULL,
  finished INTEGER,
  committed_members INTEGER NOT NULL DEFAULT 0,
  warnings INTEGER NOT NULL DEFAULT 0
) STRICT;

-- A member is visible where its ordinal lies in [first_ordinal, first_ordinal + members) of a part that is not loading.
CREATE TABLE part (
  set_id INTEGER NOT NULL REFERENCES backup_set (id),
  number INTEGER NOT NULL,
  volume_id INTEGER NOT NULL REFERENCES volume (id),
  first_ordinal INTEGER NOT NULL,
  members INTEGER NOT NULL DEFAULT 0,
  bytes INTEGER NOT NULL DEFAULT 0,
  directories INTEGER NOT NULL DEFAULT 0,
  index_file INTEGER,
  index_block INTEGER,
  loading INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (set_id, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX part_volume ON part (volume_id);

CREATE TABLE archive (
  set_id INTEGER NOT NULL REFERENCES backup_set (id),
  number INTEGER NOT NULL,
  part INTEGER NOT NULL,
  file INTEGER NOT NULL,
  block INTEGER NOT NULL,
  records INTEGER NOT NULL,
  stream_bytes INTEGER NOT NULL,
  stored_bytes INTEGER NOT NULL,
  header_bytes INTEGER NOT NULL,
  frames BLOB NOT NULL,
  UNIQUE (set_id, number)
) STRICT;

CREATE TABLE fragment (
  set_id INTEGER NOT NULL REFERENCES backup_set (id),
  ordinal INTEGER NOT NULL,
  archive INTEGER NOT NULL,
  stream_offset INTEGER NOT NULL,
  data_offset INTEGER NOT NULL,
  data_length INTEGER NOT NULL,
  PRIMARY KEY (set_id, ordinal, archive)
) STRICT, WITHOUT ROWID;

-- Shared by all sets; a parent's id is smaller than its children's; 0 is the root and has no row.
CREATE TABLE directory (
  id INTEGER PRIMARY KEY,
  parent INTEGER NOT NULL,
  name BLOB NOT NULL,
  UNIQUE (parent, name)
) STRICT;

-- One row for each unbroken stretch of the walk below a directory.
CREATE TABLE set_directory (
  set_id INTEGER NOT NULL,
  directory_id INTEGER NOT NULL,
  first_ordinal INTEGER NOT NULL,
  own INTEGER NOT NULL,
  direct INTEGER NOT NULL,
  subtree INTEGER NOT NULL,
  PRIMARY KEY (set_id, directory_id, first_ordinal)
) STRICT, WITHOUT ROWID;

-- Keys: set id * 2^40 + first ordinal.
CREATE TABLE member_block (
  key INTEGER PRIMARY KEY,
  count INTEGER NOT NULL,
  body BLOB NOT NULL
) STRICT;
CREATE TABLE member_names (
  key INTEGER PRIMARY KEY,
  tail BLOB NOT NULL
) STRICT;

-- Up to 64 blocks of one set and part.
CREATE TABLE segment (
  id INTEGER PRIMARY KEY,
  key INTEGER NOT NULL UNIQUE,
  members INTEGER NOT NULL,
  counts BLOB NOT NULL,
  buckets INTEGER NOT NULL,
  extensions BLOB NOT NULL
) STRICT;
-- Keys: segment id * 2^8 + slice. A slice holds the block bitmaps of 256 buckets.
CREATE TABLE signature (
  key INTEGER PRIMARY KEY,
  bitmaps BLOB NOT NULL
) STRICT;
