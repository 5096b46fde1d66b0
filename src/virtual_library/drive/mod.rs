//! One LTO drive: its state, and which handler answers which command.

mod attribute;
mod data;
mod inquiry;
mod load;
mod log;
mod mode;
mod opcodes;
mod order;
mod position;
mod reserve;
mod security;

pub(super) use inquiry::{VENDOR, designators, page, product, report_luns, standard};

use std::collections::VecDeque;
use std::io;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::cartridge::Cartridge;
use super::faults::DriveFaults;
use super::outcome::{Check, INVALID_FIELD, INVALID_OPCODE, NO_MEDIUM, Outcome, REMOVAL_PREVENTED, Stop};
use super::speed::Motion;
use super::wire::{Cdb, send};
use crate::scsi::generation::Generation;
use crate::scsi::{Data, opcode};

/// The longest record: 8 MiB (READ BLOCK LIMITS of an LTO drive).
pub(super) const LONGEST_RECORD: u32 = 8 << 20;

/// TapeAlert flags in use (SSC-4 annex A).
pub(super) mod alert {
    /// The drive had a read error.
    pub const READ_FAILURE: u32 = 5;
    /// The drive had a write error.
    pub const WRITE_FAILURE: u32 = 6;
    /// Writing on a write-protected cartridge.
    pub const WRITE_PROTECT: u32 = 9;
    /// Removal while prevented.
    pub const NO_REMOVAL: u32 = 10;
    /// A cleaning cartridge is in the drive.
    pub const CLEANING_MEDIA: u32 = 11;
    /// The cartridge has another format.
    pub const UNSUPPORTED_FORMAT: u32 = 12;
    /// The drive needs cleaning.
    pub const CLEAN_NOW: u32 = 20;
    /// The drive asks for routine cleaning.
    pub const CLEAN_SOON: u32 = 21;
    /// The cleaning cartridge is used up.
    pub const EXPIRED_CLEANING: u32 = 22;
    /// Writing over data of a write-once cartridge.
    pub const WORM_OVERWRITE: u32 = 61;
}

/// What the drive itself has counted since the library was opened.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counters {
    pub bytes_written: u64,
    pub bytes_read: u64,
    pub records_written: u64,
    pub records_read: u64,
    pub write_errors: u64,
    pub read_errors: u64,
    pub recovered_writes: u64,
    pub recovered_reads: u64,
}

/// What the drive has counted in its life: `drives.json`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Life {
    pub loads: u64,
    pub cleanings: u64,
    pub power_cycles: u64,
    pub seconds_on: u64,
    pub seconds_moving: u64,
    pub seconds_moving_at_cleaning: u64,
    pub metres: u64,
    pub hard_write_errors: u64,
    pub hard_read_errors: u64,
}

/// One drive.
#[derive(Debug)]
pub(super) struct Drive {
    pub serial: String,
    pub generation: Generation,
    /// The cartridge in it, threaded or not.
    pub medium: Option<Cartridge>,
    /// The cartridge is threaded and can be read.
    pub threaded: bool,
    /// The next object's logical block number.
    pub position: u64,
    /// ASC and ASCQ that wait to be told.
    pub attentions: VecDeque<(u8, u8)>,
    /// Removal is prevented.
    pub prevented: bool,
    /// TapeAlert flags: bit n-1 is flag n.
    pub alerts: u64,
    pub counters: Counters,
    /// The counters when the cartridge was threaded: error counters begin anew there.
    pub at_load: Counters,
    pub life: Life,
    /// Commands until a cleaning that is under way ends.
    pub cleaning: u64,
    /// The cleaning cartridge was let go of.
    pub released: bool,
    /// When the library was opened.
    pub powered: Instant,
    pub motion: Motion,
    /// Commands by operation code.
    pub commands: Box<[u64; 256]>,
    /// The process "died": nothing is answered, nothing is flushed.
    pub dead: bool,
    mode: mode::Mode,
    crypto: security::Crypto,
    reservation: reserve::Reservation,
    access_order: Vec<u8>,
    /// The block that ALLOW OVERWRITE permits to write at.
    overwrite_allowed: Option<u64>,
    /// This mount has written: the volume change reference has grown.
    mount_written: bool,
    scratch: Vec<u8>,
}

