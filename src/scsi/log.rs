//! LOG SENSE (SPC-4 clause 6.8) and the log pages of tape drives (SSC-4 clause 8.2).

use super::bytes::{at_most, bit_at, put, slice_at, text, u8_at, u16_at, u32_at, unsigned};
use super::opcode;

/// Supported pages.
pub const SUPPORTED: u8 = 0x00;
/// Write error counters.
pub const WRITE_ERRORS: u8 = 0x02;
/// Read error counters.
pub const READ_ERRORS: u8 = 0x03;
/// Sequential-access device page.
pub const SEQUENTIAL_ACCESS: u8 = 0x0c;
/// Temperature.
pub const TEMPERATURE: u8 = 0x0d;
/// DT device status.
pub const DEVICE_STATUS: u8 = 0x11;
/// TapeAlert response: reading changes nothing.
pub const TAPE_ALERT_RESPONSE: u8 = 0x12;
/// Device statistics.
pub const DEVICE_STATISTICS: u8 = 0x14;
/// Volume statistics.
pub const VOLUME_STATISTICS: u8 = 0x17;
/// Data compression.
pub const DATA_COMPRESSION: u8 = 0x1b;
/// TapeAlert: reading clears the flags for everybody.
pub const TAPE_ALERT: u8 = 0x2e;
/// Tape capacity (LTO drives).
pub const TAPE_CAPACITY: u8 = 0x31;
/// Performance characteristics (vendor specific; the parameters differ between makers).
pub const PERFORMANCE: u8 = 0x37;

/// LOG SENSE of the cumulative values of one page.
pub fn sense(page: u8, subpage: u8, allocation: u16) -> [u8; 10] {
    let mut cdb = [opcode::LOG_SENSE, 0, 0x40 | (page & 0x3f), subpage, 0, 0, 0, 0, 0, 0];
    put(&mut cdb[7..9], allocation.into());
    cdb
}

/// One log parameter (SPC-4 table 360).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter<'a> {
    /// Parameter code.
    pub code: u16,
    /// Control byte.
    pub control: u8,
    /// Value; its width is the device's choice.
    pub value: &'a [u8],
}

impl Parameter<'_> {
    /// The value as a number; `None` where it is empty or wider than 8 bytes.
    pub fn number(&self) -> Option<u64> {
        unsigned(self.value)
    }
}

/// A log page: its code and the parameters in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogPage<'a> {
    /// Page code.
    pub page: u8,
    /// Subpage code.
    pub subpage: u8,
    body: &'a [u8],
}

impl<'a> LogPage<'a> {
    /// Parses a reply. The page length rules: some drives return as many bytes as were allocated.
    pub fn parse(bytes: &'a [u8]) -> Option<LogPage<'a>> {
        let first = u8_at(bytes, 0)?;
        let subpage = if first & 0x40 != 0 { u8_at(bytes, 1)? } else { 0 };
        let body = at_most(bytes, 4, usize::from(u16_at(bytes, 2)?));
        Some(LogPage { page: first & 0x3f, subpage, body })
    }

    /// Every whole parameter, in order.
    pub fn parameters(&self) -> Parameters<'a> {
        Parameters { rest: self.body }
    }

    /// The first parameter with this code.
    pub fn get(&self, code: u16) -> Option<Parameter<'a>> {
        self.parameters().find(|parameter| parameter.code == code)
    }

    /// The number in the first parameter with this code.
    pub fn number(&self, code: u16) -> Option<u64> {
        self.get(code)?.number()
    }

    /// Page 00h: the page codes that the device has (it holds no parameters).
    pub fn supported(&self) -> Vec<u8> {
        if self.page == SUPPORTED { self.body.iter().map(|code| code & 0x3f).collect() } else { Vec::new() }
    }
}

/// Iterator over the parameters of a page; ends before one that is cut short.
#[derive(Debug, Clone)]
pub struct Parameters<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Parameters<'a> {
    type Item = Parameter<'a>;

    fn next(&mut self) -> Option<Parameter<'a>> {
        let code = u16_at(self.rest, 0)?;
        let control = u8_at(self.rest, 2)?;
        let length = usize::from(u8_at(self.rest, 3)?);
        let value = slice_at(self.rest, 4, length)?;
        self.rest = self.rest.get(4 + length..)?;
        Some(Parameter { code, control, value })
    }
}

