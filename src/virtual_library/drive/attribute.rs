//! READ ATTRIBUTE and WRITE ATTRIBUTE: the cartridge's memory (SPC-4 clauses 6.17, 6.45 and 7.4).

use super::super::cartridge::HostAttribute;
use super::super::outcome::{Check, INVALID_FIELD, INVALID_PARAMETER, LIST_LENGTH, Outcome, Stop};
use super::super::wire::{Cdb, padded, receive, send, u8_at, u16_at, u32_at};
use super::Drive;
use crate::scsi::Data;

const MIB: u64 = 1 << 20;
const BINARY: u8 = 0;
const ASCII: u8 = 1;
const TEXT: u8 = 2;
const READ_ONLY: u8 = 0x80;

/// Host attributes that can be written (SPC-4 table 314): identifier, format, bytes; 0 bytes is any length up to 1023.
const HOST: [(u16, u8, usize); 13] = [
    (0x0800, ASCII, 8),  // application vendor
    (0x0801, ASCII, 32), // application name
    (0x0802, ASCII, 8),  // application version
    (0x0803, TEXT, 160), // user medium text label
    (0x0804, ASCII, 12), // date and time last written
    (0x0805, BINARY, 1), // text localization identifier
    (0x0806, ASCII, 32), // barcode
    (0x0807, TEXT, 80),  // owning host textual name
    (0x0808, TEXT, 160), // media pool
    (0x0809, ASCII, 16), // partition user text label
    (0x080a, BINARY, 1), // load/unload at partition
    (0x080b, ASCII, 16), // application format version
    (0x080c, BINARY, 0), // volume coherency information
];
const LOCK: u16 = 0x1623;

impl Drive {
    /// Every attribute: identifier, flags and format, value; in ascending order.
    fn attributes(&mut self) -> Result<Vec<(u16, u8, Vec<u8>)>, Stop> {
        let serial = self.serial.clone();
        let alerts = self.alerts;
        let medium = self.medium()?;
        let used = medium.used();
        let memory = &medium.memory;
        let remaining = memory.usable().saturating_sub(used);
        let device = |format: u8| READ_ONLY | format;
        let number = |value: u64| value.to_be_bytes().to_vec();
        let mut all = vec![
            (0x0000, device(BINARY), number(remaining / MIB)),
            (0x0001, device(BINARY), number(memory.usable() / MIB)),
            (0x0002, device(BINARY), number(alerts.reverse_bits())),
            (0x0003, device(BINARY), number(memory.loads)),
            (0x0004, device(BINARY), number(memory.capacity / MIB)),
            (0x0005, device(ASCII), padded("LTO-CVE", 8)),
            (0x0006, device(BINARY), vec![memory.generation.density()]),
            (0x0007, device(BINARY), vec![0, 0]),
            (0x0008, device(ASCII), padded(&memory.barcode, 32)),
            (0x0009, device(BINARY), memory.change_reference.to_be_bytes().to_vec()),
        ];
        for (place, drive) in memory.last_drives.iter().enumerate().take(4) {
            let mut value = padded("REELWARD", 8);
            value.extend(padded(drive, 32));
            all.push((0x020a + place as u16, device(ASCII), value));
        }
        all.extend([
            (0x0220, device(BINARY), number(memory.bytes_written / MIB)),
            (0x0221, device(BINARY), number(memory.bytes_read / MIB)),
            (0x0222, device(BINARY), number(memory.bytes_written / MIB)),
            (0x0223, device(BINARY), number(memory.bytes_read / MIB)),
            (0x0340, device(ASCII), padded(&serial, 32)),
            (0x0400, device(ASCII), padded("REELWARD", 8)),
            (0x0401, device(ASCII), padded(&memory.serial, 32)),
            (0x0402, device(BINARY), 960u32.to_be_bytes().to_vec()),
            (0x0403, device(BINARY), 127u32.to_be_bytes().to_vec()),
            (0x0404, device(ASCII), padded("LTO-CVE", 8)),
            (0x0405, device(BINARY), vec![memory.generation.density()]),
            (0x0406, device(ASCII), padded("20260101", 8)),
            (0x0407, device(BINARY), number(16 << 10)),
            (0x0408, device(BINARY), vec![if memory.worm { 0x80 } else { 0x00 }]),
            (0x0409, device(BINARY), vec![0, 0]),
        ]);
        for (&id, attribute) in &memory.host {
            all.push((id, attribute.format, attribute.value.clone()));
        }
        if !memory.host.contains_key(&0x0806) {
            all.push((0x0806, ASCII, padded(&memory.barcode, 32)));
        }
        all.sort_by_key(|attribute| attribute.0);
        Ok(all)
    }

