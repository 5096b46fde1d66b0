//! Copies of the catalog on tape: backup sets like any other, of one file each, that any machine can read.

use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use sha2::{Digest, Sha256};

use super::error::chain;
use super::{
    Appliance, BackupRequest, Compression, EngineError, RebuildRequest, RestoreRequest, check_destination,
};
use crate::catalog::{BackupSet, Catalog, CopyStatus, DatabaseCopy, DatabaseCopyId, SetState, VolumeId};
use crate::format::age::{Identity, Recipient};
use crate::format::v1::Kind;
use crate::pipeline::Progress;

/// Name of the job that these sets belong to.
pub const DATABASE_JOB: &str = "reelward-database";
/// Name of the restored file.
const RESTORED: &str = "reelward-catalog.sqlite";

impl Appliance {
    /// Writes a copy of the catalog to tape and makes the row of `id` say how that went. Encrypted for `recipients`, if any.
    ///
    /// # Errors
    /// As [`Appliance::backup`]; the row then has the reason.
    pub fn back_up_catalog(
        &mut self,
        id: DatabaseCopyId,
        recipients: Vec<Recipient>,
        progress: &Progress,
        cancel: &AtomicBool,
    ) -> Result<DatabaseCopy, EngineError> {
        let mut copy = self.catalog().database_copy(id)?;
        let staging = self.state().join(format!("catalog-copy-{id}"));
        let result = self.write_copy(&mut copy, &staging, recipients, progress, cancel);
        let _ = std::fs::remove_dir_all(&staging);
        match &result {
            Ok(()) => copy.status = CopyStatus::Completed,
            Err(error) => (copy.status, copy.error) = (CopyStatus::Failed, Some(chain(error))),
        }
        self.catalog().update_database_copy(&copy)?;
        result.map(|()| copy)
    }

