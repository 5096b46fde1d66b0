//! Cartridges in and out of the library, and looking at what nobody knows yet.

use super::{MoveReport, carry, inventory, request, source};
use crate::changer::{Element, ElementAddress, ElementKind};
use crate::engine::fence::{self, Identity};
use crate::engine::station::Loader;
use crate::engine::{Appliance, EngineError, LibraryStatus};
use crate::format::v1::Found;

/// What a cartridge was found to be by loading it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ReadLabel {
    /// Address of its slot.
    pub address: u16,
    /// Its barcode, where it has one.
    pub barcode: Option<String>,
    /// Label of the volume, where it is one of ours.
    pub label: Option<String>,
    /// The catalog knows this volume.
    pub known: bool,
    /// What it holds, for people; or why it could not be read.
    pub found: String,
}

/// What an inventory found.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct LibraryInventory {
    /// Devices, slots and what lies in them.
    #[serde(flatten)]
    pub status: LibraryStatus,
    /// Cartridges that were loaded to see what they are.
    pub labels: Vec<ReadLabel>,
}

impl Appliance {
    /// Takes cartridges from the import/export slots into free storage slots: those named by barcode or address, or all.
    /// Moves until the slots are full.
    ///
    /// # Errors
    /// No changer; a name that is not in an import/export slot; no free slot for the first. What was moved stays moved.
    pub fn library_import(&mut self, names: &[String]) -> Result<Vec<MoveReport>, EngineError> {
        self.claim()?;
        let mut station = self.station()?;
        let found = inventory(station.loader())?;
        let mut wanted: Vec<Element> = Vec::new();
        for name in names {
            let element = source(&found, name)?;
            if element.kind != ElementKind::ImportExport {
                return Err(request(format!("{name}: is not in an import/export slot")));
            }
            wanted.push(element.clone());
        }
        if names.is_empty() {
            wanted = found.of(ElementKind::ImportExport).filter(|element| element.full).cloned().collect();
        }
        let mut moved = Vec::new();
        for from in wanted {
            let now = inventory(station.loader())?;
            let Some(free) = now.of(ElementKind::Storage).find(|element| !element.full) else {
                return Err(request(format!(
                    "no free slot: {} cartridge(s) were taken in, {} is left outside",
                    moved.len(),
                    from.barcode.as_deref().unwrap_or("one without a barcode")
                )));
            };
            moved.push(carry(&mut station, &from, free.address)?);
        }
        Ok(moved)
    }

    /// Puts a cartridge, named by barcode or address, into a free import/export slot.
    ///
    /// # Errors
    /// No changer, no such cartridge, no free import/export slot: nothing moved.
    pub fn library_export(&mut self, name: &str) -> Result<MoveReport, EngineError> {
        self.claim()?;
        let mut station = self.station()?;
        let found = inventory(station.loader())?;
        let from = source(&found, name)?.clone();
        if from.kind == ElementKind::ImportExport {
            return Ok(super::report(&from, Some(from.address)));
        }
        let mut doors = found.of(ElementKind::ImportExport).peekable();
        if doors.peek().is_none() {
            return Err(request("the library has no import/export slots: open it and take it out".into()));
        }
        let Some(free) = doors.find(|element| !element.full) else {
            return Err(request("every import/export slot is full: take out what lies there".into()));
        };
        carry(&mut station, &from, free.address)
    }

    /// Asks the library what lies where. `scan` has it look at every element first (up to half an hour); `read_labels`
    /// loads each cartridge that the catalog does not know by its barcode and reads what it is.
    ///
    /// # Errors
    /// No changer; the devices failed. A cartridge that cannot be read is in the answer.
    pub fn library_inventory(
        &mut self,
        scan: bool,
        read_labels: bool,
    ) -> Result<LibraryInventory, EngineError> {
        if scan || read_labels {
            self.claim()?;
        }
        let mut labels = Vec::new();
        {
            let mut station = if read_labels { self.task_station()? } else { self.station()? };
            if scan && let Some(mut robot) = station.loader().robot() {
                robot.changer().initialize()?;
            }
            let found = inventory(station.loader())?;
            if read_labels {
                let known: Vec<Option<String>> =
                    self.catalog().volumes()?.into_iter().map(|volume| volume.barcode).collect();
                let own = station.loader().element();
                let mut elements: Vec<&Element> = found.elements.iter().collect();
                // What is in the drive first: it goes away when another is loaded.
                elements.sort_by_key(|element| (element.kind != ElementKind::Drive, element.address));
                let unknown = elements.into_iter().filter(|element| {
                    let place = match element.kind {
                        ElementKind::Storage => true,
                        ElementKind::Drive => own == Some(element.address),
                        _ => false,
                    };
                    let named = element.barcode.is_some() && known.contains(&element.barcode);
                    element.full && place && !element.cleaning && !named
                });
                for element in unknown {
                    labels.push(self.read_label(&mut station, element)?);
                }
                let (drive, loader) = station.split()?;
                if !labels.is_empty() {
                    loader.dismount(drive)?;
                }
            }
        }
        Ok(LibraryInventory { status: self.library_status()?, labels })
    }

    /// Loads one cartridge and says what it is.
    fn read_label(
        &self,
        station: &mut crate::engine::Station,
        element: &Element,
    ) -> Result<ReadLabel, EngineError> {
        let (drive, loader) = station.split()?;
        let mut row = ReadLabel {
            address: element.address.0,
            barcode: element.barcode.clone(),
            label: None,
            known: false,
            found: String::new(),
        };
        let name = element.barcode.clone().unwrap_or_else(|| format!("the cartridge at {}", element.address));
        loader.fetch(drive, |inventory| inventory.at(element.address), &name)?;
        let identity =
            loader.thread(drive).and_then(|()| fence::prepare(drive)).and_then(|_| fence::identity(drive));
        let identity = match identity {
            Ok(identity) => identity,
            Err(error @ (EngineError::Changer(_) | EngineError::MoveFailed { .. })) => return Err(error),
            Err(error) => {
                row.found = crate::engine::chain(&error);
                return Ok(row);
            }
        };
        row.found = identity.describe();
        if let Identity::Found(found) = identity
            && let Found::Reelward(file) = *found
        {
            if let Some(mut volume) = self.catalog().volume_by_uuid(&file.uuid)? {
                row.known = true;
                if volume.barcode.is_none() && element.barcode.is_some() {
                    volume.barcode.clone_from(&element.barcode);
                    self.catalog().update_volume(&volume)?;
                }
            }
            if element.barcode.is_none() {
                remember(loader, &file.label);
            }
            row.label = Some(file.label);
        }
        Ok(row)
    }
}

/// Keeps in mind which volume the cartridge without a barcode in the drive is.
fn remember(loader: &Loader, label: &str) {
    if let (Some(mut robot), Some(element)) = (loader.robot(), loader.element()) {
        robot.remember(element, label);
    }
}

impl Loader {
    /// Where the cartridge without a barcode lies that was last seen to be the volume `label`.
    pub(in crate::engine) fn remembered(&self, label: &str) -> Option<ElementAddress> {
        self.robot()?.remembered(label)
    }

    /// The cartridge in the drive is the volume `label` now.
    pub(in crate::engine) fn labelled(&self, label: &str) -> Result<(), EngineError> {
        let (Some(element), Some(found)) = (self.element(), self.inventory()?) else { return Ok(()) };
        if found.at(element).is_some_and(|loaded| loaded.full && loaded.barcode.is_none()) {
            remember(self, label);
        }
        Ok(())
    }
}
