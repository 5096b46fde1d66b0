-- Catalog schema 4: drives, cartridges and their health. Times are nanoseconds since the epoch, UTC.

-- A cartridge as a thing, whatever volume it is: known by the serial number in its memory, else by barcode, else by volume.
CREATE TABLE cartridge (
  id INTEGER PRIMARY KEY,
  serial TEXT UNIQUE,
  barcode TEXT,
  volume TEXT,
  first_seen INTEGER NOT NULL,
  last_seen INTEGER NOT NULL,
  -- Cleaning cartridges: cleanings that we saw, and when a drive said that it is used up.
  cleanings INTEGER NOT NULL DEFAULT 0,
  expired INTEGER
) STRICT;
CREATE INDEX cartridge_barcode ON cartridge (barcode);
CREATE INDEX cartridge_volume ON cartridge (volume);

-- What a drive said at one time. The numbers in columns are what came since the sample before of the same mount; thinning adds
-- them up, so that sums over a time stay true.
CREATE TABLE health_sample (
  id INTEGER PRIMARY KEY,
  taken INTEGER NOT NULL,
  event INTEGER NOT NULL,
  drive TEXT NOT NULL,
  cartridge_id INTEGER REFERENCES cartridge (id),
  mounts INTEGER NOT NULL,
  written INTEGER NOT NULL,
  read INTEGER NOT NULL,
  write_corrected INTEGER NOT NULL,
  write_failed INTEGER NOT NULL,
  read_corrected INTEGER NOT NULL,
  read_failed INTEGER NOT NULL,
  -- The counters as the drive gave them, JSON.
  readings TEXT NOT NULL
) STRICT;
CREATE INDEX health_sample_drive ON health_sample (drive, taken);
CREATE INDEX health_sample_cartridge ON health_sample (cartridge_id, taken);

CREATE TABLE health_alert (
  id INTEGER PRIMARY KEY,
  drive TEXT NOT NULL,
  cartridge_id INTEGER REFERENCES cartridge (id),
  -- TapeAlert flag, or 0 for what we found ourselves.
  flag INTEGER NOT NULL,
  severity INTEGER NOT NULL,
  category TEXT NOT NULL,
  message TEXT NOT NULL,
  created INTEGER NOT NULL,
  last_seen INTEGER NOT NULL,
  resolved INTEGER
) STRICT;
CREATE INDEX health_alert_drive ON health_alert (drive, created);
-- One alert of a kind at a time.
CREATE UNIQUE INDEX health_alert_open ON health_alert (drive, ifnull(cartridge_id, 0), flag, category)
  WHERE resolved IS NULL;
