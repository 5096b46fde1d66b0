//! The cartridge: how it is written, what it is, what it says of itself.

use super::command::Kind;
use super::transfer::{LONGEST_RECORD, PROTECTION};
use super::{Drive, DriveError, Warning};
use crate::scsi::attribute::{self, Format};
use crate::scsi::log::{self, LogPage};
use crate::scsi::mode::{self, BlockDescriptor, Mode};
use crate::scsi::tape::{self, BlockLimits, MediumFormat};
use crate::scsi::{BarcodeKind, Data, Generation, TapeAlert, opcode};

/// How the cartridge is to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MediumOptions {
    /// CRC32C behind every record, where the drive has it.
    pub block_protection: bool,
    /// Compression by the drive, where it has it.
    pub compression: bool,
    /// Size of the programmable early warning zone in bytes; `None` leaves it as it is.
    pub programmable_early_warning: Option<u64>,
}

/// What is in the drive, and what of the options came true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Medium {
    /// Generation by density code, else by barcode.
    pub generation: Option<Generation>,
    /// Density code.
    pub density: u8,
    /// Cartridge or drive forbid writing.
    pub write_protected: bool,
    /// Write-once, by two signs of it.
    pub worm: bool,
    /// Records carry a CRC32C on their way.
    pub block_protection: bool,
    /// Size of the programmable early warning zone in bytes; `None` where the drive has none.
    pub programmable_early_warning: Option<u64>,
    /// Longest record in bytes, its CRC not counted.
    pub max_record: usize,
    /// Barcode in the cartridge memory.
    pub barcode: Option<String>,
    /// Serial number of the cartridge.
    pub serial: Option<String>,
}

/// Native capacity in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Of the whole partition.
    pub total: u64,
    /// Behind the end of data.
    pub remaining: u64,
}

const MEBIBYTE: u64 = 1 << 20;
const MEGABYTE: u64 = 1_000_000;
const MODE_ALLOCATION: u8 = 252;
pub(super) const LOG_ALLOCATION: u16 = 16 << 10;
/// One attribute, its header and the list's.
const ATTRIBUTE_ALLOCATION: u32 = 4 << 10;

impl Drive {
    /// Sets the drive up for the loaded cartridge: variable records, buffered writes, compression, early warning and
    /// block protection; says what is there. Does not move the tape. Must be repeated after a lost position.
    ///
    /// # Errors
    /// Any error but a missing feature, which is left out.
    pub fn prepare_medium(&mut self, options: MediumOptions) -> Result<Medium, DriveError> {
        let limits = self.ask(&tape::read_block_limits(), 6)?.and_then(|bytes| BlockLimits::parse(&bytes));
        let longest =
            limits.and_then(|limits| limits.maximum).and_then(|longest| usize::try_from(longest).ok());
        let longest =
            longest.unwrap_or(LONGEST_RECORD).min(self.transport.max_transfer()).min(LONGEST_RECORD);

        let mode = self.mode(mode::NO_PAGE)?.unwrap_or_default();
        let density = mode.block.map_or(0, |block| block.density);
        if mode.buffered == 0 || mode.block.is_some_and(|block| block.block_length != 0) {
            self.select_mode(density, &[])?;
        }
        let compression = |page: &[u8]| {
            let now = mode::compression(page)?;
            let change = now.capable && now.enabled != options.compression;
            change.then(|| mode::with_compression(page, options.compression)).flatten()
        };
        self.change_page(mode::DATA_COMPRESSION, density, compression)?;
        if let Some(bytes) = options.programmable_early_warning {
            let megabytes = u16::try_from(bytes.div_ceil(MEGABYTE)).unwrap_or(u16::MAX);
            self.change_page(mode::CONFIGURATION_EXTENSION, density, |page| {
                let change = mode::early_warning_zone(page) != Some(megabytes);
                change.then(|| mode::with_early_warning_zone(page, megabytes)).flatten()
            })?;
        }
        let zone = self.page(mode::CONFIGURATION_EXTENSION)?.and_then(|page| mode::early_warning_zone(&page));
        self.change_page(mode::DATA_PROTECTION, density, |page| {
            let now = mode::protection(page)?;
            let on = now.on_write || now.on_read;
            let right = now.method == mode::PROTECTION_CRC32C && now.on_write && now.on_read;
            let change = if options.block_protection { !right } else { on };
            change.then(|| mode::with_protection(page, options.block_protection)).flatten()
        })?;
        self.protected = self
            .page(mode::DATA_PROTECTION)?
            .and_then(|page| mode::protection(&page))
            .is_some_and(|now| now.method == mode::PROTECTION_CRC32C && now.on_write && now.on_read);
        let barcode = self.text_attribute(attribute::BARCODE)?;
        let by_barcode = barcode.as_deref().and_then(Generation::by_barcode);
        Ok(Medium {
            generation: Generation::by_density(density).or(by_barcode),
            density,
            write_protected: mode.write_protected,
            worm: self.write_once(barcode.as_deref())?,
            block_protection: self.protected,
            programmable_early_warning: zone.map(|megabytes| u64::from(megabytes) * MEGABYTE),
            max_record: if self.protected { longest.saturating_sub(PROTECTION) } else { longest },
            barcode,
            serial: self.text_attribute(attribute::MEDIUM_SERIAL)?,
        })
    }

