//! LTO generations: what a density code or a barcode says about a cartridge.

use serde::{Deserialize, Serialize};

/// A format of cartridge. `Lto7M8` is LTO-7 medium initialised by an LTO-8 drive; `Lto10Extended` is the 40 TB cartridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Generation {
    /// LTO-5.
    #[serde(rename = "LTO-5")]
    Lto5,
    /// LTO-6.
    #[serde(rename = "LTO-6")]
    Lto6,
    /// LTO-7.
    #[serde(rename = "LTO-7")]
    Lto7,
    /// LTO-7 medium in the LTO-8 drive's format (type M).
    #[serde(rename = "LTO-7 M8")]
    Lto7M8,
    /// LTO-8.
    #[serde(rename = "LTO-8")]
    Lto8,
    /// LTO-9.
    #[serde(rename = "LTO-9")]
    Lto9,
    /// LTO-10, 30 TB.
    #[serde(rename = "LTO-10")]
    Lto10,
    /// LTO-10, 40 TB.
    #[serde(rename = "LTO-10 40TB")]
    Lto10Extended,
}

/// What a barcode's last two characters, or its `CLN` prefix, say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BarcodeKind {
    /// A rewritable data cartridge.
    Data(Generation),
    /// A write-once data cartridge.
    Worm(Generation),
    /// A cleaning cartridge.
    Cleaning,
}

const TERABYTE: u64 = 1_000_000_000_000;
const MEGABYTE: u64 = 1_000_000;

impl Generation {
    /// All generations, oldest first.
    pub const ALL: [Generation; 8] = [
        Generation::Lto5,
        Generation::Lto6,
        Generation::Lto7,
        Generation::Lto7M8,
        Generation::Lto8,
        Generation::Lto9,
        Generation::Lto10,
        Generation::Lto10Extended,
    ];

    /// Its name, as in `LTO-9`.
    pub const fn name(self) -> &'static str {
        match self {
            Generation::Lto5 => "LTO-5",
            Generation::Lto6 => "LTO-6",
            Generation::Lto7 => "LTO-7",
            Generation::Lto7M8 => "LTO-7 M8",
            Generation::Lto8 => "LTO-8",
            Generation::Lto9 => "LTO-9",
            Generation::Lto10 => "LTO-10",
            Generation::Lto10Extended => "LTO-10 40TB",
        }
    }

    /// The generation of that name (case does not matter, and `LTO9` is `LTO-9`).
    pub fn by_name(name: &str) -> Option<Generation> {
        let plain = |text: &str| -> String {
            text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect()
        };
        let wanted = plain(name);
        Generation::ALL.into_iter().find(|generation| plain(generation.name()) == wanted)
    }

    /// Native (uncompressed) capacity in bytes.
    pub const fn capacity(self) -> u64 {
        match self {
            Generation::Lto5 => TERABYTE * 3 / 2,
            Generation::Lto6 => TERABYTE * 5 / 2,
            Generation::Lto7 => TERABYTE * 6,
            Generation::Lto7M8 => TERABYTE * 9,
            Generation::Lto8 => TERABYTE * 12,
            Generation::Lto9 => TERABYTE * 18,
            Generation::Lto10 => TERABYTE * 30,
            Generation::Lto10Extended => TERABYTE * 40,
        }
    }

    /// Native rate of a full-height drive in bytes a second.
    pub const fn rate(self) -> u64 {
        match self {
            Generation::Lto5 => 140 * MEGABYTE,
            Generation::Lto6 => 160 * MEGABYTE,
            Generation::Lto7 | Generation::Lto7M8 => 300 * MEGABYTE,
            Generation::Lto8 => 360 * MEGABYTE,
            Generation::Lto9 | Generation::Lto10 | Generation::Lto10Extended => 400 * MEGABYTE,
        }
    }

    /// Passes over the tape's length that a full cartridge takes: data tracks by tracks of a pass.
    pub const fn wraps(self) -> u64 {
        match self {
            Generation::Lto5 => 80,
            Generation::Lto6 => 136,
            Generation::Lto7 => 112,
            Generation::Lto7M8 => 168,
            Generation::Lto8 => 208,
            Generation::Lto9 => 280,
            Generation::Lto10 | Generation::Lto10Extended => 472,
        }
    }

    /// Density code (SSC-4 clause 8.3, the first byte of the block descriptor).
    pub const fn density(self) -> u8 {
        match self {
            Generation::Lto5 => 0x58,
            Generation::Lto6 => 0x5a,
            Generation::Lto7 => 0x5c,
            Generation::Lto7M8 => 0x5d,
            Generation::Lto8 => 0x5e,
            Generation::Lto9 => 0x60,
            Generation::Lto10 => 0x62,
            Generation::Lto10Extended => 0x63,
        }
    }

    /// The generation a density code stands for.
    pub fn by_density(code: u8) -> Option<Generation> {
        Generation::ALL.into_iter().find(|generation| generation.density() == code)
    }

    /// Barcode suffix of a rewritable cartridge.
    pub const fn suffix(self) -> &'static str {
        match self {
            Generation::Lto5 => "L5",
            Generation::Lto6 => "L6",
            Generation::Lto7 => "L7",
            Generation::Lto7M8 => "M8",
            Generation::Lto8 => "L8",
            Generation::Lto9 => "L9",
            Generation::Lto10 => "LA",
            Generation::Lto10Extended => "PA",
        }
    }

    /// Barcode suffix of a write-once cartridge, where the generation has one.
    pub const fn worm_suffix(self) -> Option<&'static str> {
        match self {
            Generation::Lto5 => Some("LV"),
            Generation::Lto6 => Some("LW"),
            Generation::Lto7 => Some("LX"),
            Generation::Lto8 => Some("LY"),
            Generation::Lto9 => Some("LZ"),
            Generation::Lto7M8 | Generation::Lto10 | Generation::Lto10Extended => None,
        }
    }

    /// The generation of a data cartridge with this barcode, write-once or not.
    pub fn by_barcode(barcode: &str) -> Option<Generation> {
        match BarcodeKind::of(barcode)? {
            BarcodeKind::Data(generation) | BarcodeKind::Worm(generation) => Some(generation),
            BarcodeKind::Cleaning => None,
        }
    }

    /// Whether the first load of a new cartridge optimises it, which takes up to 2 hours.
    pub const fn optimises_medium(self) -> bool {
        matches!(self, Generation::Lto9)
    }

    /// Whether drives of this generation have CRC32C logical block protection (LTO-7 and later).
    pub const fn has_crc32c_protection(self) -> bool {
        !matches!(self, Generation::Lto5 | Generation::Lto6)
    }
}

