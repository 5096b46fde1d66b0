//! READ, WRITE, WRITE FILEMARKS, VERIFY, ERASE (SSC-4 clauses 6.4 to 6.20).

use super::super::cartridge::{Cartridge, Entry, Object, Record};
use super::super::faults::DriveFaults;
use super::super::outcome::{Check, INVALID_FIELD, Outcome, Stop};
use super::super::wire::{Cdb, receive};
use super::{Drive, LONGEST_RECORD, alert};
use crate::scsi::Data;

/// Bytes of a logical block protection field.
const PROTECTION: usize = 4;

impl Drive {
    /// WRITE(6).
    pub(super) fn write(&mut self, cdb: &Cdb, data: Data<'_>, faults: &DriveFaults) -> Outcome {
        self.medium()?;
        let (unit, count) = self.transfer_shape(cdb)?;
        if count == 0 {
            return Ok(0);
        }
        let bytes = receive(data, unit * count)?;
        self.writable(faults)?;
        let fixed = cdb.bit(1, 1);
        let start = self.used_here()?;
        for (done, block) in bytes.chunks_exact(unit).enumerate() {
            let residual = if fixed { (count - done) as i64 } else { unit as i64 };
            self.write_record(block, faults).map_err(|stop| match stop {
                Stop::Check(check) => Stop::Check(check.info(residual).moved(done * unit)),
                other => other,
            })?;
        }
        if !self.mode.buffered {
            self.synchronise()?;
        }
        self.warn(start, faults, unit * count)
    }

    /// Bytes of one block and the number of blocks that READ(6) and WRITE(6) ask for.
    fn transfer_shape(&mut self, cdb: &Cdb) -> Result<(usize, usize), Check> {
        let length = cdb.u24(2);
        if !cdb.bit(1, 1) {
            if length > LONGEST_RECORD + PROTECTION as u32 {
                return Err(INVALID_FIELD);
            }
            return Ok((length as usize, usize::from(length > 0)));
        }
        let unit = self.mode.block_length;
        if unit == 0 || u64::from(unit) * u64::from(length) > 1 << 30 {
            return Err(INVALID_FIELD);
        }
        Ok((unit as usize, length as usize))
    }

    /// Checks everything that forbids writing at the position, then drops what lies behind it.
    pub(super) fn writable(&mut self, faults: &DriveFaults) -> Result<(), Stop> {
        let position = self.position;
        let append_only = self.mode.append_only;
        let allowed = self.overwrite_allowed;
        let medium = self.medium()?;
        if medium.memory.write_protected || faults.write_protect {
            self.raise(alert::WRITE_PROTECT);
            return Err(Check::new(7, 0x27, 0x00).into());
        }
        if position < medium.count() {
            if medium.memory.worm {
                self.raise(alert::WORM_OVERWRITE);
                return Err(Check::new(7, 0x30, 0x0c).into());
            }
            if append_only && allowed != Some(position) {
                // WRITE APPEND ERROR.
                return Err(Check::new(7, 0x50, 0x00).into());
            }
        } else if medium.memory.lost_end {
            return Err(Check::new(8, 0x14, 0x03).into());
        }
        if faults.write_error_at == Some(position) {
            self.write_failed();
            return Err(Check::new(3, 0x0c, 0x00).info(0).into());
        }
        self.begin_writing()
    }

    /// The first write of a mount changes the volume change reference, on the medium before any data.
    pub(super) fn begin_writing(&mut self) -> Result<(), Stop> {
        let position = self.position;
        let first = !self.mount_written;
        let medium = self.medium()?;
        if first || medium.memory.lost_end {
            if first {
                medium.memory.change_reference = medium.memory.change_reference.wrapping_add(1);
            }
            medium.memory.lost_end = false;
            medium.save_memory()?;
        }
        medium.truncate(position)?;
        self.mount_written = true;
        self.overwrite_allowed = None;
        Ok(())
    }

