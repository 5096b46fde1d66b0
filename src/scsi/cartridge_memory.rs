//! What a cartridge's memory chip says (MAM, SPC-4 clause 7.4), as one value.

use super::attribute::{self, Attribute};
use super::bytes::{array_at, put, slice_at, text, u8_at, unsigned};

/// Bytes of one MiB: the unit of capacities and of life-time counters in the cartridge memory.
const MEBIBYTE: u64 = 1 << 20;

/// The attributes we know of; what the chip lacks is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CartridgeMemory {
    /// Times the cartridge was loaded.
    pub loads: Option<u64>,
    /// Bytes written in its life.
    pub written: Option<u64>,
    /// Bytes read in its life.
    pub read: Option<u64>,
    /// Changes with every modification of the volume.
    pub change_reference: Option<u32>,
    /// Serial numbers of the drives that loaded it, the latest first.
    pub last_drives: Vec<String>,
    /// Who made it.
    pub manufacturer: Option<String>,
    /// Serial number of the cartridge.
    pub serial: Option<String>,
    /// When it was made, YYYYMMDD.
    pub manufactured: Option<String>,
    /// It cleans.
    pub cleaning: bool,
    /// Write-once.
    pub worm: bool,
    /// Vendor of the application that wrote it last.
    pub vendor: Option<String>,
    /// Name of that application.
    pub application: Option<String>,
    /// Version of that application.
    pub version: Option<String>,
    /// The user's label.
    pub label: Option<String>,
    /// Barcode.
    pub barcode: Option<String>,
    /// Media pool.
    pub pool: Option<String>,
    /// Volume coherency information, as far as it can be understood.
    pub coherency: Option<Coherency>,
}

impl CartridgeMemory {
    /// From a reply to READ ATTRIBUTE, ATTRIBUTE VALUES, from identifier 0 on.
    pub fn parse(bytes: &[u8]) -> CartridgeMemory {
        let mut memory = CartridgeMemory::default();
        for found in attribute::parse(bytes) {
            memory.take(&found);
        }
        memory
    }

    fn take(&mut self, found: &Attribute<'_>) {
        let mebibytes = || found.number().and_then(|number| number.checked_mul(MEBIBYTE));
        match found.id {
            attribute::LOAD_COUNT => self.loads = found.number(),
            attribute::TOTAL_WRITTEN => self.written = mebibytes(),
            attribute::TOTAL_READ => self.read = mebibytes(),
            attribute::VOLUME_CHANGE_REFERENCE => {
                self.change_reference = found.number().and_then(|number| u32::try_from(number).ok());
            }
            // Vendor, 8 bytes, and serial number, 32.
            attribute::LAST_DRIVE..=attribute::FOURTH_LAST_DRIVE => {
                let serial = found.value.get(8..).map(text).filter(|serial| !serial.is_empty());
                self.last_drives.extend(serial);
            }
            attribute::MEDIUM_MANUFACTURER => self.manufacturer = found.text(),
            attribute::MEDIUM_SERIAL => self.serial = found.text(),
            attribute::MANUFACTURE_DATE => self.manufactured = found.text(),
            attribute::MEDIUM_TYPE => {
                self.cleaning = u8_at(found.value, 0) == Some(0x01);
                self.worm = u8_at(found.value, 0) == Some(attribute::WRITE_ONCE);
            }
            attribute::APPLICATION_VENDOR => self.vendor = found.text(),
            attribute::APPLICATION_NAME => self.application = found.text(),
            attribute::APPLICATION_VERSION => self.version = found.text(),
            attribute::USER_LABEL => self.label = found.text(),
            attribute::BARCODE => self.barcode = found.text(),
            attribute::MEDIA_POOL => self.pool = found.text(),
            attribute::COHERENCY => self.coherency = Coherency::parse(found.value),
            _ => {}
        }
    }
}

/// Volume coherency information, attribute 080Ch (SPC-4 clause 7.4.2.4.13): the state of the volume when an application
/// last finished with it. Where `change_reference` is still attribute 0009h, nobody has written since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coherency {
    /// Volume change reference at that time.
    pub change_reference: u64,
    /// Grows with each such state.
    pub count: u64,
    /// Where the application's index stands: its own choice.
    pub set: u64,
    /// The application's own bytes; they begin with its name.
    pub application: Vec<u8>,
}

