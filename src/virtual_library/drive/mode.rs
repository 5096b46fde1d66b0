//! MODE SENSE and MODE SELECT, (6) and (10) (SPC-4 clauses 6.11 to 6.14, pages SSC-4 clause 8.3).

use super::super::faults::DriveFaults;
use super::super::outcome::{Check, INVALID_FIELD, INVALID_PARAMETER, LIST_LENGTH, Outcome};
use super::super::wire::{Cdb, be24, receive, send, u8_at, u16_at, u32_at};
use super::{Drive, LONGEST_RECORD};
use crate::scsi::{Data, opcode};

/// What MODE SELECT can change.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mode {
    /// Bytes of a block in fixed mode; 0 is variable mode.
    pub block_length: u32,
    /// Writes end when they are in the buffer.
    pub buffered: bool,
    /// Data compression enable. The virtual drive stores what it gets; the bit is remembered.
    pub compress: bool,
    /// Programmable early warning size in MB.
    pub early_warning_mb: u16,
    /// Writing only at end of data.
    pub append_only: bool,
    /// CRC32C is checked on write.
    pub protect_writes: bool,
    /// CRC32C is sent on read.
    pub protect_reads: bool,
}

impl Default for Mode {
    fn default() -> Self {
        Mode {
            block_length: 0,
            buffered: true,
            compress: true,
            early_warning_mb: 0,
            append_only: false,
            protect_writes: false,
            protect_reads: false,
        }
    }
}

/// Pages and subpages in ascending order.
const PAGES: [(u8, u8); 10] = [
    (0x01, 0x00),
    (0x02, 0x00),
    (0x0a, 0x00),
    (0x0a, 0xf0),
    (0x0f, 0x00),
    (0x10, 0x00),
    (0x10, 0x01),
    (0x11, 0x00),
    (0x1c, 0x00),
    (0x1d, 0x00),
];

impl Drive {
    /// MODE SENSE: current, changeable and default values.
    pub(super) fn mode_sense(&mut self, cdb: &Cdb, data: Data<'_>, faults: &DriveFaults) -> Outcome {
        let long = cdb.opcode() == opcode::MODE_SENSE_10;
        let (wanted, subpage) = (cdb.u8(2) & 0x3f, cdb.u8(3));
        let control = cdb.u8(2) >> 6;
        if control == 3 {
            return Err(Check::new(5, 0x39, 0x00).into()); // saving parameters not supported
        }
        let matches =
            |page: &(u8, u8)| (wanted == 0x3f || wanted == page.0) && (subpage == 0xff || subpage == page.1);
        let found: Vec<_> = PAGES.iter().filter(|page| matches(page)).collect();
        if found.is_empty() && wanted != 0 {
            return Err(INVALID_FIELD.into());
        }
        let mut pages = Vec::new();
        for &&(page, subpage) in &found {
            pages.extend(self.mode_page(page, subpage, control));
        }
        let protected = faults.write_protect
            || self.medium.as_ref().is_some_and(|medium| self.threaded && medium.memory.write_protected);
        let specific = if protected { 0x80 } else { 0 } | if self.mode.buffered { 0x10 } else { 0 };
        let density = match &self.medium {
            Some(medium) if self.threaded => medium.memory.generation.density(),
            _ => self.generation.density(),
        };
        let mut descriptor = Vec::new();
        if !cdb.bit(1, 0x08) {
            descriptor.extend([density, 0, 0, 0, 0]);
            descriptor.extend(be24(self.mode.block_length));
        }
        let medium_type = if self.threaded { density } else { 0 };
        let mut reply = if long {
            let length = 6 + descriptor.len() + pages.len();
            let mut header = (length as u16).to_be_bytes().to_vec();
            header.extend([medium_type, specific, 0, 0, 0, descriptor.len() as u8]);
            header
        } else {
            let length = 3 + descriptor.len() + pages.len();
            vec![length.min(255) as u8, medium_type, specific, descriptor.len() as u8]
        };
        reply.extend(descriptor);
        reply.extend(pages);
        let allocation = if long { usize::from(cdb.u16(7)) } else { usize::from(cdb.u8(4)) };
        Ok(send(data, &reply, allocation))
    }

