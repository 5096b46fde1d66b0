//! Devices as rows of the catalog: what a daemon lends to tasks.

use super::devices::EMBEDDED;
use super::discovery::{Access, DiscoveryRequest};
use super::library::ElementRow;
use super::{Appliance, DeviceChoice, EngineError};
use crate::catalog::{DriveRow, LibraryId, LibraryRow, NewDrive, NewLibrary, NewSlot, SlotKind};
use crate::changer::ElementKind;

/// Devices that a configuration names; nothing named means what is found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamedDevices {
    /// As for `--drive`.
    pub drives: Vec<String>,
    /// As for `--changer`.
    pub changers: Vec<String>,
}

/// What became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registered {
    /// Drives and changers that were not known before.
    pub added: Vec<String>,
    /// One line for each device that did not answer.
    pub problems: Vec<String>,
}

/// A device as it tells of itself.
struct Told {
    name: String,
    vendor: String,
    product: String,
    serial: String,
    is_virtual: bool,
    /// The changer that serves a drive, and the drive's element there.
    place: Option<(String, u16)>,
}

impl Appliance {
    /// Enters the devices into the catalog: those named, else those found, else an embedded virtual library made for the
    /// purpose. A device that is known by its serial number keeps its row under a new name. Libraries get their inventory.
    ///
    /// # Errors
    /// The catalog failed. A device that does not answer is no error.
    pub fn register_devices(&self, named: &NamedDevices) -> Result<Registered, EngineError> {
        let mut done = Registered::default();
        let embedded_only = named.changers.is_empty() && named.drives == [EMBEDDED];
        let (changers, drives) = match named.drives.is_empty() && named.changers.is_empty() || embedded_only {
            true => self.found(embedded_only)?,
            false => self.named(named, &mut done),
        };
        for told in &changers {
            self.enter_library(told, &mut done)?;
        }
        for told in &drives {
            self.enter_drive(told, &mut done)?;
        }
        for library in self.catalog().libraries()? {
            if changers.iter().any(|told| told.name == library.device)
                && let Err(error) = self.take_inventory(library.id)
            {
                done.problems.push(format!("{}: {}", library.device, super::error::chain(&error)));
            }
        }
        Ok(done)
    }

    /// Looks what lies where in a library and keeps it.
    ///
    /// # Errors
    /// The changer does not answer; the catalog failed.
    pub fn take_inventory(&self, id: LibraryId) -> Result<Vec<ElementRow>, EngineError> {
        let library = self.catalog().library(id)?;
        let choice = DeviceChoice { drive: None, changer: Some(library.device) };
        let elements = self.sibling(choice).library_status()?.elements;
        self.catalog().replace_slots(id, &slots(&elements), super::now())?;
        Ok(elements)
    }

    fn found(&self, embedded_only: bool) -> Result<(Vec<Told>, Vec<Told>), EngineError> {
        let request = DiscoveryRequest::default();
        let discover = || {
            let mut found = self.discover(&request);
            found.drives.retain(|drive| drive.is_virtual || !embedded_only);
            found.changers.retain(|changer| changer.is_virtual || !embedded_only);
            found
        };
        let mut found = discover();
        if !found.drives.iter().any(|drive| drive.access == Access::Free) {
            // Made at first use.
            self.sibling(DeviceChoice { drive: Some(EMBEDDED.into()), changer: None }).station()?;
            found = discover();
        }
        // One that cannot be opened is told by the doctor; it is entered when it can.
        let changers = found.changers.into_iter().filter(|changer| changer.access == Access::Free);
        let changers = changers.map(|changer| Told {
            name: changer.name,
            vendor: changer.vendor,
            product: changer.product,
            serial: changer.serial,
            is_virtual: changer.is_virtual,
            place: None,
        });
        let drives = found.drives.into_iter().filter(|drive| drive.access == Access::Free);
        let drives = drives.map(|drive| Told {
            name: drive.name,
            vendor: drive.vendor,
            product: drive.product,
            serial: drive.serial,
            is_virtual: drive.is_virtual,
            place: drive.place.map(|place| (place.changer, place.element)),
        });
        Ok((changers.collect(), drives.collect()))
    }