impl Drive {
    /// An empty drive, just powered on.
    pub fn new(serial: String, generation: Generation) -> Drive {
        Drive {
            serial,
            generation,
            medium: None,
            threaded: false,
            position: 0,
            attentions: VecDeque::from([(0x29, 0x00)]),
            prevented: false,
            alerts: 0,
            counters: Counters::default(),
            at_load: Counters::default(),
            life: Life::default(),
            cleaning: 0,
            released: false,
            powered: Instant::now(),
            motion: Motion::new(generation),
            commands: Box::new([0; 256]),
            dead: false,
            mode: mode::Mode::default(),
            crypto: security::Crypto::default(),
            reservation: reserve::Reservation::default(),
            access_order: Vec::new(),
            overwrite_allowed: None,
            mount_written: false,
            scratch: Vec::new(),
        }
    }

    /// Executes one CDB of a host; hosts are numbered from 0.
    pub fn execute(&mut self, host: u32, bytes: &[u8], mut data: Data<'_>, faults: &DriveFaults) -> Outcome {
        let code = bytes.first().copied().ok_or(INVALID_OPCODE)?;
        self.commands[usize::from(code)] += 1;
        if self.dead || faults.unresponsive {
            return Err(Stop::Gone("it does not answer"));
        }
        if faults.hung {
            return Err(Stop::TimedOut);
        }
        self.suffer(faults)?;
        self.clean_on(faults);
        let cdb = Cdb::new(bytes)?;
        if !matches!(code, opcode::INQUIRY | opcode::REPORT_LUNS | opcode::REQUEST_SENSE)
            && let Some((asc, ascq)) = self.attentions.pop_front()
        {
            return Err(Check::new(6, asc, ascq).into());
        }
        if !matches!(code, opcode::INQUIRY | opcode::REPORT_LUNS | opcode::REQUEST_SENSE)
            && let Some((asc, ascq)) = self.reservation.attention(host)
        {
            return Err(Check::new(6, asc, ascq).into());
        }
        if self.reservation.conflicts(host, code) {
            return Err(Stop::Conflict);
        }
        if faults.fail_at.is_some() {
            return Err(Check::new(4, 0x44, 0x00).into());
        }
        if faults.lacks(bytes) {
            return Err(INVALID_OPCODE.into());
        }
        if faults.becoming_ready > 0 {
            return Err(Check::new(2, 0x04, 0x01).into());
        }
        if faults.deferred_error_after.is_some() {
            self.lose_buffer()?;
            self.raise(alert::WRITE_FAILURE);
            return Err(Check::new(3, 0x0c, 0x00).deferred().into());
        }
        let moved = self.dispatch(host, &cdb, data.again(), faults)?;
        Ok(match faults.short_transfer {
            Some(limit) => moved.min(limit),
            None => moved,
        })
    }

    /// Faults that strike before a command is looked at.
    fn suffer(&mut self, faults: &DriveFaults) -> io::Result<()> {
        if faults.drop_unflushed || faults.reset_at.is_some() {
            self.reset()?;
        }
        if let Some(attention) = faults.unit_attention {
            self.attentions.push_back(attention);
        }
        if faults.lost_end
            && let Some(medium) = &mut self.medium
        {
            medium.flush()?;
            medium.memory.lost_end = true;
            medium.save_memory()?;
        }
        if faults.cleaning_required {
            self.raise(alert::CLEAN_NOW);
        }
        if faults.cleaning_requested {
            self.raise(alert::CLEAN_SOON);
        }
        self.alerts |= faults.tape_alerts;
        Ok(())
    }

