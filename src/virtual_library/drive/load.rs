//! Loading and unloading: by the host (LOAD UNLOAD, SSC-4 clause 7.2), by the changer, at power-on.

use std::io;

use super::super::cartridge::Cartridge;
use super::super::outcome::{NO_MEDIUM, Outcome};
use super::super::wire::Cdb;
use super::{Drive, REMOVAL_PREVENTED, Stop, alert};

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
        self.mount_written = false;
        self.overwrite_allowed = None;
        self.crypto.medium_changed();
        let serial = self.serial.clone();
        let generation = self.generation;
        let Some(medium) = &mut self.medium else { return Ok(false) };
        if let Some(left) = medium.memory.cleanings {
            self.threaded = false;
            if left == 0 {
                self.raise(alert::EXPIRED_CLEANING);
                return Ok(false);
            }
            medium.memory.cleanings = Some(left - 1);
            medium.memory.loads += 1;
            medium.save_memory()?;
            self.counters.cleanings += 1;
            self.raise(alert::CLEANING_MEDIA);
            self.lower(alert::CLEAN_NOW);
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
            self.counters.loads += 1;
        }
        self.threaded = true;
        self.motion.load();
        Ok(false)
    }

    /// Flushes, rewinds and unthreads; the cartridge stays in the drive's mouth.
    pub fn unthread(&mut self) -> Result<(), Stop> {
        if !self.threaded {
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
