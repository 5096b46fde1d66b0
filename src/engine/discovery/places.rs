//! Which drive sits in which place of which changer.

use super::{Access, Bay, Contents, Discovery, DrivePlace, Finding, FoundDrive, Open};
use crate::changer::{Changer, Element, ElementKind, Inventory};
use crate::engine::EngineError;

/// The beginning of a serial number that is shorter than this says nothing.
const LEAST_SERIAL: usize = 4;
const NAME_BOTH: &str = "name one drive and this changer with --drive and --changer; with several drives cartridges are loaded by hand";

/// Asks every changer that is free, and places the drives.
pub(super) fn find(found: &mut Discovery, open: &mut Open<'_>) {
    for index in 0..found.changers.len() {
        let Some(changer) = found.changers.get(index) else { continue };
        if changer.access != Access::Free {
            continue;
        }
        let (name, is_virtual) = (changer.name.clone(), changer.is_virtual);
        match inventory(&name, open) {
            Ok(inventory) => {
                let contents = place(&name, is_virtual, &inventory, &mut found.drives);
                tell(&name, &contents, &mut found.problems);
                if let Some(changer) = found.changers.get_mut(index) {
                    changer.contents = Some(contents);
                }
            }
            Err(error) => {
                found
                    .problems
                    .push(Finding::wrong("changer_silent", name, crate::engine::told(&error)).advise(
                    "look at the library's own panel: door, magazines, and whether it is in automatic mode",
                ))
            }
        }
    }
    let unplaced = found.drives.iter().filter(|drive| drive.place.is_none());
    let asked = found.changers.iter().filter(|changer| changer.contents.is_some()).count();
    if asked > 0 {
        let notes: Vec<Finding> = unplaced
            .map(|drive| {
                Finding::note(
                    "no_element",
                    drive.name.as_str(),
                    "in no changer, as far as their serial numbers tell: cartridges go in by hand",
                )
            })
            .collect();
        found.problems.extend(notes);
    }
}

fn inventory(name: &str, open: &mut Open<'_>) -> Result<Inventory, EngineError> {
    Ok(Changer::open(open(name)?)?.inventory()?)
}

fn place(name: &str, is_virtual: bool, inventory: &Inventory, drives: &mut [FoundDrive]) -> Contents {
    let bays: Vec<&Element> = inventory.of(ElementKind::Drive).collect();
    let count = |kind| inventory.of(kind).count();
    let named = bays.iter().map(|bay| (*bay, drive_of(bay, &bays, is_virtual, drives))).collect::<Vec<_>>();
    let bays = named.into_iter().map(|(bay, index)| {
        let drive = index.and_then(|index| drives.get_mut(index));
        let drive = drive.map(|drive| {
            drive.place = Some(DrivePlace {
                changer: name.to_owned(),
                element: bay.address.0,
                by_serial: told(bay).is_some(),
                full: bay.full,
                barcode: bay.barcode.clone(),
            });
            drive.name.clone()
        });
        Bay { element: bay.address.0, serial: told(bay).map(str::to_owned), drive }
    });
    Contents {
        bays: bays.collect(),
        slots: count(ElementKind::Storage),
        import_export: count(ElementKind::ImportExport),
        cartridges: inventory.elements.iter().filter(|element| element.full).count(),
    }
}

/// The serial number that the changer tells of a bay.
fn told(bay: &Element) -> Option<&str> {
    bay.drive_serial.as_deref().map(str::trim).filter(|serial| !serial.is_empty())
}

/// Which drive sits in a bay: by its serial number, by one that is cut short as far as no other is meant, or because
/// there is one of each and the changer does not tell.
fn drive_of(bay: &Element, bays: &[&Element], is_virtual: bool, drives: &[FoundDrive]) -> Option<usize> {
    let mut same_kind =
        drives.iter().enumerate().filter(|(_, drive)| drive.is_virtual == is_virtual).map(|(index, _)| index);
    let Some(serial) = told(bay) else {
        return match (bays, same_kind.next(), same_kind.next()) {
            ([_], Some(only), None) => Some(only),
            _ => None,
        };
    };
    if let Some(index) = drives.iter().position(|drive| drive.serial.trim() == serial) {
        return Some(index);
    }
    if bays.iter().filter(|other| told(other) == Some(serial)).count() > 1 {
        return None;
    }
    // One that another bay names in full is not meant.
    let elsewhere = |drive: &FoundDrive| bays.iter().any(|other| told(other) == Some(drive.serial.trim()));
    let mut cut = drives.iter().enumerate().filter(|(_, drive)| {
        serial.len() >= LEAST_SERIAL && drive.serial.trim().starts_with(serial) && !elsewhere(drive)
    });
    match (cut.next(), cut.next()) {
        (Some((index, _)), None) => Some(index),
        _ => None,
    }
}

