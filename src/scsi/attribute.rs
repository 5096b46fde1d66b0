//! Cartridge memory (MAM): READ ATTRIBUTE and WRITE ATTRIBUTE (SPC-4 clauses 6.16, 6.50 and 7.4).

use super::bytes::{bit_at, put, slice_at, text, u8_at, u16_at, u32_at, unsigned};
use super::opcode;

/// Remaining capacity of the partition in MiB.
pub const REMAINING_CAPACITY: u16 = 0x0000;
/// Maximum capacity of the partition in MiB.
pub const MAXIMUM_CAPACITY: u16 = 0x0001;
/// TapeAlert flags.
pub const TAPE_ALERT: u16 = 0x0002;
/// Loads.
pub const LOAD_COUNT: u16 = 0x0003;
/// Remaining space in the cartridge memory, bytes.
pub const MEMORY_SPACE: u16 = 0x0004;
/// Volume identifier.
pub const VOLUME_IDENTIFIER: u16 = 0x0008;
/// Volume change reference: changes with every modification of the volume.
pub const VOLUME_CHANGE_REFERENCE: u16 = 0x0009;
/// Vendor and serial of the drive that loaded the cartridge last; 020Bh to 020Dh are those before.
pub const LAST_DRIVE: u16 = 0x020a;
/// The last of these four.
pub const FOURTH_LAST_DRIVE: u16 = 0x020d;
/// MB written in the cartridge's life.
pub const TOTAL_WRITTEN: u16 = 0x0220;
/// MB read in the cartridge's life.
pub const TOTAL_READ: u16 = 0x0221;
/// Manufacturer of the cartridge.
pub const MEDIUM_MANUFACTURER: u16 = 0x0400;
/// Serial number of the cartridge.
pub const MEDIUM_SERIAL: u16 = 0x0401;
/// Length of the tape in metres.
pub const MEDIUM_LENGTH: u16 = 0x0402;
/// Date of manufacture, YYYYMMDD.
pub const MANUFACTURE_DATE: u16 = 0x0406;
/// Type of medium: 00h data, 01h cleaning, 80h WORM.
pub const MEDIUM_TYPE: u16 = 0x0408;
/// The value of [`MEDIUM_TYPE`] for a write-once cartridge.
pub const WRITE_ONCE: u8 = 0x80;
/// Application vendor, 8 bytes.
pub const APPLICATION_VENDOR: u16 = 0x0800;
/// Application name, 32 bytes.
pub const APPLICATION_NAME: u16 = 0x0801;
/// Application version, 8 bytes.
pub const APPLICATION_VERSION: u16 = 0x0802;
/// User's label, 160 bytes of text.
pub const USER_LABEL: u16 = 0x0803;
/// Date of last write, 12 bytes.
pub const LAST_WRITTEN: u16 = 0x0804;
/// Barcode, 32 bytes.
pub const BARCODE: u16 = 0x0806;
/// Media pool, 160 bytes of text.
pub const MEDIA_POOL: u16 = 0x0808;
/// Application format version, 16 bytes.
pub const FORMAT_VERSION: u16 = 0x080b;
/// Volume coherency information.
pub const COHERENCY: u16 = 0x080c;
/// Volume lock state (LTFS).
pub const VOLUME_LOCK: u16 = 0x1623;

/// How an attribute's value is to be read (SPC-4 table 479).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Format {
    /// Big-endian number or plain bytes.
    Binary = 0,
    /// ASCII, padded with blanks.
    Ascii = 1,
    /// Text in the character set of attribute 0805h.
    Text = 2,
}

/// READ ATTRIBUTE, service action ATTRIBUTE VALUES, from `first` on.
pub fn read(partition: u8, first: u16, allocation: u32) -> [u8; 16] {
    let mut cdb = [0; 16];
    cdb[0] = opcode::READ_ATTRIBUTE;
    cdb[7] = partition;
    put(&mut cdb[8..10], first.into());
    put(&mut cdb[10..14], allocation.into());
    cdb
}

/// READ ATTRIBUTE, service action ATTRIBUTE LIST: the identifiers that are there.
pub fn read_list(partition: u8, allocation: u32) -> [u8; 16] {
    let mut cdb = read(partition, 0, allocation);
    cdb[1] = 0x01;
    cdb
}

/// WRITE ATTRIBUTE through to the cartridge (WTC); `length` is that of the whole list.
pub fn write(partition: u8, length: u32) -> [u8; 16] {
    let mut cdb = [0; 16];
    cdb[0] = opcode::WRITE_ATTRIBUTE;
    cdb[1] = 0x01;
    cdb[7] = partition;
    put(&mut cdb[10..14], length.into());
    cdb
}

/// One attribute (SPC-4 table 478).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Identifier.
    pub id: u16,
    /// The drive lets nobody change it.
    pub read_only: bool,
    /// Format, 0 to 3.
    pub format: u8,
    /// Value.
    pub value: &'a [u8],
}