impl std::fmt::Display for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl BarcodeKind {
    /// What a barcode says; `None` where it follows no LTO rule. A library that strips the suffix leaves nothing to see.
    pub fn of(barcode: &str) -> Option<BarcodeKind> {
        let barcode = barcode.trim();
        if barcode.get(..3).is_some_and(|prefix| prefix.eq_ignore_ascii_case("CLN")) {
            return Some(BarcodeKind::Cleaning);
        }
        // An LTO label is six characters and the two of the medium type (LTO label specification).
        let suffix = barcode.len().checked_sub(2).filter(|&at| at >= 6).and_then(|at| barcode.get(at..))?;
        if suffix.eq_ignore_ascii_case("CU") {
            return Some(BarcodeKind::Cleaning);
        }
        Generation::ALL.into_iter().find_map(|generation| {
            if suffix.eq_ignore_ascii_case(generation.suffix()) {
                Some(BarcodeKind::Data(generation))
            } else if generation.worm_suffix().is_some_and(|worm| suffix.eq_ignore_ascii_case(worm)) {
                Some(BarcodeKind::Worm(generation))
            } else {
                None
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_generation_is_found_by_each_of_its_marks() {
        for generation in Generation::ALL {
            assert_eq!(Generation::by_density(generation.density()), Some(generation));
            assert_eq!(Generation::by_name(generation.name()), Some(generation));
            assert_eq!(
                Generation::by_barcode(&format!("RWD001{}", generation.suffix())),
                Some(generation),
                "{generation}"
            );
            if let Some(worm) = generation.worm_suffix() {
                assert_eq!(BarcodeKind::of(&format!("RWD001{worm}")), Some(BarcodeKind::Worm(generation)));
            }
        }
        assert_eq!(Generation::by_name("lto9"), Some(Generation::Lto9));
        assert_eq!(Generation::by_density(0x46), None);
    }

    #[test]
    fn cleaning_and_foreign_barcodes() {
        assert_eq!(BarcodeKind::of("CLN001CU"), Some(BarcodeKind::Cleaning));
        assert_eq!(BarcodeKind::of("clnu01L1"), Some(BarcodeKind::Cleaning));
        assert_eq!(BarcodeKind::of("ABC123CU"), Some(BarcodeKind::Cleaning));
        assert_eq!(BarcodeKind::of("ABC123L8 "), Some(BarcodeKind::Data(Generation::Lto8)));
        assert_eq!(BarcodeKind::of("ABC123"), None);
        assert_eq!(BarcodeKind::of("L8"), None);
        assert_eq!(BarcodeKind::of("\u{fc}\u{fc}\u{fc}\u{fc}L8"), Some(BarcodeKind::Data(Generation::Lto8)));
        assert_eq!(BarcodeKind::of(""), None);
    }
}
