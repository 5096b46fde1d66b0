//! Medium changers: READ ELEMENT STATUS, MOVE MEDIUM and the rest (SMC-3 clause 6).

use super::bytes::{at_most, bit_at, put, text, u8_at, u16_at, u24_at};
use super::opcode;

/// What an element holds or does (SMC-3 table 11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ElementType {
    /// Medium transport: the robot.
    Transport = 1,
    /// Storage slot.
    Storage = 2,
    /// Import/export slot.
    ImportExport = 3,
    /// Data transfer element: a drive.
    Drive = 4,
}

impl ElementType {
    /// All types, in the order of their codes.
    pub const ALL: [ElementType; 4] =
        [ElementType::Transport, ElementType::Storage, ElementType::ImportExport, ElementType::Drive];

    fn from_code(code: u8) -> Option<ElementType> {
        ElementType::ALL.into_iter().find(|kind| *kind as u8 == code & 0x0f)
    }
}

/// READ ELEMENT STATUS of one type (SMC-3 clause 6.11). Of the two extras ask one at a time: some libraries leave out
/// the volume tags where device identifiers are asked, others break.
pub fn read_status(
    kind: ElementType,
    first: u16,
    count: u16,
    volume_tags: bool,
    device_ids: bool,
    allocation: u32,
) -> [u8; 12] {
    let mut cdb = [0; 12];
    cdb[0] = opcode::READ_ELEMENT_STATUS;
    cdb[1] = kind as u8 | u8::from(volume_tags) << 4;
    put(&mut cdb[2..4], first.into());
    put(&mut cdb[4..6], count.into());
    cdb[6] = u8::from(device_ids);
    put(&mut cdb[7..10], allocation.min(0xff_ffff).into());
    cdb
}

/// MOVE MEDIUM (SMC-3 clause 6.6); transport 0 is the library's default robot.
pub fn move_medium(transport: u16, source: u16, destination: u16) -> [u8; 12] {
    let mut cdb = [0; 12];
    cdb[0] = opcode::MOVE_MEDIUM;
    put(&mut cdb[2..4], transport.into());
    put(&mut cdb[4..6], source.into());
    put(&mut cdb[6..8], destination.into());
    cdb
}

/// INITIALIZE ELEMENT STATUS (SMC-3 clause 6.4): the library looks at every element; up to 30 minutes.
pub fn initialize_status() -> [u8; 6] {
    [opcode::INITIALIZE_ELEMENT_STATUS, 0, 0, 0, 0, 0]
}

/// POSITION TO ELEMENT (SMC-3 clause 6.8).
pub fn position_to(transport: u16, destination: u16) -> [u8; 10] {
    let mut cdb = [0; 10];
    cdb[0] = opcode::POSITION_TO_ELEMENT;
    put(&mut cdb[2..4], transport.into());
    put(&mut cdb[4..6], destination.into());
    cdb
}

/// One element descriptor (SMC-3 clause 6.11.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElementStatus {
    /// Its type.
    pub kind: ElementType,
    /// Element address.
    pub address: u16,
    /// It holds a cartridge.
    pub full: bool,
    /// ASC and ASCQ where something is wrong with it.
    pub exception: Option<(u8, u8)>,
    /// The robot can reach it (always true of the robot itself).
    pub accessible: bool,
    /// Import/export: the cartridge was put there by the operator, not by the robot.
    pub imported: bool,
    /// Where its cartridge came from, where SVALID.
    pub source: Option<u16>,
    /// Primary volume tag without padding and sequence number; a blank tag is `None`.
    pub barcode: Option<String>,
    /// Serial number of the drive (DVCID), drives only.
    pub drive_serial: Option<String>,
    /// The library says that its cartridge cleans (MEDIUM TYPE 2).
    pub cleaning: bool,
}

/// A whole reply: elements, and how many the library says it reports.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatusReport {
    /// NUMBER OF ELEMENTS AVAILABLE; some libraries put nonsense there.
    pub available: u16,
    /// BYTE COUNT OF REPORT AVAILABLE: the allocation length that the whole reply needs, less 8 bytes of header.
    pub byte_count: u32,
    /// The descriptors, the last one even where it is cut short behind its fixed part.
    pub elements: Vec<ElementStatus>,
}

