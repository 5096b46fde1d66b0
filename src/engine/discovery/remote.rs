//! What iSCSI portals offer.

use super::{Finding, Seen, kind, opened};
use crate::engine::EngineError;
use crate::scsi::iscsi::{self, Iscsi, Portal, Target};
use crate::scsi::{Transport, identify};

/// All drives and changers of all targets of a portal.
pub(super) fn look(portal: &Portal, seen: &mut Vec<Seen>, problems: &mut Vec<Finding>) {
    let targets = match iscsi::discover(portal) {
        Ok(targets) => targets,
        Err(error) => {
            let error = EngineError::Iscsi(error);
            problems.push(
                Finding::wrong(super::code_of(&error), portal.to_string(), crate::engine::told(&error))
                    .advise(super::advice_for(&error)),
            );
            return;
        }
    };
    let before = seen.len();
    for target in &targets {
        if let Err(error) = look_at(target, seen) {
            problems.push(
                Finding::wrong(super::code_of(&error), target.to_string(), crate::engine::told(&error))
                    .advise(super::advice_for(&error)),
            );
        }
    }
    if seen.len() == before {
        problems.push(
            Finding::note(
                "no_tape_target",
                portal.to_string(),
                format!(
                    "{} there, and no tape drive or changer among their units",
                    super::counted(targets.len(), "target")
                ),
            )
            .advise("the target may show units only to initiators that it knows by name"),
        );
    }
}

/// The units of one target. Each is asked in a session of its own, since a session belongs to one.
fn look_at(target: &Target, seen: &mut Vec<Seen>) -> Result<(), EngineError> {
    let mut first = Iscsi::open(target.clone())?;
    let units = identify::logical_units(&mut first).map_err(no_answer(target))?;
    drop(first);
    for lun in units {
        let unit = target.with_lun(lun.into());
        let mut transport = Iscsi::open(unit.clone())?;
        let Some(who) = identify::identify(&mut transport).map_err(no_answer(&unit))? else { continue };
        let Some(kind) = kind(who.device_type) else { continue };
        let path = opened(&unit.url(), transport.max_transfer());
        seen.push(Seen { kind, identity: who.identity, designators: who.designators, path });
    }
    Ok(())
}

fn no_answer(target: &Target) -> impl Fn(crate::scsi::TransportError) -> EngineError {
    let name = target.to_string();
    move |error| EngineError::Device { name: name.clone(), reason: error.to_string() }
}
