//! The drive's own encryption (SSC-4 clause 8.5, AES-256-GCM): a key is set, read back, and cleared however the task ends.

use super::command::Kind;
use super::{Drive, DriveError};
use crate::scsi::Data;
use crate::scsi::encryption::{self, Algorithm, DecryptionMode, EncryptionMode, NextBlock, Status};

/// Bytes of a key.
pub const KEY_LENGTH: usize = 32;
/// Longest name of a key: unauthenticated key-associated data, which go to tape with every block.
pub const LONGEST_NAME: usize = 32;

const ALLOCATION: u32 = 1024;
/// A key is cleared again so often when the drive answers that it could not be.
const ATTEMPTS: usize = 3;

/// What a key is set for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUse {
    /// Blocks are written encrypted.
    Write,
    /// Only reading; blocks that are not encrypted are read as they are.
    Read,
}

impl Drive {
    /// AES-256-GCM as this drive numbers it; `None` where it does not encrypt.
    ///
    /// # Errors
    /// Any error but a missing feature.
    pub fn encryption_algorithm(&mut self) -> Result<Option<Algorithm>, DriveError> {
        let reply = self.encryption_page(encryption::PAGE_CAPABILITIES)?;
        let algorithms = reply.and_then(|bytes| encryption::capabilities(&bytes)).unwrap_or_default();
        Ok(algorithms.into_iter().find(|algorithm| {
            algorithm.code == encryption::AES_256_GCM
                && algorithm.encrypts
                && algorithm.decrypts
                && usize::from(algorithm.key_length) == KEY_LENGTH
        }))
    }

    /// Gives the drive a key under a name of at most [`LONGEST_NAME`] bytes, and reads back that it works with it. It is
    /// cleared by [`Drive::clear_key`], when the cartridge leaves, and at the latest when this is dropped.
    ///
    /// # Errors
    /// `NoEncryption`, `KeyRefused`; then the drive has no key.
    pub fn set_key(&mut self, usage: KeyUse, key: &[u8; KEY_LENGTH], name: &str) -> Result<(), DriveError> {
        let Some(algorithm) = self.encryption_algorithm()? else {
            return Err(DriveError::NoEncryption { drive: self.drive() });
        };
        let fits = name.len() <= LONGEST_NAME.min(algorithm.max_unauthenticated.into());
        let told = if fits { name.as_bytes() } else { &[] };
        let mode = match usage {
            KeyUse::Write => EncryptionMode::Encrypt,
            KeyUse::Read => EncryptionMode::Disable,
        };
        let page = encryption::set_page(mode, DecryptionMode::Mixed, algorithm.index, key, told);
        self.keyed = true;
        let set = self.send_page(&page).and_then(|()| self.check_key(mode, algorithm.index, told, name));
        if set.is_err() {
            // The error that is told is the first one; dropping tries again.
            let _ = self.clear_key();
        }
        set
    }

    /// Whether the drive says that it works as it was told.
    fn check_key(
        &mut self,
        mode: EncryptionMode,
        algorithm: u8,
        told: &[u8],
        name: &str,
    ) -> Result<(), DriveError> {
        let refused =
            |drive: String, why: &'static str| DriveError::KeyRefused { drive, key: name.to_owned(), why };
        let Some(status) = self.encryption_status()? else {
            return Err(refused(self.drive(), "it does not tell its encryption status"));
        };
        let modes = (status.encryption, status.decryption) == (mode as u8, DecryptionMode::Mixed as u8);
        if !modes || status.algorithm != algorithm {
            return Err(refused(self.drive(), "it works in another mode than it was told"));
        }
        let names = status.key_data.iter().find(|data| data.kind == 0);
        if names.is_some_and(|found| found.value != told) {
            return Err(refused(self.drive(), "it names another key"));
        }
        Ok(())
    }

    /// Takes the key from the drive and reads back that it is gone.
    ///
    /// # Errors
    /// `KeyStays`, or any error of the commands: the drive may still have the key.
    pub fn clear_key(&mut self) -> Result<(), DriveError> {
        if !self.keyed {
            return Ok(());
        }
        let page =
            encryption::set_page(EncryptionMode::Disable, DecryptionMode::Disable, self.index()?, &[], &[]);
        self.send_page(&page)?;
        if self.encryption_status()?.is_some_and(|status| has_key(&status)) {
            return Err(DriveError::KeyStays { drive: self.drive() });
        }
        self.keyed = false;
        Ok(())
    }

    /// The algorithm's index; 0 serves where the drive does not say any more.
    fn index(&mut self) -> Result<u8, DriveError> {
        Ok(self.encryption_algorithm()?.map_or(0, |algorithm| algorithm.index))
    }

    /// Clears a key that a task left behind which was killed. A cartridge must be loaded. Whether there was one.
    ///
    /// # Errors
    /// As [`Drive::clear_key`].
    pub fn clear_left_over_key(&mut self) -> Result<bool, DriveError> {
        let left_over = self.keyed || self.encryption_status()?.is_some_and(|status| has_key(&status));
        if left_over {
            self.keyed = true;
            self.clear_key()?;
        }
        Ok(left_over)
    }

    /// Data encryption status; `None` where the drive does not encrypt.
    ///
    /// # Errors
    /// Any error but a missing feature.
    pub fn encryption_status(&mut self) -> Result<Option<Status>, DriveError> {
        let reply = self.encryption_page(encryption::PAGE_STATUS)?;
        Ok(reply.and_then(|bytes| encryption::status(&bytes)))
    }

    /// Whether the block at which the tape stands is encrypted, and which key it needs; `None` where the drive cannot tell.
    ///
    /// # Errors
    /// Any error but a missing feature.
    pub fn next_block_encryption(&mut self) -> Result<Option<NextBlock>, DriveError> {
        let reply = self.encryption_page(encryption::PAGE_NEXT_BLOCK)?;
        Ok(reply.and_then(|bytes| encryption::next_block(&bytes)))
    }

    fn encryption_page(&mut self, page: u16) -> Result<Option<Vec<u8>>, DriveError> {
        self.ask(&encryption::protocol_in(page, ALLOCATION), ALLOCATION as usize)
    }

    fn send_page(&mut self, page: &[u8]) -> Result<(), DriveError> {
        let length = u32::try_from(page.len()).unwrap_or(u32::MAX);
        let cdb = encryption::protocol_out(encryption::PAGE_SET, length);
        self.run(&cdb, Data::Out(page), Kind::Query).map(drop)
    }

    /// For a drive that goes out of use: nobody is left to hear of a failure.
    pub(super) fn drop_key(&mut self) {
        for _ in 0..ATTEMPTS {
            match self.clear_key() {
                Ok(()) | Err(DriveError::Transport { .. }) => return,
                Err(_) => {}
            }
        }
    }
}

/// Whether the drive would encrypt or decrypt something.
fn has_key(status: &Status) -> bool {
    status.encryption != 0 || status.decryption != 0
}