    fn write_record(&mut self, block: &[u8], faults: &DriveFaults) -> Result<(), Stop> {
        if faults.write_error_at == Some(self.position) {
            self.write_failed();
            return Err(Check::new(3, 0x0c, 0x00).into());
        }
        let bytes = if self.mode.protect_writes { unprotected(block)? } else { block };
        if bytes.is_empty() || bytes.len() > LONGEST_RECORD as usize {
            return Err(INVALID_FIELD.into());
        }
        let length = bytes.len() as u32;
        let mut sealed = std::mem::take(&mut self.scratch);
        let key = match &mut self.medium {
            Some(medium) => self.crypto.seal(bytes, &mut sealed, medium)?,
            None => None,
        };
        let stored: &[u8] = if key.is_some() { &sealed } else { bytes };
        let medium = self.medium()?;
        let result = if medium.used() + stored.len() as u64 > medium.memory.usable() {
            Err(Stop::Check(Check::new(0xd, 0x00, 0x02).eom()))
        } else {
            medium.append(stored, length, key).map_err(Stop::Io)
        };
        let stored = stored.len() as u64;
        self.scratch = sealed;
        result?;
        if let Some(medium) = &mut self.medium {
            medium.memory.bytes_written += u64::from(length);
            medium.memory.recovered_writes += faults.recovered_errors;
        }
        self.counters.recovered_writes += faults.recovered_errors;
        self.position += 1;
        self.counters.records_written += 1;
        self.counters.bytes_written += u64::from(length);
        self.motion.write(stored);
        Ok(())
    }

    /// Bytes of tape before the position.
    pub(super) fn used_here(&mut self) -> Result<u64, Stop> {
        let position = self.position;
        Ok(self.medium()?.bytes_before(position)?)
    }

    /// Early warning zones: whether the position is in them (programmable, real), given bytes used before it.
    pub(super) fn zones(&mut self, used: u64, faults: &DriveFaults) -> (bool, bool) {
        let position = self.position;
        let ahead = u64::from(self.mode.early_warning_mb) * 1_000_000;
        let Some(medium) = &self.medium else { return (false, false) };
        let begins = medium.memory.early_warning();
        let early = used >= begins || faults.early_warning_at.is_some_and(|block| position >= block);
        let programmable = ahead > 0 && used >= begins.saturating_sub(ahead);
        (programmable, early)
    }

    /// GOOD status, or the warning that a successful write ends with (SSC-4 clause 4.2.6): early warning at every write past
    /// it, programmable early warning at the write that reaches it.
    fn warn(&mut self, start: u64, faults: &DriveFaults, moved: usize) -> Outcome {
        let end = self.used_here()?;
        let (before, _) = self.zones(start, faults);
        let (after, early) = self.zones(end, faults);
        if early {
            return Err(Check::new(0, 0x00, 0x02).eom().info(0).moved(moved).into());
        }
        if after && !before {
            return Err(Check::new(0, 0x00, 0x07).eom().info(0).moved(moved).into());
        }
        Ok(moved)
    }

    /// WRITE FILEMARKS(6): without IMMED, also with count 0, everything is on the medium afterwards.
    pub(super) fn write_filemarks(&mut self, cdb: &Cdb, faults: &DriveFaults) -> Outcome {
        self.medium()?;
        let count = cdb.u24(2);
        let immediate = cdb.bit(1, 1);
        if cdb.bit(1, 2) {
            return Err(INVALID_FIELD.into()); // setmarks
        }
        let start = self.used_here()?;
        if count > 0 {
            self.writable(faults)?;
            for done in 0..count {
                let medium = self.medium()?;
                // A filemark costs no capacity here, but an endless row of them must end.
                if medium.used() >= medium.memory.usable() || u64::from(medium.files()) >= 1 << 31 {
                    let residual = i64::from(count - done);
                    return Err(Check::new(0xd, 0x00, 0x02).eom().info(residual).into());
                }
                medium.append_filemark()?;
                self.position += 1;
            }
        }
        if !immediate {
            self.synchronise()?;
        }
        if count == 0 {
            return Ok(0);
        }
        self.warn(start, faults, 0)
    }

