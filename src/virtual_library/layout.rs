//! `library.json`: what a library has, and what lies where.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::cartridge::{Keeping, Memory};
use super::error::VirtualError;
use super::store;
use crate::scsi::generation::Generation;

/// File name.
pub(super) const NAME: &str = "library.json";
/// Address of the medium transport element.
pub(super) const TRANSPORT: u16 = 1;
/// Address of the first drive.
pub(super) const DRIVES: u16 = 256;
/// Address of the first import/export element.
pub(super) const IMPORT_EXPORT: u16 = 768;
/// Address of the first storage slot.
pub(super) const STORAGE: u16 = 1024;

const FORMAT: &str = "reelward-virtual-library";
const CLEANING: &str = "CLN001CU";
const CLEANINGS: u32 = 50;

/// What a new library has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Drives, 1 to 256.
    pub drives: u16,
    /// Storage slots, 1 to 60000.
    pub slots: u16,
    /// Import/export slots, at most 256.
    pub import_export: u16,
    /// Data cartridges, in the first slots.
    pub cartridges: u16,
    /// Format of drives and cartridges.
    pub generation: Generation,
    /// Bytes a cartridge holds; `None` is the generation's native capacity.
    pub capacity: Option<u64>,
    /// A cleaning cartridge lies in the last slot.
    pub cleaning_cartridge: bool,
    /// Cartridges keep the first 16 MiB of each tape file and discard the rest: for benchmarks.
    pub discard: bool,
}

/// A cartridge and where it lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Held {
    /// The label.
    pub barcode: String,
    /// Element address.
    pub element: u16,
    /// The storage element it came from.
    pub source: Option<u16>,
}

/// The contents of `library.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LibraryFile {
    format: String,
    version: u32,
    /// Six characters that all serial numbers begin with.
    pub serial: String,
    pub generation: Generation,
    pub drives: u16,
    pub slots: u16,
    pub import_export: u16,
    pub capacity: u64,
    /// Bytes of each tape file that are kept; `null` keeps all.
    pub keep: Option<u64>,
    /// Bytes a drive buffers.
    #[serde(default = "buffer")]
    pub buffer: u64,
    /// Flush to the disk at synchronising commands.
    #[serde(default = "yes")]
    pub sync: bool,
    /// The changer unloads a drive that was not told to unload.
    #[serde(default = "yes")]
    pub implicit_unload: bool,
    pub cartridges: Vec<Held>,
}

fn yes() -> bool {
    true
}

fn buffer() -> u64 {
    32 << 20
}

impl LibraryFile {
    /// The file of a new library.
    pub fn new(directory: &Path, layout: &Layout) -> Result<LibraryFile, VirtualError> {
        let refuse = |text: &str| Err(VirtualError::Layout(text.to_owned()));
        let needed = u32::from(layout.cartridges) + u32::from(layout.cleaning_cartridge);
        if !(1..=256).contains(&layout.drives) {
            return refuse("a library has 1 to 256 drives");
        }
        if !(1..=60_000).contains(&layout.slots) || layout.import_export > 256 {
            return refuse("a library has 1 to 60000 slots and at most 256 import/export slots");
        }
        if needed > u32::from(layout.slots) || layout.cartridges > 9999 {
            return refuse("there are more cartridges than slots, or than barcodes (9999)");
        }
        let capacity = layout.capacity.unwrap_or(layout.generation.capacity());
        if capacity < 64 << 10 {
            return refuse("a cartridge holds at least 64 KiB");
        }
        let mut cartridges: Vec<Held> = (0..layout.cartridges)
            .map(|n| Held {
                barcode: format!("RW{:04}{}", n + 1, layout.generation.suffix()),
                element: STORAGE + n,
                source: None,
            })
            .collect();
        if layout.cleaning_cartridge {
            let element = STORAGE + layout.slots - 1;
            cartridges.push(Held { barcode: CLEANING.to_owned(), element, source: None });
        }
        Ok(LibraryFile {
            format: FORMAT.to_owned(),
            version: 1,
            serial: serial(directory),
            generation: layout.generation,
            drives: layout.drives,
            slots: layout.slots,
            import_export: layout.import_export,
            capacity,
            keep: layout.discard.then_some(16 << 20),
            buffer: buffer(),
            sync: true,
            implicit_unload: true,
            cartridges,
        })
    }

    /// Whether the file can be what this program wrote; everything else relies on it.
    pub fn check(&self, directory: &Path) -> Result<(), VirtualError> {
        let elements: BTreeSet<u16> = self.cartridges.iter().map(|held| held.element).collect();
        let barcodes: BTreeSet<&str> = self.cartridges.iter().map(|held| held.barcode.as_str()).collect();
        let sound = self.format == FORMAT
            && self.version == 1
            && (1..=256).contains(&self.drives)
            && (1..=60_000).contains(&self.slots)
            && self.import_export <= 256
            && elements.len() == self.cartridges.len()
            && barcodes.len() == self.cartridges.len()
            && elements.iter().all(|&element| self.has_place(element))
            && barcodes.iter().all(|code| {
                !code.is_empty() && code.len() <= 32 && code.bytes().all(|byte| byte.is_ascii_alphanumeric())
            });
        if sound {
            return Ok(());
        }
        Err(VirtualError::Layout(format!("{} says what cannot be", directory.join(NAME).display())))
    }

    /// Replaces the file.
    pub fn save(&self, directory: &Path) -> io::Result<()> {
        store::replace(&directory.join(NAME), self, self.sync)
    }

    /// How cartridge files are kept.
    pub fn keeping(&self) -> Keeping {
        Keeping { sync: self.sync, buffer: self.buffer.max(1 << 16), keep: self.keep }
    }

    /// Serial number of a drive: 10 characters.
    pub fn drive_serial(&self, index: u16) -> String {
        format!("{:.6}D{index:03}", self.serial)
    }

    /// Serial number of the changer: 10 characters.
    pub fn changer_serial(&self) -> String {
        format!("{:.6}C000", self.serial)
    }

    /// What lies at an element.
    pub fn at(&self, element: u16) -> Option<&Held> {
        self.cartridges.iter().find(|held| held.element == element)
    }

    /// The drive at an element.
    pub fn drive_at(&self, element: u16) -> Option<u16> {
        element.checked_sub(DRIVES).filter(|&index| index < self.drives)
    }

    /// Whether a cartridge can lie at an element.
    pub fn has_place(&self, element: u16) -> bool {
        let within = |first: u16, count: u16| element.checked_sub(first).is_some_and(|n| n < count);
        within(DRIVES, self.drives)
            || within(IMPORT_EXPORT, self.import_export)
            || within(STORAGE, self.slots)
    }

    /// The chip of a new cartridge.
    pub fn new_memory(&self, barcode: &str) -> Memory {
        Memory {
            barcode: barcode.to_owned(),
            serial: format!("{:.6}{:.6}", self.serial, barcode),
            generation: self.generation,
            capacity: self.capacity,
            cleanings: barcode.starts_with("CLN").then_some(CLEANINGS),
            ..Memory::default()
        }
    }
}

/// Two libraries have different serial numbers: made from the time and the path.
fn serial(directory: &Path) -> String {
    let nanoseconds = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as u64);
    let path = directory.as_os_str().as_encoded_bytes();
    let mut check = crc32c::crc32c_append(crc32c::crc32c(&nanoseconds.to_le_bytes()), path);
    let mut text = String::from("R");
    for _ in 0..5 {
        text.push(char::from(b"0123456789ABCDEFGHJKLMNPQRSTUVWX"[(check & 31) as usize]));
        check >>= 5;
    }
    text
}
