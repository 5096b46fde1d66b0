//! Fault knobs: what each unit does wrong, settable while it runs or in `faults.json` before it starts.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::scsi::opcode;

/// What one drive does wrong. The default is nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DriveFaults {
    /// The drive is gone: every command fails with `TransportError::Gone`.
    pub unresponsive: bool,
    /// Every command ends in `TransportError::TimedOut`, without waiting for real; nothing is executed.
    pub hung: bool,
    /// The drive resets instead of executing the N-th command from now (1: the next): what was not flushed is gone, the tape is
    /// at its beginning, and 6/29/00 is reported. Once.
    pub reset_at: Option<u64>,
    /// ASC and ASCQ of a unit attention that the next command reports. Once.
    pub unit_attention: Option<(u8, u8)>,
    /// Reading this block gives 3/11/00, before any byte of it moves.
    pub read_error_at: Option<u64>,
    /// Writing at this block gives 3/0C/00, nothing is stored.
    pub write_error_at: Option<u64>,
    /// Early warning begins at this block, whatever the capacity.
    pub early_warning_at: Option<u64>,
    /// The next READ moves at most so many bytes and still ends with GOOD status, as a faulty host adapter makes it look. Once.
    pub short_transfer: Option<usize>,
    /// So many of the next commands that need the medium report 2/04/01, as while a tape is threaded or optimised.
    pub becoming_ready: u64,
    /// Every cartridge is write-protected.
    pub write_protect: bool,
    /// The drive asks for cleaning (TapeAlert 20); loading a cleaning cartridge ends it.
    pub cleaning_required: bool,
    /// The drive asks for routine cleaning (TapeAlert 21); loading a cleaning cartridge ends it.
    pub cleaning_requested: bool,
    /// The drive keeps the cleaning cartridge when it is done, and goes on reporting 2/30/03; else it lets go of it.
    pub keeps_cleaning_cartridge: bool,
    /// TapeAlert flags that are raised at every command: bit n-1 is flag n.
    pub tape_alerts: u64,
    /// So many errors are corrected at every record read or written.
    pub recovered_errors: u64,
    /// Degrees Celsius; 27 without.
    pub temperature: Option<u8>,
    /// Log pages that the drive does not have: bit n is page n. Without page 00h it does not know LOG SENSE.
    pub missing_pages: u64,
    /// Neither drive nor cartridge have a cartridge memory.
    pub no_cartridge_memory: bool,
    /// The N-th WRITE from now (1: the next) reports 3/0C/00 as a deferred error, and all that was not flushed is gone. Once.
    pub deferred_error_after: Option<u64>,
    /// The end-of-data mark of the cartridge in the drive is lost. Once; the cartridge stays so until it is overwritten.
    pub lost_end: bool,
    /// A power cut: what was not flushed is gone, and the drive comes up with 6/29/00. Once.
    pub drop_unflushed: bool,
    /// The N-th command from now (1: the next) ends with 4/44/00 and is not executed. Once.
    pub fail_at: Option<u64>,
    /// The drive has no SECURITY PROTOCOL IN and OUT.
    pub no_encryption: bool,
    /// The drive has no PERSISTENT RESERVE IN and OUT.
    pub no_reservations: bool,
    /// The drive has no recommended access order.
    pub no_access_order: bool,
    /// The recommended access order is any order, by this seed.
    pub access_order_seed: Option<u64>,
}

impl DriveFaults {
    /// Whether the drive does not have the command.
    pub(super) fn lacks(&self, cdb: &[u8]) -> bool {
        let code = cdb.first().copied().unwrap_or_default();
        let action = cdb.get(1).copied().unwrap_or_default() & 0x1f;
        match code {
            opcode::SECURITY_PROTOCOL_IN | opcode::SECURITY_PROTOCOL_OUT => self.no_encryption,
            opcode::PERSISTENT_RESERVE_IN | opcode::PERSISTENT_RESERVE_OUT => self.no_reservations,
            opcode::MAINTENANCE_IN => self.no_access_order && action == opcode::SA_RECEIVE_RAO,
            opcode::MAINTENANCE_OUT => self.no_access_order && action == opcode::SA_GENERATE_RAO,
            _ => false,
        }
    }
}