/// Bytes of the report's header, of a page's header, and of a descriptor's fixed part.
const HEADER: usize = 8;
const PAGE_HEADER: usize = 8;
const FIXED_PART: usize = 12;
/// Bytes of a descriptor that must be there to know address and occupancy.
const LEAST: usize = 4;
const VOLUME_TAG: usize = 36;

/// Parses a reply to READ ELEMENT STATUS. Trailing bytes, cut descriptors, unknown types and missing identifiers are
/// tolerated: what is there is returned.
pub fn parse(bytes: &[u8]) -> Option<StatusReport> {
    let mut report =
        StatusReport { available: u16_at(bytes, 2)?, byte_count: u24_at(bytes, 5)?, elements: Vec::new() };
    let mut rest = bytes.get(HEADER..).unwrap_or_default();
    while rest.len() >= PAGE_HEADER {
        let (kind, flags) = (ElementType::from_code(u8_at(rest, 0)?), u8_at(rest, 1)?);
        let each = usize::from(u16_at(rest, 2)?);
        let length = usize::try_from(u24_at(rest, 5)?).ok()?;
        let mut page = at_most(rest, PAGE_HEADER, length);
        // A page without descriptors of a sane length says nothing; with it the rest cannot be told apart.
        if each < LEAST {
            break;
        }
        while page.len() >= LEAST {
            if let Some(kind) = kind {
                report.elements.extend(descriptor(kind, flags, at_most(page, 0, each)));
            }
            page = page.get(each..).unwrap_or_default();
        }
        rest = rest.get(PAGE_HEADER.saturating_add(length)..).unwrap_or_default();
    }
    Some(report)
}

fn descriptor(kind: ElementType, page_flags: u8, bytes: &[u8]) -> Option<ElementStatus> {
    let flags = u8_at(bytes, 2)?;
    let exception = (flags & 0x04 != 0).then(|| (u8_at(bytes, 4).unwrap_or(0), u8_at(bytes, 5).unwrap_or(0)));
    let mut at = FIXED_PART;
    let mut barcode = None;
    if page_flags & 0x80 != 0 {
        // 32 bytes of volume identification, 2 reserved, 2 of sequence number.
        barcode = Some(text(at_most(bytes, at, 32))).filter(|tag| !tag.is_empty());
        at += VOLUME_TAG;
    }
    if page_flags & 0x40 != 0 {
        at += VOLUME_TAG;
    }
    Some(ElementStatus {
        kind,
        address: u16_at(bytes, 0)?,
        full: flags & 0x01 != 0,
        exception,
        accessible: kind == ElementType::Transport || flags & 0x08 != 0,
        imported: kind == ElementType::ImportExport && flags & 0x02 != 0,
        source: u16_at(bytes, 10).filter(|_| bit_at(bytes, 9, 0x80)),
        barcode,
        cleaning: flags & 0x01 != 0 && u8_at(bytes, 9).is_some_and(|byte| byte & 0x07 == 2),
        drive_serial: if kind == ElementType::Drive { device_serial(bytes, at) } else { None },
    })
}

