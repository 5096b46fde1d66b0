//! The append fence: before the first write of a task the volume must be the one the catalog means, end where the
//! catalog says, and not have been written to by anybody else (tape-format.md, invariant 3 of the design).

use super::{EngineError, cartridge_memory};
use crate::catalog::Volume;
use crate::drive::{BlockAddress, Drive, DriveError, Medium, MediumOptions, ReadOutcome};
use crate::format::v1::volume::{Found, identify};

/// Longest first record that is looked at: volumes of ours have records up to 1 MiB, foreign ones may be longer.
const FIRST_RECORD: usize = 2 << 20;
/// Smaller media have the room counted only: a warning area of their size would be most of them.
const LEAST_FOR_WARNING: u64 = 64 << 30;

/// What a cartridge holds at its beginning.
#[derive(Debug)]
pub(super) enum Identity {
    /// Nothing was ever written, or it was erased.
    Blank,
    /// Something.
    Found(Box<Found>),
}

impl Identity {
    /// For messages: what was found.
    pub(super) fn describe(&self) -> String {
        match self {
            Identity::Blank => "a blank cartridge".into(),
            Identity::Found(found) => found.to_string(),
        }
    }
}

/// A volume may be written.
#[derive(Debug)]
pub(super) struct Ready {
    /// What is odd about its cartridge memory, for the task's report.
    pub told: Option<String>,
}

/// Sets the drive up for our volumes and says what the medium is. A key that a killed task left in the drive is cleared.
pub(super) fn prepare(drive: &mut Drive) -> Result<Medium, EngineError> {
    drive.clear_left_over_key()?;
    Ok(drive.prepare_medium(options(None))?)
}

fn options(programmable_early_warning: Option<u64>) -> MediumOptions {
    MediumOptions { block_protection: true, compression: false, programmable_early_warning }
}

/// Has the drive warn while what is under way, and the index, still fit. The room is counted besides; this is for
/// media that hold less than the drive said.
fn warn_early(drive: &mut Drive, under_way: u64) -> Result<(), EngineError> {
    if let Some(capacity) = drive.capacity()?.filter(|capacity| capacity.total >= LEAST_FOR_WARNING) {
        drive.prepare_medium(options(Some(under_way + (64 << 20) + capacity.total / 4096)))?;
    }
    Ok(())
}

/// Reads the first tape file's first record and leaves the tape somewhere.
pub(super) fn identity(drive: &mut Drive) -> Result<Identity, EngineError> {
    drive.rewind()?;
    let mut record = vec![0; FIRST_RECORD];
    match drive.read(&mut record) {
        Ok(ReadOutcome::Record(length)) => {
            record.truncate(length);
            Ok(Identity::Found(Box::new(identify(&record))))
        }
        Ok(ReadOutcome::Filemark) => Ok(Identity::Found(Box::new(identify(&[])))),
        Ok(ReadOutcome::EndOfData) | Err(DriveError::Blank { .. }) => Ok(Identity::Blank),
        Err(error) => Err(error.into()),
    }
}

/// Whether the volume in the drive is `volume`; nothing is written.
///
/// # Errors
/// [`EngineError::WrongVolume`].
pub(super) fn check_identity(drive: &mut Drive, volume: &Volume) -> Result<(), EngineError> {
    let found = identity(drive)?;
    if let Identity::Found(found) = &found
        && let Found::Reelward(file) = found.as_ref()
        && file.uuid == volume.uuid
    {
        return Ok(());
    }
    Err(EngineError::WrongVolume {
        drive: drive.name().to_owned(),
        expected: format!("{} ({})", volume.label, volume.uuid),
        found: found.describe(),
    })
}

/// Brings the drive to the end of what the catalog knows, ready to append.
///
/// `crashed`: the catalog has a part on this volume that was never finished; then data may lie behind the last
/// committed filemark, and will be overwritten. `under_way`: bytes that may be on their way to the drive at once.
///
/// # Errors
/// Everything that makes appending unsafe; nothing was written.
pub(super) fn ready_to_append(
    drive: &mut Drive,
    volume: &Volume,
    crashed: bool,
    under_way: u64,
) -> Result<Ready, EngineError> {
    let medium = prepare(drive)?;
    if medium.write_protected {
        return Err(EngineError::WriteProtected { volume: volume.label.clone() });
    }
    let partitions = drive.partitions()?;
    if partitions > 1 {
        return Err(EngineError::Partitioned { cartridge: volume.label.clone(), partitions });
    }
    check_identity(drive, volume)?;
    if !crashed
        && let (Some(expected), Some(found)) = (volume.change_reference, drive.volume_change_reference()?)
        && expected != found
    {
        return Err(EngineError::ChangedElsewhere { volume: volume.label.clone(), expected, found });
    }
    let told = cartridge_memory::compare(drive, volume);
    drive.space_to_end_of_data()?;
    let found = drive.position()?.block.0;
    let moved = |advice| EngineError::EndOfDataMoved {
        volume: volume.label.clone(),
        expected: volume.end_block,
        found,
        advice,
    };
    if found < volume.end_block {
        return Err(moved("Data that the catalog counts on is gone: run `reelward verify` on this volume"));
    }
    if found > volume.end_block {
        if !crashed {
            return Err(moved(
                "Something else wrote to this tape: run `reelward catalog rebuild` to take in what it holds",
            ));
        }
        if medium.worm {
            return Err(EngineError::WriteOnceTail { volume: volume.label.clone() });
        }
        back_to_checkpoint(drive, volume)?;
    }
    warn_early(drive, under_way)?;
    Ok(Ready { told })
}

/// After a crash: the end of the last archive file whose filemark was committed, and proof that it is one.
fn back_to_checkpoint(drive: &mut Drive, volume: &Volume) -> Result<(), EngineError> {
    drive.locate(BlockAddress(volume.end_block - 1))?;
    let mut record = vec![0; volume.record_size as usize + 4];
    let outcome = drive.read(&mut record)?;
    if drive.position()?.file.is_none() {
        // A drive that does not tell lost count of the filemarks on its way here: they are counted from the beginning.
        drive.rewind()?;
        drive.space_filemarks(i32::try_from(volume.end_file).unwrap_or(i32::MAX))?;
    }
    let at = drive.position()?.block.0;
    if outcome != ReadOutcome::Filemark || at != volume.end_block {
        return Err(EngineError::EndOfDataMoved {
            volume: volume.label.clone(),
            expected: volume.end_block,
            found: at,
            advice: "There is no filemark where the last checkpoint was committed: run `reelward catalog rebuild`",
        });
    }
    Ok(())
}