    /// READ ATTRIBUTE: values (00h), list of identifiers (01h), volumes (02h), partitions (03h).
    pub(super) fn read_attribute(&mut self, cdb: &Cdb, data: Data<'_>) -> Outcome {
        let all = self.attributes()?;
        if cdb.u8(7) != 0 {
            return Err(INVALID_FIELD.into());
        }
        let first = cdb.u16(8);
        let mut body = Vec::new();
        let mut header = 4;
        match cdb.u8(1) & 0x1f {
            0 => {
                let known = first == 0 || all.iter().any(|attribute| attribute.0 == first);
                if !known && !HOST.iter().any(|host| host.0 == first) {
                    return Err(INVALID_FIELD.into());
                }
                for (id, flags, value) in all.iter().filter(|attribute| attribute.0 >= first) {
                    body.extend(id.to_be_bytes());
                    body.push(*flags);
                    body.extend((value.len() as u16).to_be_bytes());
                    body.extend(value);
                }
            }
            1 => {
                for attribute in &all {
                    body.extend(attribute.0.to_be_bytes());
                }
            }
            2 | 3 => {
                header = 2;
                body.extend([0, 1]); // the first is 0, there is one
            }
            _ => return Err(INVALID_FIELD.into()),
        }
        let mut reply = (body.len() as u32).to_be_bytes()[4 - header..].to_vec();
        reply.extend(body);
        Ok(send(data, &reply, cdb.u32(10) as usize))
    }

    /// WRITE ATTRIBUTE: all of the list is stored or nothing; a length of 0 deletes.
    pub(super) fn write_attribute(&mut self, cdb: &Cdb, data: Data<'_>) -> Outcome {
        self.medium()?;
        let length = cdb.u32(10) as usize;
        if cdb.u8(7) != 0 {
            return Err(INVALID_FIELD.into());
        }
        let list = receive(data, length)?;
        if list.is_empty() {
            return Ok(0);
        }
        let mut rest = list.get(4..4 + u32_at(list, 0) as usize).ok_or(LIST_LENGTH)?;
        let mut changes = Vec::new();
        while !rest.is_empty() {
            let end = 5 + usize::from(u16_at(rest, 3));
            let value = rest.get(5..end).ok_or(LIST_LENGTH)?;
            changes.push(checked(u16_at(rest, 0), u8_at(rest, 2) & 0x03, value)?);
            rest = rest.get(end..).unwrap_or_default();
        }
        let medium = self.medium()?;
        for (id, attribute) in changes {
            match attribute {
                Some(attribute) => medium.memory.host.insert(id, attribute),
                None => medium.memory.host.remove(&id),
            };
        }
        medium.save_memory()?;
        Ok(length)
    }
}

/// An attribute as it is stored, padded to its full length; `None` deletes it.
fn checked(id: u16, format: u8, value: &[u8]) -> Result<(u16, Option<HostAttribute>), Check> {
    let known = HOST.iter().find(|host| host.0 == id);
    let &(_, wanted, full) = match known {
        Some(known) => known,
        None if id == LOCK => &(LOCK, BINARY, 1),
        None => return Err(INVALID_PARAMETER),
    };
    if value.is_empty() {
        return Ok((id, None));
    }
    let longest = if full == 0 { 1023 } else { full };
    if value.len() > longest || format != wanted {
        return Err(INVALID_PARAMETER);
    }
    let mut value = value.to_vec();
    if format != BINARY {
        value.resize(full, b' ');
    }
    Ok((id, Some(HostAttribute { format, value })))
}