/// The serial number in a device identifier at `at`: code set 2 with type 0 (serial alone) or 1 (vendor 8, model 16,
/// serial).
fn device_serial(bytes: &[u8], at: usize) -> Option<String> {
    let (set, kind) = (u8_at(bytes, at)? & 0x0f, u8_at(bytes, at + 1)? & 0x0f);
    let value = at_most(bytes, at + 4, usize::from(u8_at(bytes, at + 3)?));
    let serial = match (set, kind) {
        (2, 0) => value,
        (2, 1) => value.get(24..).filter(|serial| !serial.is_empty())?,
        _ => return None,
    };
    Some(text(serial)).filter(|serial| !serial.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A page with descriptors of `each` bytes.
    fn page(kind: u8, flags: u8, each: usize, descriptors: &[Vec<u8>]) -> Vec<u8> {
        let body: Vec<u8> = descriptors
            .iter()
            .flat_map(|bytes| {
                let mut bytes = bytes.clone();
                bytes.resize(each, 0);
                bytes
            })
            .collect();
        let mut page = vec![kind, flags, 0, each as u8, 0, 0, 0, body.len() as u8];
        page.extend(body);
        page
    }

    fn report(pages: &[Vec<u8>]) -> Vec<u8> {
        let body: Vec<u8> = pages.concat();
        let mut bytes = vec![0, 1, 0, 9, 0, 0, 0, body.len() as u8];
        bytes.extend(body);
        bytes
    }

    fn tagged(address: u16, flags: u8, tag: &str) -> Vec<u8> {
        let mut bytes = address.to_be_bytes().to_vec();
        bytes.extend([flags, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(format!("{tag:<32}").bytes());
        bytes.extend([0; 4]);
        bytes
    }

    #[test]
    fn commands() {
        assert_eq!(
            read_status(ElementType::Storage, 0x400, 20, true, false, 0x01_0000),
            [0xb8, 0x12, 4, 0, 0, 20, 0, 1, 0, 0, 0, 0]
        );
        assert_eq!(read_status(ElementType::Drive, 0, 0xffff, false, true, 512)[6], 1);
        assert_eq!(move_medium(0, 0x400, 0x100), [0xa5, 0, 0, 0, 4, 0, 1, 0, 0, 0, 0, 0]);
        assert_eq!(initialize_status(), [7, 0, 0, 0, 0, 0]);
        assert_eq!(position_to(1, 2), [0x2b, 0, 0, 1, 0, 2, 0, 0, 0, 0]);
    }

    #[test]
    fn storage_with_tags() {
        let mut from = tagged(0x401, 0x09, "");
        from[9] = 0x80;
        from[11] = 7;
        let bytes =
            report(&[page(2, 0x80, 52, &[tagged(0x400, 0x09, "RWD001L9"), from, tagged(0x402, 0x0c, "")])]);
        let found = parse(&bytes).unwrap().elements;
        assert_eq!(found.len(), 3);
        assert_eq!(found[0].barcode.as_deref(), Some("RWD001L9"));
        assert!(found[0].full && found[0].accessible);
        assert_eq!((found[1].barcode.as_deref(), found[1].source), (None, Some(7)));
        assert_eq!((found[2].full, found[2].exception), (false, Some((0, 0))));
    }

    #[test]
    fn drive_serials() {
        let plain = [&[1, 0, 0x08, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 10][..], b"1097000123"].concat();
        let long = [
            &[1, 1, 0x08, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 34][..],
            b"IBM     ULT3580-HH9     1097000124",
        ]
        .concat();
        let found = parse(&report(&[page(4, 0, 50, &[plain, long, vec![1, 2, 0]])])).unwrap().elements;
        assert_eq!(found[0].drive_serial.as_deref(), Some("1097000123"));
        assert_eq!(found[1].drive_serial.as_deref(), Some("1097000124"));
        assert_eq!((found[2].address, found[2].drive_serial.as_deref()), (258, None));
    }

    #[test]
    fn a_reply_that_is_eight_bytes_short_still_has_its_last_element() {
        let bytes = report(&[page(2, 0x80, 52, &[tagged(1, 9, "A00001L5"), tagged(2, 9, "A00002L5")])]);
        let found = parse(&bytes[..bytes.len() - 8]).unwrap().elements;
        assert_eq!(found.len(), 2);
        assert_eq!(found[1].barcode.as_deref(), Some("A00002L5"));
        assert_eq!(parse(&bytes[..7]), None);
        assert!(parse(&bytes[..8]).unwrap().elements.is_empty());
    }

    #[test]
    fn several_pages_unknown_types_and_trailing_bytes() {
        let mut bytes = report(&[
            page(1, 0, 12, &[vec![0, 0, 0]]),
            page(9, 0, 12, &[vec![0, 9, 1]]),
            page(3, 0, 12, &[vec![0, 16, 0x0b]]),
        ]);
        bytes.extend([0; 30]);
        let found = parse(&bytes).unwrap().elements;
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].kind, found[0].accessible), (ElementType::Transport, true));
        assert!(found[1].imported && found[1].full);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn no_bytes_panic(
            kind in 0u8..6, flags: u8, each in 0u8..90, length in 0u8..200,
            rest in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut bytes = vec![0, 0, 0, 1, 0, 0, 0, 0, kind, flags, 0, each, 0, 0, 0, length];
            bytes.extend(&rest);
            let _ = parse(&bytes);
            let _ = parse(&rest);
        }
    }
}
