//! Volumes: one cartridge each.

use rusqlite::{OptionalExtension, Row, params};

use super::error::{changed_one, unique};
use super::ids::{Int, uint};
use super::{Catalog, CatalogError, Result, VolumeId, VolumeStatus, pools};

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
    /// Number of the tape file that begins there; 0 while it is not labelled.
    pub end_file: u64,
    /// MAM volume change reference after the last commit.
    pub change_reference: Option<u32>,
    /// When it was labelled, or entered.
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
    /// Number of the tape file that begins there; 0 while it is not labelled.
    pub end_file: u64,
    /// MAM volume change reference after the last commit.
    pub change_reference: Option<u32>,
    /// When it was labelled, or entered.
    pub created: i64,
    /// When something was last committed on it.
    pub last_written: Option<i64>,
    /// For people.
    pub notes: String,
    /// Where it is while it is not in a library, in its owner's words.
    pub offsite_location: Option<String>,
    /// Parts that were begun on it since it is known.
    pub write_count: u64,
    /// When somebody changed its row.
    pub updated: i64,
    /// What it was before it was exported.
    pub exported_from: Option<VolumeStatus>,
}

impl Volume {
    /// Whether its volume file is on tape. A volume that was only entered is labelled when it is needed.
    pub fn is_labelled(&self) -> bool {
        self.end_file > 0
    }
}

const COLUMNS: &str =
    "id, uuid, label, barcode, pool, generation, record_size, status, capacity, used, end_block, end_file,
    change_reference, created, last_written, notes, offsite_location, write_count, updated, exported_from";

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
        offsite_location: row.get(16)?,
        write_count: uint(row, 17)?,
        updated: row.get(18)?,
        exported_from: row.get::<_, Option<u8>>(19)?.map(VolumeStatus::from_number),
    })
}

impl Catalog {
    /// Adds a blank volume; its pool has a row afterwards.
    ///
    /// # Errors
    /// [`CatalogError::Exists`] where another volume has its barcode.
    pub fn add_volume(&self, new: &NewVolume) -> Result<VolumeId> {
        self.durably(|c| {
            pools::ensure(c, new.pool.as_deref(), new.created)?;
            c.execute(
                "INSERT INTO volume (uuid, label, barcode, pool, generation, record_size, status, capacity, used, end_block,
                   end_file, change_reference, created, updated)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, 0, ?8, ?9, ?10, ?11, ?11)",
                params![
                    new.uuid, new.label, new.barcode, new.pool, new.generation, new.record_size, Int(new.capacity),
                    Int(new.end_block), Int(new.end_file), new.change_reference, new.created
                ],
            )
            .map_err(unique("tape with the barcode", new.barcode.as_deref().unwrap_or_default()))?;
            Ok(VolumeId(c.last_insert_rowid()))
        })
    }

    fn volume_where(&self, condition: &str, value: &dyn rusqlite::ToSql) -> Result<Option<Volume>> {
        let reader = self.pool.get()?;
        let mut statement =
            reader.prepare_cached(&format!("SELECT {COLUMNS} FROM volume WHERE {condition} = ?1"))?;
        Ok(statement.query_row([value], read).optional()?)
    }

    /// Forgets a volume that holds no part of any set; does nothing where it holds one. See [`Catalog::delete_volume`].
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

    /// Writes everything but the id: for who holds the volume. [`Catalog::edit_volume`] is for everybody else.
    pub fn update_volume(&self, volume: &Volume) -> Result<()> {
        let v = volume;
        self.durably(|c| {
            pools::ensure(c, v.pool.as_deref(), v.created)?;
            let changed = c.execute(
                "UPDATE volume SET uuid = ?2, label = ?3, barcode = ?4, pool = ?5, generation = ?6, record_size = ?7, status = ?8,
                   capacity = ?9, used = ?10, end_block = ?11, end_file = ?12, change_reference = ?13, created = ?14,
                   last_written = ?15, notes = ?16, offsite_location = ?17, write_count = ?18, updated = ?19, exported_from = ?20
                 WHERE id = ?1",
                params![
                    v.id, v.uuid, v.label, v.barcode, v.pool, v.generation, v.record_size, v.status as u8, Int(v.capacity),
                    Int(v.used), Int(v.end_block), Int(v.end_file), v.change_reference, v.created, v.last_written, v.notes,
                    v.offsite_location, Int(v.write_count), v.updated, v.exported_from.map(|status| status as u8)
                ],
            )?;
            changed_one(changed, "volume", v.id)
        })
    }
}

/// The volume with this id, as the transaction sees it.
pub(super) fn by_id(connection: &rusqlite::Connection, id: VolumeId) -> Result<Volume> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM volume WHERE id = ?1"))?;
    let found = statement.query_row([id], read).optional()?;
    found.ok_or_else(|| CatalogError::NotFound { what: "volume", name: id.to_string() })
}
