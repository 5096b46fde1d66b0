//! INQUIRY with its vital product data, READ BLOCK LIMITS, REPORT DENSITY SUPPORT, REPORT LUNS.

use super::super::outcome::{INVALID_FIELD, Outcome};
use super::super::wire::{Cdb, be24, padded, send};
use super::{Drive, LONGEST_RECORD};
use crate::scsi::Data;
use crate::scsi::generation::Generation;

/// T10 vendor identification of all units.
pub(in crate::virtual_library) const VENDOR: &str = "REELWARD";
/// Product revision level of all units.
pub(in crate::virtual_library) const REVISION: &str = "0001";

/// Product identification of a drive (INQUIRY bytes 16 to 31).
pub(in crate::virtual_library) fn product(generation: Generation) -> String {
    match generation {
        Generation::Lto7M8 => "VIRTUAL LTO-8".to_owned(),
        Generation::Lto10Extended => "VIRTUAL LTO-10".to_owned(),
        other => format!("VIRTUAL {}", other.name()),
    }
}

/// Standard INQUIRY data (SPC-4 clause 6.6.2).
pub(in crate::virtual_library) fn standard(device_type: u8, product: &str) -> Vec<u8> {
    let mut reply = vec![device_type, 0x80, 0x06, 0x02, 31 + 40, 0, 0, 0x02];
    reply.extend(padded(VENDOR, 8));
    reply.extend(padded(product, 16));
    reply.extend(padded(REVISION, 4));
    reply.resize(96, 0);
    reply[4] = 91;
    // Version descriptors: SAM-4, SPC-4, and SSC-4 or SMC-3.
    let commands: u16 = if device_type == 1 { 0x0520 } else { 0x0480 };
    for (at, version) in [(58, 0x0080u16), (60, 0x0460), (62, commands)] {
        reply[at..at + 2].copy_from_slice(&version.to_be_bytes());
    }
    reply
}

/// The designators of page 83h: T10 vendor identification with serial number, and a name of its own (NAA 3h, locally
/// assigned) made from the serial number.
pub(in crate::virtual_library) fn designators(product: &str, serial: &str) -> Vec<u8> {
    let mut name = padded(VENDOR, 8);
    name.extend(padded(product, 16));
    name.extend_from_slice(serial.as_bytes());
    let mut reply = vec![0x02, 0x01, 0, name.len() as u8];
    reply.extend(name);
    let number = serial
        .bytes()
        .fold(0u64, |hash, byte| hash.wrapping_mul(0x0100_0000_01b3).wrapping_add(u64::from(byte)));
    reply.extend([0x01, 0x03, 0, 8]);
    reply.extend((number & 0x0fff_ffff_ffff_ffff | 0x3000_0000_0000_0000).to_be_bytes());
    reply
}

/// A vital product data page with its header.
pub(in crate::virtual_library) fn page(device_type: u8, code: u8, body: &[u8]) -> Vec<u8> {
    let mut reply = vec![device_type, code];
    reply.extend((body.len() as u16).to_be_bytes());
    reply.extend_from_slice(body);
    reply
}

/// REPORT LUNS (SPC-4 clause 6.33): unit 0 alone.
pub(in crate::virtual_library) fn report_luns(cdb: &Cdb, data: Data<'_>) -> usize {
    let mut reply = [0u8; 16];
    reply[3] = 8;
    send(data, &reply, cdb.u32(6) as usize)
}

impl Drive {
    /// INQUIRY: standard data and the pages 00h, 80h, 83h, B0h, B1h, B2h.
    pub(super) fn inquiry(&mut self, cdb: &Cdb, data: Data<'_>) -> Outcome {
        let product = product(self.generation);
        let reply = match (cdb.bit(1, 1), cdb.u8(2)) {
            (false, 0) => standard(1, &product),
            (true, 0x00) => page(1, 0x00, &[0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2]),
            (true, 0x80) => page(1, 0x80, self.serial.as_bytes()),
            (true, 0x83) => page(1, 0x83, &designators(&product, &self.serial)),
            // Sequential-access device capabilities: WORM.
            (true, 0xb0) => page(1, 0xb0, &[0x01]),
            // Manufacturer-assigned serial number.
            (true, 0xb1) => page(1, 0xb1, self.serial.as_bytes()),
            // TapeAlert supported flags: all 64.
            (true, 0xb2) => page(1, 0xb2, &[0xff; 8]),
            _ => return Err(INVALID_FIELD.into()),
        };
        Ok(send(data, &reply, usize::from(cdb.u16(3))))
    }

    /// READ BLOCK LIMITS: 1 byte to 8 MiB; with MLOI the largest logical object number.
    pub(super) fn block_limits(&mut self, cdb: &Cdb, data: Data<'_>) -> usize {
        if cdb.bit(1, 1) {
            let mut reply = [0u8; 20];
            reply[12..20].copy_from_slice(&u64::MAX.to_be_bytes());
            return send(data, &reply, usize::MAX);
        }
        let mut reply = [0u8; 6];
        reply[1..4].copy_from_slice(&be24(LONGEST_RECORD));
        reply[5] = 1;
        send(data, &reply, usize::MAX)
    }

    /// REPORT DENSITY SUPPORT (SSC-4 clause 7.8): the drive's own density, or the cartridge's.
    pub(super) fn report_density(&mut self, cdb: &Cdb, data: Data<'_>) -> Outcome {
        if cdb.bit(1, 2) {
            return Err(INVALID_FIELD.into());
        }
        let (generation, capacity) = if cdb.bit(1, 1) {
            let medium = self.medium()?;
            (medium.memory.generation, medium.memory.capacity)
        } else {
            (self.generation, self.generation.capacity())
        };
        let mut entry = vec![generation.density(), generation.density()];
        // Write possible, and the default density.
        entry.extend([0xa0, 0, 0]);
        entry.extend(be24(20_000)); // bits per millimetre
        entry.extend(127u16.to_be_bytes()); // tenths of a millimetre: 12.7 mm
        entry.extend(8960u16.to_be_bytes()); // tracks
        entry.extend(((capacity / 1_000_000).min(u64::from(u32::MAX)) as u32).to_be_bytes());
        entry.extend(padded("LTO-CVE", 8));
        entry.extend(padded(&generation.name().replace("LTO-", "U-"), 8));
        entry.extend(padded("Ultrium", 20));
        let mut reply = (entry.len() as u16 + 2).to_be_bytes().to_vec();
        reply.extend([0, 0]);
        reply.extend(entry);
        Ok(send(data, &reply, usize::from(cdb.u16(7))))
    }
}