/// Pages 02h and 03h (SPC-4 clause 7.3.9, 7.3.17): error counters since the cartridge was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ErrorCounters {
    /// Rewrites or rereads.
    pub retries: Option<u64>,
    /// Errors corrected in all.
    pub corrected: Option<u64>,
    /// Bytes processed.
    pub bytes: Option<u64>,
    /// Errors that could not be corrected.
    pub uncorrected: Option<u64>,
}

impl ErrorCounters {
    /// From page 02h or 03h.
    pub fn from_page(page: &LogPage<'_>) -> ErrorCounters {
        ErrorCounters {
            retries: page.number(0x0002),
            corrected: page.number(0x0003),
            bytes: page.number(0x0005),
            uncorrected: page.number(0x0006),
        }
    }
}

/// Page 0Ch (SSC-4 clause 8.2.3): bytes since the counters were reset, before and behind compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SequentialCounters {
    /// Bytes received by WRITE commands.
    pub received: Option<u64>,
    /// Bytes written to the medium.
    pub written: Option<u64>,
    /// Bytes read from the medium.
    pub read: Option<u64>,
    /// Bytes sent by READ commands.
    pub sent: Option<u64>,
    /// The drive asks for cleaning (parameter 0100h not zero).
    pub cleaning: bool,
}

impl SequentialCounters {
    /// From page 0Ch.
    pub fn from_page(page: &LogPage<'_>) -> SequentialCounters {
        SequentialCounters {
            received: page.number(0x0000),
            written: page.number(0x0001),
            read: page.number(0x0002),
            sent: page.number(0x0003),
            cleaning: page.number(0x0100).is_some_and(|value| value != 0),
        }
    }
}

/// Page 0Dh (SPC-4 clause 7.3.20): degrees Celsius; `None` where the drive cannot tell (FFh).
pub fn temperature(page: &LogPage<'_>) -> Option<u8> {
    u8_at(page.get(0x0000)?.value, 1).filter(|&degrees| degrees != 0xff)
}

/// What a drive is doing (SSC-4 table 70).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Activity {
    Idle,
    Cleaning,
    Loading,
    Unloading,
    OtherMedium,
    Reading,
    Writing,
    Locating,
    Rewinding,
    Erasing,
    Formatting,
    Calibrating,
    OtherDevice,
    UpdatingMicrocode,
    ReadingEncrypted,
    WritingEncrypted,
    Diagnosing,
    Unknown(u8),
}

impl From<u8> for Activity {
    fn from(code: u8) -> Self {
        match code {
            0x00 => Activity::Idle,
            0x01 => Activity::Cleaning,
            0x02 => Activity::Loading,
            0x03 => Activity::Unloading,
            0x04 => Activity::OtherMedium,
            0x05 => Activity::Reading,
            0x06 => Activity::Writing,
            0x07 => Activity::Locating,
            0x08 => Activity::Rewinding,
            0x09 => Activity::Erasing,
            0x0a => Activity::Formatting,
            0x0b => Activity::Calibrating,
            0x0c => Activity::OtherDevice,
            0x0d => Activity::UpdatingMicrocode,
            0x0e => Activity::ReadingEncrypted,
            0x0f => Activity::WritingEncrypted,
            0x10 => Activity::Diagnosing,
            other => Activity::Unknown(other),
        }
    }
}

/// Page 11h, parameter 0: very high frequency data (SSC-4 table 69). It may be read while the medium moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceStatus {
    /// The medium is write-protected.
    pub write_protected: bool,
    /// Cleaning is requested.
    pub cleaning_requested: bool,
    /// Cleaning is required.
    pub cleaning_required: bool,
    /// A cartridge is present.
    pub medium_present: bool,
    /// The cartridge is mounted.
    pub mounted: bool,
    /// What the drive is doing.
    pub activity: Activity,
    /// A TapeAlert flag has changed (TAFC).
    pub tape_alert_changed: bool,
}

/// From page 11h; `None` where the data is not valid yet (DINIT clear).
pub fn device_status(page: &LogPage<'_>) -> Option<DeviceStatus> {
    let value = page.get(0x0000)?.value;
    if value.len() < 4 || !bit_at(value, 0, 0x01) {
        return None;
    }
    Some(DeviceStatus {
        write_protected: bit_at(value, 0, 0x08),
        cleaning_requested: bit_at(value, 0, 0x04),
        cleaning_required: bit_at(value, 0, 0x02),
        medium_present: bit_at(value, 1, 0x10),
        mounted: bit_at(value, 1, 0x01),
        activity: Activity::from(u8_at(value, 2)?),
        tape_alert_changed: bit_at(value, 3, 0x01),
    })
}

