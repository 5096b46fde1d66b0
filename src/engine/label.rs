//! Making a cartridge a volume.

use super::error::OperatorRequest;
use super::fence::{self, Identity};
use super::station::Loader;
use super::{Appliance, EngineError, cartridge_memory, transfer};
use crate::catalog::{BackupSet, Catalog, CatalogError, NewVolume, Volume, VolumeId, VolumeStatus};
use crate::changer::ElementKind;
use crate::drive::Drive;
use crate::format::v1::volume::{self, Found, VolumeFile};

/// What to label.
#[derive(Debug, Clone, Default)]
pub struct LabelRequest {
    /// A volume of the catalog that the cartridge becomes again, or for the first time; then barcode, name and pool are
    /// its own.
    pub volume: Option<VolumeId>,
    /// Barcode of the cartridge; without one the cartridge in the drive.
    pub barcode: Option<String>,
    /// Name of the volume; the barcode when not given.
    pub label: Option<String>,
    /// Pool.
    pub pool: Option<String>,
    /// Bytes of a record; 256 KiB when not given.
    pub record_size: Option<u32>,
    /// Destroy what a foreign or already labelled cartridge holds.
    pub overwrite: bool,
    /// Destroy backup sets that the catalog knows on it.
    pub destroy_sets: bool,
}

/// What was labelled.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct LabelReport {
    /// Name of the volume.
    pub label: String,
    /// Barcode, where known.
    pub barcode: Option<String>,
    /// Identity.
    pub uuid: String,
    /// What the cartridge held before.
    pub before: String,
    /// What could not be written into the cartridge's memory.
    pub warnings: Vec<String>,
    /// Whether it is a file and no tape.
    pub is_virtual: bool,
}

/// Bytes of a record unless asked otherwise.
pub(super) const RECORD_SIZE: u32 = 256 * 1024;
/// Smallest and largest record size of a volume: a multiple of 512.
const RECORD_SIZES: std::ops::RangeInclusive<u32> = 16 * 1024..=1024 * 1024;

impl Appliance {
    /// A cartridge to label when none is named and the drive is empty: the first in the library that is no volume yet.
    /// Nothing is overwritten without being asked for, so that a wrong guess costs nothing.
    ///
    /// # Errors
    /// The devices do not answer.
    pub fn first_unlabelled(&mut self) -> Result<Option<String>, EngineError> {
        let status = self.library_status()?;
        if status.devices.iter().any(|device| device.loaded == Some(true)) {
            return Ok(None);
        }
        let mut candidates = status.elements.into_iter().filter(|element| {
            element.kind == ElementKind::Storage
                && element.full
                && !element.cleaning
                && element.volume.is_none()
        });
        Ok(candidates.find_map(|element| element.barcode))
    }

    /// Labels one cartridge.
    ///
    /// # Errors
    /// The cartridge is not there, not blank, write-protected, or its name is taken; then nothing was written.
    pub fn label(&mut self, request: &LabelRequest) -> Result<LabelReport, EngineError> {
        self.claim()?;
        let mut station = self.task_station()?;
        let (drive, loader) = station.split()?;
        label(self.catalog(), drive, loader, request)
    }
}

