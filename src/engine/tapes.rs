//! What the catalog says of volumes, and where they are.

use serde::{Deserialize, Serialize};

use super::library::Place;
use super::{Appliance, CartridgeHealth, EngineError, fence};
use crate::catalog::{Catalog, CheckReport, NewVolume, Volume, VolumeEdit, VolumeId};
use crate::format::v1::Found;
use crate::scsi::generation::Generation;

/// One volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TapeRow {
    /// Its name.
    pub label: String,
    /// Barcode, where it has one.
    pub barcode: Option<String>,
    /// Identity.
    pub uuid: String,
    /// Pool.
    pub pool: Option<String>,
    /// `blank`, `active`, `full`, `expired`, `retired` or `exported`.
    pub status: &'static str,
    /// Bytes written.
    pub used: u64,
    /// Bytes it holds, uncompressed; 0 when not known.
    pub capacity: u64,
    /// Backup sets with a part on it.
    pub sets: u64,
    /// When something was last committed on it, RFC 3339, UTC.
    pub last_written: Option<String>,
    /// `LTO-9` and the like.
    pub generation: Option<String>,
    /// Bytes of a record.
    pub record_size: u32,
}

/// One part of a set, as it lies on a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TapePart {
    /// Number of the set.
    pub set_id: i64,
    /// Identity of the set.
    pub set: String,
    /// Name of the job.
    pub job: String,
    /// `open`, `complete` or `interrupted`.
    pub state: &'static str,
    /// When the set began, RFC 3339, UTC.
    pub started: String,
    /// Number of the part in the set, from 1.
    pub part: u32,
    /// Members of the part.
    pub members: u64,
    /// Bytes of their content.
    pub bytes: u64,
    /// Archive files of the part.
    pub archives: u64,
    /// Tape file number of its index; none while it is not written.
    pub index_file: Option<u64>,
    /// Who can read it; everybody when empty.
    pub recipients: Vec<String>,
}

/// One volume in detail.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TapeInfo {
    /// The row.
    #[serde(flatten)]
    pub row: TapeRow,
    /// When it was labelled, RFC 3339, UTC.
    pub created: String,
    /// Logical block behind the last committed filemark.
    pub end_block: u64,
    /// Number of the tape file that begins there.
    pub end_file: u64,
    /// What lies on it, in the order of the sets.
    pub parts: Vec<TapePart>,
    /// Where it is; none when no library in use has it.
    pub place: Option<Place>,
    /// The life of its cartridge; none where no drive has told of it.
    pub health: Option<CartridgeHealth>,
}

/// A kind of tape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LtoType {
    /// `LTO-9` and the like.
    pub name: &'static str,
    /// Bytes it holds.
    pub native_capacity: u64,
    /// Bytes it holds of what the drive compresses as well as its makers assume: 2 to 1 up to LTO-5, 2.5 to 1 since.
    pub compressed_capacity: u64,
}

/// The kinds of tape that are known, oldest first.
pub fn lto_types() -> Vec<LtoType> {
    let described = |generation: Generation| {
        let native_capacity = generation.capacity();
        let compressed_capacity = match generation {
            Generation::Lto5 => native_capacity * 2,
            _ => native_capacity / 2 * 5,
        };
        LtoType { name: generation.name(), native_capacity, compressed_capacity }
    };
    Generation::ALL.into_iter().map(described).collect()
}

/// A volume to enter before its cartridge is labelled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewTape {
    /// Its name.
    pub label: String,
    /// Barcode, where its cartridge has one.
    pub barcode: Option<String>,
    /// Pool.
    pub pool: Option<String>,
    /// `LTO-9` and the like.
    pub generation: Option<String>,
    /// Bytes it holds, uncompressed; 0 when not known.
    pub capacity: u64,
    /// For people.
    pub notes: String,
    /// Where it is while it is not in a library.
    pub offsite_location: Option<String>,
}

/// Enters a volume. Its cartridge is labelled on request, or when a backup needs it.
///
/// # Errors
/// [`crate::catalog::CatalogError::Exists`] for its name or barcode.
pub fn enter_tape(catalog: &Catalog, new: &NewTape) -> Result<Volume, EngineError> {
    catalog.check_volume_names(&new.label, new.barcode.as_deref())?;
    let created = super::now();
    let id = catalog.add_volume(&NewVolume {
        uuid: super::new_uuid(),
        label: new.label.clone(),
        barcode: new.barcode.clone(),
        pool: new.pool.clone(),
        generation: new.generation.clone(),
        record_size: super::label::RECORD_SIZE,
        capacity: new.capacity,
        end_block: 0,
        end_file: 0,
        change_reference: None,
        created,
    })?;
    let edit = VolumeEdit {
        notes: Some(new.notes.clone()),
        offsite_location: Some(new.offsite_location.clone()),
        ..VolumeEdit::default()
    };
    catalog.edit_volume(id, &edit, created)?;
    Ok(catalog.volume(id)?)
}

