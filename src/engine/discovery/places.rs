//! Which drive sits in which place of which changer.

use super::{Access, Bay, Contents, Discovery, DrivePlace, Finding, FoundDrive, Open};
use crate::changer::{Changer, Element, ElementKind, Inventory};
use crate::engine::EngineError;

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
    let only = bays.len() == 1 && drives.iter().filter(|drive| drive.is_virtual == is_virtual).count() == 1;
    let count = |kind| inventory.of(kind).count();
    Contents {
        slots: count(ElementKind::Storage),
        import_export: count(ElementKind::ImportExport),
        cartridges: inventory.elements.iter().filter(|element| element.full).count(),
        bays: bays
            .into_iter()
            .map(|bay| {
                let serial = bay.drive_serial.as_deref().map(str::trim).filter(|serial| !serial.is_empty());
                let drive = drives.iter_mut().find(|drive| match serial {
                    Some(serial) => drive.serial.trim() == serial,
                    None => only && drive.is_virtual == is_virtual,
                });
                let drive = drive.map(|drive| {
                    drive.place = Some(DrivePlace {
                        changer: name.to_owned(),
                        element: bay.address.0,
                        by_serial: serial.is_some(),
                        full: bay.full,
                        barcode: bay.barcode.clone(),
                    });
                    drive.name.clone()
                });
                Bay { element: bay.address.0, serial: serial.map(str::to_owned), drive }
            })
            .collect(),
    }
}

/// Places of a changer whose drive was not found, or is not told.
fn tell(name: &str, contents: &Contents, problems: &mut Vec<Finding>) {
    for bay in contents.bays.iter().filter(|bay| bay.drive.is_none()) {
        problems.push(match &bay.serial {
            Some(serial) => Finding::note(
                "bay_without_drive",
                name,
                format!("the drive at element {}, serial {serial}, is not among the drives found", bay.element),
            )
            .advise("look at its cable or zone; a drive behind another host is served from there"),
            None => Finding::note(
                "bay_without_serial",
                name,
                format!("does not tell which drive is at element {}", bay.element),
            )
            .advise("name one drive and this changer with --drive and --changer; with several drives cartridges are loaded by hand"),
        });
    }
}
