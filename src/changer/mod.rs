//! One medium changer: typed operations over [`Transport`].

mod command;
mod error;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use error::ChangerError;

use crate::scsi::element::{self, ElementStatus, ElementType, StatusReport};
pub use crate::scsi::inquiry::Identity;
use crate::scsi::inquiry::{self, DeviceType, Inquiry};
use crate::scsi::opcodes_report::{self, Timeouts};
use crate::scsi::{BarcodeKind, Code, Data, Transport, opcode, tape};

/// Address of a slot, drive or robot in its library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ElementAddress(pub u16);

impl fmt::Display for ElementAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an element is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ElementKind {
    /// Robot.
    Transport,
    /// Storage slot.
    Storage,
    /// Import/export slot.
    ImportExport,
    /// Drive.
    Drive,
}

impl From<ElementType> for ElementKind {
    fn from(kind: ElementType) -> Self {
        match kind {
            ElementType::Transport => ElementKind::Transport,
            ElementType::Storage => ElementKind::Storage,
            ElementType::ImportExport => ElementKind::ImportExport,
            ElementType::Drive => ElementKind::Drive,
        }
    }
}

/// One element as the library reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Element {
    /// Address.
    pub address: ElementAddress,
    /// What it is.
    pub kind: ElementKind,
    /// It holds a cartridge.
    pub full: bool,
    /// Barcode of its cartridge; a cartridge without a label, or a library without a reader, gives none.
    pub barcode: Option<String>,
    /// The robot reaches it.
    pub accessible: bool,
    /// ASC and ASCQ of what is wrong with it.
    pub exception: Option<(u8, u8)>,
    /// The element its cartridge came from.
    pub source: Option<ElementAddress>,
    /// Serial number of the drive there.
    pub drive_serial: Option<String>,
    /// It holds a cleaning cartridge, by its barcode or as the library says.
    pub cleaning: bool,
}

impl From<ElementStatus> for Element {
    fn from(status: ElementStatus) -> Self {
        // Some libraries keep the tag of a cartridge that has left.
        let barcode = status.barcode.filter(|_| status.full);
        let by_barcode = barcode.as_deref().and_then(BarcodeKind::of);
        let cleaning = status.cleaning || by_barcode == Some(BarcodeKind::Cleaning);
        Element {
            address: ElementAddress(status.address),
            kind: status.kind.into(),
            full: status.full,
            barcode,
            accessible: status.accessible,
            exception: status.exception,
            source: status.source.filter(|_| status.full).map(ElementAddress),
            drive_serial: status.drive_serial,
            cleaning,
        }
    }
}

/// All elements, by kind and then address.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Inventory {
    /// The elements.
    pub elements: Vec<Element>,
}

impl Inventory {
    /// The elements of one kind.
    pub fn of(&self, kind: ElementKind) -> impl Iterator<Item = &Element> {
        self.elements.iter().filter(move |element| element.kind == kind)
    }

    /// The element with that address.
    pub fn at(&self, address: ElementAddress) -> Option<&Element> {
        self.elements.iter().find(|element| element.address == address)
    }

    /// The slot with a number as people count: storage slots from 1, import/export slots behind them.
    pub fn slot(&self, number: u32) -> Option<&Element> {
        let number = usize::try_from(number).ok()?.checked_sub(1)?;
        self.of(ElementKind::Storage).chain(self.of(ElementKind::ImportExport)).nth(number)
    }

    /// The drive with a number as people count: from 0, by address.
    pub fn drive(&self, number: u32) -> Option<&Element> {
        self.of(ElementKind::Drive).nth(usize::try_from(number).ok()?)
    }

    /// The number of a slot or drive, as [`Inventory::slot`] and [`Inventory::drive`] count.
    pub fn number(&self, address: ElementAddress) -> Option<u32> {
        let mut slots = self.of(ElementKind::Storage).chain(self.of(ElementKind::ImportExport));
        let slot = slots.position(|element| element.address == address).map(|index| index + 1);
        let mut drives = self.of(ElementKind::Drive);
        let number = slot.or_else(|| drives.position(|element| element.address == address))?;
        u32::try_from(number).ok()
    }