    /// MODE SENSE(10), else (6); `None` where the page is not there.
    pub(super) fn mode(&mut self, page: (u8, u8)) -> Result<Option<Mode>, DriveError> {
        let ten = self.ask(&mode::sense_10(page, MODE_ALLOCATION.into()), MODE_ALLOCATION.into())?;
        if let Some(mode) = ten.as_deref().and_then(Mode::parse_10) {
            return Ok(Some(mode));
        }
        let six = self.ask(&mode::sense_6(page, MODE_ALLOCATION), MODE_ALLOCATION.into())?;
        Ok(six.as_deref().and_then(Mode::parse_6))
    }

    pub(super) fn page(&mut self, page: (u8, u8)) -> Result<Option<Vec<u8>>, DriveError> {
        Ok(self.mode(page)?.and_then(|mode| mode.page(page).map(<[u8]>::to_vec)))
    }

    /// Reads a page and writes what `change` makes of it. A drive without it, or that refuses the value, stays as it is.
    fn change_page(
        &mut self,
        page: (u8, u8),
        density: u8,
        change: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
    ) -> Result<(), DriveError> {
        let Some(new) = self.page(page)?.as_deref().and_then(change) else { return Ok(()) };
        match self.select_mode(density, &new) {
            Err(DriveError::Failed { sense, .. }) if sense.field_unsupported() => Ok(()),
            other => other,
        }
    }

    /// MODE SELECT(10), else (6): variable records, buffered writes, and a page.
    fn select_mode(&mut self, density: u8, page: &[u8]) -> Result<(), DriveError> {
        let block = BlockDescriptor { density, block_length: 0 };
        let list = mode::list_10(1, block, page);
        let length = u16::try_from(list.len()).unwrap_or(u16::MAX);
        match self.run(&mode::select_10(length), Data::Out(&list), Kind::Query) {
            Err(DriveError::Unsupported { .. }) => {}
            other => return other.map(drop),
        }
        let list = mode::list_6(1, block, page);
        let length = u8::try_from(list.len()).unwrap_or(u8::MAX);
        self.run(&mode::select_6(length), Data::Out(&list), Kind::Query).map(drop)
    }

