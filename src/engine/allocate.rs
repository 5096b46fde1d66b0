//! Which volume is written next.

use super::error::OperatorRequest;
use super::label::{self, LabelRequest};
use super::station::Loader;
use super::{BackupRequest, EngineError, HeldVolume, VolumesInUse, fence, index_file};
use crate::catalog::{Catalog, SetState, Volume, VolumeId, VolumeStatus};
use crate::drive::{Drive, DriveError};
use crate::format::v1::Found;
use crate::format::v1::index::PartState;
use crate::pipeline::{Phase, Progress};

/// Room below which a volume is not begun: a part needs its volume's share of filemarks, an archive and an index.
const LEAST_ROOM: u64 = 2 << 20;

/// What a task says of the volumes that it may be written to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// Label or barcode.
    pub volume: Option<&'a str>,
    /// Pool.
    pub pool: Option<&'a str>,
}

impl Wanted<'_> {
    fn fits(&self, volume: &Volume) -> bool {
        self.volume.is_none_or(|name| volume.label == name || volume.barcode.as_deref() == Some(name))
            && self.pool.is_none_or(|pool| volume.pool.as_deref() == Some(pool))
    }

    /// The volumes that may be written, the first choice first: labelled ones, the one written last ahead, then blank
    /// ones, then those that were only entered. `present`: the barcodes that a changer can bring.
    pub(super) fn in_order(&self, volumes: Vec<Volume>, present: Option<&[String]>) -> Vec<Volume> {
        let reachable = |volume: &Volume| match (present, &volume.barcode) {
            (Some(present), Some(barcode)) => present.contains(barcode),
            // No changer, or no barcode: whatever is in the drive, the fence tells. What is not labelled has no identity.
            _ => volume.is_labelled(),
        };
        let mut candidates: Vec<Volume> = volumes
            .into_iter()
            .filter(|v| matches!(v.status, VolumeStatus::Blank | VolumeStatus::Active))
            .filter(|v| self.fits(v) && reachable(v))
            .collect();
        candidates.sort_by_key(|v| {
            (!v.is_labelled(), v.status == VolumeStatus::Blank, std::cmp::Reverse(v.last_written), v.id)
        });
        candidates
    }
}

/// Finds volumes for one task, each at most once.
pub(super) struct Allocator<'a> {
    pub catalog: Catalog,
    loader: &'a mut Loader,
    request: &'a BackupRequest,
    auto_label: bool,
    used: Vec<VolumeId>,
    in_use: VolumesInUse,
    /// The volume that this task works on: no other task of this process may take it.
    held: Option<HeldVolume>,
}