/// Page 14h (SSC-4 clause 8.2.5): the drive's life.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeviceStatistics {
    /// Cartridges loaded in its life.
    pub loads: Option<u64>,
    /// Cleanings in its life.
    pub cleanings: Option<u64>,
    /// Hours powered on.
    pub power_on_hours: Option<u64>,
    /// Hours the medium moved.
    pub motion_hours: Option<u64>,
    /// Metres of tape processed.
    pub metres: Option<u64>,
    /// Hours of motion since the last cleaning.
    pub motion_hours_since_cleaning: Option<u64>,
    /// Power cycles.
    pub power_cycles: Option<u64>,
    /// Hard write errors.
    pub hard_write_errors: Option<u64>,
    /// Hard read errors.
    pub hard_read_errors: Option<u64>,
    /// Serial number.
    pub serial: Option<String>,
}

impl DeviceStatistics {
    /// From page 14h.
    pub fn from_page(page: &LogPage<'_>) -> DeviceStatistics {
        DeviceStatistics {
            loads: page.number(0x0000),
            cleanings: page.number(0x0001),
            power_on_hours: page.number(0x0002),
            motion_hours: page.number(0x0003),
            metres: page.number(0x0004),
            motion_hours_since_cleaning: page.number(0x0008),
            power_cycles: page.number(0x000c),
            hard_write_errors: page.number(0x000e),
            hard_read_errors: page.number(0x000f),
            serial: page.get(0x0041).map(|parameter| text(parameter.value)),
        }
    }
}

/// Page 1Bh: ratio of read and write compression in hundredths (100 = not compressed).
pub fn compression_ratios(page: &LogPage<'_>) -> (Option<u64>, Option<u64>) {
    (page.number(0x0000), page.number(0x0001))
}

/// Page 37h: every parameter that is a number; what a code means is the maker's choice.
pub fn performance(page: &LogPage<'_>) -> Vec<(u16, u64)> {
    page.parameters().filter_map(|parameter| Some((parameter.code, parameter.number()?))).collect()
}

/// Capacity of the first partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionCapacity {
    /// Native capacity, in the unit of the page.
    pub total: u64,
    /// What is left of it.
    pub remaining: u64,
}

/// Page 31h: MiB.
pub fn tape_capacity(page: &LogPage<'_>) -> Option<PartitionCapacity> {
    Some(PartitionCapacity { total: page.number(0x0003)?, remaining: page.number(0x0001)? })
}

/// One partition record of page 17h (SSC-4 table 80).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionRecord {
    /// Partition number.
    pub partition: u16,
    /// Value; `None` where all its bits are set, which says that it is unknown or the end of data is missing.
    pub value: Option<u64>,
}

/// The partition records of a parameter from 0202h to 0204h.
pub fn partition_records(value: &[u8]) -> Vec<PartitionRecord> {
    let mut records = Vec::new();
    let mut rest = value;
    while let (Some(length), Some(partition)) = (u8_at(rest, 0), u16_at(rest, 2)) {
        // The length byte does not count itself.
        let length = usize::from(length) + 1;
        let Some(bytes) = rest.get(4..length).filter(|bytes| !bytes.is_empty()) else { break };
        let unknown = bytes.iter().all(|&byte| byte == 0xff);
        records.push(PartitionRecord { partition, value: unsigned(bytes).filter(|_| !unknown) });
        rest = rest.get(length..).unwrap_or_default();
    }
    records
}

/// Page 17h (SSC-4 clause 8.2.6): the cartridge's life.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VolumeStatistics {
    /// The page's values are valid.
    pub valid: bool,
    /// Mounts.
    pub mounts: Option<u64>,
    /// Data sets written.
    pub datasets_written: Option<u64>,
    /// Recovered write errors.
    pub recovered_write_errors: Option<u64>,
    /// Unrecovered write errors.
    pub unrecovered_write_errors: Option<u64>,
    /// Data sets read.
    pub datasets_read: Option<u64>,
    /// Recovered read errors.
    pub recovered_read_errors: Option<u64>,
    /// Unrecovered read errors.
    pub unrecovered_read_errors: Option<u64>,
    /// MB written in the cartridge's life.
    pub lifetime_written: Option<u64>,
    /// MB read in the cartridge's life.
    pub lifetime_read: Option<u64>,
    /// Native capacity in MB.
    pub capacity: Option<u64>,
    /// Used native capacity in MB.
    pub used: Option<u64>,
    /// Life left in percent.
    pub life_left: Option<u64>,
    /// Serial number of the cartridge.
    pub serial: Option<String>,
    /// Barcode, where the drive knows it.
    pub barcode: Option<String>,
    /// Write-protected.
    pub write_protected: bool,
    /// Write-once.
    pub worm: bool,
    /// Passes over the beginning of the medium.
    pub beginning_passes: Option<u64>,
    /// Passes over the middle of the medium.
    pub middle_passes: Option<u64>,
    /// Native capacity of each partition in MB.
    pub partition_capacity: Vec<PartitionRecord>,
    /// Used capacity of each partition in MB; unknown where the end of data is missing.
    pub partition_used: Vec<PartitionRecord>,
    /// Remaining capacity of each partition in MB.
    pub partition_remaining: Vec<PartitionRecord>,
}

