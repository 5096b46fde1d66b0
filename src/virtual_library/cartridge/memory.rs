//! A cartridge's memory chip: `memory.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::scsi::generation::Generation;

/// What the chip of one cartridge remembers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::virtual_library) struct Memory {
    /// The label.
    pub barcode: String,
    /// The medium's own serial number.
    pub serial: String,
    /// The format it has.
    pub generation: Generation,
    /// Bytes it holds, as manufactured.
    pub capacity: u64,
    /// Capacity in 65536ths that SET CAPACITY left (65535: all).
    pub proportion: u16,
    /// Times it was threaded.
    pub loads: u64,
    /// Volume change reference: grows once a mount, at the first write.
    pub change_reference: u32,
    /// Bytes written over its life.
    pub bytes_written: u64,
    /// Bytes read over its life.
    pub bytes_read: u64,
    /// Errors corrected while it was written, over its life.
    pub recovered_writes: u64,
    /// Errors corrected while it was read, over its life.
    pub recovered_reads: u64,
    /// Writes that failed, over its life.
    pub failed_writes: u64,
    /// Reads that failed, over its life.
    pub failed_reads: u64,
    /// Life left in percent, set by hand; else what loads and bytes have left.
    pub life_left: Option<u8>,
    /// Serial numbers of the last four drives, the latest first.
    pub last_drives: Vec<String>,
    /// Write-once.
    pub worm: bool,
    /// Partitions, of which only the first has room for anything here.
    pub partitions: u8,
    /// The tab is set.
    pub write_protected: bool,
    /// Uses a cleaning cartridge has left; `None` for data cartridges.
    pub cleanings: Option<u32>,
    /// Host attributes (SPC-4 clause 7.4.2.4) by identifier: format and value.
    pub host: BTreeMap<u16, HostAttribute>,
    /// Key-associated data of encrypted records; a record's `key` is an index.
    pub keys: Vec<KeyData>,
    /// The end-of-data mark cannot be found.
    pub lost_end: bool,
}

/// A host attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::virtual_library) struct HostAttribute {
    /// 0 binary, 1 ASCII, 2 text.
    pub format: u8,
    /// Its bytes.
    pub value: Vec<u8>,
}

/// Key-associated data (SSC-4 clause 8.5.2.8).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::virtual_library) struct KeyData {
    /// Unauthenticated.
    pub unauthenticated: Vec<u8>,
    /// Authenticated: bound into the record's tag.
    pub authenticated: Vec<u8>,
}

impl Default for Memory {
    fn default() -> Self {
        Memory {
            barcode: String::new(),
            serial: String::new(),
            generation: Generation::Lto9,
            capacity: Generation::Lto9.capacity(),
            proportion: u16::MAX,
            loads: 0,
            change_reference: 0,
            bytes_written: 0,
            bytes_read: 0,
            recovered_writes: 0,
            recovered_reads: 0,
            failed_writes: 0,
            failed_reads: 0,
            life_left: None,
            last_drives: Vec::new(),
            worm: false,
            partitions: 1,
            write_protected: false,
            cleanings: None,
            host: BTreeMap::new(),
            keys: Vec::new(),
            lost_end: false,
        }
    }
}

impl Memory {
    /// Bytes that can be written, after SET CAPACITY.
    pub fn usable(&self) -> u64 {
        if self.proportion == u16::MAX {
            return self.capacity;
        }
        (u128::from(self.capacity) * u128::from(self.proportion) / 65535) as u64
    }

    /// Bytes used at which early warning begins: a hundredth before the end, at least 1 MiB (an eighth of very small
    /// cartridges), at most 4 GiB.
    pub fn early_warning(&self) -> u64 {
        let usable = self.usable();
        let reserve = (usable / 100).clamp(1 << 20, 4 << 30).min(usable / 8);
        usable - reserve
    }

    /// Times that all of the tape has passed the head.
    pub fn full_passes(&self) -> u64 {
        (self.bytes_written + self.bytes_read).checked_div(self.usable()).unwrap_or(0)
    }

    /// Percent: 20,000 loads or 260 full passes use it up.
    pub fn life_left(&self) -> u64 {
        let used = (self.loads * 100 / 20_000).max(self.full_passes() * 100 / 260);
        self.life_left.map_or(100u64.saturating_sub(used), u64::from)
    }

    /// The drive that holds it now goes to the front of the list.
    pub fn seen_by(&mut self, drive: &str) {
        self.last_drives.insert(0, drive.to_owned());
        self.last_drives.truncate(4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn life_is_used_up_by_loads_and_passes() {
        let new = Memory { capacity: 1 << 20, ..Memory::default() };
        assert_eq!(new.life_left(), 100);
        assert_eq!(Memory { loads: 5_000, ..new.clone() }.life_left(), 75);
        assert_eq!(Memory { bytes_written: 130 << 20, ..new.clone() }.life_left(), 50);
        assert_eq!(Memory { bytes_read: 999 << 20, ..new.clone() }.life_left(), 0);
        assert_eq!(Memory { life_left: Some(3), ..new }.life_left(), 3);
    }

    #[test]
    fn early_warning_leaves_room_on_every_size() {
        for mib in [8u64, 16, 64, 1000, 12_000_000] {
            let memory = Memory { capacity: mib << 20, ..Memory::default() };
            let room = memory.usable() - memory.early_warning();
            assert!(room >= 512 << 10 && room <= memory.usable() / 8, "{mib} MiB: {room}");
        }
        let tiny = Memory { capacity: 4096, ..Memory::default() };
        assert_eq!(tiny.early_warning(), 3584);
        let half = Memory { capacity: 1 << 30, proportion: 32768, ..Memory::default() };
        assert_eq!(half.usable() >> 20, 512);
    }
}
