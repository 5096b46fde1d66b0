//! One drive and, where there is one, the changer that serves it.

use std::time::Duration;

use super::EngineError;
use super::error::OperatorRequest;
use crate::changer::{Changer, Element, ElementAddress, ElementKind, Inventory};
use crate::drive::{Drive, DriveError};
use crate::scsi::Transport;

/// A cartridge may need this long to become ready (LTO-9 and later optimise a new medium at its first load).
const READY_LIMIT: Duration = Duration::from_secs(2 * 3600 + 600);

/// Devices of one task.
pub struct Station {
    drive: Option<Drive>,
    loader: Loader,
}

/// What puts cartridges into a drive: a changer, or a person.
#[derive(Default)]
pub struct Loader {
    changer: Option<Changer>,
    /// The drive's place in the changer.
    element: Option<ElementAddress>,
}

impl Station {
    /// Opens what is given and finds the drive's place in the changer by its serial number.
    ///
    /// # Errors
    /// A device that does not answer as a drive or as a changer.
    pub fn open(
        drive: Option<Box<dyn Transport>>,
        changer: Option<Box<dyn Transport>>,
    ) -> Result<Station, EngineError> {
        let drive = drive.map(Drive::open).transpose()?;
        let mut changer = changer.map(Changer::open).transpose()?;
        let mut element = None;
        if let (Some(drive), Some(changer)) = (&drive, &mut changer) {
            let inventory = changer.inventory()?;
            let drives: Vec<&Element> =
                inventory.elements.iter().filter(|e| e.kind == ElementKind::Drive).collect();
            let serial = drive.identity().serial.trim();
            let by_serial =
                drives.iter().find(|e| e.drive_serial.as_deref().is_some_and(|s| s.trim() == serial));
            element = match (by_serial, drives.as_slice()) {
                (Some(found), _) => Some(found.address),
                (None, [only]) => Some(only.address), // a changer that tells no serial numbers
                _ => None,
            };
        }
        Ok(Station { drive, loader: Loader { changer, element } })
    }

    /// The drive.
    ///
    /// # Errors
    /// None was named.
    pub fn drive(&mut self) -> Result<&mut Drive, EngineError> {
        Ok(self.split()?.0)
    }

    /// The drive and what loads it, for threads that own them apart.
    ///
    /// # Errors
    /// No drive was named.
    pub fn split(&mut self) -> Result<(&mut Drive, &mut Loader), EngineError> {
        match &mut self.drive {
            Some(drive) => Ok((drive, &mut self.loader)),
            None => Err(EngineError::Request("this needs a drive: name one with --drive".into())),
        }
    }

    /// Takes the drive out, for a thread that owns it; it must come back by [`Station::return_drive`].
    ///
    /// # Errors
    /// No drive was named.
    pub fn take_drive(&mut self) -> Result<Drive, EngineError> {
        self.split()?;
        self.drive.take().ok_or_else(|| EngineError::Request("the drive is in use".into()))
    }

    /// Puts the drive back.
    pub fn return_drive(&mut self, drive: Drive) {
        self.drive = Some(drive);
    }

    /// What loads the drive.
    pub fn loader(&mut self) -> &mut Loader {
        &mut self.loader
    }

    /// Whether the devices are files.
    pub fn is_virtual(&self) -> bool {
        self.drive.as_ref().is_some_and(|drive| drive.identity().is_virtual())
    }
}

impl Loader {
    /// The changer, where there is one.
    pub fn changer(&mut self) -> Option<&mut Changer> {
        self.changer.as_mut()
    }

    /// The drive's place in the changer, where it is known.
    pub fn element(&self) -> Option<ElementAddress> {
        self.element
    }

    /// What lies where; `None` without a changer.
    ///
    /// # Errors
    /// The changer failed.
    pub fn inventory(&mut self) -> Result<Option<Inventory>, EngineError> {
        Ok(self.changer.as_mut().map(Changer::inventory).transpose()?)
    }

    /// Barcodes of the data cartridges that the changer can put into the drive, in element order; `None` without one.
    ///
    /// # Errors
    /// The changer failed.
    pub fn cartridges(&mut self) -> Result<Option<Vec<String>>, EngineError> {
        if self.element.is_none() {
            return Ok(None);
        }
        let element = self.element;
        let reachable = |e: &&Element| {
            e.full && !e.cleaning && (e.kind != ElementKind::Drive || Some(e.address) == element)
        };
        Ok(self
            .inventory()?
            .map(|found| found.elements.iter().filter(reachable).filter_map(|e| e.barcode.clone()).collect()))
    }

    /// Has the cartridge with this barcode in the drive and ready. Without a changer the one in the drive is taken:
    /// the volume file will tell which it is.
    ///
    /// # Errors
    /// [`EngineError::Operator`] when a person has to put it in; device errors.
    pub fn mount(&mut self, drive: &mut Drive, barcode: Option<&str>, name: &str) -> Result<(), EngineError> {
        let insert = |drive: &Drive| {
            let drive = drive.name().to_owned();
            EngineError::Operator(OperatorRequest::Insert { volume: name.to_owned(), drive })
        };
        if let (Some(barcode), Some(element)) = (barcode, self.element)
            && let Some(inventory) = self.inventory()?
        {
            let wanted = inventory.elements.iter().find(|e| e.barcode.as_deref() == Some(barcode));
            let Some(wanted) = wanted else { return Err(insert(drive)) };
            if wanted.address != element {
                self.put_back(drive, &inventory)?;
                if let Some(changer) = self.changer.as_mut() {
                    changer.move_medium(wanted.address, element)?;
                }
            }
        }
        if !drive.is_loaded()? {
            match drive.load() {
                Ok(()) => {}
                Err(DriveError::NoMedium { .. }) => return Err(insert(drive)),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(drive.wait_ready(READY_LIMIT)?)
    }

    /// Unloads the drive and puts the cartridge back where it came from, or into any free slot; without a changer the
    /// cartridge is ejected.
    ///
    /// # Errors
    /// The devices failed, or there is no free slot.
    pub fn dismount(&mut self, drive: &mut Drive) -> Result<(), EngineError> {
        match self.inventory()? {
            Some(inventory) if self.element.is_some() => self.put_back(drive, &inventory),
            _ => Ok(drive.unload()?),
        }
    }

    fn put_back(&mut self, drive: &mut Drive, inventory: &Inventory) -> Result<(), EngineError> {
        let loaded = inventory.elements.iter().find(|e| Some(e.address) == self.element && e.full);
        let Some(loaded) = loaded else { return Ok(()) };
        let mut free = inventory
            .elements
            .iter()
            .filter(|e| e.kind == ElementKind::Storage && !e.full)
            .map(|e| e.address);
        let home = match loaded.source {
            Some(source) if free.clone().any(|address| address == source) => Some(source),
            _ => free.next(),
        };
        let Some(home) = home else {
            return Err(EngineError::Request(
                "no free slot for the cartridge in the drive: free one and run the command again".into(),
            ));
        };
        drive.unload()?;
        if let Some(changer) = self.changer.as_mut() {
            changer.move_medium(loaded.address, home)?;
        }
        Ok(())
    }
}