    /// READ(6).
    pub(super) fn read(&mut self, cdb: &Cdb, data: Data<'_>, faults: &DriveFaults) -> Outcome {
        self.medium()?;
        let (fixed, silent) = (cdb.bit(1, 1), cdb.bit(1, 2));
        if fixed && silent {
            return Err(INVALID_FIELD.into());
        }
        let (unit, count) = self.transfer_shape(cdb)?;
        if count == 0 {
            return Ok(0);
        }
        self.synchronise()?;
        let buffer: &mut [u8] = match data {
            Data::In(buffer) => buffer,
            _ => &mut [],
        };
        let mut moved = 0;
        for done in 0..count {
            let residual = if fixed { (count - done) as i64 } else { unit as i64 };
            let entry = self.object_to_read(residual, moved, faults)?;
            let Object::Record(record) = entry.object else {
                self.position += 1;
                return Err(Check::new(0, 0x00, 0x01).filemark().info(residual).moved(moved).into());
            };
            let room = buffer.get_mut(moved..).unwrap_or_default();
            let room = room.get_mut(..unit.min(room.len())).unwrap_or_default();
            let (got, length) = self.read_record(&entry, record, room).map_err(|stop| match stop {
                Stop::Check(check) => Stop::Check(check.info(residual).moved(moved)),
                other => other,
            })?;
            moved += got;
            let wrong = length != unit;
            let told = !silent || (length > unit && self.mode.block_length != 0);
            if wrong && (fixed || told) {
                let info = if fixed { residual } else { unit as i64 - length as i64 };
                return Err(Check::new(0, 0x00, 0x00).ili().info(info).moved(moved).into());
            }
        }
        Ok(moved)
    }

    fn write_failed(&mut self) {
        self.counters.write_errors += 1;
        self.life.hard_write_errors += 1;
        if let Some(medium) = &mut self.medium {
            medium.memory.failed_writes += 1;
        }
        self.raise(alert::WRITE_FAILURE);
    }

    fn read_failed(&mut self) {
        self.counters.read_errors += 1;
        self.life.hard_read_errors += 1;
        if let Some(medium) = &mut self.medium {
            medium.memory.failed_reads += 1;
        }
        self.raise(alert::READ_FAILURE);
    }

    /// The object at the position, or why there is none to read.
    fn object_to_read(&mut self, residual: i64, moved: usize, faults: &DriveFaults) -> Result<Entry, Stop> {
        let position = self.position;
        let medium = self.medium()?;
        let lost = medium.memory.lost_end;
        let Some(entry) = medium.entry(position)? else {
            let ascq = if lost { (0x14, 0x03) } else { (0x00, 0x05) };
            return Err(Check::new(8, ascq.0, ascq.1).info(residual).moved(moved).into());
        };
        let discarded = matches!(entry.object, Object::Record(record) if record.discarded);
        if discarded || faults.read_error_at == Some(position) {
            self.read_failed();
            return Err(Check::new(3, 0x11, 0x00).info(residual).moved(moved).into());
        }
        if matches!(entry.object, Object::Record(_)) {
            self.counters.recovered_reads += faults.recovered_errors;
            if let Some(medium) = &mut self.medium {
                medium.memory.recovered_reads += faults.recovered_errors;
            }
        }
        Ok(entry)
    }

    /// Moves as much of a record as fits and goes past it; returns the bytes moved and the length it has for the host.
    fn read_record(&mut self, entry: &Entry, record: Record, to: &mut [u8]) -> Result<(usize, usize), Stop> {
        let length = record.length as usize;
        let mut whole = std::mem::take(&mut self.scratch);
        let result = self.fetch(entry, record, to, &mut whole);
        self.scratch = whole;
        let moved = result?;
        if let Some(medium) = &mut self.medium {
            medium.memory.bytes_read += u64::from(record.length);
        }
        self.position += 1;
        self.counters.records_read += 1;
        self.counters.bytes_read += u64::from(record.length);
        self.motion.read(u64::from(record.stored));
        Ok((moved, length + if self.mode.protect_reads { PROTECTION } else { 0 }))
    }

