//! The life of a volume: which status may follow which, and the columns that people write.

use rusqlite::params;

use super::error::{changed_one, unique};
use super::ids::Int;
use super::volumes::by_id;
use super::{Catalog, CatalogError, NewVolume, Result, VolumeId, pools};

/// What may be done with a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum VolumeStatus {
    /// No set on it; labelled, or to be labelled when it is needed.
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
    /// All of them.
    pub const ALL: [VolumeStatus; 6] = [
        VolumeStatus::Blank,
        VolumeStatus::Active,
        VolumeStatus::Full,
        VolumeStatus::Expired,
        VolumeStatus::Retired,
        VolumeStatus::Exported,
    ];

    pub(super) fn from_number(number: u8) -> VolumeStatus {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(VolumeStatus::Retired)
    }

    /// `blank`, `active`, `full`, `expired`, `retired` or `exported`.
    pub fn as_str(self) -> &'static str {
        match self {
            VolumeStatus::Blank => "blank",
            VolumeStatus::Active => "active",
            VolumeStatus::Full => "full",
            VolumeStatus::Expired => "expired",
            VolumeStatus::Retired => "retired",
            VolumeStatus::Exported => "exported",
        }
    }

    /// The one with this word.
    pub fn parse(word: &str) -> Option<VolumeStatus> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Whether a person may make a volume of this status `to`. `holds_sets`: the catalog has sets on it.
    /// docs/catalog.md has the table.
    ///
    /// # Errors
    /// Why not, and the way out.
    pub fn may_become(self, to: VolumeStatus, holds_sets: bool) -> std::result::Result<(), &'static str> {
        use VolumeStatus::{Active, Blank, Expired, Exported, Full, Retired};
        match (self, to) {
            (from, to) if from == to => Ok(()),
            (Exported, _) => Err("it is not in the library; import it first"),
            (_, Exported) => Ok(()),
            (Retired, _) => Err("a retired tape is never written again"),
            (Active | Full, Blank) => Err("it is in use; format it to make it blank"),
            (_, Blank) if holds_sets => Err("it holds backup sets; format it to make it blank"),
            (_, Blank | Full | Retired) => Ok(()),
            (Blank, Expired) => Err("there is nothing on it that could expire"),
            (_, Active | Expired) => Ok(()),
        }
    }
}

/// What a person changes of a volume; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeEdit {
    /// Its name.
    pub label: Option<String>,
    /// Its barcode; only while it is not labelled, for the tape names it too.
    pub barcode: Option<String>,
    /// Pool; `Some(None)` takes it out of its pool.
    pub pool: Option<Option<String>>,
    /// Status.
    pub status: Option<VolumeStatus>,
    /// Bytes it holds, while no drive has told it.
    pub capacity: Option<u64>,
    /// For people.
    pub notes: Option<String>,
    /// Where it is while it is not in a library; `Some(None)` when it is back.
    pub offsite_location: Option<Option<String>>,
}

impl Catalog {
    /// Writes what a person changes, and nothing that a task may be writing at the same time. `now` is nanoseconds since
    /// the epoch.
    ///
    /// # Errors
    /// [`CatalogError::Status`], [`CatalogError::Exists`], [`CatalogError::InUse`] for the barcode of a labelled volume,
    /// [`CatalogError::NotFound`].
    pub fn edit_volume(&self, id: VolumeId, edit: &VolumeEdit, now: i64) -> Result<()> {
        self.durably(|c| {
            let volume = by_id(c, id)?;
            let status = edit.status.unwrap_or(volume.status);
            let holds_sets = c.query_row("SELECT EXISTS (SELECT 1 FROM part WHERE volume_id = ?1)", [id], |r| r.get(0))?;
            volume.status.may_become(status, holds_sets).map_err(|why| CatalogError::Status {
                label: volume.label.clone(),
                from: volume.status.as_str(),
                to: status.as_str(),
                why,
            })?;
            let label = edit.label.as_ref().unwrap_or(&volume.label);
            let barcode = edit.barcode.as_ref().or(volume.barcode.as_ref());
            if barcode != volume.barcode.as_ref() && volume.is_labelled() {
                let by = "it is labelled, and its barcode is part of the label; format it to change that".into();
                return Err(CatalogError::InUse { what: "barcode of tape", name: volume.label, by });
            }
            taken(c, id, label, barcode.map(String::as_str))?;
            let pool = edit.pool.as_ref().unwrap_or(&volume.pool);
            pools::ensure(c, pool.as_deref(), now)?;
            let exported_from = match status {
                VolumeStatus::Exported if volume.status != VolumeStatus::Exported => Some(volume.status as u8),
                VolumeStatus::Exported => volume.exported_from.map(|before| before as u8),
                _ => None,
            };
            c.execute(
                "UPDATE volume SET label = ?2, barcode = ?3, pool = ?4, status = ?5, notes = ?6, offsite_location = ?7,
                   exported_from = ?8, updated = ?9, capacity = ?10 WHERE id = ?1",
                params![
                    id,
                    label,
                    barcode,
                    pool,
                    status as u8,
                    edit.notes.as_ref().unwrap_or(&volume.notes),
                    edit.offsite_location.as_ref().unwrap_or(&volume.offsite_location),
                    exported_from,
                    now,
                    Int(edit.capacity.unwrap_or(volume.capacity))
                ],
            )?;
            Ok(())
        })
    }

