//! Putting files back.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fields::destination;
use crate::access::Resource;
use crate::api::call::{Call, Json};
use crate::api::endpoint::{Endpoint, post};
use crate::api::error::{ApiError, Code};
use crate::catalog::{SetId, TaskRow, TaskState, Volume, VolumeId};
use crate::engine::RestoreRequest;
use crate::format::v1::shown;
use crate::tasks::{NewTask, OverwriteRule, RestoreWork, Work};

/// Files that a plan lists one by one; the sums count all.
const LISTED: usize = 10_000;
/// A call that starts a restore waits so long to say which tape is needed.
const UNTIL_BEGUN: Duration = Duration::from_secs(3);

pub(super) fn endpoints() -> Vec<Endpoint> {
    const R: Resource = Resource::Restore;
    vec![
        post("/api/v1/restore/plan", "restore.plan", "Which tapes a restore needs, and in which order")
            .needs(R)
            .unaudited()
            .error(Code::NotFound)
            .takes(plan),
        post("/api/v1/restore/run", "restore.run", "Restore files")
            .needs(R)
            .long()
            .error(Code::NotFound)
            .takes(run),
    ]
}

/// What to restore.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PlanBody {
    /// Absolute paths (a directory with all it holds) or wildcards; everything when empty.
    file_paths: Vec<String>,
    /// Of this set; the newest version of everything when not given.
    backup_set_id: Option<i64>,
}

/// The documented envelope.
#[derive(Debug, Serialize, JsonSchema)]
struct PlanReply {
    restore_plan: Plan,
}