impl VolumeStatistics {
    /// From page 17h.
    pub fn from_page(page: &LogPage<'_>) -> VolumeStatistics {
        let flag = |code| page.number(code).is_some_and(|value| value != 0);
        let string =
            |code| page.get(code).map(|parameter| text(parameter.value)).filter(|string| !string.is_empty());
        let records = |code| page.get(code).map_or_else(Vec::new, |found| partition_records(found.value));
        VolumeStatistics {
            valid: flag(0x0000),
            mounts: page.number(0x0001),
            datasets_written: page.number(0x0002),
            recovered_write_errors: page.number(0x0003),
            unrecovered_write_errors: page.number(0x0004),
            datasets_read: page.number(0x0007),
            recovered_read_errors: page.number(0x0008),
            unrecovered_read_errors: page.number(0x0009),
            lifetime_written: page.number(0x0010),
            lifetime_read: page.number(0x0011),
            capacity: page.number(0x0016),
            used: page.number(0x0017),
            life_left: page.number(0x0019),
            serial: string(0x0040),
            barcode: string(0x0042),
            write_protected: flag(0x0080),
            worm: flag(0x0081),
            beginning_passes: page.number(0x0101),
            middle_passes: page.number(0x0102),
            partition_capacity: records(0x0202),
            partition_used: records(0x0203),
            partition_remaining: records(0x0204),
        }
    }

    /// Whether the end-of-data mark of a partition is missing (its used capacity is all ones).
    pub fn end_of_data_missing(&self, partition: u16) -> bool {
        self.partition_used.iter().any(|record| record.partition == partition && record.value.is_none())
    }
}

/// Page 12h: the 64 TapeAlert flags; flag 1 is bit 0 of the result. On the wire flag 1 is the highest bit of the
/// first byte.
pub fn tape_alert_response(page: &LogPage<'_>) -> Option<u64> {
    let value = page.get(0x0000)?.value;
    let [high, low] = [u32_at(value, 0)?, u32_at(value, 4)?];
    Some((u64::from(high) << 32 | u64::from(low)).reverse_bits())
}