    fn dispatch(&mut self, host: u32, cdb: &Cdb, data: Data<'_>, faults: &DriveFaults) -> Outcome {
        match cdb.opcode() {
            opcode::TEST_UNIT_READY => self.medium().map(|_| 0),
            opcode::REQUEST_SENSE => Ok(self.request_sense(cdb, data)),
            opcode::INQUIRY => self.inquiry(cdb, data),
            opcode::REPORT_LUNS => Ok(inquiry::report_luns(cdb, data)),
            opcode::READ_BLOCK_LIMITS => Ok(self.block_limits(cdb, data)),
            opcode::READ_6 => self.read(cdb, data, faults),
            opcode::WRITE_6 => self.write(cdb, data, faults),
            opcode::WRITE_FILEMARKS_6 => self.write_filemarks(cdb, faults),
            opcode::VERIFY_6 => self.verify(cdb, faults),
            opcode::ERASE_6 => self.erase(faults),
            opcode::FORMAT_MEDIUM => self.format_medium(cdb, faults),
            opcode::SET_CAPACITY => self.set_capacity(cdb, faults),
            opcode::ALLOW_OVERWRITE => self.allow_overwrite(cdb),
            opcode::SPACE_6 => self.space_6(cdb),
            opcode::SPACE_16 => self.space_16(cdb),
            opcode::LOCATE_10 => self.locate_10(cdb),
            opcode::LOCATE_16 => self.locate_16(cdb),
            opcode::READ_POSITION => self.read_position(cdb, data, faults),
            opcode::REWIND => self.rewind(),
            opcode::LOAD_UNLOAD => self.load_unload(cdb),
            opcode::PREVENT_ALLOW_MEDIUM_REMOVAL => {
                self.prevented = cdb.bit(4, 1);
                Ok(0)
            }
            opcode::MODE_SENSE_6 | opcode::MODE_SENSE_10 => self.mode_sense(cdb, data, faults),
            opcode::MODE_SELECT_6 | opcode::MODE_SELECT_10 => self.mode_select(cdb, data),
            opcode::LOG_SENSE => self.log_sense(cdb, data, faults),
            opcode::LOG_SELECT => self.log_select(cdb),
            opcode::READ_ATTRIBUTE | opcode::WRITE_ATTRIBUTE if faults.no_cartridge_memory => {
                Err(INVALID_OPCODE.into())
            }
            opcode::READ_ATTRIBUTE => self.read_attribute(cdb, data),
            opcode::WRITE_ATTRIBUTE => self.write_attribute(cdb, data),
            opcode::SECURITY_PROTOCOL_IN => self.security_in(cdb, data),
            opcode::SECURITY_PROTOCOL_OUT => self.security_out(cdb, data),
            opcode::REPORT_DENSITY_SUPPORT => self.report_density(cdb, data),
            opcode::PERSISTENT_RESERVE_IN => self.reservation.report(cdb, data),
            opcode::PERSISTENT_RESERVE_OUT => self.reservation.change(host, cdb, data),
            opcode::RESERVE_6 | opcode::RELEASE_6 | opcode::SEND_DIAGNOSTIC => Ok(0),
            opcode::MAINTENANCE_IN => match cdb.u8(1) & 0x1f {
                opcode::SA_REPORT_SUPPORTED_OPCODES => self.supported_opcodes(cdb, data),
                opcode::SA_RECEIVE_RAO => self.receive_order(cdb, data),
                _ => Err(INVALID_FIELD.into()),
            },
            opcode::MAINTENANCE_OUT => match cdb.u8(1) & 0x1f {
                opcode::SA_GENERATE_RAO => self.generate_order(cdb, data, faults),
                _ => Err(INVALID_FIELD.into()),
            },
            _ => Err(INVALID_OPCODE.into()),
        }
    }

    /// The threaded cartridge, or why there is none.
    fn medium(&mut self) -> Result<&mut Cartridge, Stop> {
        match &mut self.medium {
            Some(medium) if medium.memory.cleanings.is_some() && !self.released => {
                Err(Check::new(2, 0x30, 0x03).into())
            }
            Some(medium) if self.threaded => Ok(medium),
            _ => Err(NO_MEDIUM.into()),
        }
    }

    /// Sets a TapeAlert flag.
    fn raise(&mut self, flag: u32) {
        self.alerts |= 1 << (flag - 1);
    }

    fn is_raised(&self, flag: u32) -> bool {
        self.alerts >> (flag - 1) & 1 == 1
    }

    /// Clears a TapeAlert flag.
    fn lower(&mut self, flag: u32) {
        self.alerts &= !(1 << (flag - 1));
    }

    /// Puts everything that waits in the buffer on the medium.
    pub fn synchronise(&mut self) -> io::Result<()> {
        if let Some(medium) = &mut self.medium {
            medium.flush()?;
        }
        self.motion.drain();
        Ok(())
    }

    /// Loses what waits in the buffer; the position stays within the data.
    fn lose_buffer(&mut self) -> io::Result<()> {
        if let Some(medium) = &mut self.medium {
            medium.drop_unflushed()?;
            self.position = self.position.min(medium.count());
        }
        Ok(())
    }

    /// A reset with loss of power: buffer, position, modes and keys are gone.
    fn reset(&mut self) -> io::Result<()> {
        self.lose_buffer()?;
        self.position = 0;
        self.prevented = false;
        self.mode = mode::Mode::default();
        self.crypto = security::Crypto::default();
        self.reservation = reserve::Reservation::default();
        self.overwrite_allowed = None;
        self.attentions.clear();
        self.attentions.push_back((0x29, 0x00));
        Ok(())
    }

    /// REQUEST SENSE (SPC-4 clause 6.39): a waiting unit attention, else NO SENSE.
    fn request_sense(&mut self, cdb: &Cdb, data: Data<'_>) -> usize {
        let check = match self.attentions.pop_front() {
            Some((asc, ascq)) => Check::new(6, asc, ascq),
            None => Check::new(0, 0, 0),
        };
        send(data, &check.bytes(), usize::from(cdb.u8(4)))
    }
}