/// Places of a changer whose drive was not found, or is not told.
fn tell(name: &str, contents: &Contents, problems: &mut Vec<Finding>) {
    for bay in contents.bays.iter().filter(|bay| bay.drive.is_none()) {
        problems.push(match &bay.serial {
            Some(serial) if serial.len() < LEAST_SERIAL => Finding::note(
                "bay_without_serial",
                name,
                format!("tells only {serial} of the serial number of the drive at element {}", bay.element),
            )
            .advise(NAME_BOTH),
            Some(serial) => Finding::note(
                "bay_without_drive",
                name,
                format!(
                    "the drive at element {}, serial {serial}, is not among the drives found",
                    bay.element
                ),
            )
            .advise("look at its cable or zone; a drive behind another host is served from there"),
            None => Finding::note(
                "bay_without_serial",
                name,
                format!("does not tell which drive is at element {}", bay.element),
            )
            .advise(NAME_BOTH),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changer::ElementAddress;

    fn bay(address: u16, serial: Option<&str>) -> Element {
        Element {
            address: ElementAddress(address),
            kind: ElementKind::Drive,
            full: false,
            barcode: None,
            accessible: true,
            exception: None,
            source: None,
            drive_serial: serial.map(str::to_owned),
            cleaning: false,
        }
    }

    fn drive(serial: &str) -> FoundDrive {
        FoundDrive {
            name: serial.into(),
            vendor: String::new(),
            product: String::new(),
            revision: String::new(),
            serial: serial.into(),
            is_virtual: false,
            access: Access::Free,
            place: None,
            paths: Vec::new(),
        }
    }

    /// The element of each drive.
    fn placed(bays: &[Option<&str>], serials: &[&str]) -> Vec<Option<u16>> {
        let elements = bays.iter().zip(1..).map(|(serial, address)| bay(address, *serial)).collect();
        let mut drives: Vec<FoundDrive> = serials.iter().map(|serial| drive(serial)).collect();
        let contents = place("changer", false, &Inventory { elements }, &mut drives);
        assert_eq!(contents.bays.len(), bays.len());
        drives.iter().map(|drive| drive.place.as_ref().map(|place| place.element)).collect()
    }

    #[test]
    fn drives_are_placed_by_what_the_changer_tells() {
        assert_eq!(placed(&[Some("HU01 "), Some("HU02")], &["HU02", "HU01"]), [Some(2), Some(1)]);
        // Cut short, as far as one drive only can be meant.
        assert_eq!(placed(&[Some("HU0001"), Some("HU00")], &["HU0001", "HU0002"]), [Some(1), Some(2)]);
        assert_eq!(placed(&[Some("HU00"), Some("HU00")], &["HU0001", "HU0002"]), [None, None]);
        assert_eq!(placed(&[Some("HU00"), Some("HU00")], &["HU0001"]), [None]);
        assert_eq!(placed(&[Some("HU0001"), Some("HU")], &["HU0001", "HU0002"]), [Some(1), None]);
        // Nothing told: one of each belongs together, more are not guessed.
        assert_eq!(placed(&[None], &["HU0001"]), [Some(1)]);
        assert_eq!(placed(&[None], &["HU0001", "HU0002"]), [None, None]);
        assert_eq!(placed(&[None, None], &["HU0001"]), [None]);
        assert_eq!(placed(&[Some("OTHER")], &["HU0001"]), [None], "another host's drive");
    }

    #[test]
    fn what_the_changer_leaves_out_is_told() {
        let contents = |serial: Option<&str>| {
            let mut problems = Vec::new();
            let inventory = Inventory { elements: vec![bay(1, serial), bay(2, Some("HU0002"))] };
            let contents = place("changer", false, &inventory, &mut [drive("HU0002")]);
            tell("changer", &contents, &mut problems);
            problems.remove(0).code
        };
        assert_eq!(contents(None), "bay_without_serial");
        assert_eq!(contents(Some("HU")), "bay_without_serial");
        assert_eq!(contents(Some("HU0009")), "bay_without_drive");
    }
}
