//! Loading and unloading: by the host (LOAD UNLOAD, SSC-4 clause 7.2), by the changer, at power-on.

use std::io;

use super::super::cartridge::Cartridge;
use super::super::faults::DriveFaults;
use super::super::outcome::{NO_MEDIUM, Outcome};
use super::super::wire::Cdb;
use super::{Drive, Life, REMOVAL_PREVENTED, Stop, alert};
use crate::scsi::TapeAlert;
use crate::scsi::tape_alert::Subject;

/// Commands that a cleaning lasts.
const CLEANING: u64 = 12;

impl Drive {
    /// The cartridge was in the drive when the power came.
    pub fn power_on_with(&mut self, medium: Cartridge) -> io::Result<()> {
        self.medium = Some(medium);
        self.thread(false)?;
        Ok(())
    }

    /// The changer brings a cartridge; the drive threads it and tells the host. Whether the drive was cleaned.
    pub fn insert(&mut self, medium: Cartridge) -> io::Result<bool> {
        self.medium = Some(medium);
        let cleaned = self.thread(true)?;
        if self.threaded {
            self.attentions.push_back((0x28, 0x00));
        }
        Ok(cleaned)
    }

    /// Threads the cartridge, or uses it when it cleans: then `true`.
    fn thread(&mut self, counts: bool) -> io::Result<bool> {
        self.position = 0;
        self.released = false;
        self.cleaning = 0;
        self.mount_written = false;
        self.overwrite_allowed = None;
        self.crypto.medium_changed();
        let serial = self.serial.clone();
        let generation = self.generation;
        let Some(medium) = &mut self.medium else { return Ok(false) };
        let capacity = medium.memory.capacity;
        if let Some(left) = medium.memory.cleanings {
            self.threaded = false;
            if left == 0 {
                self.raise(alert::EXPIRED_CLEANING);
                self.released = true;
                return Ok(false);
            }
            medium.memory.cleanings = Some(left - 1);
            medium.memory.loads += 1;
            medium.save_memory()?;
            self.cleaning = CLEANING;
            self.raise(alert::CLEANING_MEDIA);
            return Ok(true);
        }
        if medium.memory.generation != generation {
            self.threaded = false;
            self.raise(alert::UNSUPPORTED_FORMAT);
            return Ok(false);
        }
        if counts {
            medium.memory.loads += 1;
            medium.memory.seen_by(&serial);
            medium.save_memory()?;
            self.life.loads += 1;
            // Flags of a cartridge, and of the use of one, end where another is loaded (SSC-4 annex A).
            let ended = |flag: &TapeAlert| matches!(flag.subject(), Subject::Cartridge | Subject::Use);
            for flag in TapeAlert::from_flags(self.alerts).iter().filter(|flag| ended(flag)) {
                self.lower(flag.number().into());
            }
        }
        self.at_load = self.counters;
        self.threaded = true;
        self.motion.load(capacity);
        Ok(false)
    }

    /// One command of a cleaning that is under way; at its end the drive is clean and lets go of the cartridge.
    pub(super) fn clean_on(&mut self, faults: &DriveFaults) {
        if self.cleaning == 0 {
            return;
        }
        self.cleaning -= 1;
        if self.cleaning == 0 {
            self.life.cleanings += 1;
            self.life.seconds_moving_at_cleaning = self.seconds_moving();
            self.lower(alert::CLEAN_NOW);
            self.lower(alert::CLEAN_SOON);
            self.released = !faults.keeps_cleaning_cartridge;
        }
    }

    /// Seconds in the drive's life that the tape moved: what a drive of this generation takes for its metres at 5 m/s.
    pub(super) fn seconds_moving(&self) -> u64 {
        self.life.seconds_moving + self.motion.odometer as u64 / 5
    }

    /// What the drive has counted in its life up to now.
    pub fn life(&self) -> Life {
        Life {
            seconds_on: self.life.seconds_on + self.powered.elapsed().as_secs(),
            seconds_moving: self.seconds_moving(),
            metres: self.life.metres + self.motion.odometer as u64,
            ..self.life
        }
    }

    /// Flushes, rewinds and unthreads; the cartridge stays in the drive's mouth.
    pub fn unthread(&mut self) -> Result<(), Stop> {
        if !self.threaded {
            self.released |= self.medium.is_some();
            return Ok(());
        }
        self.synchronise()?;
        self.rewind()?;
        if let Some(medium) = &self.medium {
            medium.save_memory()?;
        }
        self.motion.unload();
        self.threaded = false;
        self.position = 0;
        Ok(())
    }

    /// The changer takes the cartridge away.
    pub fn remove(&mut self) -> Result<(), Stop> {
        if self.prevented {
            self.raise(alert::NO_REMOVAL);
            return Err(REMOVAL_PREVENTED.into());
        }
        self.unthread()?;
        self.lower(alert::CLEANING_MEDIA);
        self.lower(alert::EXPIRED_CLEANING);
        self.lower(alert::UNSUPPORTED_FORMAT);
        self.medium = None;
        self.released = false;
        self.cleaning = 0;
        Ok(())
    }

    /// LOAD UNLOAD.
    pub(super) fn load_unload(&mut self, cdb: &Cdb) -> Outcome {
        if self.medium.is_none() {
            return Err(NO_MEDIUM.into());
        }
        if cdb.bit(4, 1) {
            if !self.threaded {
                self.thread(true)?;
                if self.threaded {
                    self.attentions.push_back((0x28, 0x00));
                }
            } else {
                self.rewind()?;
            }
            return Ok(0);
        }
        if self.prevented {
            self.raise(alert::NO_REMOVAL);
            return Err(REMOVAL_PREVENTED.into());
        }
        self.unthread()?;
        Ok(0)
    }
}
