//! LOG SENSE and LOG SELECT (SPC-4 clauses 6.7, 6.8; pages SSC-4 clause 8.2).

use super::super::faults::DriveFaults;
use super::super::outcome::{INVALID_FIELD, INVALID_OPCODE, Outcome};
use super::super::wire::{Cdb, padded, send};
use super::{Counters, Drive, alert};
use crate::scsi::Data;

/// Pages in ascending order.
const PAGES: [u8; 13] = [0x00, 0x02, 0x03, 0x0c, 0x0d, 0x11, 0x12, 0x14, 0x17, 0x1b, 0x2e, 0x31, 0x37];

const MB: u64 = 1_000_000;
const MIB: u64 = 1 << 20;
const UNKNOWN: u32 = u32::MAX;

/// The parameters of one page.
#[derive(Default)]
struct Parameters(Vec<(u16, Vec<u8>, bool)>);

impl Parameters {
    /// A binary parameter.
    fn bytes(&mut self, code: u16, value: &[u8]) {
        self.0.push((code, value.to_vec(), false));
    }

    /// A counter of `width` bytes that stops at its highest value.
    fn number(&mut self, code: u16, value: u64, width: usize) {
        let highest = if width >= 8 { u64::MAX } else { (1 << (8 * width)) - 1 };
        let bytes = value.min(highest).to_be_bytes();
        self.bytes(code, &bytes[8 - width..]);
    }

    /// ASCII text, padded with spaces.
    fn text(&mut self, code: u16, value: &str, width: usize) {
        self.0.push((code, padded(value, width), true));
    }

    /// One record for each partition: there is one (length - 1, reserved, partition, value).
    fn partition(&mut self, code: u16, value: u32) {
        let mut record = vec![7, 0, 0, 0];
        record.extend(value.to_be_bytes());
        self.bytes(code, &record);
    }

    fn encode(&self, from: u16) -> Vec<u8> {
        let mut body = Vec::new();
        for (code, value, text) in self.0.iter().filter(|parameter| parameter.0 >= from) {
            body.extend(code.to_be_bytes());
            // List parameters: binary 11b, ASCII 01b.
            body.extend([if *text { 0x01 } else { 0x03 }, value.len() as u8]);
            body.extend(value);
        }
        body
    }
}

impl Drive {
    /// LOG SENSE: cumulative values.
    pub(super) fn log_sense(&mut self, cdb: &Cdb, data: Data<'_>, faults: &DriveFaults) -> Outcome {
        let page = cdb.u8(2) & 0x3f;
        let missing = |page: u8| faults.missing_pages >> page & 1 == 1;
        if missing(0) {
            return Err(INVALID_OPCODE.into());
        }
        if cdb.u8(3) != 0 || cdb.bit(1, 0x03) || !PAGES.contains(&page) || missing(page) {
            return Err(INVALID_FIELD.into());
        }
        let from = cdb.u16(5);
        let body = match page {
            0x00 => PAGES.into_iter().filter(|&page| !missing(page)).collect(),
            0x02 => self.errors(true).encode(from),
            0x03 => self.errors(false).encode(from),
            0x0c => self.sequential().encode(from),
            0x0d => temperature(faults.temperature.unwrap_or(27)).encode(from),
            0x11 => self.device_status().encode(from),
            0x12 => {
                let mut page = Parameters::default();
                // Flag 1 is the most significant bit.
                page.number(0x0000, self.alerts.reverse_bits(), 8);
                page.encode(from)
            }
            0x14 => self.device_statistics().encode(from),
            0x17 => self.volume_statistics().encode(from),
            0x1b => self.compression().encode(from),
            0x2e => {
                let mut page = Parameters::default();
                for flag in 1..=64u16 {
                    page.number(flag, self.alerts >> (flag - 1) & 1, 1);
                }
                self.alerts = 0; // reading clears
                page.encode(from)
            }
            0x31 => self.tape_capacity().encode(from),
            _ => self.performance().encode(from),
        };
        if body.is_empty() && from != 0 {
            return Err(INVALID_FIELD.into());
        }
        let mut reply = vec![page, 0];
        reply.extend((body.len() as u16).to_be_bytes());
        reply.extend(body);
        Ok(send(data, &reply, usize::from(cdb.u16(7))))
    }

