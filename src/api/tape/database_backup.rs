//! Copies of the catalog on tape.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fields::destination;
use super::tapes::free;
use crate::access::{Level, Resource};
use crate::api::call::{Accepted, Call, Json, Made};
use crate::api::endpoint::{Endpoint, get, post};
use crate::api::error::{ApiError, Code};
use crate::api::work::{self, Ended, now, time};
use crate::catalog::{CopyStatus, DatabaseCopy, DatabaseCopyId, DriveId, VolumeId};
use crate::tasks::{NewTask, Work};

pub(super) fn endpoints() -> Vec<Endpoint> {
    const S: Resource = Resource::System;
    vec![
        get("/api/v1/database-backup", "database.list", "Copies of the catalog on tape, the newest first")
            .needs(S)
            .cached()
            .answers(list),
        post("/api/v1/database-backup/backup", "database.backup", "Write a copy of the catalog to a tape")
            .needs_level(S, Level::Operate)
            .long()
            .error(Code::Conflict)
            .error(Code::TapeInUse)
            .takes(backup),
        post(
            "/api/v1/database-backup/restore",
            "database.restore",
            "Put a copy of the catalog back as a file",
        )
        .needs_level(S, Level::Administer)
        .long()
        .error(Code::Conflict)
        .takes(restore),
        get(
            "/api/v1/drives/{id}/scan-for-db-backup",
            "database.scan",
            "Look for copies of a catalog on the tape in the drive",
        )
        .needs_level(Resource::Drives, Level::Operate)
        .audited()
        .error(Code::Conflict)
        .error(Code::DriveBusy)
        .error(Code::NoTapeLoaded)
        .answers(scan),
    ]
}

/// A copy of the catalog.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DatabaseBackup")]
struct CopyBody {
    id: i64,
    tape_id: Option<i64>,
    tape_label: String,
    /// When the catalog was like this.
    backup_time: String,
    file_size: u64,
    /// `sha256:` and hexadecimal digits.
    checksum: Option<String>,
    /// `running`, `completed` or `failed`.
    status: &'static str,
    /// Why it failed.
    error: Option<String>,
    created_at: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct CopyList {
    backups: Vec<CopyBody>,
}

fn body(copy: DatabaseCopy) -> CopyBody {
    CopyBody {
        id: copy.id.0,
        tape_id: copy.volume.map(|volume| volume.0),
        tape_label: copy.label,
        backup_time: time(copy.taken),
        file_size: copy.size,
        checksum: copy.checksum.map(|hex| format!("sha256:{hex}")),
        status: copy.status.as_str(),
        error: copy.error,
        created_at: time(copy.created),
    }
}

fn list(call: &Call) -> Result<Json<CopyList>, ApiError> {
    Ok(Json(CopyList { backups: call.api.catalog.database_copies()?.into_iter().map(body).collect() }))
}

/// Where to write the copy.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BackupBody {
    tape_id: i64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct BackupStarted {
    id: i64,
    /// `started`.
    status: &'static str,
    message: String,
    task_id: i64,
}

fn backup(call: &Call, new: BackupBody) -> Result<Made<Accepted<BackupStarted>>, ApiError> {
    let id = VolumeId(new.tape_id);
    let volume =
        call.api.catalog.volume(id).map_err(|_| ApiError::field("tape_id", format!("no tape {id}")))?;
    free(call, &volume)?;
    let copy = call.api.catalog.add_database_copy(Some(id), &volume.label, now())?;
    let recipients = call.api.keys.recipients()?.iter().map(ToString::to_string).collect();
    let work = Work::DatabaseBackup { copy: copy.0, recipients, drive: None };
    let submitted = match call.api.tasks.submit(NewTask::new(work, call.who())) {
        Ok(submitted) => submitted,
        Err(error) => {
            let row = call.api.catalog.database_copy(copy)?;
            let error = ApiError::from(error);
            call.api.catalog.update_database_copy(&DatabaseCopy {
                status: CopyStatus::Failed,
                error: Some(error.message.clone()),
                ..row
            })?;
            return Err(error);
        }
    };
    let message = format!("Database backup started, to tape {}", volume.label);
    let started = BackupStarted { id: copy.0, status: "started", message, task_id: submitted.id.0 };
    Ok(Made(copy.0, Accepted(started)))
}

/// What to restore, and where to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RestoreBody {
    backup_id: i64,
    /// Directory, from `/` on; made where it is missing.
    dest_path: PathBuf,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Restored {
    /// `restored`, or what the task is doing: `running`, `waiting_for_operator`.
    status: String,
    /// The file; while the task goes on, the directory.
    dest_path: String,
    task_id: i64,
}

fn restore(call: &Call, body: RestoreBody) -> Result<Json<Restored>, ApiError> {
    destination(call, &body.dest_path)?;
    let id = DatabaseCopyId(body.backup_id);
    let copy = call
        .api
        .catalog
        .database_copy(id)
        .map_err(|_| ApiError::field("backup_id", format!("no database backup {id}")))?;
    if copy.status != CopyStatus::Completed {
        let message =
            format!("database backup {id} is {}; only a completed one can be restored", copy.status);
        return Err(ApiError::conflict(message));
    }
    let to = body.dest_path.to_string_lossy().into_owned();
    let ended = work::run(call, Work::DatabaseRestore { copy: id.0, target: body.dest_path, drive: None })?;
    let (status, task) = ended.status("restored");
    let path = match ended {
        Ended::Done(row) => row.result.and_then(|report| Some(report.get("path")?.as_str()?.to_owned())),
        Ended::GoesOn(_) => None,
    };
    Ok(Json(Restored { status, dest_path: path.unwrap_or(to), task_id: task.0 }))
}

/// What was found on a tape.
#[derive(Debug, Serialize, JsonSchema)]
struct Scanned {
    /// `scanned`, or what the task is doing.
    status: String,
    /// Copies of a catalog on the tape.
    backups: Vec<CopyBody>,
    task_id: i64,
}

fn scan(call: &Call) -> Result<Json<Scanned>, ApiError> {
    let drive = call.api.catalog.drive(DriveId(call.id("id")?))?;
    super::drives::ask_loaded(call, &drive)?;
    let ended = work::run(call, Work::DatabaseScan { drive: drive.id.0 })?;
    let (status, task) = ended.status("scanned");
    let ids: Vec<i64> = match ended {
        Ended::Done(row) => row
            .result
            .and_then(|mut report| serde_json::from_value(report.get_mut("copies")?.take()).ok())
            .unwrap_or_default(),
        Ended::GoesOn(_) => Vec::new(),
    };
    let copies = call.api.catalog.database_copies()?;
    let backups = copies.into_iter().filter(|copy| ids.contains(&copy.id.0)).map(body).collect();
    Ok(Json(Scanned { status, backups, task_id: task.0 }))
}
