//! Sense data (SPC-4 clause 4.5): what a device says beyond the status code.

use super::bytes::{bit_at, u8_at, u16_at, u32_at, u64_at};

/// Sense key (SPC-4 table 41).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)] // the names are the standard's
pub enum SenseKey {
    NoSense = 0x0,
    RecoveredError = 0x1,
    NotReady = 0x2,
    MediumError = 0x3,
    HardwareError = 0x4,
    IllegalRequest = 0x5,
    UnitAttention = 0x6,
    DataProtect = 0x7,
    BlankCheck = 0x8,
    VendorSpecific = 0x9,
    CopyAborted = 0xa,
    AbortedCommand = 0xb,
    Reserved = 0xc,
    VolumeOverflow = 0xd,
    Miscompare = 0xe,
    Completed = 0xf,
}

impl From<u8> for SenseKey {
    fn from(byte: u8) -> Self {
        match byte & 0x0f {
            0x0 => SenseKey::NoSense,
            0x1 => SenseKey::RecoveredError,
            0x2 => SenseKey::NotReady,
            0x3 => SenseKey::MediumError,
            0x4 => SenseKey::HardwareError,
            0x5 => SenseKey::IllegalRequest,
            0x6 => SenseKey::UnitAttention,
            0x7 => SenseKey::DataProtect,
            0x8 => SenseKey::BlankCheck,
            0x9 => SenseKey::VendorSpecific,
            0xa => SenseKey::CopyAborted,
            0xb => SenseKey::AbortedCommand,
            0xc => SenseKey::Reserved,
            0xd => SenseKey::VolumeOverflow,
            0xe => SenseKey::Miscompare,
            _ => SenseKey::Completed,
        }
    }
}

/// Additional sense code and its qualifier (SPC-4 annex E.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code(pub u8, pub u8);

impl Code {
    /// 00/00: nothing more to say.
    pub const NONE: Code = Code(0x00, 0x00);
    /// 00/01: a filemark was met.
    pub const FILEMARK_DETECTED: Code = Code(0x00, 0x01);
    /// 00/02: end of partition or medium, with EOM the early warning.
    pub const END_OF_MEDIUM: Code = Code(0x00, 0x02);
    /// 00/04: beginning of partition or medium.
    pub const BEGINNING_OF_MEDIUM: Code = Code(0x00, 0x04);
    /// 00/05: end of data.
    pub const END_OF_DATA: Code = Code(0x00, 0x05);
    /// 00/07: programmable early warning.
    pub const PROGRAMMABLE_EARLY_WARNING: Code = Code(0x00, 0x07);
    /// 00/16: operation in progress.
    pub const OPERATION_IN_PROGRESS: Code = Code(0x00, 0x16);
    /// 04/00: not ready, no reason given.
    pub const NOT_READY: Code = Code(0x04, 0x00);
    /// 04/01: becoming ready.
    pub const BECOMING_READY: Code = Code(0x04, 0x01);
    /// 04/02: needs a START or LOAD command.
    pub const LOAD_REQUIRED: Code = Code(0x04, 0x02);
    /// 04/07: operation in progress.
    pub const NOT_READY_OPERATION: Code = Code(0x04, 0x07);
    /// 10/01: logical block guard check failed (block protection).
    pub const BLOCK_GUARD_FAILED: Code = Code(0x10, 0x01);
    /// 14/03: end of data not found.
    pub const END_OF_DATA_NOT_FOUND: Code = Code(0x14, 0x03);
    /// 1A/00: parameter list length error.
    pub const PARAMETER_LIST_LENGTH: Code = Code(0x1a, 0x00);
    /// 20/00: invalid command operation code.
    pub const INVALID_OPCODE: Code = Code(0x20, 0x00);
    /// 21/01: invalid element address.
    pub const INVALID_ELEMENT: Code = Code(0x21, 0x01);
    /// 24/00: invalid field in CDB.
    pub const INVALID_FIELD_IN_CDB: Code = Code(0x24, 0x00);
    /// 25/00: logical unit not supported.
    pub const LUN_NOT_SUPPORTED: Code = Code(0x25, 0x00);
    /// 26/00: invalid field in parameter list.
    pub const INVALID_FIELD_IN_LIST: Code = Code(0x26, 0x00);
    /// 27/00: write protected.
    pub const WRITE_PROTECTED: Code = Code(0x27, 0x00);
    /// 28/00: not ready to ready change, medium may have changed.
    pub const MEDIUM_MAY_HAVE_CHANGED: Code = Code(0x28, 0x00);
    /// 28/01: import or export element accessed.
    pub const IMPORT_EXPORT_ACCESSED: Code = Code(0x28, 0x01);
    /// 29/00: power on, reset or bus device reset occurred.
    pub const RESET: Code = Code(0x29, 0x00);
    /// 2A/01: mode parameters changed.
    pub const MODE_PARAMETERS_CHANGED: Code = Code(0x2a, 0x01);
    /// 30/03: a cleaning cartridge is in the drive.
    pub const CLEANING_CARTRIDGE: Code = Code(0x30, 0x03);
    /// 30/0C: WORM medium, overwrite attempted.
    pub const WORM_OVERWRITE: Code = Code(0x30, 0x0c);
    /// 3A/00: medium not present.
    pub const MEDIUM_NOT_PRESENT: Code = Code(0x3a, 0x00);
    /// 3B/0D: medium destination element full.
    pub const DESTINATION_FULL: Code = Code(0x3b, 0x0d);
    /// 3B/0E: medium source element empty.
    pub const SOURCE_EMPTY: Code = Code(0x3b, 0x0e);
    /// 53/02: medium removal prevented.
    pub const REMOVAL_PREVENTED: Code = Code(0x53, 0x02);
    /// The drive was not told to unload.
    pub const REMOVAL_PREVENTED_BY_DRIVE: Code = Code(0x53, 0x03);
    /// 82/82 (IBM): the drive asks for cleaning; not an error.
    pub const IBM_CLEANING: Code = Code(0x82, 0x82);