/// What the first tape file of a cartridge says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TapeLabel {
    /// Name of the volume; none where there is no label of ours.
    pub label: Option<String>,
    /// Barcode.
    pub barcode: Option<String>,
    /// Identity.
    pub uuid: Option<String>,
    /// Pool.
    pub pool: Option<String>,
    /// When it was labelled, RFC 3339, UTC.
    pub written: Option<String>,
    /// What it is, for people.
    pub found: String,
}

impl Appliance {
    /// Has the cartridge of a volume in the drive and reads its label.
    ///
    /// # Errors
    /// Its cartridge is not there; the devices failed. A cartridge with another label, or none, is no error.
    pub fn read_tape_label(&mut self, id: VolumeId) -> Result<TapeLabel, EngineError> {
        let volume = self.catalog().volume(id)?;
        self.claim()?;
        let mut station = self.task_station()?;
        let (drive, loader) = station.split()?;
        loader.mount(drive, volume.barcode.as_deref(), &volume.label)?;
        fence::prepare(drive)?;
        let identity = fence::identity(drive)?;
        let found = identity.describe();
        let file = match identity {
            fence::Identity::Found(found) => match *found {
                Found::Reelward(file) => Some(file),
                _ => None,
            },
            fence::Identity::Blank => None,
        };
        Ok(match file {
            Some(file) => TapeLabel {
                label: Some(file.label.clone()),
                barcode: file.barcode.clone(),
                uuid: Some(file.uuid.clone()),
                pool: file.pool.clone(),
                written: Some(file.created.clone()),
                found,
            },
            None => TapeLabel { label: None, barcode: None, uuid: None, pool: None, written: None, found },
        })
    }

    /// All volumes, in the order they were added.
    ///
    /// # Errors
    /// The catalog failed.
    pub fn tapes(&self) -> Result<Vec<TapeRow>, EngineError> {
        self.catalog().volumes()?.into_iter().map(|volume| self.row(volume)).collect()
    }

    /// One volume by label, barcode or identity, and its place in the library.
    ///
    /// # Errors
    /// [`EngineError::NoSuchVolume`]; the catalog failed. A library that does not answer is no error.
    pub fn tape_info(&mut self, name: &str) -> Result<TapeInfo, EngineError> {
        let volume = self.volume_named(name)?;
        let mut parts = Vec::new();
        for part in self.catalog().parts_on(volume.id)? {
            let set = self.catalog().set(part.set)?;
            let archives = self.catalog().archives_of(part.set)?;
            parts.push(TapePart {
                set_id: set.id.0,
                set: set.uuid,
                job: set.job,
                state: set.state.as_str(),
                started: super::rfc3339(set.started),
                part: part.number,
                members: part.members,
                bytes: part.bytes,
                archives: archives.iter().filter(|archive| archive.part == part.number).count() as u64,
                index_file: part.index_file,
                recipients: set.recipients,
            });
        }
        let place = volume.barcode.as_deref().and_then(|barcode| self.place_of(barcode));
        let health = self.cartridge_health(&volume)?;
        Ok(TapeInfo {
            health,
            created: super::rfc3339(volume.created),
            end_block: volume.end_block,
            end_file: volume.end_file,
            parts,
            place,
            row: self.row(volume)?,
        })
    }

    /// Whether the catalog agrees with itself.
    ///
    /// # Errors
    /// The catalog cannot be read at all.
    pub fn check_catalog(&self) -> Result<CheckReport, EngineError> {
        Ok(self.catalog().check()?)
    }

    /// The volume that a user means by label, barcode or identity.
    pub(super) fn volume_named(&self, name: &str) -> Result<Volume, EngineError> {
        let volumes = self.catalog().volumes()?;
        let by = |fits: &dyn Fn(&Volume) -> bool| volumes.iter().find(|volume| fits(volume)).cloned();
        by(&|volume| volume.label == name)
            .or_else(|| by(&|volume| volume.barcode.as_deref() == Some(name)))
            .or_else(|| by(&|volume| volume.uuid == name))
            .ok_or_else(|| EngineError::NoSuchVolume { name: name.to_owned() })
    }

    fn row(&self, volume: Volume) -> Result<TapeRow, EngineError> {
        Ok(TapeRow {
            sets: self.catalog().sets_on_volume(volume.id)?.len() as u64,
            status: volume.status.as_str(),
            last_written: volume.last_written.map(super::rfc3339),
            label: volume.label,
            barcode: volume.barcode,
            uuid: volume.uuid,
            pool: volume.pool,
            used: volume.used,
            capacity: volume.capacity,
            generation: volume.generation,
            record_size: volume.record_size,
        })
    }
}
