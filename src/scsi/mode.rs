//! MODE SENSE and MODE SELECT (SPC-4 clauses 6.9 to 6.12, 7.5; SSC-4 clause 8.3; SMC-3 clause 7.3).

use super::bytes::{array_at, at_most, bit_at, put, u8_at, u16_at, u24_at};
use super::opcode;

/// Page 0Fh: data compression.
pub const DATA_COMPRESSION: (u8, u8) = (0x0f, 0x00);
/// Page 10h, subpage 01h: device configuration extension.
pub const CONFIGURATION_EXTENSION: (u8, u8) = (0x10, 0x01);
/// Page 0Ah, subpage F0h: control data protection.
pub const DATA_PROTECTION: (u8, u8) = (0x0a, 0xf0);
/// Page 1Dh of a tape drive: medium configuration.
pub const MEDIUM_CONFIGURATION: (u8, u8) = (0x1d, 0x00);
/// Page 1Dh of a changer: element address assignment.
pub const ELEMENT_ADDRESSES: (u8, u8) = (0x1d, 0x00);
/// Medium partitions (SSC-4, mode page 11h).
pub const MEDIUM_PARTITION: (u8, u8) = (0x11, 0x00);
/// No page at all: header and block descriptor only.
pub const NO_PAGE: (u8, u8) = (0x00, 0x00);

/// PS: in MODE SENSE the page can be saved; in MODE SELECT it must be clear.
const PARAMETERS_SAVEABLE: u8 = 0x80;
/// SPF: the page has a subpage code and a two-byte length.
const SUBPAGE_FORMAT: u8 = 0x40;

/// MODE SENSE(6) for current values.
pub fn sense_6((page, subpage): (u8, u8), allocation: u8) -> [u8; 6] {
    [opcode::MODE_SENSE_6, 0, page & 0x3f, subpage, allocation, 0]
}

/// MODE SENSE(10) for current values.
pub fn sense_10((page, subpage): (u8, u8), allocation: u16) -> [u8; 10] {
    let [high, low] = allocation.to_be_bytes();
    [opcode::MODE_SENSE_10, 0, page & 0x3f, subpage, 0, 0, 0, high, low, 0]
}

/// MODE SELECT(6) with PF set, not saved.
pub fn select_6(length: u8) -> [u8; 6] {
    [opcode::MODE_SELECT_6, 0x10, 0, 0, length, 0]
}

/// MODE SELECT(10) with PF set, not saved.
pub fn select_10(length: u16) -> [u8; 10] {
    let [high, low] = length.to_be_bytes();
    [opcode::MODE_SELECT_10, 0x10, 0, 0, 0, 0, 0, high, low, 0]
}

/// The block descriptor of a tape drive (SSC-4 table 87).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BlockDescriptor {
    /// Density code of the loaded medium; it, and not the medium type, tells the generation.
    pub density: u8,
    /// Block length in bytes; 0 is variable-block mode.
    pub block_length: u32,
}

/// What MODE SENSE returned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mode {
    /// MEDIUM TYPE, vendor-specific in practice.
    pub medium_type: u8,
    /// WP: the medium or the drive is write-protected.
    pub write_protected: bool,
    /// BUFFERED MODE: 0 each write reaches the medium first, 1 writes end in the buffer.
    pub buffered: u8,
    /// SPEED.
    pub speed: u8,
    /// The block descriptor, where there is one.
    pub block: Option<BlockDescriptor>,
    pages: Vec<u8>,
}

impl Mode {
    /// Parses the reply to MODE SENSE(6).
    pub fn parse_6(bytes: &[u8]) -> Option<Mode> {
        let length = usize::from(u8_at(bytes, 0)?) + 1;
        Mode::parse(at_most(bytes, 0, length), 4, u8_at(bytes, 1)?, u8_at(bytes, 2)?, u8_at(bytes, 3)?.into())
    }

    /// Parses the reply to MODE SENSE(10).
    pub fn parse_10(bytes: &[u8]) -> Option<Mode> {
        let length = usize::from(u16_at(bytes, 0)?) + 2;
        Mode::parse(
            at_most(bytes, 0, length),
            8,
            u8_at(bytes, 2)?,
            u8_at(bytes, 3)?,
            u16_at(bytes, 6)?.into(),
        )
    }

    fn parse(bytes: &[u8], header: usize, medium_type: u8, specific: u8, descriptors: usize) -> Option<Mode> {
        let descriptor = at_most(bytes, header, descriptors);
        let block = u8_at(descriptor, 0)
            .zip(u24_at(descriptor, 5))
            .map(|(density, block_length)| BlockDescriptor { density, block_length });
        Some(Mode {
            medium_type,
            write_protected: specific & 0x80 != 0,
            buffered: specific >> 4 & 0x07,
            speed: specific & 0x0f,
            block,
            pages: bytes.get(header.checked_add(descriptors)?..).unwrap_or_default().to_vec(),
        })
    }