    /// 2A/11-13: another initiator, or the drive itself, changed the data encryption parameters.
    pub const fn is_encryption_changed(self) -> bool {
        matches!(self, Code(0x2a, 0x11..=0x13))
    }

    /// 2A/03-05: another initiator took the reservation or the registration away, or released it.
    pub const fn is_reservation_lost(self) -> bool {
        matches!(self, Code(0x2a, 0x03..=0x05))
    }

    /// The standard's meaning in our words, where we have a use for the code.
    pub const fn meaning(self) -> Option<&'static str> {
        Some(match self {
            Code(0x00, 0x01) => "filemark",
            Code(0x00, 0x02) => "end of medium or early warning",
            Code(0x00, 0x04) => "beginning of medium",
            Code(0x00, 0x05) => "end of data",
            Code(0x00, 0x07) => "programmable early warning",
            Code(0x00, 0x16) => "operation in progress",
            Code(0x00, 0x17) => "cleaning requested",
            Code(0x03, 0x00) => "write fault",
            Code(0x04, 0x00) => "not ready",
            Code(0x04, 0x01) => "becoming ready",
            Code(0x04, 0x02) => "not loaded",
            Code(0x04, 0x03) => "manual intervention required",
            Code(0x04, 0x07) => "operation in progress",
            Code(0x04, 0x12) => "offline",
            Code(0x09, 0x00) => "track following error",
            Code(0x0c, 0x00) => "write error",
            Code(0x10, 0x01) => "block protection: guard check failed",
            Code(0x11, 0x00) => "unrecovered read error",
            Code(0x14, 0x00) => "recorded entity not found",
            Code(0x14, 0x03) => "end of data not found",
            Code(0x15, _) => "positioning error",
            Code(0x1a, 0x00) => "parameter list length error",
            Code(0x20, 0x00) => "command not known",
            Code(0x21, 0x01) => "invalid element address",
            Code(0x24, 0x00) => "invalid field in the command",
            Code(0x25, 0x00) => "logical unit not supported",
            Code(0x26, 0x00) => "invalid field in the parameter list",
            Code(0x27, _) => "write protected",
            Code(0x28, 0x00) => "medium may have changed",
            Code(0x28, 0x01) => "import/export slot accessed",
            Code(0x29, _) => "power on or reset",
            Code(0x2a, 0x01) => "mode parameters changed",
            Code(0x2a, 0x03..=0x05) => "reservations changed",
            Code(0x2a, 0x11..=0x13) => "encryption parameters changed",
            Code(0x2c, 0x00) => "command sequence error",
            Code(0x30, 0x03) => "cleaning cartridge installed",
            Code(0x30, 0x0c) => "write-once medium: overwrite attempted",
            Code(0x30, 0x0d) => "write-once medium: integrity check failed",
            Code(0x30, _) => "incompatible medium",
            Code(0x31, _) => "medium format corrupted",
            Code(0x33, 0x00) => "tape length error",
            Code(0x3a, _) => "no medium",
            Code(0x3b, 0x00) => "sequential positioning error",
            Code(0x3b, 0x08) => "reposition error",
            Code(0x3b, 0x0c) => "position past the beginning of medium",
            Code(0x3b, 0x0d) => "destination element full",
            Code(0x3b, 0x0e) => "source element empty",
            Code(0x3b, 0x11) => "magazine not accessible",
            Code(0x3b, 0x12) => "magazine removed",
            Code(0x3f, _) => "target operating conditions changed",
            Code(0x40, _) => "diagnostic failure",
            Code(0x44, _) => "internal target failure",
            Code(0x51, 0x00) => "erase failure",
            Code(0x52, 0x00) => "cartridge fault",
            Code(0x53, 0x00) => "medium load or eject failed",
            Code(0x53, 0x02) => "medium removal prevented",
            Code(0x53, 0x04) => "medium threading failure",
            Code(0x5a, 0x01) => "operator asks for medium removal",
            Code(0x5d, _) => "failure prediction threshold exceeded",
            Code(0x74, _) => "encryption or security error",
            Code(0x82, 0x82) => "cleaning requested",
            _ => return None,
        })
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:02X}/{:02X}", self.0, self.1)
    }
}