impl Coherency {
    /// From the attribute's value.
    pub fn parse(value: &[u8]) -> Option<Coherency> {
        let width = usize::from(u8_at(value, 0)?);
        let change_reference = unsigned(slice_at(value, 1, width)?)?;
        let rest = value.get(1 + width..)?;
        let length = usize::from(u16::from_be_bytes(array_at(rest, 16)?));
        Some(Coherency {
            change_reference,
            count: u64::from_be_bytes(array_at(rest, 0)?),
            set: u64::from_be_bytes(array_at(rest, 8)?),
            application: slice_at(rest, 18, length)?.to_vec(),
        })
    }

    /// The attribute's value; the application's bytes are cut at 512.
    pub fn encode(&self) -> Vec<u8> {
        let application = self.application.get(..512).unwrap_or(&self.application);
        let mut value = vec![0; 27];
        put(&mut value[0..1], 8);
        put(&mut value[1..9], self.change_reference);
        put(&mut value[9..17], self.count);
        put(&mut value[17..25], self.set);
        put(&mut value[25..27], application.len() as u64);
        value.extend(application);
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scsi::attribute::{Format, list};
    use proptest::prelude::*;

    fn reply(attributes: &[Vec<u8>]) -> Vec<u8> {
        let body: Vec<u8> = attributes.iter().flat_map(|list| list[4..].to_vec()).collect();
        let mut bytes = (body.len() as u32).to_be_bytes().to_vec();
        bytes.extend(body);
        bytes
    }

    #[test]
    fn one_value_from_many_attributes() {
        let mut drive = b"MAKER   ".to_vec();
        drive.extend(b"DRIVE00001                      ");
        let bytes = reply(&[
            list(attribute::LOAD_COUNT, Format::Binary, &[0, 0, 0, 0, 0, 0, 0, 9]),
            list(attribute::VOLUME_CHANGE_REFERENCE, Format::Binary, &[0, 0, 1, 0]),
            list(attribute::LAST_DRIVE, Format::Ascii, &drive),
            list(attribute::LAST_DRIVE + 1, Format::Ascii, &[b' '; 40]),
            list(attribute::TOTAL_WRITTEN, Format::Binary, &[0, 2]),
            list(attribute::MEDIUM_TYPE, Format::Binary, &[1]),
            list(attribute::USER_LABEL, Format::Text, b"weekly 7"),
            list(attribute::MEDIA_POOL, Format::Text, b"weekly"),
            list(0x1234, Format::Binary, b"?"),
        ]);
        let memory = CartridgeMemory::parse(&bytes);
        assert_eq!(
            (memory.loads, memory.change_reference, memory.written),
            (Some(9), Some(256), Some(2 << 20))
        );
        assert_eq!(memory.last_drives, ["DRIVE00001"]);
        assert!(memory.cleaning && !memory.worm && memory.read.is_none());
        assert_eq!((memory.label.as_deref(), memory.pool.as_deref()), (Some("weekly 7"), Some("weekly")));
    }

    #[test]
    fn coherency_of_others_and_ours() {
        let ours = Coherency { change_reference: 7, count: 3, set: 5, application: b"APP\0uuid".to_vec() };
        assert_eq!(Coherency::parse(&ours.encode()), Some(ours.clone()));
        // A reference of 4 bytes, as some applications write it.
        let mut short = vec![4, 0, 0, 0, 7];
        short.extend(&ours.encode()[9..]);
        assert_eq!(Coherency::parse(&short), Some(ours));
        assert_eq!(Coherency::parse(&[8, 0, 0]), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn no_bytes_panic(length in 0u8..200, rest in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = vec![0, 0, 0, length];
            bytes.extend(&rest);
            let _ = CartridgeMemory::parse(&bytes);
            let _ = Coherency::parse(&rest);
        }

        #[test]
        fn what_is_encoded_is_parsed(a: u64, b: u64, c: u64, rest in proptest::collection::vec(any::<u8>(), 0..600)) {
            let told = Coherency { change_reference: a, count: b, set: c, application: rest };
            let back = Coherency::parse(&told.encode()).unwrap();
            prop_assert_eq!(&told.application[..told.application.len().min(512)], &back.application[..]);
            prop_assert_eq!((back.change_reference, back.count, back.set), (a, b, c));
        }
    }
}