    fn fetch(
        &mut self,
        entry: &Entry,
        record: Record,
        to: &mut [u8],
        whole: &mut Vec<u8>,
    ) -> Result<usize, Stop> {
        let protect = self.mode.protect_reads;
        let length = record.length as usize;
        let total = length + if protect { PROTECTION } else { 0 };
        let Some(medium) = &self.medium else { return Err(Stop::Gone("no cartridge")) };
        self.crypto.may_read(record.encrypted)?;
        let plain: &[u8] = if record.encrypted {
            whole.resize(record.stored as usize, 0);
            medium.read(entry, whole)?;
            let plain = self.crypto.open(whole, record.key, medium)?;
            // The tag vouches for the bytes, not for the entry that names their length.
            if plain.len() < length {
                return Err(Check::new(3, 0x11, 0x00).into());
            }
            plain
        } else if to.len() >= total || !protect {
            let moved = to.len().min(length);
            medium.read(entry, &mut to[..moved])?;
            if protect {
                let check = crc32c::crc32c(&to[..length]).to_le_bytes();
                to[length..total].copy_from_slice(&check);
            }
            return Ok(to.len().min(total));
        } else {
            whole.resize(length, 0);
            medium.read(entry, whole)?;
            whole
        };
        let (bytes, check) = to.split_at_mut(to.len().min(length));
        bytes.copy_from_slice(plain.get(..bytes.len()).unwrap_or_default());
        let mut moved = bytes.len();
        if protect {
            for (to, from) in check.iter_mut().zip(crc32c::crc32c(plain).to_le_bytes()) {
                *to = from;
                moved += 1;
            }
        }
        Ok(moved)
    }

    /// VERIFY(6): reads without moving bytes.
    pub(super) fn verify(&mut self, cdb: &Cdb, faults: &DriveFaults) -> Outcome {
        self.medium()?;
        let (unit, count) = self.transfer_shape(cdb)?;
        let fixed = cdb.bit(1, 1);
        self.synchronise()?;
        for done in 0..count {
            let residual = if fixed { (count - done) as i64 } else { unit as i64 };
            let entry = self.object_to_read(residual, 0, faults)?;
            self.position += 1;
            match entry.object {
                Object::Filemark => {
                    return Err(Check::new(0, 0x00, 0x01).filemark().info(residual).into());
                }
                Object::Record(record) if record.length as usize != unit => {
                    let info = if fixed { residual } else { unit as i64 - i64::from(record.length) };
                    return Err(Check::new(0, 0x00, 0x00).ili().info(info).into());
                }
                Object::Record(record) => self.motion.read(u64::from(record.stored)),
            }
        }
        Ok(0)
    }

    /// ERASE(6), short or long: everything from the position on is gone.
    pub(super) fn erase(&mut self, faults: &DriveFaults) -> Outcome {
        self.synchronise()?;
        self.writable(faults)?;
        self.synchronise()?;
        Ok(0)
    }

    /// FORMAT MEDIUM: at the beginning of the tape, one partition, not on write-once cartridges.
    pub(super) fn format_medium(&mut self, cdb: &Cdb, faults: &DriveFaults) -> Outcome {
        self.at_beginning()?;
        if cdb.u8(2) & 0x0f != 0 {
            return Err(INVALID_FIELD.into());
        }
        if self.medium()?.memory.worm {
            return Err(Check::new(7, 0x30, 0x0c).into());
        }
        self.erase(faults)?;
        let medium = self.medium()?;
        medium.memory.partitions = 1;
        medium.save_memory()?;
        Ok(0)
    }

    /// SET CAPACITY: at the beginning of the tape; everything on it is lost.
    pub(super) fn set_capacity(&mut self, cdb: &Cdb, faults: &DriveFaults) -> Outcome {
        self.at_beginning()?;
        let proportion = cdb.u16(3);
        if self.medium()?.memory.worm {
            return Err(Check::new(7, 0x30, 0x0c).into());
        }
        self.writable(faults)?;
        let medium: &mut Cartridge = self.medium()?;
        medium.memory.proportion = proportion;
        medium.save_memory()?;
        self.synchronise()?;
        Ok(0)
    }

    fn at_beginning(&mut self) -> Result<(), Stop> {
        self.medium()?;
        if self.position == 0 {
            return Ok(());
        }
        // POSITION PAST BEGINNING OF MEDIUM.
        Err(Check::new(5, 0x3b, 0x0c).into())
    }
}

/// The block without its CRC32C, little-endian, when that is right.
fn unprotected(block: &[u8]) -> Result<&[u8], Check> {
    // LOGICAL BLOCK GUARD CHECK FAILED.
    let wrong = Check::new(0xb, 0x10, 0x01);
    let (bytes, check) = block.split_last_chunk::<PROTECTION>().ok_or(wrong.clone())?;
    if bytes.is_empty() || crc32c::crc32c(bytes) != u32::from_le_bytes(*check) {
        return Err(wrong);
    }
    Ok(bytes)
}