    /// LOG SELECT: with parameter code reset the drive's own counters begin at 0; a list is not taken.
    pub(super) fn log_select(&mut self, cdb: &Cdb) -> Outcome {
        if cdb.u16(7) != 0 {
            return Err(INVALID_FIELD.into());
        }
        if cdb.bit(1, 0x02) {
            self.counters = Counters::default();
        }
        Ok(0)
    }

    /// 02h and 03h: write and read error counters since the cartridge was threaded.
    fn errors(&self, write: bool) -> Parameters {
        let (now, then) = (&self.counters, &self.at_load);
        let (failed, recovered, bytes) = if write {
            (
                now.write_errors - then.write_errors,
                now.recovered_writes - then.recovered_writes,
                now.bytes_written - then.bytes_written,
            )
        } else {
            (
                now.read_errors - then.read_errors,
                now.recovered_reads - then.recovered_reads,
                now.bytes_read - then.bytes_read,
            )
        };
        let mut page = Parameters::default();
        page.number(0x0000, 0, 4);
        page.number(0x0001, 0, 4);
        page.number(0x0002, recovered + failed, 4);
        page.number(0x0003, recovered, 4);
        page.number(0x0004, recovered + failed, 4);
        page.number(0x0005, bytes, 8);
        page.number(0x0006, failed, 4);
        page
    }

    /// 0Ch: bytes from and to the host and the medium, capacities in MB, cleaning required.
    fn sequential(&self) -> Parameters {
        let counters = &self.counters;
        let mut page = Parameters::default();
        page.number(0x0000, counters.bytes_written, 8);
        page.number(0x0001, counters.bytes_written, 8);
        page.number(0x0002, counters.bytes_read, 8);
        page.number(0x0003, counters.bytes_read, 8);
        if let Some(medium) = self.medium.as_ref().filter(|_| self.threaded) {
            let memory = &medium.memory;
            page.number(0x0004, medium.used() / MB, 4);
            page.number(0x0005, memory.usable() / MB, 4);
            page.number(0x0006, memory.early_warning() / MB, 4);
            page.number(0x0007, (memory.usable() - memory.early_warning()) / MB, 4);
        }
        page.number(0x0100, u64::from(self.is_raised(alert::CLEAN_NOW)), 8);
        page
    }

    /// 11h: very high frequency data, and polling delay.
    fn device_status(&self) -> Parameters {
        let mut page = Parameters::default();
        let present = self.medium.is_some();
        let protected = self.medium.as_ref().is_some_and(|medium| medium.memory.write_protected);
        let required = self.is_raised(alert::CLEAN_NOW);
        let requested = required || self.is_raised(alert::CLEAN_SOON);
        // Byte 0: PAMR 80h, HUI 40h, MACC 20h, CMPR 10h, WRTP 08h, CRQST 04h, CRQRD 02h, DINIT 01h.
        let first = 0x01
            | if self.threaded { 0x20 } else { 0 }
            | if protected { 0x08 } else { 0 }
            | if requested { 0x04 } else { 0 }
            | if required { 0x02 } else { 0 };
        // Byte 1: INXTN 80h, RAA 20h, MPRSNT 10h, MSTD 04h, MTHRD 02h, MOUNTED 01h.
        let second = if present { 0x14 } else { 0 } | if self.threaded { 0x23 } else { 0 };
        // Byte 2: activity, cleaning or none; byte 3: encryption status valid.
        page.bytes(0x0000, &[first, second, u8::from(self.cleaning > 0), 0x00]);
        page.number(0x0001, 100, 2);
        page
    }

    /// 14h: device statistics over the drive's life.
    fn device_statistics(&self) -> Parameters {
        const HOUR: u64 = 3600;
        let life = self.life();
        let mut page = Parameters::default();
        page.number(0x0000, life.loads, 4);
        page.number(0x0001, life.cleanings, 4);
        page.number(0x0002, life.seconds_on / HOUR, 4);
        page.number(0x0003, life.seconds_moving / HOUR, 4);
        page.number(0x0004, life.metres, 4);
        page.number(0x0008, life.seconds_moving.saturating_sub(life.seconds_moving_at_cleaning) / HOUR, 4);
        page.number(0x000c, life.power_cycles, 4);
        page.number(0x000d, life.loads, 4);
        page.number(0x000e, life.hard_write_errors, 4);
        page.number(0x000f, life.hard_read_errors, 4);
        page.text(0x0040, &self.serial, 10);
        page.text(0x0041, &self.serial, 10);
        page
    }