/// Parsed sense data, fixed or descriptor format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sense {
    /// An earlier command failed after its status had been GOOD (response codes 71h and 73h).
    pub deferred: bool,
    /// Sense key.
    pub key: SenseKey,
    /// ASC and ASCQ.
    pub code: Code,
    /// FILEMARK bit.
    pub filemark: bool,
    /// EOM bit: at or beyond early warning, or at the beginning of the partition for reverse motion.
    pub end_of_medium: bool,
    /// ILI bit: the record's length was not the one asked.
    pub incorrect_length: bool,
    /// INFORMATION where VALID: for tapes a signed residual (length asked less length found).
    pub information: Option<i64>,
    /// Progress of the operation under way, as parts of 65536 (sense-key specific field, SPC-4 clause 4.5.2.4.4).
    pub progress: Option<u16>,
}

impl Sense {
    /// Parses fixed (70h, 71h) and descriptor (72h, 73h) format. `None` where the bytes are neither or too short
    /// to hold a sense key.
    pub fn parse(bytes: &[u8]) -> Option<Sense> {
        match u8_at(bytes, 0)? & 0x7f {
            code @ (0x70 | 0x71) => Sense::parse_fixed(bytes, code == 0x71),
            code @ (0x72 | 0x73) => Sense::parse_descriptors(bytes, code == 0x73),
            _ => None,
        }
    }

    /// SPC-4 clause 4.5.3.
    fn parse_fixed(bytes: &[u8], deferred: bool) -> Option<Sense> {
        let flags = u8_at(bytes, 2)?;
        // A device that sends fewer than 14 bytes gives no code; a missing additional length counts as all there is.
        let end = u8_at(bytes, 7).map_or(bytes.len(), |more| 8 + usize::from(more));
        let field = |at: usize| u8_at(bytes, at).filter(|_| at < end).unwrap_or(0);
        let key = SenseKey::from(flags);
        Some(Sense {
            deferred,
            key,
            code: Code(field(12), field(13)),
            filemark: flags & 0x80 != 0,
            end_of_medium: flags & 0x40 != 0,
            incorrect_length: flags & 0x20 != 0,
            information: if bit_at(bytes, 0, 0x80) {
                u32_at(bytes, 3).map(|value| i64::from(value.cast_signed()))
            } else {
                None
            },
            progress: progress(key, field(15), u16_at(bytes, 16).filter(|_| end >= 18)),
        })
    }

