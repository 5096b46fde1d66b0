//! SPACE, LOCATE, READ POSITION, REWIND, ALLOW OVERWRITE (SSC-4 clauses 6.2, 6.6, 6.12, 6.16, 7.1, 7.3, 7.9).

use super::super::faults::DriveFaults;
use super::super::outcome::{Check, INVALID_FIELD, Outcome, Stop};
use super::super::wire::{Cdb, be24, send};
use super::Drive;
use crate::scsi::Data;

const BEGINNING: Check = Check::new(0, 0x00, 0x04).eom();
const END: Check = Check::new(8, 0x00, 0x05);

impl Drive {
    /// SPACE(6): a signed 24-bit count.
    pub(super) fn space_6(&mut self, cdb: &Cdb) -> Outcome {
        let count = i64::from((cdb.u24(2) << 8) as i32 >> 8);
        self.space(cdb.u8(1) & 0x0f, count)
    }

    /// SPACE(16): a signed 64-bit count.
    pub(super) fn space_16(&mut self, cdb: &Cdb) -> Outcome {
        self.space(cdb.u8(1) & 0x0f, cdb.u64(4) as i64)
    }

    fn space(&mut self, what: u8, count: i64) -> Outcome {
        self.medium()?;
        self.synchronise()?;
        let distance = count.unsigned_abs();
        match (what, count) {
            (0 | 1, 0) => Ok(0),
            (0, 1..) => self.space_records_forward(distance),
            (0, _) => self.space_records_back(distance),
            (1, 1..) => self.space_filemarks_forward(distance),
            (1, _) => self.space_filemarks_back(distance),
            (3, _) => {
                let end = self.end_of_data()?;
                self.go(end)
            }
            _ => Err(INVALID_FIELD.into()),
        }
    }

    /// End of data, unless its mark is lost.
    fn end_of_data(&mut self) -> Result<u64, Stop> {
        let medium = self.medium()?;
        if medium.memory.lost_end {
            return Err(Check::new(8, 0x14, 0x03).into());
        }
        Ok(medium.count())
    }

    /// Moves the tape.
    fn go(&mut self, to: u64) -> Outcome {
        let position = self.position;
        let medium = self.medium()?;
        let (from_byte, to_byte) = (medium.bytes_before(position)?, medium.bytes_before(to)?);
        self.motion.locate(from_byte, to_byte);
        self.position = to;
        Ok(0)
    }

    /// Moves the tape and stops there for a reason.
    fn stop(&mut self, at: u64, check: Check, residual: u64) -> Outcome {
        self.go(at)?;
        Err(check.info(residual.min(u64::from(u32::MAX)) as i64).into())
    }

    fn space_records_forward(&mut self, distance: u64) -> Outcome {
        let position = self.position;
        let medium = self.medium()?;
        let end = medium.count();
        let mark = medium.next_filemark(position)?;
        let limit = mark.unwrap_or(end);
        if distance <= limit.saturating_sub(position) {
            return self.go(position + distance);
        }
        let residual = distance - limit.saturating_sub(position);
        match mark {
            Some(mark) => self.stop(mark + 1, Check::new(0, 0x00, 0x01).filemark(), residual),
            None => {
                let end = self.end_of_data()?;
                self.stop(end, END, residual)
            }
        }
    }

    fn space_records_back(&mut self, distance: u64) -> Outcome {
        let position = self.position;
        let mark = self.medium()?.previous_filemark(position)?;
        let limit = mark.map_or(0, |mark| mark + 1);
        if distance <= position - limit {
            return self.go(position - distance);
        }
        let residual = distance - (position - limit);
        match mark {
            Some(mark) => self.stop(mark, Check::new(0, 0x00, 0x01).filemark(), residual),
            None => self.stop(0, BEGINNING, residual),
        }
    }

    fn space_filemarks_forward(&mut self, distance: u64) -> Outcome {
        let position = self.position;
        let medium = self.medium()?;
        let before = medium.files_before(position)?;
        if let Some(mark) = medium.filemark(before.saturating_add(distance - 1))? {
            return self.go(mark + 1);
        }
        let residual = distance - (u64::from(medium.files()) - before);
        let end = self.end_of_data()?;
        self.stop(end, END, residual)
    }

    fn space_filemarks_back(&mut self, distance: u64) -> Outcome {
        let position = self.position;
        let medium = self.medium()?;
        let before = medium.files_before(position)?;
        match before.checked_sub(distance) {
            Some(number) => {
                let mark = medium.filemark(number)?.unwrap_or(0);
                self.go(mark)
            }
            None => self.stop(0, BEGINNING, distance - before),
        }
    }

