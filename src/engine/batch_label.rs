//! Labelling one cartridge after the other: those of a library, or those that a person puts into the drive.

use std::sync::atomic::{AtomicBool, Ordering};

use super::error::chain;
use super::{Appliance, EngineError, LabelRequest, label};
use crate::catalog::VolumeId;

/// One cartridge to label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchTape {
    /// A new volume of this name, on any blank cartridge.
    Named(String),
    /// A volume that was entered, on its own cartridge.
    Entered(VolumeId),
}

/// What to label.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchLabelRequest {
    /// In this order.
    pub tapes: Vec<BatchTape>,
    /// Pool of the new ones.
    pub pool: Option<String>,
}

/// How far it got.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct BatchLabelStatus {
    /// Cartridges to label.
    pub total: usize,
    /// Labels written.
    pub completed: usize,
    /// Cartridges that could not be labelled.
    pub failed: usize,
    /// Name of the one in work, or the last one.
    pub current: String,
    /// What is going on, for people.
    pub message: String,
    /// Names and reasons of those that failed.
    pub errors: Vec<String>,
    /// Ended before its end, by request.
    pub cancelled: bool,
}

impl Appliance {
    /// Labels one cartridge after the other; a cartridge that cannot be labelled is told and passed over. `told` hears of
    /// every step.
    ///
    /// # Errors
    /// What prevents all further ones: no device, nobody who brings a cartridge, the catalog.
    pub fn batch_label(
        &mut self,
        request: &BatchLabelRequest,
        told: &dyn Fn(&BatchLabelStatus),
        cancel: &AtomicBool,
    ) -> Result<BatchLabelStatus, EngineError> {
        self.claim()?;
        let mut station = self.task_station()?;
        let catalog = self.catalog().clone();
        let (drive, loader) = station.split()?;
        let mut status = BatchLabelStatus { total: request.tapes.len(), ..BatchLabelStatus::default() };
        let mut tried = Vec::new();
        for (at, tape) in request.tapes.iter().enumerate() {
            if cancel.load(Ordering::Relaxed) {
                status.cancelled = true;
                break;
            }
            let volume = match tape {
                BatchTape::Named(name) => {
                    status.current.clone_from(name);
                    None
                }
                BatchTape::Entered(id) => {
                    status.current = catalog.volume(*id)?.label;
                    Some(*id)
                }
            };
            status.message = format!("Labelling tape {}...", status.current);
            told(&status);
            let new = LabelRequest {
                volume,
                label: volume.is_none().then(|| status.current.clone()),
                pool: volume.is_none().then(|| request.pool.clone()).flatten(),
                ..LabelRequest::default()
            };
            let mut wants_another = false;
            let labelled = match loader.cartridges()? {
                Some(present) if volume.is_none() => {
                    let known: Vec<_> = catalog.volumes()?.into_iter().filter_map(|v| v.barcode).collect();
                    let blank = present.into_iter().filter(|barcode| !known.contains(barcode)).collect();
                    next_blank(blank, &mut tried, |barcode| {
                        let new = LabelRequest { barcode: Some(barcode), ..new.clone() };
                        label::label(&catalog, drive, loader, &new).map(drop)
                    })
                }
                present => {
                    let labelled = label::label(&catalog, drive, loader, &new).map(drop);
                    // A person takes each cartridge out; one that a changer moves goes when the next one comes.
                    if present.is_none() && (labelled.as_ref().err().is_none_or(is_of_one)) {
                        wants_another = at + 1 < request.tapes.len() && loader.can_ask();
                        if !wants_another {
                            loader.dismount(drive)?;
                        }
                    }
                    labelled
                }
            };
            match labelled {
                Ok(()) => status.completed += 1,
                Err(error) if is_of_one(&error) => {
                    status.failed += 1;
                    status.errors.push(format!("{}: {}", status.current, chain(&error)));
                }
                Err(error) => return Err(error),
            }
            told(&status);
            if wants_another {
                match loader.ask_for_another(drive) {
                    Err(EngineError::Operator(_)) if cancel.load(Ordering::Relaxed) => {}
                    other => other?,
                }
            }
        }
        status.message = match status.cancelled {
            true => "Cancelled".into(),
            false => format!("{} labelled, {} failed", status.completed, status.failed),
        };
        told(&status);
        Ok(status)
    }
}

/// Tries cartridges until one takes the label; those that cannot are not tried again in this batch.
fn next_blank(
    blank: Vec<String>,
    tried: &mut Vec<String>,
    mut write: impl FnMut(String) -> Result<(), EngineError>,
) -> Result<(), EngineError> {
    for barcode in blank {
        if tried.contains(&barcode) {
            continue;
        }
        match write(barcode.clone()) {
            Err(EngineError::NotBlank { .. } | EngineError::WriteProtected { .. }) => tried.push(barcode),
            other => return other,
        }
    }
    Err(EngineError::Operator(super::error::OperatorRequest::NeedVolume {
        why: "every cartridge of the library is labelled already or holds something else".into(),
    }))
}

/// Whether the reason lies in this cartridge or name alone.
fn is_of_one(error: &EngineError) -> bool {
    matches!(
        error,
        EngineError::NotBlank { .. }
            | EngineError::WriteProtected { .. }
            | EngineError::WrongVolume { .. }
            | EngineError::InUse { .. }
            | EngineError::HoldsSets { .. }
            | EngineError::Unwritable { .. }
            | EngineError::Drive(_)
    )
}