impl Attribute<'_> {
    /// The value as a number; `None` where it is empty or wider than 8 bytes.
    pub fn number(&self) -> Option<u64> {
        unsigned(self.value)
    }

    /// The value as text, padding cut off; `None` where nothing is left.
    pub fn text(&self) -> Option<String> {
        Some(text(self.value)).filter(|text| !text.is_empty())
    }
}

/// The whole attributes in a reply to ATTRIBUTE VALUES; ends before one that is cut short.
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

/// Iterates over a reply to ATTRIBUTE VALUES.
pub fn parse(bytes: &[u8]) -> Attributes<'_> {
    let length = u32_at(bytes, 0).and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    Attributes { rest: super::bytes::at_most(bytes, 4, length) }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let id = u16_at(self.rest, 0)?;
        let flags = u8_at(self.rest, 2)?;
        let length = usize::from(u16_at(self.rest, 3)?);
        let value = slice_at(self.rest, 5, length)?;
        let attribute = Attribute { id, read_only: bit_at(self.rest, 2, 0x80), format: flags & 0x03, value };
        self.rest = self.rest.get(5 + length..)?;
        Some(attribute)
    }
}

/// The identifiers in a reply to ATTRIBUTE LIST.
pub fn parse_list(bytes: &[u8]) -> Vec<u16> {
    let length = u32_at(bytes, 0).and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    let list = super::bytes::at_most(bytes, 4, length);
    list.chunks_exact(2).filter_map(|pair| u16_at(pair, 0)).collect()
}

/// The full length in bytes of an attribute that applications write (SPC-4 table 490); the value is padded to it.
pub const fn full_length(id: u16) -> Option<usize> {
    Some(match id {
        APPLICATION_VENDOR | APPLICATION_VERSION => 8,
        APPLICATION_NAME | BARCODE => 32,
        USER_LABEL | MEDIA_POOL => 160,
        LAST_WRITTEN => 12,
        0x0805 => 1,
        0x0807 => 80,
        FORMAT_VERSION => 16,
        _ => return None,
    })
}

/// Parameter list of WRITE ATTRIBUTE with one attribute: text is padded (ASCII with blanks, others with NULs) or cut
/// to the full length. An empty value deletes the attribute.
pub fn list(id: u16, format: Format, value: &[u8]) -> Vec<u8> {
    let mut value = value.to_vec();
    if let (Some(length), false) = (full_length(id), value.is_empty()) {
        value.resize(length, if format == Format::Ascii { b' ' } else { 0 });
    }
    value.truncate(usize::from(u16::MAX));
    let mut list = vec![0; 9];
    put(&mut list[0..4], 5 + value.len() as u64);
    put(&mut list[4..6], id.into());
    put(&mut list[6..7], format as u64);
    put(&mut list[7..9], value.len() as u64);
    list.extend(value);
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn commands() {
        assert_eq!(read(1, BARCODE, 1024), [0x8c, 0, 0, 0, 0, 0, 0, 1, 8, 6, 0, 0, 4, 0, 0, 0]);
        assert_eq!(read_list(0, 1)[1], 1);
        assert_eq!(write(0, 41), [0x8d, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 41, 0, 0]);
    }

    #[test]
    fn values_and_lists() {
        let bytes = [0, 0, 0, 17, 0, 0, 0x80, 0, 8, 0, 0, 0, 0, 0, 0, 1, 0, 8, 6, 1, 0, 2, b'A', b' '];
        let found: Vec<_> = parse(&bytes).collect();
        assert_eq!(found.len(), 1, "the second is beyond the length");
        assert_eq!((found[0].read_only, found[0].number()), (true, Some(256)));
        assert_eq!(parse_list(&[0, 0, 0, 4, 0, 0, 8, 6, 9, 9]), [0x0000, 0x0806]);
        let list = list(BARCODE, Format::Ascii, b"RWD001L9");
        assert_eq!(&list[..9], &[0, 0, 0, 37, 8, 6, 1, 0, 32]);
        let back: Vec<_> = parse(&list).collect();
        assert_eq!(back[0].text().as_deref(), Some("RWD001L9"));
        assert_eq!(super::list(BARCODE, Format::Ascii, b""), [0, 0, 0, 5, 8, 6, 1, 0, 0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn no_bytes_panic(length in 0u8..100, rest in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut bytes = vec![0, 0, 0, length];
            bytes.extend(rest);
            let _ = (parse(&bytes).count(), parse_list(&bytes));
            let _ = parse(&bytes[..bytes.len().min(3)]).count();
        }

        #[test]
        fn what_is_written_is_read(id in 0x1000u16..0x1600, value in proptest::collection::vec(any::<u8>(), 0..50)) {
            let list = list(id, Format::Binary, &value);
            let back = parse(&list).next().unwrap();
            prop_assert_eq!((back.id, back.value), (id, value.as_slice()));
        }
    }
}
