//! Rebuilding the catalog from what cartridges hold. Nothing is written to tape, and rows that are known stay.

mod gaps;
mod members;
mod salvage;
mod scan;
mod split;
mod volume_row;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::error::OperatorRequest;
use super::error::chain;
use super::station::{Loader, Station};
use super::{Appliance, EngineError};
use crate::drive::Drive;
use crate::format::age::Identity;
use crate::pipeline::{Phase, Progress};

use gaps::Seen;
use scan::{Orphans, Task};

/// What to rebuild from.
#[derive(Debug, Clone, Default)]
pub struct RebuildRequest {
    /// Barcodes or labels; every cartridge in reach when empty. Without a changer: the cartridge in the drive.
    pub volumes: Vec<String>,
    /// age identities.
    pub identities: Vec<Identity>,
}

/// What was found on one cartridge.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RebuiltVolume {
    /// Barcode, or the drive it lies in.
    pub cartridge: String,
    /// Label, where it is one of our volumes.
    pub label: Option<String>,
    /// What it is, for people.
    pub found: String,
    /// Sets with a part on it.
    pub sets: u64,
    /// Parts that are in the catalog now and were not before.
    pub parts_added: u64,
    /// Parts that were known.
    pub parts_known: u64,
    /// Members that are in the catalog now and were not before.
    pub members: u64,
    /// Those among them that were found without an index, by reading the archives.
    pub salvaged: u64,
    /// What could not be read or entered.
    pub problems: Vec<String>,
}

/// An index that no key given opens; the catalog knows nothing of its members yet.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EncryptedIndex {
    /// Identity of the set.
    pub set: String,
    /// Number of the part.
    pub part: u32,
    /// Label of the volume.
    pub volume: String,
    /// Who can read it.
    pub recipients: Vec<String>,
}

/// What was rebuilt.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct RebuildReport {
    /// One for each cartridge looked at.
    pub volumes: Vec<RebuiltVolume>,
    /// Sets met, those without a key included.
    pub sets: u64,
    /// Members that are in the catalog now and were not before.
    pub members: u64,
    /// Run again with `--identity` to have these too.
    pub encrypted: Vec<EncryptedIndex>,
    /// Sets of which parts are missing, and where those lie if that is known; files that were never finished.
    pub incomplete: Vec<String>,
    /// Seconds.
    pub seconds: f64,
    /// Ended before its end, by request; what was entered by then stays.
    pub cancelled: bool,
}

impl RebuildReport {
    /// Whether everything that was met is in the catalog now.
    pub fn is_complete(&self) -> bool {
        !self.cancelled
            && self.encrypted.is_empty()
            && self.volumes.iter().all(|volume| volume.problems.is_empty())
    }
}