/// Labels the cartridge that `request` names, with devices that are open already.
pub(super) fn label(
    catalog: &Catalog,
    drive: &mut Drive,
    loader: &mut Loader,
    request: &LabelRequest,
) -> Result<LabelReport, EngineError> {
    let named = request.volume.map(|id| catalog.volume(id)).transpose()?;
    let record_size =
        request.record_size.or(named.as_ref().map(|volume| volume.record_size)).unwrap_or(RECORD_SIZE);
    check_record_size(record_size)?;
    let barcode = match &named {
        Some(volume) => volume.barcode.clone(),
        None => request.barcode.clone(),
    };
    let name = named.as_ref().map(|volume| volume.label.as_str()).or(barcode.as_deref());
    loader.bring(drive, barcode.as_deref(), name.unwrap_or_default()).map_err(|error| match error {
        EngineError::Operator(OperatorRequest::Insert { drive, .. }) if name.is_none() => {
            EngineError::Operator(OperatorRequest::InsertToLabel { drive })
        }
        error => error,
    })?;
    // Before the drive is set up: a probe that fails may have it reset.
    let longest = transfer::longest(catalog, drive)?;
    let medium = fence::prepare(drive)?;
    let longest = transfer::of_record(longest, &medium);
    let record_size = fitting(request.record_size, record_size, longest, drive.name())?;
    let barcode = barcode.or_else(|| medium.barcode.clone());
    let identity = fence::identity(drive)?;
    let rows = Rows::find(catalog, &identity, barcode.as_deref(), request, named)?;
    let label = request
        .label
        .clone()
        .or_else(|| rows.kept.as_ref().filter(|_| rows.keeps_name).map(|volume| volume.label.clone()))
        .or_else(|| barcode.clone())
        .ok_or_else(|| {
            EngineError::Request("a cartridge without a barcode needs a name: --label NAME".into())
        })?;
    if medium.write_protected {
        return Err(EngineError::WriteProtected { volume: label });
    }
    if let Some(volume) = request.volume.and(rows.kept.as_ref()) {
        let by_barcode = loader.element().is_some() && volume.barcode.is_some();
        check_cartridge(catalog, drive.name(), &identity, volume, by_barcode)?;
    }
    let cartridge = || barcode.clone().unwrap_or_else(|| "the cartridge in the drive".into());
    if medium.worm
        && let Identity::Found(found) = &identity
    {
        return Err(EngineError::WriteOnce { cartridge: cartridge(), found: found.to_string() });
    }
    let partitions = drive.partitions()?;
    if partitions > 1 && medium.worm {
        // It cannot be formatted into one.
        return Err(EngineError::WriteOnce {
            cartridge: cartridge(),
            found: format!("{partitions} partitions"),
        });
    }
    if partitions > 1 && !request.overwrite {
        return Err(EngineError::Partitioned { cartridge: cartridge(), partitions });
    }
    rows.check(catalog, &identity, &label, barcode.as_deref(), request)?;
    let pool = request
        .pool
        .clone()
        .or_else(|| rows.kept.as_ref().filter(|_| rows.keeps_name).and_then(|volume| volume.pool.clone()));
    let capacity = drive.capacity()?;
    let created = super::now();
    // A volume that was entered has its identity already; one that is labelled anew becomes another.
    let uuid = match &rows.kept {
        Some(volume) if !volume.is_labelled() => volume.uuid.clone(),
        _ => super::new_uuid(),
    };
    let file = VolumeFile {
        barcode: barcode.clone(),
        pool: pool.clone(),
        ..VolumeFile::new(uuid, label.clone(), record_size, super::rfc3339(created))
    };
    let record = volume::encode(&file)
        .map_err(|source| EngineError::Format { what: format!("the volume file of {label}"), source })?;
    loader.watch.mounted(drive);
    // From here on the cartridge's old content is gone, so the catalog forgets it first.
    let kept = rows.forget(catalog)?;
    drive.rewind()?;
    if partitions > 1 {
        drive.format_medium()?;
    }
    drive.write(&record)?;
    drive.write_filemarks(1, false)?;
    let end = drive.position()?;
    let new = NewVolume {
        uuid: file.uuid.clone(),
        label: label.clone(),
        barcode: barcode.clone(),
        pool,
        generation: medium.generation.map(|g| g.to_string()),
        record_size,
        capacity: capacity.map_or(0, |c| c.total),
        end_block: end.block.0,
        end_file: 1,
        change_reference: drive.volume_change_reference()?,
        created,
    };
    match kept {
        Some(id) => catalog.relabel_volume(id, &new)?,
        None => {
            catalog.add_volume(&new)?;
        }
    }
    if barcode.is_none() {
        loader.labelled(&label)?;
    }
    let told = cartridge_memory::Told {
        uuid: &new.uuid,
        label: &label,
        barcode: barcode.as_deref(),
        pool: new.pool.as_deref(),
        end: (new.end_block, new.end_file),
    };
    let warnings = cartridge_memory::write(drive, told).into_iter().collect();
    Ok(LabelReport {
        label,
        barcode,
        uuid: file.uuid,
        before: identity.describe(),
        warnings,
        is_virtual: drive.identity().is_virtual(),
    })
}

