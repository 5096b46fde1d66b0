//! Which tape the next run of a job would take.

use super::allocate::Wanted;
use super::{EngineError, VolumesInUse};
use crate::catalog::{Catalog, SlotKind, Volume, VolumeStatus};

/// A tape, and why this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecommendedTape {
    /// The volume.
    pub volume: Volume,
    /// Why, for people.
    pub reason: String,
}

/// The volume of a pool that a backup beginning now would be written to first, by what the last inventories found; none
/// where it would have to ask for one.
///
/// # Errors
/// The catalog failed.
pub fn recommend_tape(
    catalog: &Catalog,
    pool: &str,
    in_use: &VolumesInUse,
) -> Result<Option<RecommendedTape>, EngineError> {
    let mut present = Vec::new();
    let mut libraries = 0;
    for library in catalog.libraries()?.into_iter().filter(|library| library.enabled) {
        libraries += usize::from(library.last_inventory.is_some());
        let slots = catalog.slots_of(library.id)?;
        let is_data = |barcode: &String| !barcode.starts_with("CLN");
        present.extend(slots.into_iter().filter_map(|slot| slot.barcode).filter(is_data));
    }
    let present = (libraries > 0).then_some(present);
    let wanted = Wanted { volume: None, pool: Some(pool) };
    let mut candidates = wanted.in_order(catalog.volumes()?, present.as_deref());
    candidates.retain(|volume| !in_use.holds(volume.id));
    Ok(candidates.into_iter().next().map(|volume| {
        let place = match (&present, &volume.barcode) {
            (Some(_), Some(barcode)) if is_loaded(catalog, barcode) => "it is in a drive",
            (Some(_), Some(_)) => "it is in the library",
            _ => "put it into the drive",
        };
        let room = volume.capacity.saturating_sub(volume.used);
        let reason = match (volume.is_labelled(), volume.status) {
            (false, _) => format!("Entered and not labelled yet, used when it is needed; {place}"),
            (true, VolumeStatus::Active) if volume.capacity > 0 => {
                format!(
                    "Written last in pool {pool}, with room for {} GB more; {place}",
                    room / 1_000_000_000
                )
            }
            (true, VolumeStatus::Active) => format!("Written last in pool {pool}; {place}"),
            (true, _) => format!("Blank, and no tape of pool {pool} that was begun has room; {place}"),
        };
        RecommendedTape { volume, reason }
    }))
}

fn is_loaded(catalog: &Catalog, barcode: &str) -> bool {
    let libraries = catalog.libraries().unwrap_or_default();
    libraries.iter().any(|library| {
        catalog.slots_of(library.id).is_ok_and(|slots| {
            slots.iter().any(|slot| slot.kind == SlotKind::Drive && slot.barcode.as_deref() == Some(barcode))
        })
    })
}