    /// The element that holds the cartridge with that barcode.
    pub fn find(&self, barcode: &str) -> Option<&Element> {
        self.elements.iter().find(|element| element.barcode.as_deref() == Some(barcode))
    }
}

/// First allocation for READ ELEMENT STATUS; enough for 700 tagged elements.
const FIRST_ALLOCATION: usize = 64 << 10;
/// The largest that the CDB can ask for.
const LARGEST_ALLOCATION: usize = 0xff_ffff;

/// One medium changer, owned by one thread.
pub struct Changer {
    transport: Box<dyn Transport>,
    identity: Identity,
    timeouts: Timeouts,
    /// The robot to name in MOVE MEDIUM; 0 is the library's default.
    robot: u16,
}

impl fmt::Debug for Changer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changer").field("name", &self.name()).field("identity", &self.identity).finish()
    }
}

impl Changer {
    /// Makes acquaintance: INQUIRY, serial number, time-outs. Moves nothing.
    ///
    /// # Errors
    /// `NotAChanger` where the device is something else; any error of the commands.
    pub fn open(transport: Box<dyn Transport>) -> Result<Changer, ChangerError> {
        let mut changer =
            Changer { transport, identity: Identity::default(), timeouts: Timeouts::default(), robot: 0 };
        let reply = changer.ask(&inquiry::standard(inquiry::ALLOCATION), inquiry::ALLOCATION.into())?;
        let inquiry = reply.and_then(|bytes| Inquiry::parse(&bytes)).ok_or_else(|| ChangerError::Reply {
            changer: changer.name().to_owned(),
            command: opcode::name(opcode::INQUIRY),
        })?;
        if !inquiry.connected || inquiry.device_type != DeviceType::MediumChanger {
            let found = format!("{:?}: {} {}", inquiry.device_type, inquiry.vendor, inquiry.product);
            return Err(ChangerError::NotAChanger { changer: changer.name().to_owned(), found });
        }
        let cdb = inquiry::vital(inquiry::VPD_SERIAL, inquiry::ALLOCATION);
        let serial = changer.ask(&cdb, inquiry::ALLOCATION.into())?;
        let serial = serial.and_then(|bytes| inquiry::serial(&bytes)).unwrap_or_default();
        changer.identity = Identity::new(inquiry, serial);
        let cdb = opcodes_report::report(opcodes_report::ALLOCATION);
        let report = changer.ask(&cdb, opcodes_report::ALLOCATION as usize)?;
        if let Some(commands) = report.and_then(|bytes| opcodes_report::parse(&bytes)) {
            changer.timeouts = Timeouts::from_report(&commands);
        }
        Ok(changer)
    }

    /// Vendor, product, revision and serial number.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The changer as the user named it.
    pub fn name(&self) -> &str {
        self.transport.name()
    }

    /// What is where. Each element type is asked for alone, drive serial numbers apart from volume tags: libraries break
    /// or leave things out where both are asked at once.
    ///
    /// # Errors
    /// `NotReady`; any other error of the commands. A library without robots, slots or drives of a kind is none.
    pub fn inventory(&mut self) -> Result<Inventory, ChangerError> {
        let mut elements = Vec::new();
        for kind in ElementType::ALL {
            let mut found = self.elements(kind, true, false)?;
            if kind == ElementType::Drive && !found.is_empty() {
                for named in self.elements(kind, false, true)? {
                    if let Some(drive) = found.iter_mut().find(|drive| drive.address == named.address) {
                        drive.drive_serial = named.drive_serial;
                    }
                }
            }
            elements.extend(found.into_iter().map(Element::from));
        }
        // Some libraries set the bit ACCESS nowhere: then it says nothing.
        let others = |element: &&mut Element| element.kind != ElementKind::Transport;
        if elements.iter_mut().filter(others).all(|element| !element.accessible) {
            elements.iter_mut().for_each(|element| element.accessible = true);
        }
        let inventory = Inventory { elements };
        self.robot = inventory.of(ElementKind::Transport).next().map_or(0, |robot| robot.address.0);
        Ok(inventory)
    }