impl<'a> Allocator<'a> {
    pub(super) fn new(
        catalog: Catalog,
        loader: &'a mut Loader,
        request: &'a BackupRequest,
        is_virtual: bool,
        in_use: VolumesInUse,
    ) -> Allocator<'a> {
        let auto_label = request.auto_label || is_virtual;
        Allocator { catalog, loader, request, auto_label, used: Vec::new(), in_use, held: None }
    }

    /// Has the next volume mounted, checked and at the end of its data; the bytes it can still take, where known.
    pub(super) fn next(
        &mut self,
        drive: &mut Drive,
        progress: &Progress,
    ) -> Result<(Volume, Option<u64>), EngineError> {
        progress.phase(Phase::Mounting);
        loop {
            let volume = match self.choose()? {
                Some(volume) => volume,
                None => match self.label_entered(drive)? {
                    Some(volume) => volume,
                    None => self.label_blank(drive)?,
                },
            };
            progress.volume(&volume.label);
            self.used.push(volume.id);
            self.held = None;
            let Some(held) = self.in_use.hold(volume.id) else { continue };
            self.held = Some(held);
            match self.loader.mount_volume(drive, &volume) {
                Err(EngineError::InAnotherDrive { busy: true, .. }) => continue, // another task was quicker
                other => other?,
            }
            if !self.check(drive, &volume)? {
                continue;
            }
            let remaining = drive.capacity()?.map(|capacity| capacity.remaining);
            if remaining.is_none_or(|remaining| remaining >= LEAST_ROOM) {
                let mut volume = self.catalog.volume(volume.id)?;
                if volume.status == VolumeStatus::Blank {
                    volume.status = VolumeStatus::Active;
                    self.catalog.set_volume_status(volume.id, volume.status)?;
                }
                return Ok((volume, remaining));
            }
            self.catalog.set_volume_status(volume.id, VolumeStatus::Full)?;
        }
    }

    /// The fence, and the index of a part that a crash left without one. False when there is no room for that index:
    /// the volume is full then, and its part stays in the catalog as it is.
    fn check(&mut self, drive: &mut Drive, volume: &Volume) -> Result<bool, EngineError> {
        let open = self.catalog.open_part_on(volume.id)?;
        match fence::ready_to_append(drive, volume, open.is_some(), self.request.buffer_bytes as u64) {
            Err(EngineError::WriteOnceTail { .. }) => {
                self.catalog.update_volume(&Volume { status: VolumeStatus::Full, ..volume.clone() })?;
                return Ok(false);
            }
            other => other?.told.into_iter().for_each(|told| self.loader.watch.tell(told)),
        }
        if let Some(part) = open {
            let written = match index_file::write(&self.catalog, drive, &part, PartState::Interrupted) {
                Ok(written) => written,
                Err(EngineError::Drive(DriveError::VolumeFull { .. })) => {
                    self.catalog.set_volume_status(volume.id, VolumeStatus::Full)?;
                    return Ok(false);
                }
                Err(error) => return Err(error),
            };
            // A set that went on elsewhere since ends as its last part does.
            let is_last =
                self.catalog.parts_of(part.set)?.last().is_some_and(|last| last.number == part.number);
            if is_last && self.catalog.set(part.set)?.state != SetState::Complete {
                self.catalog.finish_set(part.set, SetState::Interrupted, written)?;
            }
        }
        Ok(true)
    }

    /// A labelled volume that can be mounted and is not full: the one written last first, then blank ones.
    fn choose(&mut self) -> Result<Option<Volume>, EngineError> {
        let present = self.loader.cartridges()?;
        let volumes = self.catalog.volumes()?;
        let wanted = Wanted { volume: self.request.volume.as_deref(), pool: self.request.pool.as_deref() };
        if let Some(name) = wanted.volume
            && !volumes.iter().any(|volume| wanted.fits(volume))
        {
            return Err(EngineError::NoSuchVolume { name: name.to_owned() });
        }
        let mut candidates = wanted.in_order(volumes, present.as_deref());
        candidates.retain(|volume| volume.is_labelled() && self.is_free(volume));
        Ok(candidates.into_iter().next())
    }

    fn is_free(&self, volume: &Volume) -> bool {
        !self.used.contains(&volume.id) && !self.in_use.holds(volume.id)
    }

    /// Labels a volume that was only entered so far, where its cartridge is in the library and blank.
    fn label_entered(&mut self, drive: &mut Drive) -> Result<Option<Volume>, EngineError> {
        let Some(present) = self.loader.cartridges()? else { return Ok(None) };
        let wanted = Wanted { volume: self.request.volume.as_deref(), pool: self.request.pool.as_deref() };
        for volume in wanted.in_order(self.catalog.volumes()?, Some(&present)) {
            if volume.is_labelled() || !self.is_free(&volume) {
                continue;
            }
            let Some(_held) = self.in_use.hold(volume.id) else { continue };
            let request = LabelRequest { volume: Some(volume.id), ..LabelRequest::default() };
            match label::label(&self.catalog, drive, self.loader, &request) {
                Ok(_) => return Ok(Some(self.catalog.volume(volume.id)?)),
                // That cartridge stays as it is.
                Err(
                    EngineError::NotBlank { .. }
                    | EngineError::WriteProtected { .. }
                    | EngineError::WrongVolume { .. },
                ) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Labels the next blank cartridge of the library, where that is allowed.
    fn label_blank(&mut self, drive: &mut Drive) -> Result<Volume, EngineError> {
        let need = |why: &str| EngineError::Operator(OperatorRequest::NeedVolume { why: why.to_owned() });
        if self.request.volume.is_some() {
            return Err(need("the volume named is full"));
        }
        if !self.auto_label {
            return Err(need("none is labelled and not full; --auto-label takes blank cartridges"));
        }
        let known: Vec<Option<String>> = self.catalog.volumes()?.into_iter().map(|v| v.barcode).collect();
        let mut unknown = self.loader.cartridges()?.unwrap_or_default();
        unknown.retain(|barcode| !known.contains(&Some(barcode.clone())));
        // A catalog without any volume may be a new one, or one that was lost.
        if known.is_empty() {
            self.refuse_unknown(drive, &unknown)?;
        }
        for (at, barcode) in unknown.iter().enumerate() {
            let request = LabelRequest {
                barcode: Some(barcode.clone()),
                pool: self.request.pool.clone(),
                ..LabelRequest::default()
            };
            match label::label(&self.catalog, drive, self.loader, &request) {
                Ok(labelled) => {
                    return self
                        .catalog
                        .volume_by_uuid(&labelled.uuid)?
                        .ok_or(EngineError::NoSuchVolume { name: labelled.label });
                }
                // Not blank, or write-protected: that cartridge stays as it is.
                Err(EngineError::NotBlank { .. }) => {
                    self.refuse_unknown(drive, unknown.get(at..).unwrap_or_default())?;
                }
                Err(EngineError::WriteProtected { .. }) => {}
                // Somebody else's, and left alone.
                Err(EngineError::WriteOnce { .. } | EngineError::Partitioned { .. }) => {}
                // Another task was quicker.
                Err(EngineError::InAnotherDrive { busy: true, .. } | EngineError::InUse { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(need("every cartridge is full or holds something else"))
    }

    /// Nobody asked for blank cartridges in so many words: then none is labelled while others hold data of ours that the
    /// catalog does not know, for it is more likely lost than new.
    fn refuse_unknown(&mut self, drive: &mut Drive, cartridges: &[String]) -> Result<(), EngineError> {
        if self.request.auto_label {
            return Ok(());
        }
        let mut volumes = Vec::new();
        for barcode in cartridges {
            match self.loader.bring(drive, Some(barcode), barcode) {
                Err(EngineError::InAnotherDrive { busy: true, .. }) => continue,
                other => other?,
            }
            fence::prepare(drive)?;
            let fence::Identity::Found(found) = fence::identity(drive)? else { continue };
            let Found::Reelward(file) = *found else { continue };
            if self.catalog.volume_by_uuid(&file.uuid)?.is_some() {
                continue;
            }
            // Labelled only, as a task does that dies right after: nothing is lost.
            drive.space_to_end_of_data()?;
            if drive.position()?.block.0 > 2 {
                volumes.push(match file.label == *barcode {
                    true => file.label,
                    false => format!("{} ({barcode})", file.label),
                });
            }
        }
        if volumes.is_empty() {
            return Ok(());
        }
        Err(EngineError::UnknownVolumes { volumes: volumes.join(", ") })
    }
}
