//! Parts that the drive encrypts: the keys file before them, and the key in the drive.
//!
//! Each part of a set has a key of its own, wrapped in the keys file that stands directly before its first archive file:
//! one record and a filemark. A set is encrypted by the drive where it has recipients and its archives are not age files.

use super::EngineError;
use super::error::chain;
use crate::catalog::{Archive, BackupSet, Catalog, SetId, VolumeId};
use crate::drive::{BlockAddress, Drive, DriveError, KeyUse, ReadOutcome};
use crate::format::age::{AgeError, Identity, Recipient};
use crate::format::v1::keys_file::{DataKey, KeysFile, key_name};
use crate::scsi::encryption::BlockStatus;

/// The keys file's record and filemark.
const KEYS_BLOCKS: u64 = 2;

/// Refuses a drive that does not encrypt.
///
/// # Errors
/// [`EngineError::NoHardwareEncryption`] with the way out.
pub(super) fn require(drive: &mut Drive) -> Result<(), EngineError> {
    match drive.encryption_algorithm()? {
        Some(_) => Ok(()),
        None => Err(EngineError::NoHardwareEncryption { drive: drive.name().to_owned() }),
    }
}

/// Whether the drive encrypts the archives of a set, as far as it has any.
pub(super) fn is_used(catalog: &Catalog, set: &BackupSet) -> Result<bool, EngineError> {
    Ok(!set.recipients.is_empty() && catalog.archives_of(set.id)?.iter().any(|a| a.header_bytes == 0))
}

/// Whether the drive encrypted this archive of a set with recipients.
pub(super) fn covers(set: &BackupSet, archive: &Archive) -> bool {
    !set.recipients.is_empty() && archive.header_bytes == 0
}

/// A part that is about to be written.
pub(super) struct NewKey<'a> {
    pub(super) set: SetId,
    pub(super) part: u32,
    pub(super) volume: VolumeId,
    pub(super) recipients: &'a [Recipient],
}

/// Writes the keys file of a part at the end of the volume, and gives the drive the new key. Returns the bytes written.
///
/// # Errors
/// The drive or the catalog failed; the drive has no key then.
pub(super) fn begin(catalog: &Catalog, drive: &mut Drive, new: &NewKey<'_>) -> Result<u64, EngineError> {
    let set = catalog.set(new.set)?;
    let mut volume = catalog.volume(new.volume)?;
    let key_error = |source| EngineError::Key {
        what: format!("the key of part {} of set {}", new.part, set.uuid),
        source,
    };
    let key = DataKey::generate().map_err(key_error)?;
    let file = KeysFile::new(&set.uuid, new.part, &key, new.recipients).map_err(key_error)?;
    let seconds = super::now() / 1_000_000_000;
    let record = file.encode(seconds).map_err(|source| EngineError::Format {
        what: format!("the keys file of set {}", set.uuid),
        source,
    })?;
    if record.len() > volume.record_size as usize {
        return Err(EngineError::Request(format!(
            "{} recipients are too many for records of {} bytes: their keys file must fit into one",
            new.recipients.len(),
            volume.record_size
        )));
    }
    drive.write(&record)?;
    drive.write_filemarks(1, false)?;
    volume.end_block = drive.position()?.block.0;
    volume.end_file += 1;
    volume.used += record.len() as u64;
    volume.change_reference = drive.volume_change_reference()?;
    catalog.update_volume(&volume)?;
    drive.set_key(KeyUse::Write, key.bytes(), &file.description.name)?;
    Ok(record.len() as u64)
}

/// Reads the keys file before the part's first archive and gives the drive its key; then asks the drive whether it fits,
/// before anything is read. The tape stands at the first archive.
///
/// # Errors
/// No identity fits, the keys file is damaged, the block needs another key: all named, and nothing of the archives read.
pub(super) fn unlock(
    drive: &mut Drive,
    set: &BackupSet,
    part: u32,
    first_block: u64,
    record_size: u32,
    identities: &[Identity],
) -> Result<(), EngineError> {
    drive.clear_left_over_key()?;
    let damaged = |reason: String| EngineError::KeysFile { key: key_name(&set.uuid, part), reason };
    let at = first_block.checked_sub(KEYS_BLOCKS).ok_or_else(|| damaged("there is no room for it".into()))?;
    drive.locate(BlockAddress(at))?;
    let mut record = vec![0; record_size as usize];
    match drive.read(&mut record)? {
        ReadOutcome::Record(length) => record.truncate(length),
        _ => return Err(damaged("it is not where it should be".into())),
    }
    let file = KeysFile::decode(&record).map_err(|error| damaged(chain(&error)))?;
    if (file.description.set.as_str(), file.description.part) != (set.uuid.as_str(), part) {
        return Err(damaged("it belongs to another part".into()));
    }
    give(drive, &file, identities)?;
    drive.locate(BlockAddress(first_block))?;
    let next = drive.next_block_encryption()?;
    match next.as_ref().map(|next| next.status) {
        Some(status @ (BlockStatus::OtherKey | BlockStatus::OtherAlgorithm)) => {
            let needed = next.into_iter().flat_map(|next| next.key_data).find(|data| data.kind == 0);
            let needed = match (status, needed) {
                (BlockStatus::OtherAlgorithm, _) => "an algorithm that the drive does not have".to_owned(),
                (_, Some(data)) => format!("the key {}", String::from_utf8_lossy(&data.value).escape_debug()),
                (_, None) => "another key".to_owned(),
            };
            drive.clear_key()?;
            Err(EngineError::KeyUnfit { key: file.description.name, needed, block: first_block })
        }
        _ => Ok(()),
    }
}

/// Gives the drive the key that a keys file holds, for reading.
///
/// # Errors
/// [`EngineError::KeyMissing`], [`EngineError::KeyWrong`]; the drive refused.
pub(super) fn give(drive: &mut Drive, file: &KeysFile, identities: &[Identity]) -> Result<(), EngineError> {
    let about = &file.description;
    let set = about.set.clone();
    let recipients = with_key(&about.recipients, &about.name);
    if identities.is_empty() {
        return Err(EngineError::KeyMissing { set, recipients });
    }
    let key = file.unwrap_key(identities).map_err(|error| {
        let source = error.get_ref().and_then(|source| source.downcast_ref::<AgeError>());
        match source {
            Some(AgeError::NoMatchingIdentity { .. }) => EngineError::KeyWrong { set, recipients },
            _ => EngineError::KeysFile { key: about.name.clone(), reason: chain(&error) },
        }
    })?;
    match drive.set_key(KeyUse::Read, key.bytes(), &about.name) {
        Err(DriveError::NoEncryption { drive }) => {
            Err(EngineError::NoHardwareDecryption { drive, key: about.name.clone() })
        }
        other => Ok(other?),
    }
}

/// Recipients, and the key in question, for messages.
pub(super) fn with_key(recipients: &[String], name: &str) -> String {
    format!("{}, by the drive with the key {name}", recipients.join(", "))
}