    /// Whether the cartridge is write-once. Mode page 1Dh, log page 17h, the medium type in the cartridge memory and the
    /// barcode's suffix tell; one that stands alone is not believed, as there are drives whose page 1Dh always says yes
    /// and labels on the wrong cartridge. Without page 1Dh the log page or the cartridge memory is enough.
    pub(super) fn write_once(&mut self, barcode: Option<&str>) -> Result<bool, DriveError> {
        let page = self.page(mode::MEDIUM_CONFIGURATION)?.and_then(|page| mode::worm(&page));
        let suffix = matches!(barcode.and_then(BarcodeKind::of), Some(BarcodeKind::Worm(_)));
        if page == Some(false) && !suffix {
            return Ok(false);
        }
        if page == Some(true) && suffix {
            return Ok(true);
        }
        let statistics = self.log_page(log::VOLUME_STATISTICS)?;
        let logged = statistics
            .as_deref()
            .and_then(LogPage::parse)
            .is_some_and(|page| log::VolumeStatistics::from_page(&page).worm);
        if logged {
            return Ok(true);
        }
        let kind = match self.read_attribute(attribute::MEDIUM_TYPE) {
            Err(DriveError::MediumError { .. } | DriveError::HardwareError { .. }) => None,
            other => other?,
        };
        Ok(kind.as_deref() == Some(&[attribute::WRITE_ONCE]))
    }

    /// Partitions on the loaded cartridge; 1 where the drive does not tell.
    ///
    /// # Errors
    /// Any error but a missing feature.
    pub fn partitions(&mut self) -> Result<u16, DriveError> {
        Ok(self.page(mode::MEDIUM_PARTITION)?.and_then(|page| mode::partitions(&page)).unwrap_or(1))
    }

    /// Native capacity: cartridge memory, else log page 31h, else log page 17h, else unknown.
    ///
    /// # Errors
    /// Any error but a missing feature.
    pub fn capacity(&mut self) -> Result<Option<Capacity>, DriveError> {
        let total = self.number_attribute(attribute::MAXIMUM_CAPACITY)?;
        let remaining = self.number_attribute(attribute::REMAINING_CAPACITY)?;
        if let (Some(total), Some(remaining)) = (total, remaining) {
            return Ok(scaled(total, remaining, MEBIBYTE));
        }
        if let Some(bytes) = self.log_page(log::TAPE_CAPACITY)?
            && let Some(found) = LogPage::parse(&bytes).as_ref().and_then(log::tape_capacity)
        {
            return Ok(scaled(found.total, found.remaining, MEBIBYTE));
        }
        let Some(bytes) = self.log_page(log::VOLUME_STATISTICS)? else { return Ok(None) };
        let statistics = LogPage::parse(&bytes).map(|page| log::VolumeStatistics::from_page(&page));
        let first = |records: &[log::PartitionRecord]| records.first().and_then(|record| record.value);
        Ok(statistics.and_then(|volume| {
            scaled(first(&volume.partition_capacity)?, first(&volume.partition_remaining)?, MEGABYTE)
        }))
    }

    /// One attribute of the cartridge memory, partition 0; `None` where drive or cartridge do not have it.
    ///
    /// # Errors
    /// Any other error, such as a cartridge memory that cannot be read.
    pub fn read_attribute(&mut self, id: u16) -> Result<Option<Vec<u8>>, DriveError> {
        let length = ATTRIBUTE_ALLOCATION as usize;
        let reply = self.ask(&attribute::read(0, id, ATTRIBUTE_ALLOCATION), length)?;
        Ok(reply.and_then(|bytes| {
            attribute::parse(&bytes).find(|found| found.id == id).map(|found| found.value.to_vec())
        }))
    }

    fn number_attribute(&mut self, id: u16) -> Result<Option<u64>, DriveError> {
        Ok(self.read_attribute(id)?.and_then(|value| crate::scsi::bytes::unsigned(&value)))
    }

    pub(super) fn text_attribute(&mut self, id: u16) -> Result<Option<String>, DriveError> {
        let value = match self.read_attribute(id) {
            // A tape is as good as ever when only its memory chip is broken.
            Err(DriveError::MediumError { .. } | DriveError::HardwareError { .. }) => None,
            other => other?,
        };
        Ok(value.map(|value| crate::scsi::bytes::text(&value)).filter(|text| !text.is_empty()))
    }

