//! The catalog's row of a volume, as the cartridge itself has it.

use super::RebuiltVolume;
use crate::catalog::{Catalog, NewVolume, Volume, VolumeStatus};
use crate::drive::{Drive, Medium};
use crate::engine::EngineError;
use crate::format::v1::VolumeFile;

/// What a scan learnt of a volume.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Extent {
    /// Logical block behind the last filemark.
    pub(super) end_block: u64,
    /// Number of the tape file that begins there.
    pub(super) end_file: u64,
    /// Bytes of archives and indexes.
    pub(super) used: u64,
    /// When the last index was written, in nanoseconds since the epoch.
    pub(super) written: Option<i64>,
    /// The last part goes on on another volume: this one is full.
    pub(super) full: bool,
}

/// Nanoseconds since the epoch from RFC 3339.
pub(super) fn nanos(text: &str) -> Option<i64> {
    let time: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(time.as_nanosecond()).ok()
}

/// The row of the volume with this volume file; added where it is not known.
pub(super) fn find_or_add(
    catalog: &Catalog,
    drive: &mut Drive,
    file: &VolumeFile,
    medium: &Medium,
    barcode: Option<&str>,
    report: &mut RebuiltVolume,
) -> Result<Volume, EngineError> {
    let barcode = barcode.or(medium.barcode.as_deref()).or(file.barcode.as_deref());
    if let Some(barcode) = barcode
        && let Some(other) = catalog.volume_by_barcode(barcode)?
        && other.uuid != file.uuid
    {
        report.problems.push(format!(
            "the catalog has another volume, {}, with the barcode {barcode}: that cartridge was labelled anew, or two have the same barcode",
            other.label
        ));
        catalog.update_volume(&Volume { barcode: None, ..other })?;
    }
    if let Some(known) = catalog.volume_by_uuid(&file.uuid)? {
        if barcode.is_none() || known.barcode.as_deref() == barcode {
            return Ok(known);
        }
        let known = Volume { barcode: barcode.map(str::to_owned), ..known };
        catalog.update_volume(&known)?;
        return Ok(known);
    }
    let id = catalog.add_volume(&NewVolume {
        uuid: file.uuid.clone(),
        label: file.label.clone(),
        barcode: barcode.map(str::to_owned),
        pool: file.pool.clone(),
        generation: medium.generation.map(|generation| generation.to_string()),
        record_size: file.record_size,
        capacity: drive.capacity()?.map_or(0, |capacity| capacity.total),
        // Behind the volume file; the scan's end replaces it.
        end_block: 2,
        end_file: 1,
        change_reference: None,
        created: nanos(&file.created).unwrap_or_default(),
    })?;
    Ok(catalog.volume(id)?)
}

/// Makes the row say where the tape ends now. A tape that ends before what the catalog counts on is told, not believed.
pub(super) fn settle(
    catalog: &Catalog,
    drive: &mut Drive,
    volume: &Volume,
    extent: &Extent,
    report: &mut RebuiltVolume,
) -> Result<(), EngineError> {
    let known = catalog.volume(volume.id)?;
    if extent.end_block < known.end_block {
        report.problems.push(format!(
            "the catalog counts on data up to block {}, the tape ends at block {}",
            known.end_block, extent.end_block
        ));
        return Ok(());
    }
    let has_parts = !catalog.parts_on(volume.id)?.is_empty();
    let status = match known.status {
        VolumeStatus::Blank | VolumeStatus::Active if extent.full => VolumeStatus::Full,
        VolumeStatus::Blank if has_parts || extent.end_file > 1 => VolumeStatus::Active,
        other => other,
    };
    catalog.update_volume(&Volume {
        end_block: extent.end_block,
        end_file: extent.end_file,
        change_reference: drive.volume_change_reference()?,
        used: known.used.max(extent.used),
        last_written: known.last_written.max(extent.written),
        status,
        ..known
    })?;
    Ok(())
}
