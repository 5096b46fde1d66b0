//! Which volume is written next.

use super::error::OperatorRequest;
use super::label::{self, LabelRequest};
use super::station::Loader;
use super::{BackupRequest, EngineError, fence, index_file};
use crate::catalog::{Catalog, SetState, Volume, VolumeId, VolumeStatus};
use crate::drive::Drive;
use crate::format::v1::index::PartState;
use crate::pipeline::{Phase, Progress};

/// Room below which a volume is not begun: a part needs its volume's share of filemarks, an archive and an index.
const LEAST_ROOM: u64 = 2 << 20;

/// Finds volumes for one task, each at most once.
pub(super) struct Allocator<'a> {
    pub catalog: Catalog,
    loader: &'a mut Loader,
    request: &'a BackupRequest,
    auto_label: bool,
    used: Vec<VolumeId>,
}

impl<'a> Allocator<'a> {
    pub(super) fn new(
        catalog: Catalog,
        loader: &'a mut Loader,
        request: &'a BackupRequest,
        is_virtual: bool,
    ) -> Allocator<'a> {
        Allocator { catalog, loader, request, auto_label: request.auto_label || is_virtual, used: Vec::new() }
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
                None => self.label_blank(drive)?,
            };
            progress.volume(&volume.label);
            self.used.push(volume.id);
            self.loader.mount(drive, volume.barcode.as_deref(), &volume.label)?;
            self.check(drive, &volume)?;
            let remaining = drive.capacity()?.map(|capacity| capacity.remaining);
            if remaining.is_none_or(|remaining| remaining >= LEAST_ROOM) {
                let mut volume = self.catalog.volume(volume.id)?;
                if volume.status == VolumeStatus::Blank {
                    volume.status = VolumeStatus::Active;
                    self.catalog.update_volume(&volume)?;
                }
                return Ok((volume, remaining));
            }
            self.catalog
                .update_volume(&Volume { status: VolumeStatus::Full, ..self.catalog.volume(volume.id)? })?;
        }
    }

    /// The fence, and the index of a part that a crash left without one.
    fn check(&self, drive: &mut Drive, volume: &Volume) -> Result<(), EngineError> {
        let open = self.catalog.open_part_on(volume.id)?;
        fence::ready_to_append(drive, volume, open.is_some())?;
        if let Some(part) = open {
            let written = index_file::write(&self.catalog, drive, &part, PartState::Interrupted)?;
            self.catalog.finish_set(part.set, SetState::Interrupted, written)?;
        }
        Ok(())
    }

    /// A labelled volume that can be mounted and is not full: the one written last first, then blank ones.
    fn choose(&mut self) -> Result<Option<Volume>, EngineError> {
        let present = self.loader.cartridges()?;
        let reachable = |volume: &Volume| match (&present, &volume.barcode) {
            (Some(present), Some(barcode)) => present.contains(barcode),
            _ => true, // no changer, or no barcode: whatever is in the drive, the fence tells
        };
        let wanted = |volume: &Volume| {
            let name = self.request.volume.as_deref();
            name.is_none_or(|name| volume.label == name || volume.barcode.as_deref() == Some(name))
                && self.request.pool.as_deref().is_none_or(|pool| volume.pool.as_deref() == Some(pool))
        };
        let volumes = self.catalog.volumes()?;
        if let Some(name) = &self.request.volume
            && !volumes.iter().any(wanted)
        {
            return Err(EngineError::NoSuchVolume { name: name.clone() });
        }
        let mut candidates: Vec<Volume> = volumes
            .into_iter()
            .filter(|v| matches!(v.status, VolumeStatus::Blank | VolumeStatus::Active))
            .filter(|v| !self.used.contains(&v.id) && wanted(v) && reachable(v))
            .collect();
        candidates
            .sort_by_key(|v| (v.status == VolumeStatus::Blank, std::cmp::Reverse(v.last_written), v.id));
        Ok(candidates.into_iter().next())
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
        let cartridges = self.loader.cartridges()?.unwrap_or_default();
        for barcode in cartridges.into_iter().filter(|barcode| !known.contains(&Some(barcode.clone()))) {
            let request = LabelRequest {
                barcode: Some(barcode),
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
                Err(EngineError::NotBlank { .. } | EngineError::WriteProtected { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(need("every cartridge is full or holds something else"))
    }
}