    fn named(&self, named: &NamedDevices, done: &mut Registered) -> (Vec<Told>, Vec<Told>) {
        let mut ask = |drive: Option<&String>, changer: Option<&String>| {
            let choice = DeviceChoice { drive: drive.cloned(), changer: changer.cloned() };
            let wanted = if drive.is_some() { "drive" } else { "changer" };
            match self.sibling(choice).library_status() {
                Ok(status) => status.devices.into_iter().find(|device| device.role == wanted),
                Err(error) => {
                    let name = drive.or(changer).map_or("", String::as_str);
                    done.problems.push(format!("{name}: {}", super::error::chain(&error)));
                    None
                }
            }
        };
        let mut changers: Vec<Told> = Vec::new();
        for name in &named.changers {
            let device = ask(None, Some(name));
            changers.extend(device.map(|device| Told {
                name: name.clone(),
                vendor: device.vendor,
                product: device.product,
                serial: device.serial,
                is_virtual: device.is_virtual,
                place: None,
            }));
        }
        let mut drives = Vec::new();
        for name in &named.drives {
            let Some(device) = ask(Some(name), None) else { continue };
            let place = changers.iter().find_map(|changer| {
                let element = ask(Some(name), Some(&changer.name))?.element?;
                Some((changer.name.clone(), element))
            });
            drives.push(Told {
                name: name.clone(),
                vendor: device.vendor,
                product: device.product,
                serial: device.serial,
                is_virtual: device.is_virtual,
                place,
            });
        }
        (changers, drives)
    }

    fn enter_library(&self, told: &Told, done: &mut Registered) -> Result<(), EngineError> {
        let known = self.catalog().libraries()?;
        if let Some(row) = same(&known, told, |row| (&row.device, &row.serial)) {
            if row.device != told.name {
                let row = LibraryRow { device: told.name.clone(), updated: super::now(), ..row.clone() };
                self.catalog().update_library(&row)?;
            }
            return Ok(());
        }
        let free = |name: &String| !known.iter().any(|row| row.name == *name);
        let mut names = (known.len() + 1..).map(|number| match told.is_virtual {
            true => format!("Virtual library {number} (files, not tape)"),
            false => format!("Library {number}"),
        });
        let name = names.find(free).unwrap_or_else(|| told.name.clone());
        self.catalog().add_library(&NewLibrary {
            name,
            device: told.name.clone(),
            vendor: told.vendor.clone(),
            model: told.product.clone(),
            serial: told.serial.clone(),
            barcode_reader: true,
            enabled: true,
            is_virtual: told.is_virtual,
            created: super::now(),
            ..NewLibrary::default()
        })?;
        done.added.push(told.name.clone());
        Ok(())
    }

    fn enter_drive(&self, told: &Told, done: &mut Registered) -> Result<(), EngineError> {
        let library = match &told.place {
            Some((changer, _)) => self.catalog().libraries()?.into_iter().find(|row| row.device == *changer),
            None => None,
        };
        let library = library.map(|row| row.id);
        let element = told.place.as_ref().filter(|_| library.is_some()).map(|(_, element)| *element);
        let known = self.catalog().drives()?;
        if let Some(row) = same(&known, told, |row| (&row.device, &row.serial)) {
            let fresh = DriveRow {
                device: told.name.clone(),
                // A changer that does not answer now has not lost its drive.
                library: library.or(row.library),
                element: element.or(row.element),
                updated: super::now(),
                ..row.clone()
            };
            if (&fresh.device, fresh.library, fresh.element) != (&row.device, row.library, row.element) {
                self.catalog().update_drive(&fresh)?;
            }
            return Ok(());
        }
        let number = known.len() + 1;
        self.catalog().add_drive(&NewDrive {
            device: told.name.clone(),
            display_name: match told.is_virtual {
                true => format!("Virtual drive {number} (files, not tape)"),
                false => format!("Drive {number}"),
            },
            vendor: told.vendor.clone(),
            model: told.product.clone(),
            serial: told.serial.clone(),
            enabled: true,
            library,
            element,
            is_virtual: told.is_virtual,
            created: super::now(),
        })?;
        done.added.push(told.name.clone());
        Ok(())
    }
}

