//! The history of drives and cartridges: samples of what drives say, thinned as they age, and what they add up to.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use super::ids::uint;
use super::{CartridgeId, Catalog, Result};

/// Nanoseconds of a day.
const DAY: i64 = 24 * 3600 * 1_000_000_000;
/// Samples are all kept so long.
const WHOLE: i64 = 30 * DAY;
/// Then one a day of each drive and cartridge so long, and one in 30 days from then on.
const DAILY: i64 = 365 * DAY;
/// More are never kept; the oldest go first.
const MOST_SAMPLES: i64 = 100_000;
/// Of alerts that are over, too.
const MOST_ALERTS: i64 = 10_000;

/// What a sample was taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum HealthEvent {
    /// A cartridge was loaded.
    Mount = 0,
    /// A task found the cartridge loaded.
    Found = 1,
    /// A cartridge is about to be unloaded.
    Dismount = 2,
    /// A backup ended.
    Backup = 3,
    /// A restore ended.
    Restore = 4,
    /// A verification ended.
    Verify = 5,
    /// The drive was cleaned.
    Clean = 6,
    /// Somebody asked.
    Request = 7,
}

impl HealthEvent {
    const ALL: [HealthEvent; 8] = [
        HealthEvent::Mount,
        HealthEvent::Found,
        HealthEvent::Dismount,
        HealthEvent::Backup,
        HealthEvent::Restore,
        HealthEvent::Verify,
        HealthEvent::Clean,
        HealthEvent::Request,
    ];

    fn from_number(number: u8) -> HealthEvent {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(HealthEvent::Request)
    }
}

/// What a drive said, each as far as it says it. Counters of bytes and errors have the span that the drive gives them: with
/// most drives since the cartridge was loaded.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // the groups say it
pub struct Readings {
    // Bytes on the medium, and errors while writing and reading.
    pub written: Option<u64>,
    pub read: Option<u64>,
    pub write_corrected: Option<u64>,
    pub write_failed: Option<u64>,
    pub read_corrected: Option<u64>,
    pub read_failed: Option<u64>,
    // The drive in its life; hours, metres, degrees Celsius, compression in hundredths.
    pub temperature: Option<u64>,
    pub power_on_hours: Option<u64>,
    pub motion_hours: Option<u64>,
    pub motion_hours_since_cleaning: Option<u64>,
    pub metres: Option<u64>,
    pub loads: Option<u64>,
    pub cleanings: Option<u64>,
    pub power_cycles: Option<u64>,
    pub hard_write_errors: Option<u64>,
    pub hard_read_errors: Option<u64>,
    pub read_compression: Option<u64>,
    pub write_compression: Option<u64>,
    /// TapeAlert flags; bit n-1 is flag n.
    pub flags: Option<u64>,
    pub cleaning_requested: bool,
    pub cleaning_required: bool,
    // The cartridge in its life; percent, bytes.
    pub life_left: Option<u64>,
    pub cartridge_loads: Option<u64>,
    pub cartridge_written: Option<u64>,
    pub cartridge_read: Option<u64>,
    pub beginning_passes: Option<u64>,
    pub middle_passes: Option<u64>,
    pub cartridge_write_failed: Option<u64>,
    pub cartridge_read_failed: Option<u64>,
    pub last_drives: Vec<String>,
    pub manufacturer: Option<String>,
    pub manufactured: Option<String>,
}

/// What happened in a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, serde::Deserialize)]
pub struct Happened {
    /// Cartridges loaded.
    pub mounts: u64,
    /// Bytes written.
    pub written: u64,
    /// Bytes read.
    pub read: u64,
    /// Errors corrected while writing.
    pub write_corrected: u64,
    /// Writes that failed.
    pub write_failed: u64,
    /// Errors corrected while reading.
    pub read_corrected: u64,
    /// Reads that failed.
    pub read_failed: u64,
}

impl Happened {
    /// What came between two samples of one mount; a counter that fell was set back to 0 in between.
    pub fn between(before: &Readings, now: &Readings) -> Happened {
        let rise = |old: Option<u64>, new: Option<u64>| match (old, new) {
            (Some(old), Some(new)) if new >= old => new - old,
            (Some(_), Some(new)) => new,
            _ => 0,
        };
        Happened {
            mounts: 0,
            written: rise(before.written, now.written),
            read: rise(before.read, now.read),
            write_corrected: rise(before.write_corrected, now.write_corrected),
            write_failed: rise(before.write_failed, now.write_failed),
            read_corrected: rise(before.read_corrected, now.read_corrected),
            read_failed: rise(before.read_failed, now.read_failed),
        }
    }

    /// Errors corrected per GB (10^9 bytes) moved; `None` where less than a tenth of that moved.
    pub fn corrected_per_gb(&self) -> Option<f64> {
        let bytes = self.written.saturating_add(self.read);
        let errors = self.write_corrected.saturating_add(self.read_corrected);
        (bytes >= 100_000_000).then(|| errors as f64 / (bytes as f64 / 1e9))
    }