    /// SPC-4 clause 4.5.2.
    fn parse_descriptors(bytes: &[u8], deferred: bool) -> Option<Sense> {
        let key = SenseKey::from(u8_at(bytes, 1)?);
        let mut sense = Sense {
            deferred,
            key,
            code: Code(u8_at(bytes, 2).unwrap_or(0), u8_at(bytes, 3).unwrap_or(0)),
            filemark: false,
            end_of_medium: false,
            incorrect_length: false,
            information: None,
            progress: None,
        };
        let mut rest = bytes.get(8..).unwrap_or_default();
        while let (Some(kind), Some(length)) = (u8_at(rest, 0), u8_at(rest, 1)) {
            let (descriptor, behind) = rest.split_at(rest.len().min(2 + usize::from(length)));
            match kind {
                0x00 if bit_at(descriptor, 2, 0x80) => {
                    sense.information = u64_at(descriptor, 4).map(u64::cast_signed);
                }
                0x02 => {
                    let specific = u8_at(descriptor, 4).unwrap_or(0);
                    sense.progress = progress(key, specific, u16_at(descriptor, 5));
                }
                0x04 => {
                    sense.filemark = bit_at(descriptor, 3, 0x80);
                    sense.end_of_medium = bit_at(descriptor, 3, 0x40);
                    sense.incorrect_length = bit_at(descriptor, 3, 0x20);
                }
                _ => {}
            }
            rest = behind;
        }
        Some(sense)
    }

    /// Whether key, ASC and ASCQ are these.
    pub fn is(&self, key: SenseKey, code: Code) -> bool {
        self.key == key && self.code == code
    }

    /// A filemark was met while reading, spacing or verifying.
    pub fn is_filemark(&self) -> bool {
        self.filemark || (self.key == SenseKey::NoSense && self.code == Code::FILEMARK_DETECTED)
    }

    /// At or beyond early warning while the command itself succeeded (SSC-4 clause 4.2.7).
    pub fn early_warning(&self) -> bool {
        matches!(self.key, SenseKey::NoSense | SenseKey::RecoveredError)
            && self.end_of_medium
            && !self.programmable_early_warning()
            && self.code != Code::BEGINNING_OF_MEDIUM
    }

    /// The programmable early warning zone was entered.
    pub fn programmable_early_warning(&self) -> bool {
        matches!(self.key, SenseKey::NoSense | SenseKey::RecoveredError)
            && self.code == Code::PROGRAMMABLE_EARLY_WARNING
    }

    /// Nothing recorded from here on; includes the blank check without a code that some drives give.
    pub fn end_of_data(&self) -> bool {
        match self.key {
            SenseKey::BlankCheck => matches!(self.code, Code::END_OF_DATA | Code::NONE),
            SenseKey::NoSense => self.code == Code::END_OF_DATA, // so some targets say it
            _ => false,
        }
    }

    /// The end-of-data mark is gone: the tape was cut off while writing.
    pub fn end_of_data_missing(&self) -> bool {
        matches!(self.key, SenseKey::BlankCheck | SenseKey::MediumError)
            && self.code == Code::END_OF_DATA_NOT_FOUND
    }

    /// Beginning of the partition met while moving backwards.
    pub fn beginning_of_medium(&self) -> bool {
        self.code == Code::BEGINNING_OF_MEDIUM
    }

    /// No room for the record: the partition's physical end.
    pub fn volume_overflow(&self) -> bool {
        self.key == SenseKey::VolumeOverflow
    }

    /// Something happened between commands.
    pub fn is_unit_attention(&self) -> bool {
        self.key == SenseKey::UnitAttention && !self.deferred
    }

    /// The medium may be another one than before.
    pub fn medium_may_have_changed(&self) -> bool {
        self.key == SenseKey::UnitAttention && self.code == Code::MEDIUM_MAY_HAVE_CHANGED
    }

    /// Power on, reset or nexus loss: position, mode settings and prevention of removal are lost.
    pub fn reset(&self) -> bool {
        self.key == SenseKey::UnitAttention && self.code.0 == 0x29
    }

    /// Reservations or registrations were changed by another initiator (2A/03 to 2A/05).
    pub fn reservations_changed(&self) -> bool {
        self.key == SenseKey::UnitAttention && self.code.0 == 0x2a && (0x03..=0x05).contains(&self.code.1)
    }