    /// Says what a task found: the volume is full, or takes its first set. Leaves alone what people write.
    pub fn set_volume_status(&self, id: VolumeId, status: VolumeStatus) -> Result<()> {
        self.durably(|c| {
            let sql = "UPDATE volume SET status = ?2 WHERE id = ?1";
            changed_one(c.execute(sql, params![id, status as u8])?, "volume", id)
        })
    }

    /// What was on the cartridge is about to be overwritten: the row stays, blank and not labelled.
    pub fn unlabel_volume(&self, id: VolumeId) -> Result<()> {
        self.durably(|c| {
            let changed = c.execute(
                "UPDATE volume SET status = 0, used = 0, end_block = 0, end_file = 0, change_reference = NULL WHERE id = ?1",
                [id],
            )?;
            changed_one(changed, "volume", id)
        })
    }

    /// The cartridge of a volume was labelled: its row says what is on tape now. Notes and the count of its parts stay.
    ///
    /// # Errors
    /// [`CatalogError::Exists`] where another volume has its barcode; [`CatalogError::NotFound`].
    pub fn relabel_volume(&self, id: VolumeId, new: &NewVolume) -> Result<()> {
        self.durably(|c| {
            pools::ensure(c, new.pool.as_deref(), new.created)?;
            let changed = c
                .execute(
                    "UPDATE volume SET uuid = ?2, label = ?3, barcode = ?4, pool = ?5, generation = ?6, record_size = ?7, status = 0,
                       capacity = CASE ?8 WHEN 0 THEN capacity ELSE ?8 END, used = 0, end_block = ?9, end_file = ?10,
                       change_reference = ?11, created = ?12, last_written = NULL,
                       updated = ?12 WHERE id = ?1",
                    params![
                        id,
                        new.uuid,
                        new.label,
                        new.barcode,
                        new.pool,
                        new.generation,
                        new.record_size,
                        Int(new.capacity),
                        Int(new.end_block),
                        Int(new.end_file),
                        new.change_reference,
                        new.created
                    ],
                )
                .map_err(unique("tape with the barcode", new.barcode.as_deref().unwrap_or_default()))?;
            changed_one(changed, "volume", id)
        })
    }

    /// An exported volume is back: it is what it was before. `now` is nanoseconds since the epoch.
    ///
    /// # Errors
    /// [`CatalogError::Status`] where it is not exported; [`CatalogError::NotFound`].
    pub fn import_volume(&self, id: VolumeId, now: i64) -> Result<()> {
        self.durably(|c| {
            let volume = by_id(c, id)?;
            if volume.status != VolumeStatus::Exported {
                let (from, why) = (volume.status.as_str(), "only an exported tape can be imported");
                return Err(CatalogError::Status { label: volume.label, from, to: "imported", why });
            }
            // An older catalog does not say what it was: then a tape is full, which loses nothing.
            let before = volume.exported_from.unwrap_or(VolumeStatus::Full);
            c.execute(
                "UPDATE volume SET status = ?2, exported_from = NULL, offsite_location = NULL, updated = ?3 WHERE id = ?1",
                params![id, before as u8, now],
            )?;
            Ok(())
        })
    }

    /// Everything on these volumes is past its time. One that is neither active nor full any more stays as it is;
    /// returns how many changed. `now` is nanoseconds since the epoch.
    pub fn expire_volumes(&self, ids: &[VolumeId], now: i64) -> Result<usize> {
        self.durably(|c| {
            let mut changed = 0;
            for id in ids {
                changed += c.execute(
                    "UPDATE volume SET status = 3, updated = ?2 WHERE id = ?1 AND status IN (1, 2)",
                    params![id, now],
                )?;
            }
            Ok(changed)
        })
    }

    /// Forgets a volume.
    ///
    /// # Errors
    /// [`CatalogError::InUse`] while sets are on it; [`CatalogError::NotFound`].
    pub fn delete_volume(&self, id: VolumeId) -> Result<()> {
        self.durably(|c| {
            let volume = by_id(c, id)?;
            let sets: i64 =
                c.query_row("SELECT count(DISTINCT set_id) FROM part WHERE volume_id = ?1", [id], |r| {
                    r.get(0)
                })?;
            if sets > 0 {
                let by = format!("it holds {sets} backup sets; delete them or format it first");
                return Err(CatalogError::InUse { what: "tape", name: volume.label, by });
            }
            c.execute("DELETE FROM volume WHERE id = ?1", [id])?;
            Ok(())
        })
    }

    /// Whether a volume of this label or barcode may be added.
    ///
    /// # Errors
    /// [`CatalogError::Exists`].
    pub fn check_volume_names(&self, label: &str, barcode: Option<&str>) -> Result<()> {
        taken(&*self.pool.get()?, VolumeId(0), label, barcode)
    }
}

/// Label and barcode are no other volume's.
fn taken(connection: &rusqlite::Connection, id: VolumeId, label: &str, barcode: Option<&str>) -> Result<()> {
    let exists = |sql: &str, value: &str| -> Result<bool> {
        Ok(connection.query_row(sql, params![id, value], |row| row.get(0))?)
    };
    if exists("SELECT EXISTS (SELECT 1 FROM volume WHERE id <> ?1 AND label = ?2)", label)? {
        return Err(CatalogError::Exists { what: "tape", name: label.to_owned() });
    }
    if let Some(barcode) = barcode
        && exists("SELECT EXISTS (SELECT 1 FROM volume WHERE id <> ?1 AND barcode = ?2)", barcode)?
    {
        return Err(CatalogError::Exists { what: "tape with the barcode", name: barcode.to_owned() });
    }
    Ok(())
}