    /// Reads and writes that failed.
    pub fn failed(&self) -> u64 {
        self.write_failed.saturating_add(self.read_failed)
    }

    /// Both together.
    pub fn and(&self, other: &Happened) -> Happened {
        Happened {
            mounts: self.mounts.saturating_add(other.mounts),
            written: self.written.saturating_add(other.written),
            read: self.read.saturating_add(other.read),
            write_corrected: self.write_corrected.saturating_add(other.write_corrected),
            write_failed: self.write_failed.saturating_add(other.write_failed),
            read_corrected: self.read_corrected.saturating_add(other.read_corrected),
            read_failed: self.read_failed.saturating_add(other.read_failed),
        }
    }
}

/// A sample to keep. Times are nanoseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSample {
    /// When.
    pub taken: i64,
    /// What for.
    pub event: HealthEvent,
    /// Serial number of the drive; its name where it has none.
    pub drive: String,
    /// The cartridge in it, where there is one that is known by anything.
    pub cartridge: Option<CartridgeId>,
    /// What the drive said.
    pub readings: Readings,
}

/// A sample in the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// As it was added.
    pub sample: NewSample,
    /// What happened since the one before; of all that thinning took out, too.
    pub happened: Happened,
}

/// What a drive did with a cartridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairTrend {
    /// The drive.
    pub drive: String,
    /// The cartridge.
    pub cartridge: CartridgeId,
    /// What happened.
    pub happened: Happened,
    /// The last time.
    pub last: i64,
}

const COLUMNS: &str =
    "taken, event, drive, cartridge_id, readings, mounts, written, read, write_corrected, write_failed,
    read_corrected, read_failed";
const SUMS: &str =
    "ifnull(sum(mounts), 0), ifnull(sum(written), 0), ifnull(sum(read), 0), ifnull(sum(write_corrected), 0),
    ifnull(sum(write_failed), 0), ifnull(sum(read_corrected), 0), ifnull(sum(read_failed), 0)";

fn happened(row: &Row<'_>, first: usize) -> rusqlite::Result<Happened> {
    Ok(Happened {
        mounts: uint(row, first)?,
        written: uint(row, first + 1)?,
        read: uint(row, first + 2)?,
        write_corrected: uint(row, first + 3)?,
        write_failed: uint(row, first + 4)?,
        read_corrected: uint(row, first + 5)?,
        read_failed: uint(row, first + 6)?,
    })
}

fn read(row: &Row<'_>) -> rusqlite::Result<(Sample, String)> {
    let sample = NewSample {
        taken: row.get(0)?,
        event: HealthEvent::from_number(row.get(1)?),
        drive: row.get(2)?,
        cartridge: row.get(3)?,
        readings: Readings::default(),
    };
    Ok((Sample { sample, happened: happened(row, 5)? }, row.get(4)?))
}

fn whole((mut sample, readings): (Sample, String)) -> Result<Sample> {
    sample.sample.readings = serde_json::from_str(&readings)?;
    Ok(sample)
}

fn last_of_drive(c: &Connection, drive: &str) -> Result<Option<Sample>> {
    let sql =
        format!("SELECT {COLUMNS} FROM health_sample WHERE drive = ?1 ORDER BY taken DESC, id DESC LIMIT 1");
    c.prepare_cached(&sql)?.query_row([drive], read).optional()?.map(whole).transpose()
}

