//! The devices as they stand, and moving cartridges about.

mod doors;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::station::{Loader, Station};
use super::{Appliance, EngineError};
use crate::changer::{Element, ElementAddress, ElementKind, Identity, Inventory};

pub use doors::{LibraryInventory, ReadLabel};

/// What the devices in use are and hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LibraryStatus {
    /// The drive and the changer in use.
    pub devices: Vec<DeviceRow>,
    /// Robots, slots and drives of the changer, by kind and address; empty without a changer.
    pub elements: Vec<ElementRow>,
}

/// One device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRow {
    /// `drive` or `changer`.
    pub role: Cow<'static, str>,
    /// As it was named.
    pub name: String,
    /// Vendor.
    pub vendor: String,
    /// Product.
    pub product: String,
    /// Firmware revision.
    pub revision: String,
    /// Serial number.
    pub serial: String,
    /// Its cartridges are files and no tape.
    pub is_virtual: bool,
    /// Whether a cartridge is loaded and ready; drives only.
    pub loaded: Option<bool>,
    /// Its address in the changer, where known.
    pub element: Option<u16>,
}

/// One element of a changer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ElementRow {
    /// Address.
    pub address: u16,
    /// What it is.
    pub kind: ElementKind,
    /// Its number as people count: slots from 1, import/export slots behind them; drives from 0. Robots have none.
    pub number: Option<u32>,
    /// It holds a cartridge.
    pub full: bool,
    /// Barcode of its cartridge.
    pub barcode: Option<String>,
    /// Label of the volume that the cartridge is, where the catalog knows it.
    pub volume: Option<String>,
    /// Its door leads outside.
    pub import_export: bool,
    /// It holds a cleaning cartridge.
    pub cleaning: bool,
    /// The robot reaches it.
    pub accessible: bool,
    /// Where its cartridge came from.
    pub source: Option<u16>,
    /// Serial number of the drive there.
    pub drive_serial: Option<String>,
}

/// Where a cartridge is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Element address.
    pub address: u16,
    /// What the element is.
    pub kind: ElementKind,
}

/// A cartridge that was moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveReport {
    /// Its barcode, where it has one.
    pub barcode: Option<String>,
    /// Element address it came from; none without a changer.
    pub from: Option<u16>,
    /// Element address where it is; none without a changer.
    pub to: Option<u16>,
    /// Whether anything moved: a cartridge that was in its place already stays there.
    pub moved: bool,
}

impl Appliance {
    /// Devices, slots and what lies in them. Moves nothing.
    ///
    /// # Errors
    /// A device that cannot be opened or does not answer.
    pub fn library_status(&mut self) -> Result<LibraryStatus, EngineError> {
        let mut station = self.station()?;
        let mut devices = Vec::new();
        if let Ok((drive, loader)) = station.split() {
            let loaded = Some(drive.is_loaded()?);
            let element = loader.element().map(|address| address.0);
            devices.push(device("drive", drive.name(), drive.identity(), loaded, element));
        }
        if let Some(mut robot) = station.loader().robot() {
            let changer = robot.changer();
            devices.push(device("changer", changer.name(), changer.identity(), None, None));
        }
        let inventory = station.loader().inventory()?.unwrap_or_default();
        let volumes = self.catalog().volumes()?;
        let numbers: Vec<Option<u32>> =
            inventory.elements.iter().map(|element| inventory.number(element.address)).collect();
        let elements = inventory.elements.into_iter().zip(numbers).map(|(element, number)| {
            let barcode = element.barcode.as_deref();
            let volume =
                volumes.iter().find(|volume| barcode.is_some() && volume.barcode.as_deref() == barcode);
            ElementRow {
                address: element.address.0,
                kind: element.kind,
                number,
                full: element.full,
                volume: volume.map(|volume| volume.label.clone()),
                import_export: element.kind == ElementKind::ImportExport,
                cleaning: element.cleaning,
                accessible: element.accessible,
                source: element.source.map(|source| source.0),
                drive_serial: element.drive_serial,
                barcode: element.barcode,
            }
        });
        Ok(LibraryStatus { devices, elements: elements.collect() })
    }

    /// Puts a cartridge, named by barcode or by the address of its slot, into the drive and waits until it is ready. The
    /// one that is there goes back first.
    ///
    /// # Errors
    /// No changer, no such cartridge, a cleaning cartridge: nothing moved.
    pub fn library_load(&mut self, name: &str) -> Result<MoveReport, EngineError> {
        self.claim()?;
        let mut station = self.station()?;
        let (drive, loader) = station.split()?;
        let inventory = inventory(loader)?;
        let to = loader.element().ok_or_else(|| {
            request(format!(
                "{}: its place in the changer is not known; name another drive with --drive",
                drive.name()
            ))
        })?;
        let from = source(&inventory, name)?;
        refuse_cleaning(from, name)?;
        if from.kind == ElementKind::Drive && from.address != to {
            let (volume, element) = (name.to_owned(), from.address);
            return Err(EngineError::InAnotherDrive { volume, element, busy: false });
        }
        loader.fetch(drive, |inventory| inventory.at(from.address), name)?;
        loader.thread(drive)?;
        loader.watch.mounted(drive);
        Ok(report(from, Some(to)))
    }

