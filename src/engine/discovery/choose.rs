//! Devices for a command that names none.

use std::path::Path;

use super::{Access, Discovery, Finding, Open, Severity, fold, local, places};
use crate::engine::devices::Devices;
use crate::engine::{DeviceChoice, EngineError};
use crate::scsi::linux_sg::sysfs::Roots;

/// The machine's own drive and its changer. `None` where the state directory has a virtual library, which stays in use, or
/// where the machine has no tape drive.
///
/// # Errors
/// There are drives, and none can be used: a backup must not go to files instead without a word.
pub(in crate::engine) fn choose(
    state: &Path,
    roots: &Roots,
    open: &mut Open<'_>,
) -> Result<Option<DeviceChoice>, EngineError> {
    if Devices::embedded_directory(state).join("library.json").exists() {
        return Ok(None);
    }
    let mut found = Discovery::default();
    let seen = local::look(roots, open, &mut found.problems);
    fold(seen, &mut found);
    if found.drives.is_empty() {
        return Ok(None);
    }
    places::find(&mut found, open);
    let free = || found.drives.iter().filter(|drive| drive.access == Access::Free);
    let Some(drive) = free().find(|drive| drive.place.is_some()).or_else(|| free().next()) else {
        return Err(none_usable(&found.problems));
    };
    Ok(Some(DeviceChoice {
        drive: Some(drive.name.clone()),
        changer: drive.place.as_ref().map(|place| place.changer.clone()),
    }))
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
         instead, make a virtual library: `reelward virtual create STATE-DIR/library`",
        reasons.join("; ")
    ))
}