    /// All elements of one type; as many replies as it takes.
    fn elements(
        &mut self,
        kind: ElementType,
        mut tags: bool,
        ids: bool,
    ) -> Result<Vec<ElementStatus>, ChangerError> {
        let largest = self.transport.max_transfer().min(LARGEST_ALLOCATION);
        let mut allocation = FIRST_ALLOCATION.min(largest);
        let mut found: Vec<ElementStatus> = Vec::new();
        let mut first = 0;
        loop {
            let Some(report) = self.element_status(kind, first, tags, ids, allocation)? else {
                if tags {
                    tags = false; // a library without a barcode reader may refuse to speak of tags
                    continue;
                }
                return Ok(found);
            };
            let needed = usize::try_from(report.byte_count).unwrap_or(largest).saturating_add(8);
            if needed > allocation && allocation < largest {
                allocation = needed.min(largest);
                continue;
            }
            let before = found.len();
            for element in report.elements {
                if element.kind == kind && found.iter().all(|known| known.address != element.address) {
                    found.push(element);
                }
            }
            let next = found.last().and_then(|last| last.address.checked_add(1));
            match next {
                Some(next) if needed > allocation && found.len() > before => first = next,
                _ => {
                    found.sort_by_key(|element| element.address);
                    return Ok(found);
                }
            }
        }
    }

    /// One READ ELEMENT STATUS; `None` where the library refuses the type or the extras.
    fn element_status(
        &mut self,
        kind: ElementType,
        first: u16,
        tags: bool,
        ids: bool,
        allocation: usize,
    ) -> Result<Option<StatusReport>, ChangerError> {
        let length = u32::try_from(allocation).unwrap_or(u32::MAX);
        let cdb = element::read_status(kind, first, u16::MAX, tags, ids, length);
        match self.ask(&cdb, allocation) {
            Ok(reply) => Ok(reply.and_then(|bytes| element::parse(&bytes))),
            // No element of this type, or none from here on.
            Err(ChangerError::Failed { sense, .. }) if sense.code == Code::INVALID_ELEMENT => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Moves the cartridge in element `from` to element `to`. A drive must have been unloaded first.
    ///
    /// # Errors
    /// `SourceEmpty`, `DestinationFull`, `NoSuchElement`, `MediumPrevented`: nothing moved. `Jammed` and `Transport`:
    /// look before the next move.
    pub fn move_medium(&mut self, from: ElementAddress, to: ElementAddress) -> Result<(), ChangerError> {
        let cdb = element::move_medium(self.robot, from.0, to.0);
        let Err(sense) = self.send(&cdb, Data::None)? else { return Ok(()) };
        let changer = self.name().to_owned();
        Err(match sense.code {
            Code::SOURCE_EMPTY => ChangerError::SourceEmpty { changer, from },
            Code::DESTINATION_FULL => ChangerError::DestinationFull { changer, to },
            Code::INVALID_ELEMENT => ChangerError::NoSuchElement { changer, from, to },
            Code::REMOVAL_PREVENTED | Code::REMOVAL_PREVENTED_BY_DRIVE => {
                ChangerError::MediumPrevented { changer, from }
            }
            _ => self.failure(opcode::MOVE_MEDIUM, sense),
        })
    }

    /// Has the library look at every element again; up to 30 minutes.
    ///
    /// # Errors
    /// Any error of the command.
    pub fn initialize(&mut self) -> Result<(), ChangerError> {
        self.plain(&element::initialize_status())
    }

    /// Locks the doors and import/export slots, or frees them. A changer without the command is left as it is.
    ///
    /// # Errors
    /// Any other error of the command.
    pub fn prevent_removal(&mut self, prevent: bool) -> Result<(), ChangerError> {
        match self.plain(&tape::prevent_removal(prevent)) {
            Err(ChangerError::Unsupported { .. }) => Ok(()),
            other => other,
        }
    }

    /// A command without data.
    fn plain(&mut self, cdb: &[u8]) -> Result<(), ChangerError> {
        match self.send(cdb, Data::None)? {
            Ok(_) => Ok(()),
            Err(sense) => Err(self.failure(cdb.first().copied().unwrap_or_default(), sense)),
        }
    }
}

#[cfg(test)]
mod tests;
