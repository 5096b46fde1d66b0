//! Backup sets: what runs of backups stored.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::catalog::hex;
use super::fields::window;
use crate::access::Resource;
use crate::api::call::{Call, Json, Status};
use crate::api::endpoint::{Endpoint, delete, get};
use crate::api::error::{ApiError, Code};
use crate::api::work::time;
use crate::catalog::{BackupSet, FindQuery, JobId, SetId, SetState, VolumeId};
use crate::format::v1::Kind;

pub(super) fn endpoints() -> Vec<Endpoint> {
    const S: Resource = Resource::Sets;
    vec![
        get("/api/v1/backup-sets", "sets.list", "List backup sets, the newest first")
            .needs(S)
            .cached()
            .asks(list),
        get("/api/v1/backup-sets/{id}", "sets.get", "One backup set: where it lies, and its first files")
            .needs(S)
            .cached()
            .answers(one),
        get("/api/v1/backup-sets/{id}/files", "sets.files", "Files of a backup set")
            .needs(S)
            .cached()
            .asks(files),
        delete("/api/v1/backup-sets/{id}", "sets.delete", "Forget a backup set that is not being written")
            .needs(S)
            .error(Code::Conflict)
            .answers(remove),
    ]
}

/// A backup set.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "BackupSet")]
struct SetBody {
    id: i64,
    /// Identity, as on tape.
    uuid: String,
    /// The job of that name, where there is one.
    job_id: Option<i64>,
    job_name: String,
    /// The first tape it lies on.
    tape_id: Option<i64>,
    tape_label: Option<String>,
    /// `full`, `incremental` or `differential`.
    backup_type: &'static str,
    start_time: String,
    end_time: Option<String>,
    /// `running`; `completed`; `failed`: it was cut short, and what is committed can be restored; `incomplete`: a part of it
    /// is not in the catalog.
    status: &'static str,
    file_count: u64,
    total_bytes: u64,
    /// `none` or `zstd`.
    compression: String,
    encrypted: bool,
    /// Objects that were not stored, or not exactly.
    warnings: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct SetList {
    backup_sets: Vec<SetBody>,
    /// All that fit, the window aside.
    total: usize,
}

/// The document's word for a state.
fn status(state: SetState) -> &'static str {
    match state {
        SetState::Open => "running",
        SetState::Complete => "completed",
        SetState::Interrupted => "failed",
        SetState::Incomplete => "incomplete",
        SetState::Deleting => "deleting",
    }
}

fn body(call: &Call, set: BackupSet, jobs: &HashMap<String, i64>) -> Result<SetBody, ApiError> {
    let part = call.api.catalog.parts_of(set.id)?.into_iter().next();
    let volume = part.map(|part| call.api.catalog.volume(part.volume)).transpose()?;
    Ok(SetBody {
        id: set.id.0,
        uuid: set.uuid,
        job_id: jobs.get(&set.job).copied(),
        job_name: set.job,
        tape_id: volume.as_ref().map(|volume| volume.id.0),
        tape_label: volume.map(|volume| volume.label),
        backup_type: set.kind.as_str(),
        start_time: time(set.started),
        end_time: set.finished.map(time),
        status: status(set.state),
        file_count: set.members - set.directories.min(set.members),
        total_bytes: set.bytes,
        compression: set.compression,
        encrypted: !set.recipients.is_empty(),
        warnings: set.warnings,
    })
}

fn jobs(call: &Call) -> Result<HashMap<String, i64>, ApiError> {
    Ok(call.api.catalog.jobs()?.into_iter().map(|job| (job.name, job.id.0)).collect())
}

/// Which sets.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SetQuery {
    /// Only of this job.
    job_id: Option<i64>,
    /// Only with a part on this tape.
    tape_id: Option<i64>,
    /// `running`, `completed`, `failed` or `incomplete`.
    status: Option<String>,
    /// At most so many: 100 unless given.
    limit: Option<u32>,
    /// Leave out so many first.
    offset: Option<u32>,
}

fn list(call: &Call, query: SetQuery) -> Result<Json<SetList>, ApiError> {
    const WORDS: [&str; 4] = ["running", "completed", "failed", "incomplete"];
    let (limit, offset) = window(query.limit, query.offset)?;
    if let Some(wanted) = &query.status
        && !WORDS.contains(&wanted.as_str())
    {
        return Err(ApiError::field("status", format!("must be one of {}", WORDS.join(", "))));
    }
    let catalog = &call.api.catalog;
    let job = match query.job_id {
        None => None,
        Some(id) => {
            Some(catalog.job(JobId(id)).map_err(|_| ApiError::field("job_id", format!("no job {id}")))?.name)
        }
    };
    let mut sets = match query.tape_id {
        None => catalog.sets()?,
        Some(id) => {
            let id = VolumeId(id);
            catalog.volume(id).map_err(|_| ApiError::field("tape_id", format!("no tape {id}")))?;
            catalog.sets_on_volume(id)?
        }
    };
    sets.retain(|set| {
        job.as_ref().is_none_or(|job| set.job == *job)
            && query.status.as_ref().is_none_or(|wanted| status(set.state) == wanted)
    });
    let total = sets.len();
    let jobs = jobs(call)?;
    let window = sets.into_iter().rev().skip(offset).take(limit);
    let backup_sets = window.map(|set| body(call, set, &jobs)).collect::<Result<_, _>>()?;
    Ok(Json(SetList { backup_sets, total }))
}

