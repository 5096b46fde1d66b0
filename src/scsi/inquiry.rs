//! INQUIRY (SPC-4 clause 6.6) and the vital product data pages (clause 7.8; SSC-4 clause 8.5).

use serde::{Deserialize, Serialize};

use super::bytes::{at_most, bit_at, put, text, u8_at, u16_at};
use super::opcode;

/// Allocation length that every page asked here fits in.
pub const ALLOCATION: u16 = 512;

/// VPD page 00h: the supported pages.
pub const VPD_SUPPORTED: u8 = 0x00;
/// VPD page 80h: unit serial number.
pub const VPD_SERIAL: u8 = 0x80;
/// VPD page 83h: device identification.
pub const VPD_IDENTIFICATION: u8 = 0x83;
/// VPD page B0h: sequential-access device capabilities.
pub const VPD_SEQUENTIAL: u8 = 0xb0;
/// VPD page B1h: manufacturer-assigned serial number.
pub const VPD_MANUFACTURER_SERIAL: u8 = 0xb1;
/// VPD page B2h: TapeAlert flags supported.
pub const VPD_TAPE_ALERT: u8 = 0xb2;

/// Standard INQUIRY data, at most `allocation` bytes.
pub fn standard(allocation: u16) -> [u8; 6] {
    let mut cdb = [opcode::INQUIRY, 0, 0, 0, 0, 0];
    put(&mut cdb[3..5], allocation.into());
    cdb
}

/// One vital product data page (EVPD = 1), at most `allocation` bytes.
pub fn vital(page: u8, allocation: u16) -> [u8; 6] {
    let mut cdb = [opcode::INQUIRY, 0x01, page, 0, 0, 0];
    put(&mut cdb[3..5], allocation.into());
    cdb
}

/// Peripheral device type (SPC-4 table 142), the ones that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceType {
    /// 01h: a tape drive.
    SequentialAccess,
    /// 08h: a medium changer.
    MediumChanger,
    /// Any other code.
    Other(u8),
}

/// Standard INQUIRY data (SPC-4 table 141).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inquiry {
    /// Whether a device is behind this logical unit number (peripheral qualifier 000b).
    pub connected: bool,
    /// What it is.
    pub device_type: DeviceType,
    /// T10 vendor identification.
    pub vendor: String,
    /// Product identification.
    pub product: String,
    /// Product revision level.
    pub revision: String,
}

impl Inquiry {
    /// Parses standard INQUIRY data; strings that the device cut short come back short.
    pub fn parse(bytes: &[u8]) -> Option<Inquiry> {
        let first = u8_at(bytes, 0)?;
        let device_type = match first & 0x1f {
            0x01 => DeviceType::SequentialAccess,
            0x08 => DeviceType::MediumChanger,
            other => DeviceType::Other(other),
        };
        Some(Inquiry {
            connected: first >> 5 == 0,
            device_type,
            vendor: text(at_most(bytes, 8, 8)),
            product: text(at_most(bytes, 16, 16)),
            revision: text(at_most(bytes, 32, 4)),
        })
    }
}

/// The vendor that units of a virtual library tell.
const VIRTUAL_VENDOR: &str = "REELWARD";

/// Who a device is: INQUIRY and VPD page 80h.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Identity {
    /// T10 vendor identification.
    pub vendor: String,
    /// Product identification.
    pub product: String,
    /// Firmware revision.
    pub revision: String,
    /// Unit serial number; empty where the device has none.
    pub serial: String,
}

impl Identity {
    /// A unit of a virtual library that could not be asked.
    pub fn of_virtual() -> Identity {
        Identity { vendor: VIRTUAL_VENDOR.into(), ..Identity::default() }
    }

    /// Our own virtual library: whatever is stored there is not on tape.
    pub fn is_virtual(&self) -> bool {
        self.vendor == VIRTUAL_VENDOR
    }

    /// From INQUIRY data and a serial number.
    pub fn new(inquiry: Inquiry, serial: String) -> Identity {
        Identity { vendor: inquiry.vendor, product: inquiry.product, revision: inquiry.revision, serial }
    }
}

/// The body of VPD page `page` behind its four-byte header; `None` where it is another page.
fn vital_body(bytes: &[u8], page: u8) -> Option<&[u8]> {
    if u8_at(bytes, 1)? != page {
        return None;
    }
    Some(at_most(bytes, 4, usize::from(u16_at(bytes, 2)?)))
}

/// VPD page 00h: the page codes that the device has.
pub fn supported_pages(bytes: &[u8]) -> Option<Vec<u8>> {
    vital_body(bytes, VPD_SUPPORTED).map(<[u8]>::to_vec)
}

/// VPD page 80h or B1h: the serial number.
pub fn serial(bytes: &[u8]) -> Option<String> {
    let body = vital_body(bytes, VPD_SERIAL).or_else(|| vital_body(bytes, VPD_MANUFACTURER_SERIAL))?;
    Some(text(body))
}

