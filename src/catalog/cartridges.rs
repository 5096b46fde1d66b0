//! Cartridges as things: what they are known by, whatever volume they hold, and how often one has cleaned.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::ids::uint;
use super::{CartridgeId, Catalog, Result};

/// What is known of a cartridge in a drive: its own serial number, its barcode, the identity of the volume on it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CartridgeSeen {
    /// Serial number in the cartridge memory.
    pub serial: Option<String>,
    /// Barcode.
    pub barcode: Option<String>,
    /// Identity of the volume.
    pub volume: Option<String>,
}

impl CartridgeSeen {
    /// Nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == CartridgeSeen::default()
    }
}

/// One cartridge. Times are nanoseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cartridge {
    /// Id in this catalog.
    pub id: CartridgeId,
    /// What it is known by.
    pub seen: CartridgeSeen,
    /// When it was first in a drive.
    pub first_seen: i64,
    /// When it was last in a drive.
    pub last_seen: i64,
    /// Cleanings that were seen; cleaning cartridges only.
    pub cleanings: u64,
    /// When a drive said that it is used up; cleaning cartridges only.
    pub expired: Option<i64>,
}

const COLUMNS: &str = "id, serial, barcode, volume, first_seen, last_seen, cleanings, expired";

fn read(row: &Row<'_>) -> rusqlite::Result<Cartridge> {
    Ok(Cartridge {
        id: row.get(0)?,
        seen: CartridgeSeen { serial: row.get(1)?, barcode: row.get(2)?, volume: row.get(3)? },
        first_seen: row.get(4)?,
        last_seen: row.get(5)?,
        cleanings: uint(row, 6)?,
        expired: row.get(7)?,
    })
}

/// The row of a cartridge: by serial number, else by barcode, else by volume. A barcode or a volume counts only where it does not
/// contradict the serial number: a label can be put on another cartridge.
fn find(c: &Connection, seen: &CartridgeSeen) -> Result<Option<CartridgeId>> {
    let by = |column: &str, value: &Option<String>| -> Result<Option<CartridgeId>> {
        let Some(value) = value else { return Ok(None) };
        let sql = format!(
            "SELECT id FROM cartridge WHERE {column} = ?1 AND (?2 IS NULL OR serial IS NULL OR serial = ?2)
             ORDER BY last_seen DESC LIMIT 1"
        );
        Ok(c.prepare_cached(&sql)?.query_row(params![value, seen.serial], |row| row.get(0)).optional()?)
    };
    if let Some(found) = by("serial", &seen.serial)? {
        return Ok(Some(found));
    }
    if let Some(found) = by("barcode", &seen.barcode)? {
        return Ok(Some(found));
    }
    // Without a barcode of its own only: the same volume cannot be on two cartridges that have different ones.
    if seen.barcode.is_some() && seen.serial.is_some() { Ok(None) } else { by("volume", &seen.volume) }
}

impl Catalog {
    /// A cartridge is in a drive: its row, made at first sight; what is newly known of it is kept.
    /// Not flushed by itself: a power cut may take it back, with all samples behind it.
    pub fn cartridge_seen(&self, seen: &CartridgeSeen, now: i64) -> Result<CartridgeId> {
        self.lock().transaction(false, |c| {
            if let Some(id) = find(c, seen)? {
                c.execute(
                    "UPDATE cartridge SET serial = ifnull(?2, serial), barcode = ifnull(?3, barcode),
                       volume = ifnull(?4, volume), last_seen = max(?5, last_seen) WHERE id = ?1",
                    params![id, seen.serial, seen.barcode, seen.volume, now],
                )?;
                return Ok(id);
            }
            c.execute(
                "INSERT INTO cartridge (serial, barcode, volume, first_seen, last_seen) VALUES (?1, ?2, ?3, ?4, ?4)",
                params![seen.serial, seen.barcode, seen.volume, now],
            )?;
            Ok(CartridgeId(c.last_insert_rowid()))
        })
    }

    /// The cartridge that is known by any of these; nothing is changed.
    pub fn cartridge_of(&self, seen: &CartridgeSeen) -> Result<Option<Cartridge>> {
        let reader = self.pool.get()?;
        let Some(id) = find(&reader, seen)? else { return Ok(None) };
        let sql = format!("SELECT {COLUMNS} FROM cartridge WHERE id = ?1");
        Ok(reader.prepare_cached(&sql)?.query_row([id], read).optional()?)
    }

    /// All cartridges that were ever in a drive, in the order of their first time.
    pub fn cartridges(&self) -> Result<Vec<Cartridge>> {
        let reader = self.pool.get()?;
        let mut statement = reader.prepare_cached(&format!("SELECT {COLUMNS} FROM cartridge ORDER BY id"))?;
        Ok(statement.query_map([], read)?.collect::<rusqlite::Result<_>>()?)
    }

    /// A cleaning cartridge was used; how often it was, by our count.
    pub fn count_cleaning(&self, id: CartridgeId) -> Result<u64> {
        self.durably(|c| {
            c.execute("UPDATE cartridge SET cleanings = cleanings + 1 WHERE id = ?1", [id])?;
            Ok(c.query_row("SELECT cleanings FROM cartridge WHERE id = ?1", [id], |row| uint(row, 0))?)
        })
    }

    /// A drive said that a cleaning cartridge is used up.
    pub fn expire_cleaning(&self, id: CartridgeId, now: i64) -> Result<()> {
        self.durably(|c| {
            c.execute("UPDATE cartridge SET expired = ifnull(expired, ?2) WHERE id = ?1", params![id, now])?;
            Ok(())
        })
    }
}