impl Appliance {
    /// Enters into the catalog what cartridges hold. Can be repeated, with more cartridges or keys.
    ///
    /// # Errors
    /// What prevents the task. Cartridges that are blank, foreign or damaged are in the report, and the others entered.
    pub fn rebuild(
        &mut self,
        request: &RebuildRequest,
        progress: &Progress,
        cancel: &AtomicBool,
    ) -> Result<RebuildReport, EngineError> {
        self.claim()?;
        let started = Instant::now();
        progress.phase(Phase::Mounting);
        let mut station = self.task_station()?;
        let (drive, loader) = station.split()?;
        let targets = self.targets(request, drive, loader)?;
        let mut task = Task {
            catalog: self.catalog(),
            identities: &request.identities,
            progress,
            cancel,
            seen: Seen::default(),
            encrypted: Vec::new(),
            unfinished: Vec::new(),
        };
        let mut report = RebuildReport::default();
        let mut orphans = Vec::new();
        for target in targets {
            if cancel.load(Ordering::Relaxed) {
                break;
            }
            let cartridge = target.clone().unwrap_or_else(|| station_name(&mut station));
            let mut row = RebuiltVolume { cartridge: cartridge.clone(), ..RebuiltVolume::default() };
            let (drive, loader) = station.split()?;
            let read = loader
                .mount(drive, target.as_deref(), &cartridge)
                .and_then(|()| task.scan(drive, target.as_deref(), &request.volumes, &mut row));
            match read {
                Ok(left) => orphans.extend(left.map(|left| (report.volumes.len(), target, left))),
                Err(error) if is_fatal(&error) => return Err(error),
                Err(error) => row.problems.push(chain(&error)),
            }
            report.volumes.push(row);
        }
        // Members without an index can be numbered only when the parts before them are known.
        orphans.sort_by_key(|(_, _, left): &(usize, Option<String>, Orphans)| left.first_part());
        for (index, target, left) in orphans {
            if cancel.load(Ordering::Relaxed) {
                break;
            }
            let Some(row) = report.volumes.get_mut(index) else { continue };
            let cartridge = row.cartridge.clone();
            let read = mount_again(&mut station, target.as_deref(), &cartridge)
                .map(drop)
                .and_then(|()| task.beginning(&mut station, &left))
                .and_then(|beginning| {
                    let drive = mount_again(&mut station, target.as_deref(), &cartridge)?;
                    task.salvage(drive, left, beginning, row)
                });
            match read {
                Ok(()) => {}
                Err(error) if is_fatal(&error) => return Err(error),
                Err(error) => row.problems.push(chain(&error)),
            }
        }
        report.members = report.volumes.iter().map(|volume| volume.members).sum();
        report.sets = task.seen.sets();
        report.incomplete = task.seen.gaps(self.catalog())?;
        report.incomplete.append(&mut task.unfinished);
        report.encrypted = task.encrypted;
        report.seconds = started.elapsed().as_secs_f64();
        report.cancelled = cancel.load(Ordering::Relaxed);
        progress.phase(Phase::Done);
        Ok(report)
    }

    /// Barcodes of the cartridges to read; `None` stands for the one in the drive.
    fn targets(
        &self,
        request: &RebuildRequest,
        drive: &Drive,
        loader: &mut Loader,
    ) -> Result<Vec<Option<String>>, EngineError> {
        let Some(mut present) = loader.cartridges()? else {
            if request.volumes.len() > 1 {
                return Err(EngineError::Request(
                    "without a changer only the cartridge in the drive can be read: name one volume at a time".into(),
                ));
            }
            return Ok(vec![None]);
        };
        if present.is_empty() && request.volumes.is_empty() {
            return Ok(vec![None]); // no barcodes: the cartridge in the drive
        }
        if request.volumes.is_empty() {
            // The one that is in the drive already comes first.
            let (inventory, element) = (loader.inventory()?, loader.element());
            let loaded = inventory.and_then(|found| found.at(element?)?.barcode.clone());
            present.sort_by_key(|barcode| Some(barcode) != loaded.as_ref());
            return Ok(present.into_iter().map(Some).collect());
        }
        let mut targets = Vec::new();
        for name in &request.volumes {
            let barcode = match present.iter().find(|barcode| *barcode == name) {
                Some(barcode) => Some(barcode.clone()),
                None => self.volume_named(name)?.barcode.filter(|barcode| present.contains(barcode)),
            };
            let insert = || OperatorRequest::Insert { volume: name.clone(), drive: drive.name().to_owned() };
            targets.push(Some(barcode.ok_or_else(|| EngineError::Operator(insert()))?));
        }
        Ok(targets)
    }
}

fn station_name(station: &mut Station) -> String {
    station.drive().map_or_else(|_| String::new(), |drive| drive.name().to_owned())
}

fn mount_again<'a>(
    station: &'a mut Station,
    barcode: Option<&str>,
    cartridge: &str,
) -> Result<&'a mut Drive, EngineError> {
    let (drive, loader) = station.split()?;
    loader.mount(drive, barcode, cartridge)?;
    super::fence::prepare(drive)?;
    Ok(drive)
}

/// Whether going on with other cartridges makes no sense.
fn is_fatal(error: &EngineError) -> bool {
    matches!(
        error,
        EngineError::Catalog(_)
            | EngineError::Changer(_)
            | EngineError::MoveFailed { .. }
            | EngineError::Operator(_)
            | EngineError::Request(_)
    )
}