    /// Wait and ask again: loading, threading, rewinding or another operation that ends by itself.
    pub fn becoming_ready(&self) -> bool {
        self.key == SenseKey::NotReady
            && matches!(self.code, Code(0x04, 0x01 | 0x07 | 0x08 | 0x0a | 0x1a | 0x22))
    }

    /// No cartridge (2/3A/xx).
    pub fn no_medium(&self) -> bool {
        self.key == SenseKey::NotReady && self.code.0 == 0x3a
    }

    /// A cartridge is there but not loaded.
    pub fn load_required(&self) -> bool {
        self.key == SenseKey::NotReady && self.code == Code::LOAD_REQUIRED
    }

    /// A cleaning cartridge is in the drive, at work or done (2/30/03, some drives 3/30/03 or 5/30/03).
    pub fn cleaning_cartridge(&self) -> bool {
        self.code == Code::CLEANING_CARTRIDGE
    }

    /// The cartridge's tab, the drive or the format forbids writing; not the write-once rule.
    pub fn write_protected(&self) -> bool {
        self.key == SenseKey::DataProtect && matches!(self.code.0, 0x27 | 0x30) && !self.worm()
    }

    /// The write-once rule forbids this write.
    pub fn worm(&self) -> bool {
        matches!(self.key, SenseKey::DataProtect | SenseKey::IllegalRequest | SenseKey::MediumError)
            && matches!(self.code, Code(0x30, 0x0c | 0x0d) | Code(0x5f, 0x01))
    }

    /// A key is missing, wrong or not accepted (74/xx).
    pub fn encryption(&self) -> bool {
        self.code.0 == 0x74
    }

    /// The device does not know the command.
    pub fn command_unsupported(&self) -> bool {
        self.key == SenseKey::IllegalRequest && self.code == Code::INVALID_OPCODE
    }

    /// The device knows the command but not this form of it: a page, a field or a parameter is not there.
    pub fn field_unsupported(&self) -> bool {
        self.key == SenseKey::IllegalRequest
            && matches!(
                self.code,
                Code::INVALID_FIELD_IN_CDB | Code::INVALID_FIELD_IN_LIST | Code(0x1a, 0x00)
            )
    }

    /// The command succeeded; the sense data is advice (recovered error, cleaning wanted, nothing at all).
    pub fn is_advice(&self) -> bool {
        !self.deferred
            && matches!(self.key, SenseKey::NoSense | SenseKey::RecoveredError | SenseKey::Completed)
            && !self.filemark
            && !self.incorrect_length
            && !self.end_of_medium
            && !matches!(
                self.code,
                Code::FILEMARK_DETECTED
                    | Code::END_OF_MEDIUM
                    | Code::BEGINNING_OF_MEDIUM
                    | Code::END_OF_DATA
                    | Code::PROGRAMMABLE_EARLY_WARNING
            )
    }
}

/// SKSV and the key decide whether the sense-key specific bytes are a progress indication.
fn progress(key: SenseKey, specific: u8, value: Option<u16>) -> Option<u16> {
    value.filter(|_| specific & 0x80 != 0 && matches!(key, SenseKey::NoSense | SenseKey::NotReady))
}