/// One designator of VPD page 83h (SPC-4 table 591).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Designator {
    /// ASSOCIATION: 0 logical unit, 1 target port, 2 target device.
    pub association: u8,
    /// DESIGNATOR TYPE: 1 T10 vendor, 2 EUI-64, 3 NAA, 8 SCSI name string.
    pub kind: u8,
    /// Whether the value is text (code set 2 or 3) and not binary.
    pub is_text: bool,
    /// The identifier.
    pub value: Vec<u8>,
}

/// VPD page 83h: every whole designator.
pub fn identification(bytes: &[u8]) -> Option<Vec<Designator>> {
    designators(vital_body(bytes, VPD_IDENTIFICATION)?)
}

/// A list of designators, as in VPD page 83h and in element descriptors.
pub fn designators(mut rest: &[u8]) -> Option<Vec<Designator>> {
    let mut found = Vec::new();
    while let (Some(set), Some(kind), Some(length)) = (u8_at(rest, 0), u8_at(rest, 1), u8_at(rest, 3)) {
        let length = usize::from(length);
        let Some(value) = super::bytes::slice_at(rest, 4, length) else { break };
        found.push(Designator {
            association: kind >> 4 & 0x03,
            kind: kind & 0x0f,
            is_text: matches!(set & 0x0f, 2 | 3),
            value: value.to_vec(),
        });
        rest = rest.get(4 + length..).unwrap_or_default();
    }
    Some(found)
}

/// VPD page B0h (SSC-4 clause 8.5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequentialCapabilities {
    /// Write-once media are supported.
    pub worm: bool,
    /// Time-stamping of TapeAlert and the like (TSMC).
    pub timestamp: bool,
}

/// VPD page B0h.
pub fn sequential_capabilities(bytes: &[u8]) -> Option<SequentialCapabilities> {
    let body = vital_body(bytes, VPD_SEQUENTIAL)?;
    Some(SequentialCapabilities { worm: bit_at(body, 0, 0x01), timestamp: bit_at(body, 0, 0x02) })
}

/// VPD page B2h: the TapeAlert flags that the device knows; flag 1 is bit 63.
pub fn tape_alert_flags(bytes: &[u8]) -> Option<u64> {
    super::bytes::u64_at(vital_body(bytes, VPD_TAPE_ALERT)?, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn commands() {
        assert_eq!(standard(96), [0x12, 0, 0, 0, 96, 0]);
        assert_eq!(vital(VPD_SERIAL, 0x1234), [0x12, 1, 0x80, 0x12, 0x34, 0]);
    }

    #[test]
    fn standard_data() {
        let mut bytes = vec![0x01, 0x80, 6, 2, 91, 0, 0, 0];
        bytes.extend(b"IBM     ULT3580-HH9     R3G3");
        let inquiry = Inquiry::parse(&bytes).unwrap();
        assert_eq!(inquiry.device_type, DeviceType::SequentialAccess);
        assert!(inquiry.connected);
        assert_eq!(
            (inquiry.vendor.as_str(), inquiry.product.as_str(), inquiry.revision.as_str()),
            ("IBM", "ULT3580-HH9", "R3G3")
        );
        assert!(!Inquiry::parse(&[0x7f]).unwrap().connected);
        assert_eq!(Inquiry::parse(&[]), None);
    }

    #[test]
    fn vital_pages() {
        assert_eq!(supported_pages(&[1, 0, 0, 3, 0, 0x80, 0x83, 9]), Some(vec![0, 0x80, 0x83]));
        assert_eq!(serial(b"\x01\x80\x00\x0a  HU1234567"), Some("HU123456".to_owned()));
        assert_eq!(serial(b"\x01\x83\x00\x00"), None);
        let page = [1, 0x83, 0, 12, 1, 3, 0, 8, 0x50, 1, 2, 3, 4, 5, 6, 7];
        let found = identification(&page).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].kind, found[0].is_text, found[0].value.len()), (3, false, 8));
        assert_eq!(identification(&page[..15]), Some(vec![]), "a cut designator is left out");
        assert!(sequential_capabilities(&[1, 0xb0, 0, 2, 1, 0]).unwrap().worm);
        assert_eq!(tape_alert_flags(&[1, 0xb2, 0, 8, 0x80, 0, 0, 0, 0, 0, 0, 1]), Some(1 << 63 | 1));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn no_bytes_panic(page in 0u8..=255, rest in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut bytes = vec![1, page];
            bytes.extend(rest);
            let _ = (Inquiry::parse(&bytes), supported_pages(&bytes), serial(&bytes), identification(&bytes));
            let _ = (sequential_capabilities(&bytes), tape_alert_flags(&bytes));
        }
    }
}
