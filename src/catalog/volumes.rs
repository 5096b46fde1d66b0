//! Volumes: one cartridge each.

use rusqlite::{OptionalExtension, Row, params};

use super::ids::{Int, uint};
use super::{Catalog, CatalogError, Result, VolumeId};

/// What may be done with a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum VolumeStatus {
    /// Labelled, no set on it.
    Blank = 0,
    /// Takes more sets.
    Active = 1,
    /// Takes no more.
    Full = 2,
    /// Everything on it has expired; it may be labelled again.
    Expired = 3,
    /// Never to be written again.
    Retired = 4,
    /// Not in this library.
    Exported = 5,
}

impl VolumeStatus {
    const ALL: [VolumeStatus; 6] = [
        VolumeStatus::Blank,
        VolumeStatus::Active,
        VolumeStatus::Full,
        VolumeStatus::Expired,
        VolumeStatus::Retired,
        VolumeStatus::Exported,
    ];

    fn from_number(number: u8) -> VolumeStatus {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(VolumeStatus::Retired)
    }
}

/// A volume to add. Times are nanoseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVolume {
    /// Identity, as in `volume.json`.
    pub uuid: String,
    /// Its owner's name for it.
    pub label: String,
    /// Barcode.
    pub barcode: Option<String>,
    /// Pool.
    pub pool: Option<String>,
    /// `LTO-9` and the like.
    pub generation: Option<String>,
    /// Bytes of a record.
    pub record_size: u32,
    /// Bytes it holds, uncompressed.
    pub capacity: u64,
    /// Logical block behind the last committed filemark.
    pub end_block: u64,
    /// Number of the tape file that begins there.
    pub end_file: u64,
    /// MAM volume change reference after the last commit.
    pub change_reference: Option<u32>,
    /// When it was labelled.
    pub created: i64,
}

/// A volume as the catalog knows it. Times are nanoseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Id in this catalog.
    pub id: VolumeId,
    /// Identity, as in `volume.json`.
    pub uuid: String,
    /// Its owner's name for it.
    pub label: String,
    /// Barcode.
    pub barcode: Option<String>,
    /// Pool.
    pub pool: Option<String>,
    /// `LTO-9` and the like.
    pub generation: Option<String>,
    /// Bytes of a record.
    pub record_size: u32,
    /// What may be done with it.
    pub status: VolumeStatus,
    /// Bytes it holds, uncompressed.
    pub capacity: u64,
    /// Bytes written.
    pub used: u64,
    /// Logical block behind the last committed filemark: the end of data that the append fence expects.
    pub end_block: u64,
    /// Number of the tape file that begins there.
    pub end_file: u64,
    /// MAM volume change reference after the last commit.
    pub change_reference: Option<u32>,
    /// When it was labelled.
    pub created: i64,
    /// When something was last committed on it.
    pub last_written: Option<i64>,
    /// For people.
    pub notes: String,
}

const COLUMNS: &str =
    "id, uuid, label, barcode, pool, generation, record_size, status, capacity, used, end_block, end_file,
    change_reference, created, last_written, notes";

fn read(row: &Row<'_>) -> rusqlite::Result<Volume> {
    Ok(Volume {
        id: row.get(0)?,
        uuid: row.get(1)?,
        label: row.get(2)?,
        barcode: row.get(3)?,
        pool: row.get(4)?,
        generation: row.get(5)?,
        record_size: row.get(6)?,
        status: VolumeStatus::from_number(row.get(7)?),
        capacity: uint(row, 8)?,
        used: uint(row, 9)?,
        end_block: uint(row, 10)?,
        end_file: uint(row, 11)?,
        change_reference: row.get(12)?,
        created: row.get(13)?,
        last_written: row.get(14)?,
        notes: row.get(15)?,
    })
}

impl Catalog {
    /// Adds a blank volume.
    pub fn add_volume(&self, new: &NewVolume) -> Result<VolumeId> {
        self.durably(|c| {
            c.execute(
                "INSERT INTO volume (uuid, label, barcode, pool, generation, record_size, status, capacity, used, end_block,
                   end_file, change_reference, created)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, 0, ?8, ?9, ?10, ?11)",
                params![
                    new.uuid, new.label, new.barcode, new.pool, new.generation, new.record_size, Int(new.capacity),
                    Int(new.end_block), Int(new.end_file), new.change_reference, new.created
                ],
            )?;
            Ok(VolumeId(c.last_insert_rowid()))
        })
    }

    fn volume_where(&self, condition: &str, value: &dyn rusqlite::ToSql) -> Result<Option<Volume>> {
        let reader = self.pool.get()?;
        let mut statement =
            reader.prepare_cached(&format!("SELECT {COLUMNS} FROM volume WHERE {condition} = ?1"))?;
        Ok(statement.query_row([value], read).optional()?)
    }

    /// Forgets a volume that holds no part of any set.
    pub fn remove_volume(&self, id: VolumeId) -> Result<()> {
        self.durably(|c| {
            c.execute(
                "DELETE FROM volume WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM part WHERE volume_id = ?1)",
                [id],
            )?;
            Ok(())
        })
    }

    /// The volume with this id.
    pub fn volume(&self, id: VolumeId) -> Result<Volume> {
        let missing = || CatalogError::NotFound { what: "volume", name: id.to_string() };
        self.volume_where("id", &id)?.ok_or_else(missing)
    }

    /// The volume with this identity.
    pub fn volume_by_uuid(&self, uuid: &str) -> Result<Option<Volume>> {
        self.volume_where("uuid", &uuid)
    }

    /// The volume with this barcode.
    pub fn volume_by_barcode(&self, barcode: &str) -> Result<Option<Volume>> {
        self.volume_where("barcode", &barcode)
    }

    /// All volumes, in the order they were added.
    pub fn volumes(&self) -> Result<Vec<Volume>> {
        let reader = self.pool.get()?;
        let mut statement = reader.prepare_cached(&format!("SELECT {COLUMNS} FROM volume ORDER BY id"))?;
        Ok(statement.query_map([], read)?.collect::<rusqlite::Result<_>>()?)
    }

    /// Writes everything but the id.
    pub fn update_volume(&self, volume: &Volume) -> Result<()> {
        let v = volume;
        let changed = self.durably(|c| {
            Ok(c.execute(
                "UPDATE volume SET uuid = ?2, label = ?3, barcode = ?4, pool = ?5, generation = ?6, record_size = ?7, status = ?8,
                   capacity = ?9, used = ?10, end_block = ?11, end_file = ?12, change_reference = ?13, created = ?14,
                   last_written = ?15, notes = ?16
                 WHERE id = ?1",
                params![
                    v.id, v.uuid, v.label, v.barcode, v.pool, v.generation, v.record_size, v.status as u8, Int(v.capacity),
                    Int(v.used), Int(v.end_block), Int(v.end_file), v.change_reference, v.created, v.last_written, v.notes
                ],
            )?)
        })?;
        match changed {
            0 => Err(CatalogError::NotFound { what: "volume", name: v.id.to_string() }),
            _ => Ok(()),
        }
    }
}