    /// One page: `control` 0 current, 1 the mask of what can be changed, 2 default.
    fn mode_page(&self, page: u8, subpage: u8, control: u8) -> Vec<u8> {
        let mode = if control == 2 { Mode::default() } else { self.mode };
        let mask = control == 1;
        let bit = |on: bool, value: u8| if mask || on { value } else { 0 };
        let mut bytes = match (page, subpage) {
            (0x0a, 0xf0) => vec![0x4a, 0xf0, 0, 0x1c],
            (0x10, 0x01) => vec![0x50, 0x01, 0, 0x1c],
            (0x0f..=0x11, _) => vec![page, 0x0e],
            (0x1d, _) => vec![page, 0x1e],
            (0x02, _) => vec![page, 0x0e],
            _ => vec![page, 0x0a],
        };
        let length = if subpage == 0 { usize::from(bytes[1]) + 2 } else { 32 };
        bytes.resize(length, 0);
        match (page, subpage) {
            (0x0a, 0xf0) => {
                let on = mode.protect_writes || mode.protect_reads;
                bytes[4] = if mask {
                    0xff
                } else if on {
                    2
                } else {
                    0
                };
                bytes[5] = if mask {
                    0x3f
                } else if on {
                    4
                } else {
                    0
                };
                bytes[6] = bit(mode.protect_writes, 0x80) | bit(mode.protect_reads, 0x40);
            }
            (0x0f, _) => {
                bytes[2] = bit(mode.compress, 0x80) | if mask { 0 } else { 0x40 };
                if !mask {
                    bytes[3] = 0x80;
                    bytes[7] = 1;
                    bytes[11] = 1;
                }
            }
            (0x10, 0x00) if !mask => bytes[14] = u8::from(mode.compress),
            (0x10, 0x01) => {
                bytes[5] = bit(mode.append_only, 0x10);
                let size = if mask { u16::MAX } else { mode.early_warning_mb };
                bytes[6..8].copy_from_slice(&size.to_be_bytes());
            }
            (0x11, _) if !mask => {
                let count = self.medium.as_ref().filter(|_| self.threaded).map_or(1, |m| m.memory.partitions);
                bytes[2] = 3;
                bytes[3] = count.saturating_sub(1);
            }
            (0x1d, _) if !mask => {
                let worm = self.medium.as_ref().is_some_and(|medium| self.threaded && medium.memory.worm);
                bytes[2] = u8::from(worm);
                bytes[4] = u8::from(worm);
                bytes[5] = if worm { 2 } else { 0 };
            }
            _ => {}
        }
        bytes
    }

    /// MODE SELECT; either all of the list takes effect or nothing.
    pub(super) fn mode_select(&mut self, cdb: &Cdb, data: Data<'_>) -> Outcome {
        let long = cdb.opcode() == opcode::MODE_SELECT_10;
        let length = if long { usize::from(cdb.u16(7)) } else { usize::from(cdb.u8(4)) };
        if cdb.bit(1, 1) {
            return Err(INVALID_FIELD.into()); // nothing can be saved
        }
        let list = receive(data, length)?;
        if list.is_empty() {
            return Ok(0);
        }
        let header = if long { 8 } else { 4 };
        let descriptor_length = if long { usize::from(u16_at(list, 6)) } else { usize::from(u8_at(list, 3)) };
        if !matches!(descriptor_length, 0 | 8) || list.len() < header + descriptor_length {
            return Err(LIST_LENGTH.into());
        }
        let mut mode = self.mode;
        mode.buffered = u8_at(list, if long { 3 } else { 2 }) & 0x70 != 0;
        if descriptor_length == 8 {
            let density = u8_at(list, header);
            let block_length = u32_at(list, header + 4) & 0x00ff_ffff;
            if !(matches!(density, 0 | 0x7f) || density == self.generation.density())
                || block_length > LONGEST_RECORD
            {
                return Err(INVALID_PARAMETER.into());
            }
            mode.block_length = block_length;
        }
        let mut rest = list.get(header + descriptor_length..).unwrap_or_default();
        while !rest.is_empty() {
            let page = u8_at(rest, 0) & 0x3f;
            let (subpage, length) = if u8_at(rest, 0) & 0x40 != 0 {
                (u8_at(rest, 1), 4 + usize::from(u16_at(rest, 2)))
            } else {
                (0, 2 + usize::from(u8_at(rest, 1)))
            };
            let body = rest.get(..length).ok_or(LIST_LENGTH)?;
            self.select_page(&mut mode, page, subpage, body)?;
            rest = &rest[length..];
        }
        self.synchronise()?;
        self.mode = mode;
        Ok(length)
    }

    fn select_page(&self, mode: &mut Mode, page: u8, subpage: u8, body: &[u8]) -> Result<(), Check> {
        if !PAGES.contains(&(page, subpage)) || page == 0x1d {
            return Err(INVALID_PARAMETER);
        }
        match (page, subpage) {
            (0x0f, _) => mode.compress = u8_at(body, 2) & 0x80 != 0,
            (0x10, 0x01) => {
                mode.append_only = match u8_at(body, 5) >> 4 {
                    0 => false,
                    1 => true,
                    _ => return Err(INVALID_PARAMETER),
                };
                mode.early_warning_mb = u16_at(body, 6);
            }
            (0x0a, 0xf0) => match u8_at(body, 4) {
                0 => (mode.protect_writes, mode.protect_reads) = (false, false),
                2 if self.generation.has_crc32c_protection() && u8_at(body, 5) & 0x3f == 4 => {
                    mode.protect_writes = u8_at(body, 6) & 0x80 != 0;
                    mode.protect_reads = u8_at(body, 6) & 0x40 != 0;
                }
                _ => return Err(INVALID_PARAMETER),
            },
            _ => {}
        }
        Ok(())
    }
}