    /// Puts the cartridge of a slot, or with this barcode, into a drive that is named by its number in the library (from
    /// 0). It need not be a drive that this host can open: nothing is sent to it, and it must be empty.
    ///
    /// # Errors
    /// No changer, no such slot or drive, an empty slot, a drive that is full: nothing moved.
    pub fn library_load_number(&mut self, name: &str, drive: u32) -> Result<MoveReport, EngineError> {
        self.claim()?;
        let mut station = self.station()?;
        let inventory = inventory(station.loader())?;
        let to = drive_number(&inventory, drive)?.address;
        if station.loader().element() == Some(to) {
            drop(station);
            return self.library_load(name);
        }
        let from = source(&inventory, name)?.clone();
        refuse_cleaning(&from, name)?;
        carry(&mut station, &from, to)
    }

    /// Takes the cartridge out of the drive: back to its slot, or without a changer ejected.
    ///
    /// # Errors
    /// The drive is empty; there is no free slot.
    pub fn library_unload(&mut self) -> Result<MoveReport, EngineError> {
        self.claim()?;
        let mut station = self.station()?;
        let (drive, loader) = station.split()?;
        let nothing = || request("the drive is empty: there is nothing to unload".into());
        let before = match (loader.inventory()?, loader.element()) {
            (Some(inventory), Some(element)) => {
                Some(inventory.at(element).filter(|found| found.full).cloned().ok_or_else(nothing)?)
            }
            _ if drive.is_loaded()? => None,
            _ => return Err(nothing()),
        };
        loader.dismount(drive)?;
        let barcode = before.as_ref().and_then(|element| element.barcode.clone());
        let after = loader.inventory()?.unwrap_or_default();
        let to = barcode.as_deref().and_then(|barcode| after.find(barcode)).map(|element| element.address.0);
        Ok(MoveReport { barcode, from: before.map(|element| element.address.0), to, moved: true })
    }

    /// Takes the cartridge out of the drive with a number, to the slot with a number, else where it came from, else any
    /// free slot. The drive in use is unloaded first; any other drive is unloaded by the library, where it can.
    ///
    /// # Errors
    /// No such drive or slot, an empty drive, a full slot, no free slot: nothing moved.
    pub fn library_unload_number(
        &mut self,
        drive: u32,
        slot: Option<u32>,
    ) -> Result<MoveReport, EngineError> {
        self.claim()?;
        let mut station = self.station()?;
        let inventory = inventory(station.loader())?;
        let from = drive_number(&inventory, drive)?.clone();
        if !from.full {
            return Err(request(format!("drive {drive} is empty: there is nothing to unload")));
        }
        let to = match slot {
            Some(number) => slot_number(&inventory, number)?.address,
            None => super::station::home(&inventory, &from)?,
        };
        carry(&mut station, &from, to)
    }

    /// Moves a cartridge, named by barcode or element address, to the element with the address `to`. A drive it lies in
    /// is unloaded first, where it is the one in use.
    ///
    /// # Errors
    /// No changer, an unknown element, an empty source, a full destination: nothing moved.
    pub fn library_transfer(&mut self, from: &str, to: &str) -> Result<MoveReport, EngineError> {
        self.claim()?;
        let mut station = self.station()?;
        let inventory = inventory(station.loader())?;
        let from = source(&inventory, from)?.clone();
        let to = element(&inventory, to)?.address;
        carry(&mut station, &from, to)
    }

    /// Moves the cartridge of one slot to another, both by number.
    ///
    /// # Errors
    /// No changer, no such slot, an empty source, a full destination: nothing moved.
    pub fn library_transfer_number(&mut self, from: u32, to: u32) -> Result<MoveReport, EngineError> {
        self.claim()?;
        let mut station = self.station()?;
        let inventory = inventory(station.loader())?;
        let from = slot_number(&inventory, from)?.clone();
        if !from.full {
            return Err(request(format!("element {} is empty", from.address)));
        }
        let to = slot_number(&inventory, to)?.address;
        carry(&mut station, &from, to)
    }

    /// The element address of the slot with a number (from 1, import/export slots behind the others), as a name for
    /// [`Appliance::library_load`] and the like.
    ///
    /// # Errors
    /// No changer, no such slot.
    pub fn library_slot(&mut self, number: u32) -> Result<ElementAddress, EngineError> {
        let mut station = self.station()?;
        Ok(slot_number(&inventory(station.loader())?, number)?.address)
    }