    /// The page's bytes, its header included; cut short where the device cut it.
    pub fn page(&self, (page, subpage): (u8, u8)) -> Option<&[u8]> {
        let mut rest = self.pages.as_slice();
        while let Some(first) = u8_at(rest, 0) {
            let (sub, length) = if first & SUBPAGE_FORMAT != 0 {
                (u8_at(rest, 1)?, usize::from(u16_at(rest, 2)?) + 4)
            } else {
                (0, usize::from(u8_at(rest, 1)?) + 2)
            };
            if first & 0x3f == page && sub == subpage {
                return Some(at_most(rest, 0, length));
            }
            rest = rest.get(length..).unwrap_or_default();
        }
        None
    }
}

/// The parameter list of MODE SELECT: header of 4 or 8 bytes with its length zero, block descriptor, and a page.
fn parameter_list(header: usize, buffered: u8, block: BlockDescriptor, page: &[u8]) -> Vec<u8> {
    let mut list = vec![0; header + 8];
    let (specific, length) = if header == 8 { (3, 7) } else { (2, 3) };
    put(&mut list[specific..=specific], u64::from(buffered & 0x07) << 4);
    put(&mut list[length..=length], 8);
    put(&mut list[header..=header], block.density.into());
    put(&mut list[header + 5..header + 8], block.block_length.into());
    let page_at = list.len();
    list.extend_from_slice(page);
    if let Some(first) = list.get_mut(page_at) {
        *first &= !PARAMETERS_SAVEABLE;
    }
    list
}

/// Parameter list for MODE SELECT(10); `page` may be empty.
pub fn list_10(buffered: u8, block: BlockDescriptor, page: &[u8]) -> Vec<u8> {
    parameter_list(8, buffered, block, page)
}

/// Parameter list for MODE SELECT(6); `page` may be empty.
pub fn list_6(buffered: u8, block: BlockDescriptor, page: &[u8]) -> Vec<u8> {
    parameter_list(4, buffered, block, page)
}

/// Page 0Fh (SSC-4 clause 8.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compression {
    /// DCE: writes are compressed.
    pub enabled: bool,
    /// DCC: the drive can compress.
    pub capable: bool,
}

/// Reads page 0Fh.
pub fn compression(page: &[u8]) -> Option<Compression> {
    let flags = u8_at(page, 2)?;
    Some(Compression { enabled: flags & 0x80 != 0, capable: flags & 0x40 != 0 })
}

/// Page 0Fh with compression of writes switched; everything else as it was.
pub fn with_compression(page: &[u8], enabled: bool) -> Option<Vec<u8>> {
    let mut page = page.to_vec();
    let flags = page.get_mut(2)?;
    *flags = if enabled { *flags | 0x80 } else { *flags & !0x80 };
    Some(page)
}

/// Partitions on the medium by mode page 11h: ADDITIONAL PARTITIONS DEFINED and one.
pub fn partitions(page: &[u8]) -> Option<u16> {
    Some(u16::from(u8_at(page, 3)?) + 1)
}

/// Page 1Dh of a tape drive: whether the medium is write-once (SSC-4 clause 8.3.7).
pub fn worm(page: &[u8]) -> Option<bool> {
    u8_at(page, 2).map(|flags| flags & 0x01 != 0)
}

/// Page 10h/01h: size of the programmable early warning zone in MB (SSC-4 clause 8.3.8).
pub fn early_warning_zone(page: &[u8]) -> Option<u16> {
    u16_at(page, 6)
}

/// Page 10h/01h with the programmable early warning zone set to `megabytes`.
pub fn with_early_warning_zone(page: &[u8], megabytes: u16) -> Option<Vec<u8>> {
    let mut page = page.to_vec();
    put(page.get_mut(6..8)?, megabytes.into());
    Some(page)
}

/// Method of logical block protection: CRC32C (SSC-4 table 102).
pub const PROTECTION_CRC32C: u8 = 2;

/// Page 0Ah/F0h (SSC-4 clause 8.3.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protection {
    /// 0 none, 1 Reed-Solomon CRC, 2 CRC32C.
    pub method: u8,
    /// Bytes appended to each record.
    pub length: u8,
    /// Appended on writes, checked by the drive.
    pub on_write: bool,
    /// Appended by the drive on reads.
    pub on_read: bool,
}

/// Reads page 0Ah/F0h.
pub fn protection(page: &[u8]) -> Option<Protection> {
    Some(Protection {
        method: u8_at(page, 4)?,
        length: u8_at(page, 5)? & 0x3f,
        on_write: bit_at(page, 6, 0x80),
        on_read: bit_at(page, 6, 0x40),
    })
}

/// Page 0Ah/F0h with CRC32C for writes and reads, or with protection off.
pub fn with_protection(page: &[u8], enabled: bool) -> Option<Vec<u8>> {
    let mut page = page.to_vec();
    let fields = page.get_mut(4..7)?;
    let values = if enabled { [PROTECTION_CRC32C, 4, 0xc0] } else { [0, 0, 0] };
    fields.copy_from_slice(&values);
    Some(page)
}

/// First address and count of one element type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ElementRange {
    /// First element address.
    pub first: u16,
    /// Number of elements.
    pub count: u16,
}