/// The record size in force where records have `longest` bytes at most: what was asked for has to fit, what was not asked
/// for is made to.
fn fitting(asked: Option<u32>, size: u32, longest: usize, drive: &str) -> Result<u32, EngineError> {
    let longest = u32::try_from(longest).unwrap_or(u32::MAX) / 512 * 512;
    if size <= longest {
        return Ok(size);
    }
    if asked.is_none() && RECORD_SIZES.contains(&longest) {
        return Ok(longest);
    }
    Err(EngineError::Request(format!(
        "record size {size}: {drive} takes records of at most {longest} bytes here (host adapter, drive, block protection); nothing was written. Give a smaller --record-size"
    )))
}

fn check_record_size(record_size: u32) -> Result<(), EngineError> {
    if RECORD_SIZES.contains(&record_size) && record_size.is_multiple_of(512) {
        return Ok(());
    }
    Err(EngineError::Request(format!(
        "record size {record_size}: give a multiple of 512 from {} to {}",
        RECORD_SIZES.start(),
        RECORD_SIZES.end()
    )))
}

/// A cartridge that is to become `volume` is not another one: it is blank, or says that it is this volume, or came by its
/// barcode.
fn check_cartridge(
    catalog: &Catalog,
    drive: &str,
    identity: &Identity,
    volume: &Volume,
    by_barcode: bool,
) -> Result<(), EngineError> {
    let Identity::Found(found) = identity else { return Ok(()) };
    let other = match found.as_ref() {
        Found::Reelward(file) if file.uuid == volume.uuid => return Ok(()),
        Found::Reelward(file) => catalog.volume_by_uuid(&file.uuid)?,
        _ => None,
    };
    if other.is_none() && (by_barcode || !volume.is_labelled()) {
        return Ok(());
    }
    Err(EngineError::WrongVolume {
        drive: drive.to_owned(),
        expected: format!("{} ({})", volume.label, volume.uuid),
        found: found.to_string(),
    })
}

/// What the catalog has on a cartridge that is to be labelled.
struct Rows {
    /// The row that stays, with its id.
    kept: Option<Volume>,
    /// Whether name and pool of that row are the new ones, unless the request says otherwise.
    keeps_name: bool,
    /// A row of what the cartridge was, which goes.
    old: Option<Volume>,
}

impl Rows {
    fn find(
        catalog: &Catalog,
        identity: &Identity,
        barcode: Option<&str>,
        request: &LabelRequest,
        named: Option<Volume>,
    ) -> Result<Rows, EngineError> {
        let volumes = catalog.volumes()?;
        let found = match identity {
            Identity::Found(found) => match found.as_ref() {
                Found::Reelward(file) => volumes.iter().find(|volume| volume.uuid == file.uuid),
                _ => None,
            },
            Identity::Blank => None,
        };
        let by_barcode =
            volumes.iter().find(|volume| barcode.is_some() && volume.barcode.as_deref() == barcode);
        let entered = || {
            by_barcode.filter(|volume| !volume.is_labelled()).or_else(|| {
                let label = request.label.as_deref()?;
                volumes
                    .iter()
                    .find(|volume| !volume.is_labelled() && volume.barcode.is_none() && volume.label == label)
            })
        };
        let entered = named.or_else(|| entered().cloned());
        // Erased by somebody else: the barcode still tells which volume it was.
        let was = found.or(by_barcode.filter(|_| request.overwrite)).cloned();
        Ok(match (entered, was) {
            (Some(kept), Some(old)) if old.id != kept.id => {
                Rows { kept: Some(kept), keeps_name: true, old: Some(old) }
            }
            (Some(kept), _) => Rows { kept: Some(kept), keeps_name: true, old: None },
            (None, kept) => Rows { kept, keeps_name: false, old: None },
        })
    }

    fn each(&self) -> impl Iterator<Item = &Volume> {
        self.kept.iter().chain(&self.old)
    }