/// What a restore reads.
#[derive(Debug, Serialize, JsonSchema)]
struct Plan {
    /// The first ten thousand.
    files: Vec<PlannedFile>,
    /// All of them.
    total_files: u64,
    required_tapes: Vec<RequiredTape>,
    /// Bytes of content.
    total_size: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct PlannedFile {
    path: String,
    size: u64,
    backup_set_id: i64,
    tape_id: Option<i64>,
    tape_label: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct RequiredTape {
    id: i64,
    label: String,
    status: &'static str,
    insertion_order: u64,
}

fn plan(call: &Call, asked: PlanBody) -> Result<Json<PlanReply>, ApiError> {
    let catalog = &call.api.catalog;
    let request = RestoreRequest {
        set: asked.backup_set_id.map(|set| set.to_string()),
        patterns: asked.file_paths,
        ..RestoreRequest::default()
    };
    let planned = call.api.appliance().plan_restore(&request)?;
    let volumes: HashMap<VolumeId, Volume> =
        catalog.volumes()?.into_iter().map(|volume| (volume.id, volume)).collect();
    let mut files = Vec::new();
    let mut required_tapes: Vec<RequiredTape> = Vec::new();
    let mut resolver = catalog.paths()?;
    for set in &planned.sets {
        for needed in &set.volumes {
            let Some(volume) = volumes.values().find(|volume| volume.label == needed.label) else { continue };
            if !required_tapes.iter().any(|tape| tape.id == volume.id.0) {
                required_tapes.push(RequiredTape {
                    id: volume.id.0,
                    label: volume.label.clone(),
                    status: volume.status.as_str(),
                    insertion_order: required_tapes.len() as u64 + 1,
                });
            }
        }
        let id = SetId(set.set_id);
        let parts: HashMap<u32, VolumeId> =
            catalog.parts_of(id)?.into_iter().map(|part| (part.number, part.volume)).collect();
        let archives: HashMap<u32, u32> =
            catalog.archives_of(id)?.into_iter().map(|archive| (archive.number, archive.part)).collect();
        for range in &set.selection {
            for row in catalog.members(id, range.clone())? {
                if files.len() >= LISTED {
                    break;
                }
                let (_, directory, member) = row?;
                let path = resolver.path_of_member(directory, &member)?;
                let volume = archives.get(&member.archive).and_then(|part| volumes.get(parts.get(part)?));
                files.push(PlannedFile {
                    path: shown(&path),
                    size: member.size,
                    backup_set_id: set.set_id,
                    tape_id: volume.map(|volume| volume.id.0),
                    tape_label: volume.map(|volume| volume.label.clone()),
                });
            }
        }
    }
    let (total_files, total_size) = (planned.members, planned.bytes);
    Ok(Json(PlanReply { restore_plan: Plan { files, total_files, required_tapes, total_size } }))
}

/// What to restore, and where to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RunBody {
    /// Of this set; the newest version of everything when not given.
    backup_set_id: Option<i64>,
    /// Absolute paths or wildcards; everything when not given or empty.
    file_paths: Option<Vec<String>>,
    /// Absolute path of the directory to restore beneath.
    #[schemars(length(min = 1))]
    dest_path: String,
    /// `local` (default), `smb` or `nfs`: shares must be mounted already.
    destination_type: Option<String>,
    /// Replace what is there; it stays otherwise.
    overwrite: Option<bool>,
    /// Every file is compared with its hash before it gets its name, whatever this says.
    verify: Option<bool>,
    /// Only this drive.
    drive_id: Option<i64>,
}

/// A restore that has begun.
#[derive(Debug, Serialize, JsonSchema)]
struct Begun {
    /// Number of the task.
    restore_id: i64,
    /// `running`, `queued`, `waiting_for_operator` or `completed`.
    status: &'static str,
    message: String,
}

fn target(call: &Call, text: &str, kind: &str) -> Result<PathBuf, ApiError> {
    let path = PathBuf::from(text);
    destination(call, &path)?;
    if text.contains('\0') {
        return Err(ApiError::field("dest_path", "must not hold a NUL"));
    }
    match kind {
        "local" => Ok(path),
        "smb" | "nfs" => match path.is_dir() {
            true => Ok(path),
            false => Err(ApiError::field("dest_path", format!("{text} is not there: mount the share first"))),
        },
        other => Err(ApiError::field("destination_type", format!("{other:?}: say local, smb or nfs"))),
    }
}

fn run(call: &Call, asked: RunBody) -> Result<Json<Begun>, ApiError> {
    let target = target(call, &asked.dest_path, asked.destination_type.as_deref().unwrap_or("local"))?;
    let work = Work::Restore(RestoreWork {
        set: asked.backup_set_id.map(|set| set.to_string()),
        patterns: asked.file_paths.unwrap_or_default(),
        target,
        overwrite: if asked.overwrite.unwrap_or(false) {
            OverwriteRule::Always
        } else {
            OverwriteRule::Never
        },
        verify: asked.verify.unwrap_or(true),
        drive: asked.drive_id,
        ..RestoreWork::default()
    });
    // Somebody waits for it: before backups that nobody looks at.
    let submitted = call.api.tasks.submit(NewTask { priority: 10, ..NewTask::new(work, call.who()) })?;
    let begun = |row: &TaskRow| match row.state {
        TaskState::Queued => row.waiting_for.is_some(),
        TaskState::Running => row.volume.is_some(),
        _ => true,
    };
    let row = call.api.tasks.wait_for(submitted.id, UNTIL_BEGUN, begun);
    let row = row.ok_or_else(|| ApiError::missing("task", submitted.id))?;
    if row.state == TaskState::Failed && row.result.is_none() {
        return Err(ApiError::conflict(row.error.unwrap_or_else(|| "the restore failed at once".into())));
    }
    let message = match (&row.waiting_for, row.state) {
        (Some(prompt), TaskState::WaitingForOperator) => format!("Restore started. {prompt}"),
        (Some(waits), _) => format!("Restore queued; it waits for {waits}"),
        (None, _) => "Restore started".into(),
    };
    Ok(Json(Begun { restore_id: row.id.0, status: row.state.as_str(), message }))
}
