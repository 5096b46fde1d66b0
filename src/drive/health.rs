//! What the drive and the cartridge in it say of their health: one snapshot of log pages, every one of which a drive may
//! lack.

use std::time::Duration;

use super::medium::{LOG_ALLOCATION, mebibytes};
use super::{Capacity, Drive, DriveError};
use crate::scsi::TapeAlert;
use crate::scsi::attribute;
use crate::scsi::cartridge_memory::CartridgeMemory;
use crate::scsi::log::{
    self, Activity, DeviceStatistics, DeviceStatus, ErrorCounters, LogPage, SequentialCounters,
    VolumeStatistics,
};
use crate::scsi::tape_alert::{CLEAN_NOW, CLEAN_SOON};

/// Page 11h is answered at once also while the tape moves.
const STATUS_LIMIT: Duration = Duration::from_secs(20);
/// All of a cartridge memory.
const MEMORY_ALLOCATION: u32 = 16 << 10;

/// Whether the drive asks to be cleaned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Cleaning {
    /// It does not.
    #[default]
    NotNeeded,
    /// At the next opportunity.
    Requested,
    /// Before it goes on.
    Required,
}

/// What one drive said at one time. Counters have the span that the drive gives them: see each page.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Health {
    /// Page 11h.
    pub status: Option<DeviceStatus>,
    /// The tape moves: nothing else was asked.
    pub in_motion: bool,
    /// TapeAlert flags that are set; `None` where the drive has neither page 12h nor 2Eh.
    pub alerts: Option<Vec<TapeAlert>>,
    /// The flags came from page 2Eh, which clears what it tells: a flag that is not there may have been told before.
    pub alerts_clear: bool,
    /// Page 02h.
    pub write_errors: Option<ErrorCounters>,
    /// Page 03h.
    pub read_errors: Option<ErrorCounters>,
    /// Page 0Ch.
    pub sequential: Option<SequentialCounters>,
    /// Page 0Dh: degrees Celsius.
    pub temperature: Option<u8>,
    /// Page 14h.
    pub statistics: Option<DeviceStatistics>,
    /// Page 17h, where a cartridge is loaded.
    pub volume: Option<VolumeStatistics>,
    /// Page 1Bh: ratio of read compression in hundredths.
    pub read_compression: Option<u64>,
    /// Page 1Bh: ratio of write compression in hundredths.
    pub write_compression: Option<u64>,
    /// Page 31h.
    pub capacity: Option<Capacity>,
    /// Page 37h; the codes are the maker's.
    pub performance: Vec<(u16, u64)>,
    /// The memory of the cartridge that is loaded.
    pub memory: Option<CartridgeMemory>,
}

impl Health {
    /// Whether the drive asks to be cleaned: page 11h, TapeAlert 20 and 21, page 0Ch.
    pub fn cleaning(&self) -> Cleaning {
        let has = |flag| self.alerts.as_ref().is_some_and(|alerts| alerts.contains(&flag));
        let status = |bit: fn(&DeviceStatus) -> bool| self.status.as_ref().is_some_and(bit);
        let counted = self.sequential.is_some_and(|counters| counters.cleaning);
        if has(CLEAN_NOW) || status(|status| status.cleaning_required) || counted {
            Cleaning::Required
        } else if has(CLEAN_SOON) || status(|status| status.cleaning_requested) {
            Cleaning::Requested
        } else {
            Cleaning::NotNeeded
        }
    }
}