/// A number that a column holds.
fn column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Catalog {
    /// Keeps a sample; returns what happened since the one before of the same mount. The first of a mount says nothing of
    /// what happened: drives differ in whether their counters begin anew with it.
    pub fn add_sample(&self, new: &NewSample) -> Result<Happened> {
        let readings = serde_json::to_string(&new.readings)?;
        // A task waits for nothing here: a power cut may take the last samples back.
        self.lock().transaction(false, |c| {
            let before = last_of_drive(c, &new.drive)?;
            let is_mount = new.event == HealthEvent::Mount;
            let mut happened = match &before {
                Some(before) if !is_mount && before.sample.cartridge == new.cartridge => {
                    Happened::between(&before.sample.readings, &new.readings)
                }
                _ => Happened::default(),
            };
            happened.mounts = is_mount.into();
            let h = &happened;
            c.prepare_cached(
                "INSERT INTO health_sample (taken, event, drive, cartridge_id, readings, mounts, written, read,
                   write_corrected, write_failed, read_corrected, read_failed)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )?
            .execute(params![
                new.taken, new.event as u8, new.drive, new.cartridge, readings, column(h.mounts), column(h.written),
                column(h.read), column(h.write_corrected), column(h.write_failed), column(h.read_corrected),
                column(h.read_failed)
            ])?;
            // Once a day is enough.
            if before.is_none_or(|before| before.sample.taken / DAY != new.taken / DAY) {
                thin(c, new.taken)?;
            }
            Ok(happened)
        })
    }

    /// The newest sample of a drive.
    pub fn last_sample(&self, drive: &str) -> Result<Option<Sample>> {
        last_of_drive(&*self.pool.get()?, drive)
    }

    /// The newest sample with a cartridge.
    pub fn last_sample_with(&self, cartridge: CartridgeId) -> Result<Option<Sample>> {
        let reader = self.pool.get()?;
        let sql = format!(
            "SELECT {COLUMNS} FROM health_sample WHERE cartridge_id = ?1 ORDER BY taken DESC, id DESC LIMIT 1"
        );
        let found = reader.prepare_cached(&sql)?.query_row([cartridge], read).optional()?;
        found.map(whole).transpose()
    }

    /// Samples of a drive from a time on, the oldest first.
    pub fn samples(&self, drive: &str, since: i64) -> Result<Vec<Sample>> {
        let reader = self.pool.get()?;
        let sql = format!(
            "SELECT {COLUMNS} FROM health_sample WHERE drive = ?1 AND taken >= ?2 ORDER BY taken, id"
        );
        let mut statement = reader.prepare_cached(&sql)?;
        let rows = statement.query_map(params![drive, since], read)?.collect::<rusqlite::Result<Vec<_>>>()?;
        rows.into_iter().map(whole).collect()
    }

    /// What a drive did in all its history here.
    pub fn drive_totals(&self, drive: &str) -> Result<Happened> {
        let reader = self.pool.get()?;
        let sql = format!("SELECT {SUMS} FROM health_sample WHERE drive = ?1");
        Ok(reader.prepare_cached(&sql)?.query_row([drive], |row| happened(row, 0))?)
    }

    /// What each drive did with each cartridge from a time on.
    pub fn pair_trends(&self, since: i64) -> Result<Vec<PairTrend>> {
        let reader = self.pool.get()?;
        let sql = format!(
            "SELECT drive, cartridge_id, max(taken), {SUMS} FROM health_sample
             WHERE cartridge_id IS NOT NULL AND taken >= ?1 GROUP BY drive, cartridge_id ORDER BY cartridge_id, drive"
        );
        let mut statement = reader.prepare_cached(&sql)?;
        let rows = statement.query_map([since], |row| {
            Ok(PairTrend {
                drive: row.get(0)?,
                cartridge: row.get(1)?,
                last: row.get(2)?,
                happened: happened(row, 3)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

/// Of samples of one drive and cartridge that are older than 30 days one a day stays, of those older than a year one in
/// 30 days: the last, with what happened in all of them.
fn thin(c: &Connection, now: i64) -> Result<()> {
    let mut groups: Vec<(Vec<i64>, Happened)> = Vec::new();
    {
        let sql = "SELECT id, drive, cartridge_id, CASE WHEN taken < ?2 THEN taken / ?3 ELSE 1000000 + taken / ?4 END AS bucket,
               mounts, written, read, write_corrected, write_failed, read_corrected, read_failed
             FROM health_sample WHERE taken < ?1 ORDER BY drive, cartridge_id, bucket, taken, id";
        let mut statement = c.prepare_cached(sql)?;
        let mut rows = statement.query(params![now - WHOLE, now - DAILY, 30 * DAY, DAY])?;
        let mut last: Option<(String, Option<i64>, i64)> = None;
        while let Some(row) = rows.next()? {
            let key = (row.get(1)?, row.get(2)?, row.get(3)?);
            let found = happened(row, 4)?;
            match groups.last_mut() {
                Some((ids, sum)) if last.as_ref() == Some(&key) => {
                    ids.push(row.get(0)?);
                    *sum = sum.and(&found);
                }
                _ => groups.push((vec![row.get(0)?], found)),
            }
            last = Some(key);
        }
    }
    for (ids, sum) in groups {
        let Some((kept, dropped)) = ids.split_last().filter(|(_, dropped)| !dropped.is_empty()) else {
            continue;
        };
        c.prepare_cached(
            "UPDATE health_sample SET mounts = ?2, written = ?3, read = ?4, write_corrected = ?5, write_failed = ?6,
               read_corrected = ?7, read_failed = ?8 WHERE id = ?1",
        )?
        .execute(params![
            kept, column(sum.mounts), column(sum.written), column(sum.read), column(sum.write_corrected),
            column(sum.write_failed), column(sum.read_corrected), column(sum.read_failed)
        ])?;
        let mut delete = c.prepare_cached("DELETE FROM health_sample WHERE id = ?1")?;
        for id in dropped {
            delete.execute([id])?;
        }
    }
    c.execute(
        "DELETE FROM health_sample WHERE id IN (SELECT id FROM health_sample ORDER BY taken DESC, id DESC LIMIT -1 OFFSET ?1)",
        [MOST_SAMPLES],
    )?;
    c.execute(
        "DELETE FROM health_alert WHERE resolved IS NOT NULL
           AND id IN (SELECT id FROM health_alert ORDER BY id DESC LIMIT -1 OFFSET ?1)",
        [MOST_ALERTS],
    )?;
    Ok(())
}