impl std::fmt::Display for Sense {
    /// `key/ASC/ASCQ`, and the meaning where known: `8/00/05 end of data`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:X}/{}", self.key as u8, self.code)?;
        if let Some(meaning) = self.code.meaning() {
            write!(f, " {meaning}")?;
        }
        if self.deferred { f.write_str(" (deferred)") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fixed(first: u8, flags: u8, information: i32, asc: u8, ascq: u8) -> Vec<u8> {
        let mut bytes = vec![first, 0, flags];
        bytes.extend(information.to_be_bytes());
        bytes.extend([10, 0, 0, 0, 0, asc, ascq, 0, 0, 0, 0]);
        bytes
    }

    #[test]
    fn predicates_by_table() {
        type Predicate = fn(&Sense) -> bool;
        let table: &[(u8, u8, u8, Predicate)] = &[
            (0x80, 0x00, 0x01, Sense::is_filemark),
            (0x40, 0x00, 0x02, Sense::early_warning),
            (0x40, 0x00, 0x07, Sense::programmable_early_warning),
            (0x00, 0x00, 0x07, Sense::programmable_early_warning),
            (0x08, 0x00, 0x05, Sense::end_of_data),
            (0x08, 0x14, 0x03, Sense::end_of_data_missing),
            (0x4d, 0x00, 0x02, Sense::volume_overflow),
            (0x07, 0x27, 0x00, Sense::write_protected),
            (0x07, 0x30, 0x0c, Sense::worm),
            (0x06, 0x28, 0x00, Sense::medium_may_have_changed),
            (0x06, 0x28, 0x00, Sense::is_unit_attention),
            (0x06, 0x29, 0x03, Sense::reset),
            (0x06, 0x2a, 0x04, Sense::reservations_changed),
            (0x02, 0x04, 0x01, Sense::becoming_ready),
            (0x02, 0x04, 0x07, Sense::becoming_ready),
            (0x02, 0x3a, 0x02, Sense::no_medium),
            (0x07, 0x74, 0x01, Sense::encryption),
            (0x05, 0x20, 0x00, Sense::command_unsupported),
            (0x05, 0x24, 0x00, Sense::field_unsupported),
            (0x00, 0x82, 0x82, Sense::is_advice),
            (0x01, 0x0c, 0x00, Sense::is_advice),
            (0x40, 0x00, 0x04, Sense::beginning_of_medium),
        ];
        for &(flags, asc, ascq, predicate) in table {
            let sense = Sense::parse(&fixed(0x70, flags, 0, asc, ascq)).unwrap();
            assert!(predicate(&sense), "{sense}");
            // The same in descriptor format.
            let bytes = [0x72, flags & 0x0f, asc, ascq, 0, 0, 0, 4, 0x04, 2, 0, flags & 0xe0];
            let sense = Sense::parse(&bytes).unwrap();
            assert!(predicate(&sense), "descriptor {sense}");
        }
    }

    #[test]
    fn early_warnings_do_not_mix() {
        let programmable = Sense::parse(&fixed(0x70, 0x40, 0, 0, 7)).unwrap();
        assert!(!programmable.early_warning() && !programmable.is_advice());
        let worm = Sense::parse(&fixed(0x70, 0x07, 0, 0x30, 0x0c)).unwrap();
        assert!(!worm.write_protected());
    }

    #[test]
    fn deferred_information_and_progress() {
        let sense = Sense::parse(&fixed(0xf1, 0x23, -512, 0x0c, 0x00)).unwrap();
        assert!(sense.deferred && sense.incorrect_length);
        assert_eq!(sense.information, Some(-512));
        assert_eq!(sense.to_string(), "3/0C/00 write error (deferred)");
        assert_eq!(Sense::parse(&fixed(0x70, 0x20, -512, 0, 0)).unwrap().information, None, "VALID is clear");

        let mut bytes = fixed(0x70, 0x02, 0, 0x04, 0x01);
        bytes[15] = 0x80;
        bytes[16] = 0x80;
        assert_eq!(Sense::parse(&bytes).unwrap().progress, Some(0x8000));

        let descriptor = [
            0x73, 0x00, 0x00, 0x00, 0, 0, 0, 28, // header
            0x00, 0x0a, 0x80, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, // INFORMATION -256
            0x02, 0x06, 0, 0, 0x80, 0x12, 0x34, 0, // progress
            0x04, 0x02, 0, 0x20, // stream commands: ILI
        ];
        let sense = Sense::parse(&descriptor).unwrap();
        assert_eq!((sense.information, sense.progress), (Some(-256), Some(0x1234)));
        assert!(sense.deferred && sense.incorrect_length);
    }

    #[test]
    fn short_sense_still_has_its_key() {
        let sense = Sense::parse(&[0x70, 0, 0x05]).unwrap();
        assert_eq!((sense.key, sense.code), (SenseKey::IllegalRequest, Code::NONE));
        assert_eq!(Sense::parse(&[0x70, 0]), None);
        assert_eq!(Sense::parse(&[0x00; 18]), None);
        assert_eq!(Sense::parse(&[]), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn no_bytes_panic(first in 0x70u8..0x74, rest in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut bytes = vec![first];
            bytes.extend(rest);
            if let Some(sense) = Sense::parse(&bytes) {
                let _ = sense.to_string();
            }
        }
    }
}