/// The row of a device: by serial number where it has one, else by name.
fn same<'a, R>(rows: &'a [R], told: &Told, of: impl Fn(&R) -> (&String, &String)) -> Option<&'a R> {
    let by_serial = rows.iter().find(|row| !told.serial.is_empty() && *of(row).1 == told.serial);
    by_serial.or_else(|| rows.iter().find(|row| *of(row).0 == told.name))
}

/// Elements as slots with the numbers that people use: storage from 1, import/export behind it, drives from 0.
fn slots(elements: &[ElementRow]) -> Vec<NewSlot> {
    let of = |kind: ElementKind| elements.iter().filter(move |element| element.kind == kind);
    let slot = |number: usize, kind, element: &ElementRow| NewSlot {
        number: u32::try_from(number).unwrap_or(u32::MAX),
        element: element.address,
        kind,
        barcode: element.barcode.clone(),
        full: element.full,
    };
    let storage = of(ElementKind::Storage).count();
    let mut slots: Vec<NewSlot> =
        of(ElementKind::Storage).enumerate().map(|(at, e)| slot(at + 1, SlotKind::Storage, e)).collect();
    let doors = of(ElementKind::ImportExport).enumerate();
    slots.extend(doors.map(|(at, e)| slot(storage + at + 1, SlotKind::ImportExport, e)));
    slots.extend(of(ElementKind::Drive).enumerate().map(|(at, e)| slot(at, SlotKind::Drive, e)));
    slots
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Settings;

    fn appliance(state: &std::path::Path) -> Appliance {
        let settings = Settings { state: state.to_owned(), devices: DeviceChoice::default() };
        let mut appliance = Appliance::open(settings).unwrap();
        appliance.claim().unwrap();
        appliance
    }

    #[test]
    fn an_embedded_library_is_made_and_known_again() {
        let state = tempfile::tempdir().unwrap();
        let appliance = appliance(state.path());
        let first = appliance.register_devices(&NamedDevices::default()).unwrap();
        assert_eq!((first.added.len(), first.problems.len()), (3, 0), "{first:?}");
        let drives = appliance.catalog().drives().unwrap();
        assert_eq!(drives.len(), 2);
        let library = &appliance.catalog().libraries().unwrap()[0];
        assert!(library.is_virtual && library.last_inventory.is_some());
        assert_eq!((library.slots, library.drives, library.import_export), (12, 2, 2));
        for drive in &drives {
            assert!(drive.is_virtual && drive.enabled);
            assert_eq!(drive.library, Some(library.id));
        }
        assert_ne!(drives[0].element, drives[1].element);
        let slots = appliance.catalog().slots_of(library.id).unwrap();
        assert_eq!(slots.len(), 16);
        assert_eq!((slots[0].number, slots[12].number, slots[14].number), (1, 13, 0));
        assert_eq!(slots[15].drive, Some(drives[1].id));
        assert_eq!(appliance.register_devices(&NamedDevices::default()).unwrap(), Registered::default());
        assert_eq!(appliance.catalog().drives().unwrap(), drives);
    }

    #[test]
    fn a_named_device_that_does_not_answer_is_told_and_the_others_are_entered() {
        let state = tempfile::tempdir().unwrap();
        let appliance = appliance(state.path());
        // Makes the library.
        appliance.register_devices(&NamedDevices::default()).unwrap();
        let library = state.path().join("library");
        let other = tempfile::tempdir().unwrap();
        let second = self::appliance(other.path());
        drop(appliance);
        let named = NamedDevices {
            drives: vec![format!("virtual://{}#drive1", library.display()), "/dev/no-such-drive".into()],
            changers: vec![format!("virtual://{}#changer", library.display())],
        };
        let done = second.register_devices(&named).unwrap();
        assert_eq!(done.added.len(), 2, "{done:?}");
        assert!(done.problems.iter().any(|told| told.contains("/dev/no-such-drive")), "{done:?}");
        assert!(second.catalog().drives().unwrap()[0].element.is_some());
    }
}
