//! Devices for a command that names none.

use std::path::Path;

use super::{Access, Discovery, Finding, FoundDrive, Open, Severity, fold, local, places};
use crate::engine::devices::Devices;
use crate::engine::{DeviceChoice, EngineError};
use crate::scsi::linux_sg::sysfs::Roots;

/// The machine's own drive and its changer. `None` where the state directory has a virtual library, which stays in use, or
/// where the machine has no tape drive.
///
/// # Errors
/// There are drives, and none can be used: a backup must not go to files instead without a word.
pub(in crate::engine) fn choose(
    devices: &mut Devices,
    state: &Path,
) -> Result<Option<DeviceChoice>, EngineError> {
    if Devices::embedded_directory(state).join("library.json").exists() {
        return Ok(None);
    }
    let known = std::mem::take(&mut devices.machine);
    let mut usable =
        |choice: &&DeviceChoice| choice.drive.as_deref().is_some_and(|drive| devices.open(drive).is_ok());
    if let Some(choice) = known.iter().find(&mut usable).cloned() {
        devices.machine = known;
        return Ok(Some(choice));
    }
    let found = of_machine(&Roots::default(), &mut |name| devices.open(name))?;
    devices.machine.clone_from(&found);
    Ok(found.into_iter().next())
}

/// The drives of the machine that are free, each with its changer; those in a changer first.
pub(super) fn of_machine(roots: &Roots, open: &mut Open<'_>) -> Result<Vec<DeviceChoice>, EngineError> {
    let mut found = Discovery::default();
    let seen = local::look(roots, open, &mut found.problems);
    fold(seen, &mut found);
    if found.drives.is_empty() {
        return Ok(Vec::new());
    }
    places::find(&mut found, open);
    let mut free: Vec<&FoundDrive> =
        found.drives.iter().filter(|drive| drive.access == Access::Free).collect();
    if free.is_empty() {
        return Err(none_usable(&found.problems));
    }
    free.sort_by_key(|drive| drive.place.is_none());
    let choice = |drive: &FoundDrive| DeviceChoice {
        drive: Some(drive.name.clone()),
        changer: drive.place.as_ref().map(|place| place.changer.clone()),
    };
    Ok(free.into_iter().map(choice).collect())
}

fn none_usable(problems: &[Finding]) -> EngineError {
    let mut reasons: Vec<String> = problems
        .iter()
        .filter(|finding| finding.severity == Severity::Wrong || finding.code == "in_use")
        .map(|finding| format!("{}: {}", finding.subject, finding.what))
        .collect();
    reasons.truncate(3);
    EngineError::Request(format!(
        "this machine has tape drives, and none can be used ({}); `reelward doctor` says what to do. To work on files \
         instead, give --drive virtual",
        reasons.join("; ")
    ))
}