/// What the changer does wrong. The default is nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChangerFaults {
    /// The changer is gone: every command fails with `TransportError::Gone`.
    pub unresponsive: bool,
    /// Every command ends in `TransportError::TimedOut`, without waiting for real; nothing is executed.
    pub hung: bool,
    /// ASC and ASCQ of a unit attention that the next command reports. Once.
    pub unit_attention: Option<(u8, u8)>,
    /// The transport is jammed: moves fail with 4/15/01 and move nothing.
    pub jam: bool,
    /// The next move ends with this sense (key, ASC, ASCQ) and moves nothing. Once.
    pub refuse_move: Option<(u8, u8, u8)>,
    /// The next move is made, and then reported as failed with 4/15/01. Once.
    pub false_alarm: bool,
    /// No barcode reader: every volume tag is blank.
    pub blank_tags: bool,
    /// Drives tell no serial numbers (DVCID).
    pub no_serials: bool,
    /// Volume tags and DVCID in one command are refused with 5/24/00.
    pub one_at_a_time: bool,
    /// No medium transport element is reported.
    pub no_transport: bool,
    /// Replies to READ ELEMENT STATUS are 8 bytes short, and the last descriptor is cut.
    pub cut_replies: bool,
    /// Replies to READ ELEMENT STATUS are followed by bytes that nothing announces.
    pub trailing_bytes: bool,
}

/// The contents of `faults.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct FaultFile {
    /// By drive index.
    pub drives: BTreeMap<u16, DriveFaults>,
    /// Of the changer.
    pub changer: ChangerFaults,
}

/// The fault knobs of a library; all threads see a change at their next command.
#[derive(Debug)]
pub struct Faults {
    drives: Vec<Mutex<DriveFaults>>,
    changer: Mutex<ChangerFaults>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Faults {
    pub(super) fn new(drives: u16, file: &FaultFile) -> Faults {
        let faults = |index| Mutex::new(file.drives.get(&index).copied().unwrap_or_default());
        Faults { drives: (0..drives).map(faults).collect(), changer: Mutex::new(file.changer) }
    }

    /// Changes the knobs of a drive; `false` if there is no such drive.
    pub fn drive(&self, index: u16, change: impl FnOnce(&mut DriveFaults)) -> bool {
        let Some(faults) = self.drives.get(usize::from(index)) else { return false };
        change(&mut locked(faults));
        true
    }

    /// Changes the knobs of the changer.
    pub fn changer(&self, change: impl FnOnce(&mut ChangerFaults)) {
        change(&mut locked(&self.changer));
    }

    /// What is wrong during one command of a drive; what happens once is used up.
    pub(super) fn for_drive(&self, index: u16, code: u8) -> DriveFaults {
        let Some(faults) = self.drives.get(usize::from(index)) else { return DriveFaults::default() };
        let mut faults = locked(faults);
        let mut now = *faults;
        if now.unresponsive || now.hung {
            return now;
        }
        now.reset_at = countdown(&mut faults.reset_at);
        now.fail_at = countdown(&mut faults.fail_at);
        now.deferred_error_after = None;
        if code == opcode::WRITE_6 {
            now.deferred_error_after = countdown(&mut faults.deferred_error_after);
        }
        if code != opcode::READ_6 {
            now.short_transfer = None;
        } else {
            faults.short_transfer = None;
        }
        if code != opcode::INQUIRY && code != opcode::REPORT_LUNS {
            faults.unit_attention = None;
        } else {
            now.unit_attention = None;
        }
        now.becoming_ready = 0;
        if needs_medium(code) {
            now.becoming_ready = faults.becoming_ready;
            faults.becoming_ready = faults.becoming_ready.saturating_sub(1);
        }
        faults.lost_end = false;
        faults.drop_unflushed = false;
        now
    }

    /// What is wrong during one command of the changer; what happens once is used up.
    pub(super) fn for_changer(&self, code: u8) -> ChangerFaults {
        let mut faults = locked(&self.changer);
        let mut now = *faults;
        if now.unresponsive || now.hung {
            return now;
        }
        if code != opcode::INQUIRY && code != opcode::REPORT_LUNS {
            faults.unit_attention = None;
        } else {
            now.unit_attention = None;
        }
        if code == opcode::MOVE_MEDIUM {
            faults.refuse_move = None;
            faults.false_alarm = false;
        }
        now
    }
}

/// Whether a command fails while the drive becomes ready.
fn needs_medium(code: u8) -> bool {
    matches!(
        code,
        opcode::TEST_UNIT_READY
            | opcode::READ_6
            | opcode::WRITE_6
            | opcode::WRITE_FILEMARKS_6
            | opcode::SPACE_6
            | opcode::SPACE_16
            | opcode::LOCATE_10
            | opcode::LOCATE_16
            | opcode::REWIND
            | opcode::READ_POSITION
            | opcode::ERASE_6
            | opcode::VERIFY_6
            | opcode::FORMAT_MEDIUM
            | opcode::SET_CAPACITY
            | opcode::READ_ATTRIBUTE
            | opcode::WRITE_ATTRIBUTE
    )
}

/// Counts a command; `Some` when it is the one.
fn countdown(left: &mut Option<u64>) -> Option<u64> {
    match *left {
        Some(0 | 1) => left.take(),
        Some(n) => {
            *left = Some(n - 1);
            None
        }
        None => None,
    }
}