/// Page 1Dh of a changer (SMC-3 clause 7.3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ElementAssignment {
    /// Medium transports (robots).
    pub transports: ElementRange,
    /// Storage slots.
    pub storage: ElementRange,
    /// Import/export slots.
    pub import_export: ElementRange,
    /// Drives.
    pub drives: ElementRange,
}

/// Reads page 1Dh of a changer.
pub fn element_assignment(page: &[u8]) -> Option<ElementAssignment> {
    let range = |at: usize| {
        let [a, b, c, d] = array_at(page, at)?;
        Some(ElementRange { first: u16::from_be_bytes([a, b]), count: u16::from_be_bytes([c, d]) })
    };
    Some(ElementAssignment {
        transports: range(2)?,
        storage: range(6)?,
        import_export: range(10)?,
        drives: range(14)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reply_10(page: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 0, 0x90, 0, 0, 0, 8, 0x5e, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend_from_slice(page);
        bytes[1] = (bytes.len() - 2) as u8;
        bytes
    }

    #[test]
    fn header_descriptor_and_pages() {
        let mut pages = vec![0x90, 0x02, 1, 2]; // page 10h
        pages.extend([0x8f, 14, 0xc0, 0x80, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0]);
        let mode = Mode::parse_10(&reply_10(&pages)).unwrap();
        assert!(mode.write_protected);
        assert_eq!((mode.buffered, mode.speed), (1, 0));
        assert_eq!(mode.block, Some(BlockDescriptor { density: 0x5e, block_length: 0 }));
        let page = mode.page(DATA_COMPRESSION).unwrap();
        assert_eq!(compression(page), Some(Compression { enabled: true, capable: true }));
        assert!(!compression(&with_compression(page, false).unwrap()).unwrap().enabled);
        assert_eq!(mode.page(DATA_PROTECTION), None);

        let six = Mode::parse_6(&[11, 0x38, 0x10, 8, 0x58, 0, 0, 0, 0, 0, 2, 0]).unwrap();
        assert_eq!(six.block, Some(BlockDescriptor { density: 0x58, block_length: 512 }));
        let bare = Mode::parse_6(&[3, 0, 0, 0]).unwrap();
        assert_eq!(bare.block, None);
    }

    #[test]
    fn protection_and_early_warning_pages() {
        let mut bytes = vec![0xca, 0xf0, 0, 0x1c];
        bytes.resize(32, 0);
        let mode = Mode::parse_10(&reply_10(&bytes)).unwrap();
        let page = mode.page(DATA_PROTECTION).unwrap();
        assert_eq!(page.len(), 32);
        let on = with_protection(page, true).unwrap();
        assert_eq!(protection(&on), Some(Protection { method: 2, length: 4, on_write: true, on_read: true }));
        let list = list_10(1, BlockDescriptor::default(), &on);
        assert_eq!(list.len(), 48);
        assert_eq!((list[3], list[7], list[16]), (0x10, 8, 0x4a), "PS is clear");
        assert_eq!(&list[20..23], &[2, 4, 0xc0]);

        let mut bytes = vec![0xd0, 0x01, 0, 0x1c];
        bytes.resize(32, 0);
        let set = with_early_warning_zone(&bytes, 0x1234).unwrap();
        let list = list_10(1, BlockDescriptor::default(), &set);
        assert_eq!(&list[22..24], &[0x12, 0x34]);
        assert_eq!(early_warning_zone(&set), Some(0x1234));
    }

    #[test]
    fn commands_and_lists() {
        assert_eq!(sense_10(DATA_PROTECTION, 252), [0x5a, 0, 0x0a, 0xf0, 0, 0, 0, 0, 252, 0]);
        assert_eq!(sense_6(NO_PAGE, 64), [0x1a, 0, 0, 0, 64, 0]);
        assert_eq!(select_10(48), [0x55, 0x10, 0, 0, 0, 0, 0, 0, 48, 0]);
        assert_eq!(select_6(12), [0x15, 0x10, 0, 0, 12, 0]);
        let block = BlockDescriptor { density: 0x58, block_length: 0x010203 };
        assert_eq!(list_6(1, block, &[]), [0, 0, 0x10, 8, 0x58, 0, 0, 0, 0, 1, 2, 3]);
    }

    #[test]
    fn page_1d_has_two_meanings() {
        assert_eq!(worm(&[0x1d, 30, 0x01]), Some(true));
        let page = [0x1d, 0x12, 0, 1, 0, 1, 4, 0, 0, 20, 0, 16, 0, 4, 1, 0, 0, 2, 0, 0];
        let elements = element_assignment(&page).unwrap();
        assert_eq!(elements.storage, ElementRange { first: 0x400, count: 20 });
        assert_eq!(elements.drives, ElementRange { first: 0x100, count: 2 });
        assert_eq!(element_assignment(&page[..17]), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), code: (u8, u8)) {
            for mode in [Mode::parse_6(&bytes), Mode::parse_10(&bytes)].into_iter().flatten() {
                let _ = mode.page(code);
            }
            let _ = (compression(&bytes), with_protection(&bytes, true), with_early_warning_zone(&bytes, 1));
            let _ = (worm(&bytes), protection(&bytes), element_assignment(&bytes));
        }
    }
}