    /// Writes one attribute through to the cartridge memory, padded to its full length; an empty value deletes it.
    ///
    /// # Errors
    /// `Unsupported` where the drive has no WRITE ATTRIBUTE; `Failed` where the attribute cannot be written.
    pub fn write_attribute(&mut self, id: u16, format: Format, value: &[u8]) -> Result<(), DriveError> {
        self.standing()?;
        let list = attribute::list(id, format, value);
        let length = u32::try_from(list.len()).unwrap_or(u32::MAX);
        self.run(&attribute::write(0, length), Data::Out(&list), Kind::Relative).map(drop)
    }

    /// The number that changes whenever the volume is modified (MAM 0009h); `None` where the drive has none.
    ///
    /// # Errors
    /// Any error but a missing feature.
    pub fn volume_change_reference(&mut self) -> Result<Option<u32>, DriveError> {
        let number = self.number_attribute(attribute::VOLUME_CHANGE_REFERENCE)?;
        Ok(number.and_then(|number| u32::try_from(number).ok()))
    }

    /// The bytes of one log page; `None` where the drive does not have it.
    ///
    /// # Errors
    /// Any error but a missing feature.
    pub fn log_page(&mut self, page: u8) -> Result<Option<Vec<u8>>, DriveError> {
        let reply = self.ask(&log::sense(page, 0, LOG_ALLOCATION), LOG_ALLOCATION.into())?;
        Ok(reply.filter(|bytes| LogPage::parse(bytes).is_some_and(|parsed| parsed.page == page)))
    }

    /// The TapeAlert flags that are set. Page 12h is preferred, which changes nothing; where the drive has only page 2Eh,
    /// whose reading clears the flags for everybody, they are kept here until the cartridge is unloaded.
    ///
    /// # Errors
    /// Any error but a missing feature: a drive without either page has no flags.
    pub fn tape_alerts(&mut self) -> Result<Vec<TapeAlert>, DriveError> {
        if let Some(bytes) = self.log_page(log::TAPE_ALERT_RESPONSE)?
            && let Some(flags) = LogPage::parse(&bytes).as_ref().and_then(log::tape_alert_response)
        {
            return Ok(TapeAlert::from_flags(flags));
        }
        if let Some(bytes) = self.log_page(log::TAPE_ALERT)? {
            self.alerts |= LogPage::parse(&bytes).as_ref().map_or(0, log::tape_alert_flags);
        }
        Ok(TapeAlert::from_flags(self.alerts))
    }

    /// Erases from the place where the tape stands to the end of the partition: the end-of-data mark alone, or
    /// (`long`) all of the tape, which takes hours.
    ///
    /// # Errors
    /// `WriteProtected`, `Worm`, `Unsupported`, `PositionLost`.
    pub fn erase(&mut self, long: bool) -> Result<(), DriveError> {
        self.run(&tape::erase(long, false), Data::None, Kind::Write)?;
        self.warned = Warning::None;
        Ok(())
    }

    /// Formats the cartridge into one partition; everything on it is gone. At the beginning of the tape only; not on
    /// write-once cartridges. LTO-9 may optimise the medium again, up to two hours.
    ///
    /// # Errors
    /// `WriteProtected`, `Worm`, `Unsupported`, `PositionLost`; `Failed` where the tape stands elsewhere.
    pub fn format_medium(&mut self) -> Result<(), DriveError> {
        self.run(&tape::format_medium(MediumFormat::Default, false), Data::None, Kind::Write)?;
        self.wait_ready(self.timeout(opcode::FORMAT_MEDIUM))?;
        self.rewind()
    }
}

/// Capacity in bytes from figures in MiB.
pub(super) fn mebibytes(total: u64, remaining: u64) -> Option<Capacity> {
    scaled(total, remaining, MEBIBYTE)
}

/// Capacity in bytes from figures in `unit`; nonsense is no capacity.
fn scaled(total: u64, remaining: u64, unit: u64) -> Option<Capacity> {
    Some(Capacity { total: total.checked_mul(unit)?, remaining: remaining.checked_mul(unit)? })
}