    /// 17h: volume statistics.
    fn volume_statistics(&self) -> Parameters {
        let mut page = Parameters::default();
        let Some(medium) = self.medium.as_ref().filter(|_| self.threaded) else {
            page.number(0x0000, 0, 1);
            return page;
        };
        let memory = &medium.memory;
        let usable = memory.usable();
        let megabytes = |bytes: u64| u32::try_from(bytes / MB).unwrap_or(UNKNOWN);
        page.number(0x0000, 1, 1);
        page.number(0x0001, memory.loads, 4);
        page.number(0x0002, self.counters.records_written, 8);
        page.number(0x0003, memory.recovered_writes, 4);
        page.number(0x0004, memory.failed_writes, 2);
        page.number(0x0005, 0, 2);
        page.number(0x0006, memory.failed_writes, 2);
        page.number(0x0007, self.counters.records_read, 8);
        page.number(0x0008, memory.recovered_reads, 4);
        page.number(0x0009, memory.failed_reads, 2);
        page.number(0x000c, self.counters.write_errors, 2);
        page.number(0x000d, self.counters.read_errors, 2);
        page.number(0x000e, self.counters.bytes_written / MB, 4);
        page.number(0x000f, self.counters.bytes_read / MB, 4);
        page.number(0x0010, memory.bytes_written / MB, 8);
        page.number(0x0011, memory.bytes_read / MB, 8);
        page.number(0x0016, usable / MB, 4);
        page.number(0x0017, medium.used() / MB, 4);
        page.number(0x0019, memory.life_left(), 1);
        page.text(0x0040, &memory.serial, 32);
        page.text(0x0042, &memory.barcode, 32);
        page.text(0x0044, "REELWARD", 8);
        page.text(0x0045, &format!("U-{}", memory.generation.name().trim_start_matches("LTO-")), 4);
        page.number(0x0080, u64::from(memory.write_protected), 1);
        page.number(0x0081, u64::from(memory.worm), 1);
        page.number(0x0082, 0, 1);
        page.number(0x0101, memory.loads + memory.full_passes(), 4);
        page.number(0x0102, memory.full_passes(), 4);
        page.partition(0x0202, megabytes(usable));
        let used = if memory.lost_end { UNKNOWN } else { megabytes(medium.used()) };
        page.partition(0x0203, used);
        page.partition(0x0204, megabytes(usable.saturating_sub(medium.used())));
        page
    }

    /// 1Bh: data compression; nothing shrinks here, so that ratios are 1.00.
    fn compression(&self) -> Parameters {
        let counters = &self.counters;
        let mut page = Parameters::default();
        page.number(0x0000, 100, 2);
        page.number(0x0001, 100, 2);
        for (code, bytes) in [
            (2, counters.bytes_read),
            (4, counters.bytes_read),
            (6, counters.bytes_written),
            (8, counters.bytes_written),
        ] {
            page.number(code, bytes / MB, 4);
            page.number(code + 1, bytes % MB, 4);
        }
        page.number(0x0100, u64::from(self.mode.compress), 1);
        page
    }

    /// 31h: remaining and maximum capacity of the partitions in MiB.
    fn tape_capacity(&self) -> Parameters {
        let mut page = Parameters::default();
        let (remaining, usable) = match self.medium.as_ref().filter(|_| self.threaded) {
            Some(medium) => (medium.memory.usable().saturating_sub(medium.used()), medium.memory.usable()),
            None => (0, 0),
        };
        page.number(0x0001, remaining / MIB, 4);
        page.number(0x0002, 0, 4);
        page.number(0x0003, usable / MIB, 4);
        page.number(0x0004, 0, 4);
        page
    }

    /// 37h: performance characteristics: repositions and how efficiently the drive writes and reads, in percent.
    fn performance(&self) -> Parameters {
        let mut page = Parameters::default();
        let efficiency = if self.motion.stops == 0 { 100 } else { 50 };
        page.number(0x0001, efficiency, 1);
        page.number(0x0002, 100, 1);
        page.number(0x0006, self.motion.stops, 4);
        page
    }
}

/// 0Dh: degrees Celsius.
fn temperature(degrees: u8) -> Parameters {
    let mut page = Parameters::default();
    page.bytes(0x0000, &[0, degrees]);
    page.bytes(0x0001, &[0, 55]);
    page
}