    /// Where the library in use has a cartridge; none where there is no library, or it does not answer.
    pub(super) fn place_of(&mut self, barcode: &str) -> Option<Place> {
        let inventory = self.station().ok()?.loader().inventory().ok()??;
        let element = inventory.find(barcode)?;
        Some(Place { address: element.address.0, kind: element.kind })
    }
}

/// Moves what is at `from` to `to`. Whatever else moved since `from` was looked up is seen: the element must still hold
/// the same cartridge.
fn carry(station: &mut Station, from: &Element, to: ElementAddress) -> Result<MoveReport, EngineError> {
    if from.address == to {
        return Ok(report(from, Some(to)));
    }
    let ours = station.loader().element();
    check_destination(&inventory(station.loader())?, to)?;
    if from.kind == ElementKind::Drive
        && ours == Some(from.address)
        && let Ok((drive, _)) = station.split()
    {
        drive.unload()?;
    }
    let Some(mut robot) = station.loader().robot() else { return Err(no_changer()) };
    let now = robot.inventory()?;
    check_destination(&now, to)?;
    let name = || from.barcode.clone().unwrap_or_else(|| format!("the cartridge at {}", from.address));
    if now.at(from.address).is_none_or(|found| !found.full || found.barcode != from.barcode) {
        return Err(request(format!("{} was moved by another task meanwhile", name())));
    }
    let foreign = from.kind == ElementKind::Drive && ours != Some(from.address);
    if foreign && robot.is_busy(from.address) {
        return Err(EngineError::InAnotherDrive { volume: name(), element: from.address, busy: true });
    }
    match robot.carry(from, to) {
        Err(EngineError::MoveFailed { source, .. }) if foreign && source.is_held_by_drive() => {
            Err(EngineError::InAnotherDrive { volume: name(), element: from.address, busy: false })
        }
        other => other.map(|()| report(from, Some(to))),
    }
}

fn check_destination(inventory: &Inventory, to: ElementAddress) -> Result<(), EngineError> {
    let to = element(inventory, &to.to_string())?;
    if to.full {
        return Err(request(format!(
            "element {} is full: it holds {}",
            to.address,
            to.barcode.as_deref().unwrap_or("a cartridge without a barcode")
        )));
    }
    if to.kind == ElementKind::Transport {
        return Err(request(format!("element {} is the robot itself", to.address)));
    }
    Ok(())
}

fn refuse_cleaning(from: &Element, name: &str) -> Result<(), EngineError> {
    if !from.cleaning {
        return Ok(());
    }
    Err(request(format!(
        "{}: a cleaning cartridge; it is not loaded as a volume. `library transfer` moves it",
        from.barcode.as_deref().unwrap_or(name)
    )))
}

fn report(from: &Element, to: Option<ElementAddress>) -> MoveReport {
    MoveReport {
        barcode: from.barcode.clone(),
        from: Some(from.address.0),
        to: to.map(|to| to.0),
        moved: Some(from.address) != to,
    }
}

fn slot_number(inventory: &Inventory, number: u32) -> Result<&Element, EngineError> {
    inventory
        .slot(number)
        .ok_or_else(|| request(format!("no slot {number}; `reelward library status` shows what there is")))
}

fn drive_number(inventory: &Inventory, number: u32) -> Result<&Element, EngineError> {
    inventory.drive(number).ok_or_else(|| {
        request(format!("the library has no drive {number}; `reelward library status` shows what there is"))
    })
}

fn device(
    role: &'static str,
    name: &str,
    identity: &Identity,
    loaded: Option<bool>,
    element: Option<u16>,
) -> DeviceRow {
    DeviceRow {
        role: role.into(),
        name: name.to_owned(),
        vendor: identity.vendor.clone(),
        product: identity.product.clone(),
        revision: identity.revision.clone(),
        serial: identity.serial.clone(),
        is_virtual: identity.is_virtual(),
        loaded,
        element,
    }
}

fn request(text: String) -> EngineError {
    EngineError::Request(text)
}

fn no_changer() -> EngineError {
    request("this needs a changer: name one with --changer".into())
}

fn inventory(loader: &Loader) -> Result<Inventory, EngineError> {
    loader.inventory()?.ok_or_else(no_changer)
}

/// The element with the address that `text` is.
fn element<'a>(inventory: &'a Inventory, text: &str) -> Result<&'a Element, EngineError> {
    let found = text.parse().ok().and_then(|address| inventory.at(ElementAddress(address)));
    found.ok_or_else(|| request(format!("{text}: no such element; `library status` shows what there is")))
}

/// The full element that `text` means: a barcode, or an address.
fn source<'a>(inventory: &'a Inventory, text: &str) -> Result<&'a Element, EngineError> {
    if let Some(found) = inventory.find(text) {
        return Ok(found);
    }
    if text.parse::<u16>().is_err() {
        return Err(request(format!("{text}: no cartridge with this barcode in the library")));
    }
    let found = element(inventory, text)?;
    if !found.full {
        return Err(request(format!("element {text} is empty")));
    }
    Ok(found)
}
