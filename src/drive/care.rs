//! Cleaning the drive, and winding a tape anew.

use std::time::{Duration, Instant};

use super::command::Kind;
use super::{Drive, DriveError};
use crate::scsi::exchange::Pause;
use crate::scsi::log::{self, Activity, DeviceStatistics, LogPage};
use crate::scsi::mode;
use crate::scsi::tape;
use crate::scsi::tape_alert::{CLEANING_EXPIRED, CLEANING_INVALID};
use crate::scsi::{Data, Generation, TapeAlert};

/// How a cleaning ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CleaningEnd {
    /// Done; the drive has let go of the cleaning cartridge by itself.
    Ejected,
    /// Done; the cleaning cartridge is still in the drive.
    Loaded,
    /// The drive does not clean with this cartridge: TapeAlert 22 (used up) or 23 (not for this drive).
    Refused(TapeAlert),
    /// No cleaning was seen: there is no cleaning cartridge in the drive.
    NotBegun,
}

/// How long a cleaning may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleaningLimits {
    /// From the cartridge's arrival to the drive's first sign of it.
    pub begin: Duration,
    /// To the end. LTO drives need one to five minutes.
    pub end: Duration,
}

impl Default for CleaningLimits {
    fn default() -> Self {
        CleaningLimits { begin: Duration::from_secs(60), end: Duration::from_secs(20 * 60) }
    }
}

/// How a tape was retensioned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retension {
    /// By the drive: LOAD UNLOAD with RETEN.
    ByDrive,
    /// By a pass to the end of data and back.
    ByPass,
}

impl Drive {
    /// Cleanings in the drive's life (log page 14h), where it counts them.
    ///
    /// # Errors
    /// Any error but a missing feature.
    pub fn cleanings(&mut self) -> Result<Option<u64>, DriveError> {
        let bytes = self.log_page(log::DEVICE_STATISTICS)?;
        let page = bytes.as_deref().and_then(LogPage::parse);
        Ok(page.and_then(|page| DeviceStatistics::from_page(&page).cleanings))
    }

    /// Waits for the end of the cleaning that a cleaning cartridge begins by being loaded. `before`: the count of
    /// cleanings before that. Drives differ: most eject the cartridge when they are done, some keep it and go on
    /// reporting 2/30/03; page 11h tells what they do, where they have it.
    ///
    /// # Errors
    /// What the drive failed of; `NotReady` when the limit has passed.
    pub fn wait_cleaned(
        &mut self,
        before: Option<u64>,
        limits: CleaningLimits,
    ) -> Result<CleaningEnd, DriveError> {
        let started = Instant::now();
        let mut pause = Pause::new();
        let mut seen = false;
        let mut idle = false;
        loop {
            let sense = self.ready_or_why()?;
            let status = self.status()?;
            let working = status.map(|status| status.activity == Activity::Cleaning);
            // The answers of a round are not of one moment: the end is told by a round that begins after it.
            let known = seen && idle;
            idle = working != Some(true);
            seen |=
                working == Some(true) || self.cleanings()?.zip(before).is_some_and(|(now, old)| now > old);
            let there = sense.is_some_and(|sense| sense.cleaning_cartridge());
            if working != Some(true) && !seen {
                let alerts = self.tape_alerts()?;
                if let Some(&refused) =
                    alerts.iter().find(|&&alert| alert == CLEANING_EXPIRED || alert == CLEANING_INVALID)
                {
                    return Ok(CleaningEnd::Refused(refused));
                }
            }
            match sense {
                _ if working == Some(true) => {}
                Some(sense) if sense.becoming_ready() => {}
                // Without page 11h only the drive's letting go, or the time, says that it is done.
                Some(_) if there && working.is_none() => {
                    seen = true;
                    if started.elapsed() >= limits.end {
                        return Ok(CleaningEnd::Loaded);
                    }
                }
                Some(_) if there && known => return Ok(CleaningEnd::Loaded),
                Some(_) if there => {}
                Some(sense) if (sense.no_medium() || sense.load_required()) && known => {
                    return Ok(CleaningEnd::Ejected);
                }
                Some(sense) if sense.no_medium() || sense.load_required() => {}
                Some(sense) => return Err(self.failure(crate::scsi::opcode::TEST_UNIT_READY, sense)),
                // A data cartridge, or a drive that calls a cleaning cartridge ready.
                None if known => return Ok(CleaningEnd::Loaded),
                None if !seen => return Ok(CleaningEnd::NotBegun),
                None => {}
            }
            if !seen && started.elapsed() >= limits.begin {
                return Ok(CleaningEnd::NotBegun);
            }
            if started.elapsed() >= limits.end
                && let Some(sense) = sense
            {
                return Err(DriveError::NotReady { drive: self.drive(), sense });
            }
            pause.wait();
        }
    }

    /// Whether a cleaning cartridge is in the drive, asked without waiting; a drive that has ejected it says no.
    ///
    /// # Errors
    /// Any error of the commands.
    pub fn holds_cleaning_cartridge(&mut self) -> Result<bool, DriveError> {
        let sense = self.ready_or_why()?;
        let status = self.status()?;
        Ok(sense.is_some_and(|sense| sense.cleaning_cartridge())
            || status.is_some_and(|status| status.activity == Activity::Cleaning))
    }

    /// Unloads what is there, also a cleaning cartridge that the drive has let go of already.
    ///
    /// # Errors
    /// Any error but "no cartridge" and "not ready".
    pub fn release(&mut self) -> Result<(), DriveError> {
        match self.unload() {
            Err(DriveError::NoMedium { .. } | DriveError::NotReady { .. }) => Ok(()),
            other => other,
        }
    }

    /// Winds the tape to its end and back, so that it lies evenly; it stands at its beginning then. LTO drives take no
    /// notice of RETEN: there, and where a drive refuses it, the tape runs to its end of data and back.
    ///
    /// # Errors
    /// `NoMedium`; any error of the movements.
    pub fn retension(&mut self) -> Result<Retension, DriveError> {
        let density = self.mode(mode::NO_PAGE)?.and_then(|mode| mode.block).map(|block| block.density);
        if density.and_then(Generation::by_density).is_none() {
            match self.run(&tape::retension(), Data::None, Kind::Absolute) {
                Ok(_) => {
                    self.wait_ready(self.timeout(crate::scsi::opcode::LOAD_UNLOAD))?;
                    self.rewind()?;
                    return Ok(Retension::ByDrive);
                }
                Err(DriveError::Unsupported { .. }) => {}
                Err(DriveError::Failed { sense, .. }) if sense.field_unsupported() => {}
                Err(error) => return Err(error),
            }
        }
        self.rewind()?;
        self.space_to_end_of_data()?;
        self.rewind()?;
        Ok(Retension::ByPass)
    }
}