impl Drive {
    /// Asks for everything. A page that the drive lacks, or does not give now, is left out; while the tape moves only
    /// page 11h is asked. Moves nothing.
    ///
    /// # Errors
    /// `Transport`, `Busy`, `ReservationConflict`; `Deferred` where an earlier write failed, which ends the place on tape.
    pub fn health(&mut self) -> Result<Health, DriveError> {
        let mut health = Health::default();
        // A drive that has LOG SENSE has page 00h (SPC-4 clause 7.3.17).
        let Some(supported) = self.page_if_given(log::SUPPORTED)? else { return self.memory_only(health) };
        let pages = LogPage::parse(&supported).map(|page| page.supported()).unwrap_or_default();
        if pages.contains(&log::DEVICE_STATUS) {
            health.status = self.status()?;
        }
        if health.status.is_some_and(|status| status.activity != Activity::Idle) {
            health.in_motion = true;
            return Ok(health);
        }
        if pages.contains(&log::TAPE_ALERT_RESPONSE) || pages.contains(&log::TAPE_ALERT) {
            health.alerts = given(self.tape_alerts())?;
            health.alerts_clear = !pages.contains(&log::TAPE_ALERT_RESPONSE);
        }
        let errors = |page: &LogPage<'_>| Some(ErrorCounters::from_page(page));
        health.write_errors = self.read_page(&pages, log::WRITE_ERRORS, errors)?;
        health.read_errors = self.read_page(&pages, log::READ_ERRORS, errors)?;
        health.sequential =
            self.read_page(&pages, log::SEQUENTIAL_ACCESS, |page| Some(SequentialCounters::from_page(page)))?;
        health.temperature = self.read_page(&pages, log::TEMPERATURE, log::temperature)?;
        health.statistics =
            self.read_page(&pages, log::DEVICE_STATISTICS, |page| Some(DeviceStatistics::from_page(page)))?;
        health.volume = self.read_page(&pages, log::VOLUME_STATISTICS, |page| {
            Some(VolumeStatistics::from_page(page)).filter(|volume| volume.valid)
        })?;
        let ratios =
            self.read_page(&pages, log::DATA_COMPRESSION, |page| Some(log::compression_ratios(page)))?;
        (health.read_compression, health.write_compression) = ratios.unwrap_or_default();
        health.capacity = self
            .read_page(&pages, log::TAPE_CAPACITY, log::tape_capacity)?
            .and_then(|found| mebibytes(found.total, found.remaining))
            .filter(|capacity| capacity.total > 0);
        let performance = self.read_page(&pages, log::PERFORMANCE, |page| Some(log::performance(page)))?;
        health.performance = performance.unwrap_or_default();
        self.memory_only(health)
    }

    fn memory_only(&mut self, health: Health) -> Result<Health, DriveError> {
        let memory = given(self.cartridge_memory())?.flatten();
        Ok(Health { memory, ..health })
    }

    fn page_if_given(&mut self, page: u8) -> Result<Option<Vec<u8>>, DriveError> {
        Ok(given(self.log_page(page))?.flatten())
    }

    fn read_page<T>(
        &mut self,
        pages: &[u8],
        page: u8,
        read: impl FnOnce(&LogPage<'_>) -> Option<T>,
    ) -> Result<Option<T>, DriveError> {
        if !pages.contains(&page) {
            return Ok(None);
        }
        let bytes = self.page_if_given(page)?;
        Ok(bytes.as_deref().and_then(LogPage::parse).as_ref().and_then(read))
    }

    /// Page 11h alone; `None` where the drive does not have it or does not give it now.
    ///
    /// # Errors
    /// As [`Drive::health`].
    pub fn status(&mut self) -> Result<Option<DeviceStatus>, DriveError> {
        let cdb = log::sense(log::DEVICE_STATUS, 0, LOG_ALLOCATION);
        let reply = given(self.ask_within(&cdb, LOG_ALLOCATION.into(), STATUS_LIMIT))?.flatten();
        Ok(reply.and_then(|bytes| log::device_status(&LogPage::parse(&bytes)?)))
    }

    /// The memory of the cartridge that is loaded; `None` where drive or cartridge have none.
    ///
    /// # Errors
    /// Any other error, such as no cartridge, or a chip that cannot be read.
    pub fn cartridge_memory(&mut self) -> Result<Option<CartridgeMemory>, DriveError> {
        let length = MEMORY_ALLOCATION as usize;
        let reply = self.ask(&attribute::read(0, 0, MEMORY_ALLOCATION), length)?;
        Ok(reply.map(|bytes| CartridgeMemory::parse(&bytes)))
    }
}

/// A query that is refused says nothing; one that gets no answer ends the snapshot.
fn given<T>(asked: Result<T, DriveError>) -> Result<Option<T>, DriveError> {
    match asked {
        Ok(answer) => Ok(Some(answer)),
        Err(
            error @ (DriveError::Transport { .. }
            | DriveError::Busy { .. }
            | DriveError::ReservationConflict { .. }
            | DriveError::Deferred { .. }),
        ) => Err(error),
        Err(_) => Ok(None),
    }
}
