//! The medium changer (SMC-3).

mod elements;
mod pages;

use std::collections::VecDeque;

use super::cartridge::Cartridge;
use super::drive::report_luns;
use super::faults::ChangerFaults;
use super::layout::{LibraryFile, STORAGE, TRANSPORT};
use super::outcome::{Check, INVALID_FIELD, INVALID_OPCODE, Outcome, Stop};
use super::wire::{Cdb, send};
use super::{Shared, cartridge_path, locked};
use crate::scsi::{Data, opcode};

/// 5/21/01 INVALID ELEMENT ADDRESS.
const INVALID_ELEMENT: Check = Check::new(5, 0x21, 0x01);
/// 4/15/01 MECHANICAL POSITIONING ERROR.
const JAMMED: Check = Check::new(4, 0x15, 0x01);

/// The changer's state.
#[derive(Debug)]
pub(super) struct Changer {
    /// What lies where.
    pub file: LibraryFile,
    /// Commands by operation code.
    pub commands: Box<[u64; 256]>,
    /// The process "died": nothing is answered.
    pub dead: bool,
    attentions: VecDeque<(u8, u8)>,
    prevented: bool,
}

impl Changer {
    /// A changer, just powered on.
    pub fn new(file: LibraryFile) -> Changer {
        Changer {
            file,
            commands: Box::new([0; 256]),
            dead: false,
            attentions: VecDeque::from([(0x29, 0x00)]),
            prevented: false,
        }
    }

    /// Executes one CDB.
    pub fn execute(
        &mut self,
        shared: &Shared,
        bytes: &[u8],
        data: Data<'_>,
        faults: &ChangerFaults,
    ) -> Outcome {
        let code = bytes.first().copied().ok_or(INVALID_OPCODE)?;
        self.commands[usize::from(code)] += 1;
        if self.dead || faults.unresponsive {
            return Err(Stop::Gone("it does not answer"));
        }
        if faults.hung {
            return Err(Stop::TimedOut);
        }
        if let Some(attention) = faults.unit_attention {
            self.attentions.push_back(attention);
        }
        let cdb = Cdb::new(bytes)?;
        if !matches!(code, opcode::INQUIRY | opcode::REPORT_LUNS | opcode::REQUEST_SENSE)
            && let Some((asc, ascq)) = self.attentions.pop_front()
        {
            return Err(Check::new(6, asc, ascq).into());
        }
        match code {
            opcode::TEST_UNIT_READY
            | opcode::INITIALIZE_ELEMENT_STATUS
            | opcode::INITIALIZE_ELEMENT_STATUS_WITH_RANGE
            | opcode::RESERVE_6
            | opcode::RELEASE_6 => Ok(0),
            opcode::REQUEST_SENSE => {
                let (asc, ascq) = self.attentions.pop_front().unwrap_or_default();
                let sense = Check::new(if asc == 0 { 0 } else { 6 }, asc, ascq).bytes();
                Ok(send(data, &sense, usize::from(cdb.u8(4))))
            }
            opcode::INQUIRY => self.inquiry(&cdb, data),
            opcode::REPORT_LUNS => Ok(report_luns(&cdb, data)),
            opcode::MODE_SENSE_6 | opcode::MODE_SENSE_10 => self.mode_sense(&cdb, data),
            opcode::PREVENT_ALLOW_MEDIUM_REMOVAL => {
                self.prevented = cdb.bit(4, 1);
                Ok(0)
            }
            opcode::READ_ELEMENT_STATUS => self.element_status(shared, &cdb, data, faults),
            opcode::POSITION_TO_ELEMENT => {
                if !self.is_transport(cdb.u16(2)) || !self.file.has_place(cdb.u16(4)) {
                    return Err(INVALID_ELEMENT.into());
                }
                Ok(0)
            }
            opcode::MOVE_MEDIUM => self.move_medium(shared, &cdb, faults),
            _ => Err(INVALID_OPCODE.into()),
        }
    }

    /// Address 0 stands for the only transport.
    fn is_transport(&self, element: u16) -> bool {
        matches!(element, 0 | TRANSPORT)
    }

    /// MOVE MEDIUM (SMC-3 clause 6.12).
    fn move_medium(&mut self, shared: &Shared, cdb: &Cdb, faults: &ChangerFaults) -> Outcome {
        let (transport, source, destination) = (cdb.u16(2), cdb.u16(4), cdb.u16(6));
        if !self.is_transport(transport) || !self.file.has_place(source) || !self.file.has_place(destination)
        {
            return Err(INVALID_ELEMENT.into());
        }
        if cdb.bit(10, 1) {
            return Err(INVALID_FIELD.into()); // nothing can be turned over
        }
        if faults.jam {
            return Err(JAMMED.into());
        }
        if let Some((key, asc, ascq)) = faults.refuse_move {
            return Err(Check::new(key, asc, ascq).into());
        }
        let from = self.file.cartridges.iter().position(|held| held.element == source);
        let Some(index) = from else {
            return Err(Check::new(5, 0x3b, 0x0e).into()); // source empty
        };
        if source == destination {
            return Ok(0);
        }
        if self.file.at(destination).is_some() {
            return Err(Check::new(5, 0x3b, 0x0d).into()); // destination full
        }
        if let Some(drive) = self.file.drive_at(source).and_then(|n| shared.drives.get(usize::from(n))) {
            let mut drive = locked(drive);
            if drive.threaded && !self.file.implicit_unload {
                // MEDIUM REMOVAL PREVENTED BY DATA TRANSFER ELEMENT.
                return Err(Check::new(5, 0x53, 0x03).into());
            }
            drive.remove()?;
        }
        let Some(held) = self.file.cartridges.get_mut(index) else { return Ok(0) };
        held.element = destination;
        held.source = (source >= STORAGE).then_some(source).or(held.source);
        let barcode = held.barcode.clone();
        self.file.save(&shared.directory)?;
        if let Some(drive) = self.file.drive_at(destination).and_then(|n| shared.drives.get(usize::from(n))) {
            let path = cartridge_path(&shared.directory, &barcode);
            let medium = Cartridge::open(&path, self.file.keeping())?;
            if locked(drive).insert(medium)? {
                shared.faults.drive(destination - super::layout::DRIVES, |faults| {
                    faults.cleaning_required = false;
                    faults.cleaning_requested = false;
                });
            }
            shared.save_lives()?;
        }
        if faults.false_alarm { Err(JAMMED.into()) } else { Ok(0) }
    }
}