/// Page 2Eh: the 64 TapeAlert flags, one parameter each; flag 1 is bit 0 of the result.
pub fn tape_alert_flags(page: &LogPage<'_>) -> u64 {
    page.parameters()
        .filter(|parameter| (1..=64).contains(&parameter.code) && bit_at(parameter.value, 0, 0x01))
        .fold(0, |flags, parameter| flags | 1 << (parameter.code - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn page(code: u8, parameters: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![code, 0, 0, 0];
        for (code, value) in parameters {
            bytes.extend(code.to_be_bytes());
            bytes.extend([0x03, value.len() as u8]);
            bytes.extend_from_slice(value);
        }
        let length = (bytes.len() - 4) as u16;
        bytes[2..4].copy_from_slice(&length.to_be_bytes());
        bytes
    }

    #[test]
    fn command_and_generic_parameters() {
        assert_eq!(sense(0x17, 0, 0x4000), [0x4d, 0, 0x57, 0, 0, 0, 0, 0x40, 0, 0]);
        let mut bytes = page(0x0c, &[(0, &[0, 0, 1, 0]), (3, &[7]), (0x100, &[1])]);
        bytes.resize(300, 0xee); // the allocation length comes back; the page length rules
        let parsed = LogPage::parse(&bytes).unwrap();
        assert_eq!(parsed.parameters().count(), 3);
        let counters = SequentialCounters::from_page(&parsed);
        assert_eq!((counters.received, counters.sent, counters.cleaning), (Some(256), Some(7), true));
        let list = [0, 0, 0, 3, 0x00, 0x17, 0x2e];
        assert_eq!(LogPage::parse(&list).unwrap().supported(), [0, 0x17, 0x2e]);
        let cut = LogPage::parse(&bytes[..10]).unwrap();
        assert_eq!(cut.parameters().count(), 0);
    }

    #[test]
    fn tape_alert_pages_agree() {
        let bytes = page(0x12, &[(0, &[0x80, 0, 0, 0, 0, 0, 0, 0x01])]);
        assert_eq!(tape_alert_response(&LogPage::parse(&bytes).unwrap()), Some(1 | 1 << 63));
        let bytes = page(0x2e, &[(1, &[1]), (20, &[0]), (64, &[1]), (65, &[1])]);
        assert_eq!(tape_alert_flags(&LogPage::parse(&bytes).unwrap()), 1 | 1 << 63);
    }

    #[test]
    fn status_temperature_and_counters() {
        let bytes = page(0x11, &[(0, &[0x0d, 0x11, 0x06, 0x01])]);
        let status = device_status(&LogPage::parse(&bytes).unwrap()).unwrap();
        assert!(status.write_protected && status.cleaning_requested && status.mounted);
        assert_eq!(status.activity, Activity::Writing);
        let bytes = page(0x11, &[(0, &[0x00, 0x11, 0x06, 0x01])]);
        assert_eq!(device_status(&LogPage::parse(&bytes).unwrap()), None);
        let bytes = page(0x0d, &[(0, &[0, 41]), (1, &[0, 60])]);
        assert_eq!(temperature(&LogPage::parse(&bytes).unwrap()), Some(41));
        let bytes = page(0x02, &[(2, &[1, 0]), (6, &[0, 0, 0, 2])]);
        let counters = ErrorCounters::from_page(&LogPage::parse(&bytes).unwrap());
        assert_eq!((counters.retries, counters.uncorrected), (Some(256), Some(2)));
        let bytes = page(0x14, &[(0, &[9]), (0x41, b"1097000123  ")]);
        let life = DeviceStatistics::from_page(&LogPage::parse(&bytes).unwrap());
        assert_eq!((life.loads, life.serial.as_deref()), (Some(9), Some("1097000123")));
        let bytes = page(0x1b, &[(0, &[0, 120]), (1, &[0, 210])]);
        assert_eq!(compression_ratios(&LogPage::parse(&bytes).unwrap()), (Some(120), Some(210)));
        let bytes = page(0x31, &[(1, &[0, 0, 1, 0]), (3, &[0, 0, 2, 0])]);
        assert_eq!(
            tape_capacity(&LogPage::parse(&bytes).unwrap()),
            Some(PartitionCapacity { total: 512, remaining: 256 })
        );
    }

    #[test]
    fn volume_statistics() {
        let used: &[u8] = &[7, 0, 0, 0, 0, 0, 1, 0, 7, 0, 0, 1, 0xff, 0xff, 0xff, 0xff];
        let bytes = page(
            0x17,
            &[(0, &[1]), (1, &[12]), (0x16, &[0, 0, 0xff]), (0x40, b"SER1  "), (0x81, &[1]), (0x203, used)],
        );
        let volume = VolumeStatistics::from_page(&LogPage::parse(&bytes).unwrap());
        assert!(volume.valid && volume.worm && !volume.write_protected);
        assert_eq!((volume.mounts, volume.capacity), (Some(12), Some(255)));
        assert_eq!(volume.serial.as_deref(), Some("SER1"));
        assert_eq!(volume.partition_used[0], PartitionRecord { partition: 0, value: Some(256) });
        assert!(volume.end_of_data_missing(1) && !volume.end_of_data_missing(0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120), length in 0u8..120) {
            let mut bytes = bytes;
            if let Some(high) = bytes.get_mut(2) { *high = 0; }
            if let Some(low) = bytes.get_mut(3) { *low = length; }
            let _ = partition_records(&bytes);
            if let Some(page) = LogPage::parse(&bytes) {
                let _ = (VolumeStatistics::from_page(&page), DeviceStatistics::from_page(&page));
                let _ = (SequentialCounters::from_page(&page), ErrorCounters::from_page(&page));
                let _ = (tape_alert_response(&page), tape_alert_flags(&page), page.supported());
                let _ = (device_status(&page), temperature(&page), tape_capacity(&page));
                let _ = (compression_ratios(&page), performance(&page));
            }
        }
    }
}