    fn write_copy(
        &mut self,
        copy: &mut DatabaseCopy,
        staging: &Path,
        recipients: Vec<Recipient>,
        progress: &Progress,
        cancel: &AtomicBool,
    ) -> Result<(), EngineError> {
        self.claim()?;
        let io = |path: &Path, what| {
            let path = path.to_owned();
            move |source| EngineError::File { path, what, source }
        };
        // What a task that died left there.
        match std::fs::remove_dir_all(staging) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(io(staging, "cannot be emptied")(error));
            }
            _ => {}
        }
        std::fs::DirBuilder::new().mode(0o700).create(staging).map_err(io(staging, "cannot be made"))?;
        let file = staging.join("reelward.sqlite");
        copy.taken = super::now();
        self.catalog().snapshot_to(&file)?;
        (copy.size, copy.checksum) = hash(&file).map_err(io(&file, "cannot be read"))?;
        let request = BackupRequest {
            job: DATABASE_JOB.into(),
            paths: vec![file],
            volume: copy.volume.map(|volume| self.catalog().volume(volume)).transpose()?.map(|v| v.label),
            compression: Compression::Zstd(3),
            recipients,
            ..BackupRequest::default()
        };
        let report = self.backup(&request, progress, cancel)?;
        copy.set = Some(report.set);
        if report.cancelled || report.skipped > 0 || report.problem_count > 0 {
            let why = report.problems.first().cloned().unwrap_or_else(|| "it was cancelled".into());
            return Err(EngineError::Request(format!("the copy of the catalog is not whole: {why}")));
        }
        if let Some(part) = self.catalog().parts_of(crate::catalog::SetId(report.set_id))?.first() {
            copy.volume = Some(part.volume);
            copy.label = self.catalog().volume(part.volume)?.label;
        }
        Ok(())
    }

    /// Reads the cartridge in the drive for copies of a catalog, also of one that is lost; what else it holds comes into
    /// the catalog too. Returns the copies on it.
    ///
    /// # Errors
    /// The drive is empty, or as [`Appliance::rebuild`].
    pub fn scan_database_copies(
        &mut self,
        identities: &[Identity],
        progress: &Progress,
        cancel: &AtomicBool,
    ) -> Result<Vec<DatabaseCopy>, EngineError> {
        self.claim()?;
        let barcode = {
            let mut station = self.task_station()?;
            let (drive, loader) = station.split()?;
            if !drive.is_loaded()? {
                let name = drive.name().to_owned();
                return Err(EngineError::Request(format!("{name}: there is no tape in the drive")));
            }
            match (loader.inventory()?, loader.element()) {
                (Some(found), Some(element)) => found.at(element).and_then(|at| at.barcode.clone()),
                _ => None,
            }
        };
        let request =
            RebuildRequest { volumes: barcode.into_iter().collect(), identities: identities.to_vec() };
        let report = self.rebuild(&request, progress, cancel)?;
        enter_found_copies(self.catalog())?;
        let labels: Vec<String> = report.volumes.into_iter().filter_map(|volume| volume.label).collect();
        let mut copies = self.catalog().database_copies()?;
        copies.retain(|copy| labels.contains(&copy.label));
        Ok(copies)
    }

    /// Restores a copy of the catalog as a file in the directory `to`, which is made where it is missing; returns its path.
    /// The catalog in use is not touched.
    ///
    /// # Errors
    /// The copy is not on tape, the file exists already, a key is missing, or as [`Appliance::restore`].
    pub fn restore_database_copy(
        &mut self,
        id: DatabaseCopyId,
        to: &Path,
        identities: Vec<Identity>,
        progress: &Progress,
        cancel: &AtomicBool,
    ) -> Result<PathBuf, EngineError> {
        check_destination(to).map_err(|fault| EngineError::Request(fault.to_string()))?;
        let copy = self.catalog().database_copy(id)?;
        let missing =
            || EngineError::Request(format!("copy {id} of the catalog is not on a tape that is known"));
        let set = copy.set.as_deref().ok_or_else(missing)?;
        let set = self.catalog().set_by_uuid(set)?.ok_or_else(missing)?;
        let io = |path: &Path, what| {
            let path = path.to_owned();
            move |source| EngineError::File { path, what, source }
        };
        std::fs::create_dir_all(to).map_err(io(to, "cannot be made"))?;
        let target = to.join(RESTORED);
        if target.symlink_metadata().is_ok() {
            let exists = std::io::ErrorKind::AlreadyExists.into();
            return Err(io(&target, "is there already; a restored catalog replaces no file")(exists));
        }
        let staging = to.join(format!(".reelward-{}", super::new_uuid()));
        std::fs::DirBuilder::new().mode(0o700).create(&staging).map_err(io(&staging, "cannot be made"))?;
        let request = RestoreRequest {
            set: Some(set.uuid.clone()),
            target: staging.clone(),
            identities,
            ..RestoreRequest::default()
        };
        let restored = self.restore(&request, progress, cancel).and_then(|report| {
            if let Some(fault) = report.faults.first() {
                return Err(EngineError::Request(format!("{}: {}", fault.path, fault.reason)));
            }
            let path = set.roots.first().map(|root| Path::new(std::ffi::OsStr::from_bytes(root)));
            let path = path.and_then(|path| path.strip_prefix("/").ok()).ok_or_else(missing)?;
            let (from, here) = (staging.join(path), rustix::fs::CWD);
            // Hashes of passwords and names of all files are in it.
            std::fs::set_permissions(&from, std::fs::Permissions::from_mode(0o600))
                .map_err(io(&from, "cannot be made private"))?;
            // Never over a file that came meanwhile.
            rustix::fs::renameat_with(here, &from, here, &target, rustix::fs::RenameFlags::NOREPLACE)
                .map_err(|errno| io(&target, "cannot be put in place")(errno.into()))
        });
        let _ = std::fs::remove_dir_all(&staging);
        restored.map(|()| target)
    }
}

/// Gives every copy that a rebuild found a row.
///
/// # Errors
/// The catalog failed.
pub fn enter_found_copies(catalog: &Catalog) -> Result<(), EngineError> {
    let known = catalog.database_copies()?;
    let is_new = |set: &BackupSet| !known.iter().any(|copy| copy.set.as_deref() == Some(&set.uuid));
    for set in catalog.sets()? {
        if set.job != DATABASE_JOB || set.state != SetState::Complete || !is_new(&set) {
            continue;
        }
        let volume: Option<VolumeId> = catalog.parts_of(set.id)?.first().map(|part| part.volume);
        let label =
            volume.map(|volume| catalog.volume(volume)).transpose()?.map_or_else(String::new, |v| v.label);
        let mut checksum = None;
        for row in catalog.members(set.id, 0..set.members)? {
            let member = row?.2;
            if member.kind == Kind::Regular {
                checksum = Some(hex(&member.sha256));
            }
        }
        let id = catalog.add_database_copy(volume, &label, set.started)?;
        let copy = catalog.database_copy(id)?;
        catalog.update_database_copy(&DatabaseCopy {
            set: Some(set.uuid),
            size: set.bytes,
            checksum,
            status: CopyStatus::Completed,
            ..copy
        })?;
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes and SHA-256 of a file.
fn hash(path: &Path) -> std::io::Result<(u64, Option<String>)> {
    let mut file = std::fs::File::open(path)?;
    let (mut hasher, mut buffer, mut size) = (Sha256::new(), vec![0; 1 << 20], 0);
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok((size, Some(hex(&hasher.finalize()))));
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
        size += count as u64;
    }
}