fn set(call: &Call) -> Result<BackupSet, ApiError> {
    let id = call.id("id")?;
    call.api.catalog.set(SetId(id)).map_err(|error| match error {
        crate::catalog::CatalogError::NotFound { .. } => ApiError::missing("backup set", id),
        error => error.into(),
    })
}

/// A part of a set: what of it lies on one tape.
#[derive(Debug, Serialize, JsonSchema)]
struct PartBody {
    /// From 1.
    number: u32,
    tape_id: i64,
    tape_label: String,
    barcode: Option<String>,
    files: u64,
    bytes: u64,
}

/// A backup set in detail.
#[derive(Debug, Serialize, JsonSchema)]
struct SetDetails {
    #[serde(flatten)]
    set: SetBody,
    host: String,
    /// What was backed up.
    paths: Vec<String>,
    /// Public age recipients; empty when it is not encrypted.
    recipients: Vec<String>,
    /// Whether it goes over several tapes.
    spanning: bool,
    /// Which tapes, in order.
    parts: Vec<PartBody>,
    /// Parts that the catalog lacks: their tapes have to be read by a rebuild.
    missing_parts: Vec<u32>,
    /// The first hundred files; the rest by `/files`.
    files: Vec<FileBody>,
}

fn one(call: &Call) -> Result<Json<SetDetails>, ApiError> {
    let set = set(call)?;
    let catalog = &call.api.catalog;
    let mut parts = Vec::new();
    for part in catalog.parts_of(set.id)? {
        let volume = catalog.volume(part.volume)?;
        parts.push(PartBody {
            number: part.number,
            tape_id: volume.id.0,
            tape_label: volume.label,
            barcode: volume.barcode,
            files: part.members - part.directories.min(part.members),
            bytes: part.bytes,
        });
    }
    Ok(Json(SetDetails {
        host: set.host.clone(),
        paths: set.roots.iter().map(|root| String::from_utf8_lossy(root).into_owned()).collect(),
        recipients: set.recipients.clone(),
        spanning: parts.len() > 1,
        parts,
        missing_parts: catalog.missing_parts(set.id)?,
        files: files_of(call, set.id, 100, 0)?.files,
        set: body(call, set, &jobs(call)?)?,
    }))
}

/// A file of a set; links and device nodes too.
#[derive(Debug, Serialize, JsonSchema)]
struct FileBody {
    path: String,
    size: u64,
    mod_time: String,
    /// `sha256:` and hexadecimal digits; regular files only.
    checksum: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct FileList {
    files: Vec<FileBody>,
    /// All files of the set, the window aside.
    total: u64,
}

/// Which files.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FileQuery {
    /// At most so many: 100 unless given.
    limit: Option<u32>,
    /// Leave out so many first.
    offset: Option<u64>,
}

/// Everything that is no directory.
pub(super) const FILES: [Kind; 6] =
    [Kind::Regular, Kind::Symlink, Kind::HardLink, Kind::CharDevice, Kind::BlockDevice, Kind::Fifo];

fn files_of(call: &Call, set: SetId, limit: u64, offset: u64) -> Result<FileList, ApiError> {
    let query = FindQuery { sets: vec![set], kinds: FILES.to_vec(), limit, offset, ..FindQuery::new(b"*") };
    let found = call.api.catalog.find(&query)?;
    let files = found.rows.into_iter().map(|row| FileBody {
        path: format!("/{}", String::from_utf8_lossy(&row.path)),
        size: row.member.size,
        mod_time: time(row.member.mtime),
        checksum: (row.member.kind == Kind::Regular).then(|| format!("sha256:{}", hex(&row.member.sha256))),
    });
    Ok(FileList { files: files.collect(), total: found.total })
}

fn files(call: &Call, query: FileQuery) -> Result<Json<FileList>, ApiError> {
    let (limit, _) = window(query.limit, None)?;
    let set = set(call)?;
    Ok(Json(files_of(call, set.id, limit as u64, query.offset.unwrap_or(0))?))
}

fn remove(call: &Call) -> Result<Json<Status>, ApiError> {
    let set = set(call)?;
    if set.state == SetState::Open || call.api.appliance.sets_in_use().holds(set.id) {
        return Err(ApiError::conflict(format!(
            "backup set {} is being written; cancel its task first",
            set.id
        )));
    }
    if let Some(above) = call.api.catalog.sets()?.into_iter().find(|other| other.bases.contains(&set.uuid)) {
        return Err(ApiError::conflict(format!(
            "backup set {} builds upon set {}; delete that one first",
            above.id, set.id
        )));
    }
    call.api.catalog.delete_set(set.id)?;
    Ok(Status::ok("deleted"))
}
