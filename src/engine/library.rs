//! The devices as they stand, and moving cartridges about.

use std::time::Duration;

use serde::Serialize;

use super::station::Loader;
use super::{Appliance, EngineError};
use crate::changer::{Element, ElementAddress, ElementKind, Identity, Inventory};

/// A cartridge put into a drive by hand must be ready within this time (LTO-9 and later optimise a new medium).
const READY_LIMIT: Duration = Duration::from_secs(2 * 3600 + 600);

/// What the devices in use are and hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LibraryStatus {
    /// The drive and the changer in use.
    pub devices: Vec<DeviceRow>,
    /// Robots, slots and drives of the changer, by kind and address; empty without a changer.
    pub elements: Vec<ElementRow>,
}

/// One device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceRow {
    /// `drive` or `changer`.
    pub role: &'static str,
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ElementRow {
    /// Address.
    pub address: u16,
    /// What it is.
    pub kind: ElementKind,
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Element address.
    pub address: u16,
    /// What the element is.
    pub kind: ElementKind,
}

/// A cartridge that was moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
        if let Some(changer) = station.loader().changer() {
            devices.push(device("changer", changer.name(), changer.identity(), None, None));
        }
        let inventory = station.loader().inventory()?.unwrap_or_default();
        let volumes = self.catalog().volumes()?;
        let elements = inventory.elements.into_iter().map(|element| {
            let barcode = element.barcode.as_deref();
            let volume =
                volumes.iter().find(|volume| barcode.is_some() && volume.barcode.as_deref() == barcode);
            ElementRow {
                address: element.address.0,
                kind: element.kind,
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
        if from.cleaning {
            return Err(request(format!(
                "{}: a cleaning cartridge; it is not loaded as a volume. `library transfer` moves it",
                from.barcode.as_deref().unwrap_or(name)
            )));
        }
        let report = MoveReport {
            barcode: from.barcode.clone(),
            from: Some(from.address.0),
            to: Some(to.0),
            moved: from.address != to,
        };
        if from.kind == ElementKind::Drive && report.moved {
            return Err(request(format!(
                "{name}: is in another drive, at {}; unload that one first",
                from.address
            )));
        }
        if report.moved {
            loader.dismount(drive)?;
            if let Some(changer) = loader.changer() {
                changer.move_medium(from.address, to)?;
            }
        }
        if !drive.is_loaded()? {
            drive.load()?;
        }
        drive.wait_ready(READY_LIMIT)?;
        Ok(report)
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
        let to = element(&inventory, to)?.clone();
        let report = |moved| MoveReport {
            barcode: from.barcode.clone(),
            from: Some(from.address.0),
            to: Some(to.address.0),
            moved,
        };
        if from.address == to.address {
            return Ok(report(false));
        }
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
        let ours = station.loader().element();
        if from.kind == ElementKind::Drive
            && ours == Some(from.address)
            && let Ok((drive, _)) = station.split()
        {
            drive.unload()?;
        }
        if let Some(changer) = station.loader().changer() {
            changer.move_medium(from.address, to.address)?;
        }
        Ok(report(true))
    }

    /// Where the library in use has a cartridge; none where there is no library, or it does not answer.
    pub(super) fn place_of(&mut self, barcode: &str) -> Option<Place> {
        let inventory = self.station().ok()?.loader().inventory().ok()??;
        let element = inventory.find(barcode)?;
        Some(Place { address: element.address.0, kind: element.kind })
    }
}

fn device(
    role: &'static str,
    name: &str,
    identity: &Identity,
    loaded: Option<bool>,
    element: Option<u16>,
) -> DeviceRow {
    DeviceRow {
        role,
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

fn inventory(loader: &mut Loader) -> Result<Inventory, EngineError> {
    loader.inventory()?.ok_or_else(|| request("this needs a changer: name one with --changer".into()))
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
