//! Making a cartridge a volume.

use super::error::OperatorRequest;
use super::fence::{self, Identity};
use super::station::Loader;
use super::{Appliance, EngineError};
use crate::catalog::{Catalog, NewVolume, Volume, VolumeId};
use crate::drive::Drive;
use crate::format::v1::volume::{self, Found, VolumeFile};

/// What to label.
#[derive(Debug, Clone, Default)]
pub struct LabelRequest {
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
#[derive(Debug, Clone, serde::Serialize)]
pub struct LabelReport {
    /// Name of the volume.
    pub label: String,
    /// Barcode, where known.
    pub barcode: Option<String>,
    /// Identity.
    pub uuid: String,
    /// What the cartridge held before.
    pub before: String,
    /// Whether it is a file and no tape.
    pub is_virtual: bool,
}

/// Bytes of a record unless asked otherwise.
const RECORD_SIZE: u32 = 256 * 1024;
/// Smallest and largest record size of a volume: a multiple of 512.
const RECORD_SIZES: std::ops::RangeInclusive<u32> = 16 * 1024..=1024 * 1024;

impl Appliance {
    /// Labels one cartridge.
    ///
    /// # Errors
    /// The cartridge is not there, not blank, write-protected, or its name is taken; then nothing was written.
    pub fn label(&mut self, request: &LabelRequest) -> Result<LabelReport, EngineError> {
        self.claim()?;
        let mut station = self.station()?;
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
    let record_size = request.record_size.unwrap_or(RECORD_SIZE);
    if !RECORD_SIZES.contains(&record_size) || !record_size.is_multiple_of(512) {
        return Err(EngineError::Request(format!(
            "record size {record_size}: give a multiple of 512 from {} to {}",
            RECORD_SIZES.start(),
            RECORD_SIZES.end()
        )));
    }
    let barcode = request.barcode.as_deref();
    loader.mount(drive, barcode, barcode.unwrap_or_default()).map_err(|error| match error {
        EngineError::Operator(OperatorRequest::Insert { drive, .. }) if barcode.is_none() => {
            EngineError::Operator(OperatorRequest::InsertToLabel { drive })
        }
        error => error,
    })?;
    let medium = fence::prepare(drive)?;
    let barcode = request.barcode.clone().or_else(|| medium.barcode.clone());
    let label = request.label.clone().or_else(|| barcode.clone()).ok_or_else(|| {
        EngineError::Request("a cartridge without a barcode needs a name: --label NAME".into())
    })?;
    if medium.write_protected {
        return Err(EngineError::WriteProtected { volume: label });
    }
    let identity = fence::identity(drive)?;
    let old = check_overwrite(catalog, &identity, &label, barcode.as_deref(), request)?;
    let capacity = drive.capacity()?;
    let created = super::now();
    let file = VolumeFile {
        barcode: barcode.clone(),
        pool: request.pool.clone(),
        ..VolumeFile::new(super::new_uuid(), label.clone(), record_size, super::rfc3339(created))
    };
    let record = volume::encode(&file)
        .map_err(|source| EngineError::Format { what: format!("the volume file of {label}"), source })?;
    // From here on the cartridge's old content is gone, so the catalog forgets it first.
    if let Some(old) = old {
        forget_volume(catalog, old)?;
    }
    drive.rewind()?;
    drive.write(&record)?;
    drive.write_filemarks(1, false)?;
    let end = drive.position()?;
    catalog.add_volume(&NewVolume {
        uuid: file.uuid.clone(),
        label: label.clone(),
        barcode: barcode.clone(),
        pool: request.pool.clone(),
        generation: medium.generation.map(|g| g.to_string()),
        record_size,
        capacity: capacity.map_or(0, |c| c.total),
        end_block: end.block.0,
        end_file: 1,
        change_reference: drive.volume_change_reference()?,
        created,
    })?;
    Ok(LabelReport {
        label,
        barcode,
        uuid: file.uuid,
        before: identity.describe(),
        is_virtual: drive.identity().is_virtual(),
    })
}

/// Whether the cartridge may become the volume `label`; the volume it was, if the catalog knows it.
fn check_overwrite(
    catalog: &Catalog,
    identity: &Identity,
    label: &str,
    barcode: Option<&str>,
    request: &LabelRequest,
) -> Result<Option<VolumeId>, EngineError> {
    let mut old: Option<Volume> = None;
    if let Identity::Found(found) = identity {
        if !request.overwrite {
            let cartridge = barcode.unwrap_or("the cartridge in the drive").to_owned();
            return Err(EngineError::NotBlank { cartridge, found: found.to_string() });
        }
        if let Found::Reelward(file) = found.as_ref() {
            old = catalog.volume_by_uuid(&file.uuid)?;
        }
    }
    let volumes = catalog.volumes()?;
    if old.is_none() && request.overwrite {
        // Erased by somebody else: the barcode still tells which volume it was.
        old =
            volumes.iter().find(|volume| barcode.is_some() && volume.barcode.as_deref() == barcode).cloned();
    }
    let others = || volumes.iter().filter(|volume| Some(volume.id) != old.as_ref().map(|old| old.id));
    if others().any(|volume| volume.label == label) {
        return Err(EngineError::InUse { what: "volume name", name: label.to_owned() });
    }
    if let Some(barcode) = barcode
        && others().any(|volume| volume.barcode.as_deref() == Some(barcode))
    {
        return Err(EngineError::InUse { what: "barcode", name: barcode.to_owned() });
    }
    if let Some(volume) = &old {
        let sets = catalog.sets_on_volume(volume.id)?;
        if !sets.is_empty() && !request.destroy_sets {
            let mut others = Vec::new();
            for part in
                sets.iter().map(|set| catalog.parts_of(set.id)).collect::<Result<Vec<_>, _>>()?.concat()
            {
                let other = volumes.iter().find(|other| other.id == part.volume && other.id != volume.id);
                others.extend(other.map(|other| other.label.clone()).filter(|label| !others.contains(label)));
            }
            return Err(EngineError::HoldsSets { volume: volume.label.clone(), sets: sets.len(), others });
        }
    }
    Ok(old.map(|volume| volume.id))
}

fn forget_volume(catalog: &Catalog, volume: VolumeId) -> Result<(), EngineError> {
    for set in catalog.sets_on_volume(volume)? {
        catalog.delete_set(set.id)?;
    }
    catalog.remove_volume(volume)?;
    Ok(())
}