    /// Whether the cartridge may become the volume `label`.
    fn check(
        &self,
        catalog: &Catalog,
        identity: &Identity,
        label: &str,
        barcode: Option<&str>,
        request: &LabelRequest,
    ) -> Result<(), EngineError> {
        if let Identity::Found(found) = identity
            && !request.overwrite
        {
            // A label that was written before the catalog knew: nothing is lost when it is written again.
            let unfinished = self.kept.as_ref().filter(|volume| !volume.is_labelled());
            let same = matches!(found.as_ref(), Found::Reelward(file) if unfinished.is_some_and(|volume| volume.uuid == file.uuid));
            if !same {
                let cartridge = barcode.unwrap_or("the cartridge in the drive").to_owned();
                return Err(EngineError::NotBlank { cartridge, found: found.to_string() });
            }
        }
        if let Some(volume) =
            self.each().find(|v| matches!(v.status, VolumeStatus::Retired | VolumeStatus::Exported))
        {
            return Err(EngineError::Unwritable {
                volume: volume.label.clone(),
                status: volume.status.as_str(),
            });
        }
        let volumes = catalog.volumes()?;
        let others = || volumes.iter().filter(|volume| self.each().all(|own| own.id != volume.id));
        if others().any(|volume| volume.label == label) {
            return Err(EngineError::InUse { what: "volume name", name: label.to_owned() });
        }
        if let Some(barcode) = barcode
            && others().any(|volume| volume.barcode.as_deref() == Some(barcode))
        {
            return Err(EngineError::InUse { what: "barcode", name: barcode.to_owned() });
        }
        if request.destroy_sets {
            return check_increments(catalog, &self.sets(catalog)?);
        }
        self.each().try_for_each(|volume| check_sets(catalog, volume, &volumes))
    }

    /// The sets on it, increments before what they are built upon.
    fn sets(&self, catalog: &Catalog) -> Result<Vec<BackupSet>, EngineError> {
        let mut sets: Vec<BackupSet> = Vec::new();
        for volume in self.each() {
            for set in catalog.sets_on_volume(volume.id)? {
                if sets.iter().all(|known| known.id != set.id) {
                    sets.push(set);
                }
            }
        }
        sets.sort_by_key(|set| std::cmp::Reverse(set.bases.len()));
        Ok(sets)
    }

    /// Takes what is on the cartridge out of the catalog; returns the row that stays, not labelled now.
    fn forget(self, catalog: &Catalog) -> Result<Option<VolumeId>, EngineError> {
        for set in self.sets(catalog)? {
            catalog.delete_set(set.id)?;
        }
        if let Some(old) = self.old {
            catalog.remove_volume(old.id)?;
        }
        let Some(kept) = self.kept else { return Ok(None) };
        catalog.unlabel_volume(kept.id)?;
        Ok(Some(kept.id))
    }
}

/// What increments elsewhere are built upon is not given up.
fn check_increments(catalog: &Catalog, sets: &[BackupSet]) -> Result<(), EngineError> {
    for set in sets {
        let mut by = catalog.dependents(set)?;
        by.retain(|other| sets.iter().all(|own| own.id != *other));
        if !by.is_empty() {
            return Err(CatalogError::Depended { set: set.id, by }.into());
        }
    }
    Ok(())
}

/// Sets are given up only when that was asked for.
fn check_sets(catalog: &Catalog, volume: &Volume, volumes: &[Volume]) -> Result<(), EngineError> {
    let sets = catalog.sets_on_volume(volume.id)?;
    if sets.is_empty() {
        return Ok(());
    }
    let mut others = Vec::new();
    for part in sets.iter().map(|set| catalog.parts_of(set.id)).collect::<Result<Vec<_>, _>>()?.concat() {
        let other = volumes.iter().find(|other| other.id == part.volume && other.id != volume.id);
        others.extend(other.map(|other| other.label.clone()).filter(|label| !others.contains(label)));
    }
    Err(EngineError::HoldsSets { volume: volume.label.clone(), sets: sets.len(), others })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_fit_the_way_to_the_drive() {
        let size = |asked, size, longest| fitting(asked, size, longest, "/dev/nst0").ok();
        assert_eq!(size(None, RECORD_SIZE, 1 << 20), Some(RECORD_SIZE));
        assert_eq!(size(Some(1 << 20), 1 << 20, 1 << 20), Some(1 << 20));
        assert_eq!(size(Some(1 << 20), 1 << 20, (1 << 20) - 4), None, "block protection takes four bytes");
        assert_eq!(size(None, RECORD_SIZE, (128 << 10) - 4), Some((128 << 10) - 512));
        assert_eq!(size(None, RECORD_SIZE, 8 << 10), None);
        let told = fitting(Some(1 << 20), 1 << 20, 600 << 10, "/dev/nst0").unwrap_err().to_string();
        assert!(told.contains("at most 614400 bytes") && told.contains("/dev/nst0"), "{told}");
    }
}