    /// LOCATE(10): a 32-bit block number; partition 0 is the only one.
    pub(super) fn locate_10(&mut self, cdb: &Cdb) -> Outcome {
        if cdb.bit(1, 0x02) && cdb.u8(8) != 0 {
            return Err(INVALID_FIELD.into());
        }
        self.locate_block(u64::from(cdb.u32(3)))
    }

    /// LOCATE(16): to a block, to the first block of a tape file (counted as IBM does, from 0), or to end of data.
    pub(super) fn locate_16(&mut self, cdb: &Cdb) -> Outcome {
        if cdb.bit(1, 0x02) && cdb.u8(3) != 0 {
            return Err(INVALID_FIELD.into());
        }
        let target = cdb.u64(4);
        match cdb.u8(1) >> 3 & 0x07 {
            0 => self.locate_block(target),
            1 => {
                self.medium()?;
                self.synchronise()?;
                let Some(mark) = target.checked_sub(1) else { return self.go(0) };
                match self.medium()?.filemark(mark)? {
                    Some(mark) => self.go(mark + 1),
                    None => {
                        let end = self.end_of_data()?;
                        self.go(end)?;
                        Err(END.into())
                    }
                }
            }
            3 => self.space(3, 0),
            _ => Err(INVALID_FIELD.into()),
        }
    }

    fn locate_block(&mut self, block: u64) -> Outcome {
        self.medium()?;
        self.synchronise()?;
        let count = self.medium()?.count();
        if block < count {
            return self.go(block);
        }
        let end = self.end_of_data()?;
        self.go(end)?;
        if block > end { Err(END.into()) } else { Ok(0) }
    }

    /// REWIND; the buffer is flushed first.
    pub(super) fn rewind(&mut self) -> Outcome {
        self.medium()?;
        self.synchronise()?;
        self.go(0)
    }

    /// READ POSITION: short (00h, 01h), long (06h) and extended (08h) form.
    pub(super) fn read_position(&mut self, cdb: &Cdb, data: Data<'_>, faults: &DriveFaults) -> Outcome {
        let used = self.used_here()?;
        let (programmable, early) = self.zones(used, faults);
        let position = self.position;
        let flags = if position == 0 { 0x80 } else { 0 }
            | if early { 0x40 } else { 0 }
            | if programmable || early { 0x01 } else { 0 };
        let medium = self.medium()?;
        let (objects, bytes) = medium.buffered();
        let on_medium = position.min(medium.count() - objects);
        let file = medium.files_before(position)?;
        let mut reply = vec![0u8; 32];
        match cdb.u8(1) & 0x1f {
            0x00 | 0x01 => {
                reply.truncate(20);
                match (u32::try_from(position), u32::try_from(on_medium)) {
                    (Ok(first), Ok(last)) => {
                        reply[0] = flags;
                        reply[4..8].copy_from_slice(&first.to_be_bytes());
                        reply[8..12].copy_from_slice(&last.to_be_bytes());
                    }
                    // LOLU: the numbers do not fit.
                    _ => reply[0] = flags | 0x02,
                }
                reply[13..16].copy_from_slice(&be24(objects.min(0xff_ffff) as u32));
                reply[16..20].copy_from_slice(&(bytes.min(u64::from(u32::MAX)) as u32).to_be_bytes());
            }
            0x06 => {
                reply[0] = flags;
                reply[8..16].copy_from_slice(&position.to_be_bytes());
                reply[16..24].copy_from_slice(&file.to_be_bytes());
            }
            0x08 => {
                reply[0] = flags;
                reply[2..4].copy_from_slice(&0x1cu16.to_be_bytes());
                reply[5..8].copy_from_slice(&be24(objects.min(0xff_ffff) as u32));
                reply[8..16].copy_from_slice(&position.to_be_bytes());
                reply[16..24].copy_from_slice(&on_medium.to_be_bytes());
                reply[24..32].copy_from_slice(&bytes.to_be_bytes());
            }
            _ => return Err(INVALID_FIELD.into()),
        }
        Ok(send(data, &reply, usize::MAX))
    }

    /// ALLOW OVERWRITE: in append-only mode, permits one write at the current position.
    pub(super) fn allow_overwrite(&mut self, cdb: &Cdb) -> Outcome {
        self.medium()?;
        self.overwrite_allowed = match cdb.u8(2) & 0x0f {
            0 => None,
            1 if cdb.u8(3) == 0 && cdb.u64(4) == self.position => Some(self.position),
            // SEQUENTIAL POSITIONING ERROR.
            1 => return Err(Check::new(5, 0x3b, 0x00).into()),
            2 => None,
            _ => return Err(INVALID_FIELD.into()),
        };
        Ok(0)
    }
}
