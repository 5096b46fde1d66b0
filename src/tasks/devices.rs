//! Devices that nobody has named yet become rows.

use super::error::TasksError;
use crate::catalog::{Catalog, LibraryId, NewDrive, NewLibrary};
use crate::engine::{Access, Appliance, DeviceChoice, Discovery, DiscoveryRequest};

/// What was entered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registered {
    /// Names of drives.
    pub drives: Vec<String>,
    /// Names of libraries.
    pub libraries: Vec<String>,
    /// Whether they are the embedded virtual library: files, not tape.
    pub embedded: bool,
}

/// Where the catalog knows no drive: enters those that are found and can be opened; where there is none either, those of
/// the embedded virtual library, which is made.
///
/// # Errors
/// The catalog or the embedded library failed.
pub fn register_devices(appliance: &Appliance, request: &DiscoveryRequest) -> Result<Registered, TasksError> {
    let catalog = appliance.catalog();
    if !catalog.drives()?.is_empty() {
        return Ok(Registered::default());
    }
    let mut found = appliance.discover(request);
    let is_usable = |found: &Discovery| found.drives.iter().any(|drive| drive.access == Access::Free);
    let mut embedded = false;
    // Drives of the machine that are in use or forbidden now are entered when they can be opened.
    let is_real = found.drives.iter().any(|drive| !drive.is_virtual);
    if !is_usable(&found) && !is_real {
        appliance.sibling(DeviceChoice::embedded()).library_status()?;
        found = appliance.discover(request);
        embedded = true;
    }
    Ok(Registered {
        embedded: embedded || found.drives.iter().all(|drive| drive.is_virtual),
        ..enter(catalog, &found)?
    })
}

/// Enters found devices that can be opened and are not known.
fn enter(catalog: &Catalog, found: &Discovery) -> Result<Registered, TasksError> {
    let mut entered = Registered::default();
    let now = super::now();
    let mut libraries: Vec<(String, LibraryId)> =
        catalog.libraries()?.into_iter().map(|library| (library.device, library.id)).collect();
    for changer in found.changers.iter().filter(|changer| changer.access == Access::Free) {
        if libraries.iter().any(|(device, _)| *device == changer.name) {
            continue;
        }
        let contents = changer.contents.as_ref();
        let count = |count: Option<usize>| u32::try_from(count.unwrap_or_default()).unwrap_or(u32::MAX);
        let number = libraries.len() + 1;
        let id = catalog.add_library(&NewLibrary {
            name: match changer.is_virtual {
                true => format!("Virtual library {number} (files, not tape)"),
                false => format!("Library {number}"),
            },
            device: changer.name.clone(),
            vendor: changer.vendor.clone(),
            model: changer.product.clone(),
            serial: changer.serial.clone(),
            slots: count(contents.map(|contents| contents.slots)),
            drives: count(contents.map(|contents| contents.bays.len())),
            import_export: count(contents.map(|contents| contents.import_export)),
            barcode_reader: true,
            enabled: true,
            is_virtual: changer.is_virtual,
            created: now,
        })?;
        libraries.push((changer.name.clone(), id));
        entered.libraries.push(changer.name.clone());
    }
    let known = catalog.drives()?;
    for drive in found.drives.iter().filter(|drive| drive.access == Access::Free) {
        if known.iter().any(|known| known.device == drive.name) {
            continue;
        }
        let place = drive.place.as_ref();
        let library = place.and_then(|place| libraries.iter().find(|(device, _)| *device == place.changer));
        let number = known.len() + entered.drives.len() + 1;
        catalog.add_drive(&NewDrive {
            device: drive.name.clone(),
            display_name: match drive.is_virtual {
                true => format!("Virtual drive {number} (files, not tape)"),
                false => format!("Drive {number}"),
            },
            vendor: drive.vendor.clone(),
            model: drive.product.clone(),
            serial: drive.serial.clone(),
            enabled: true,
            library: library.map(|(_, id)| *id),
            element: place.map(|place| place.element),
            is_virtual: drive.is_virtual,
            created: now,
        })?;
        entered.drives.push(drive.name.clone());
    }
    Ok(entered)
}
