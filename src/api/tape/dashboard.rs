//! The whole at a glance.

use schemars::JsonSchema;
use serde::Serialize;

use crate::access::Resource;
use crate::api::call::{Call, Json};
use crate::api::endpoint::{Endpoint, get};
use crate::api::error::ApiError;
use crate::api::work::time;
use crate::catalog::{CopyStatus, TaskFilter, TaskState, VolumeStatus};

/// Tasks shown.
const RECENT: u32 = 10;
/// Percent of a tape from which on it is told.
const NEARLY_FULL: u64 = 90;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/api/v1/dashboard", "dashboard.get", "Drives, totals, what happened last, what needs attention")
            .needs(Resource::Tapes)
            .answers(dashboard),
    ]
}

/// A drive, as the last inventory found it.
#[derive(Debug, Serialize, JsonSchema)]
struct DriveNow {
    id: i64,
    device_path: String,
    display_name: String,
    /// A tape is in it and no task has it.
    ready: bool,
    /// It may be used.
    online: bool,
    /// Label or barcode of the tape in it.
    current_tape: Option<String>,
    /// Its cartridges are files and no tape.
    is_virtual: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Stats {
    total_tapes: usize,
    active_tapes: usize,
    total_backup_sets: usize,
    /// On all tapes together.
    total_bytes_written: u64,
    /// Tasks that are not over.
    active_jobs: usize,
}

/// A task that is over.
#[derive(Debug, Serialize, JsonSchema)]
struct Activity {
    /// `backup`, `restore`, ...
    #[serde(rename = "type")]
    kind: String,
    /// Name of the job, or what the task was.
    job_name: String,
    /// `completed`, `failed` or `cancelled`.
    status: &'static str,
    timestamp: String,
    task_id: i64,
}

/// Something that needs attention.
#[derive(Debug, Serialize, JsonSchema)]
struct Alert {
    /// `info`, `warning` or `error`.
    level: &'static str,
    message: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Dashboard {
    drives: Vec<DriveNow>,
    stats: Stats,
    /// The newest first.
    recent_activity: Vec<Activity>,
    alerts: Vec<Alert>,
}

fn dashboard(call: &Call) -> Result<Json<Dashboard>, ApiError> {
    let catalog = &call.api.catalog;
    let volumes = catalog.volumes()?;
    let active = call.api.tasks.active();
    let mut alerts = Vec::new();
    let mut drives = Vec::new();
    for drive in catalog.drives()? {
        let slots = drive.library.map(|library| catalog.slots_of(library)).transpose()?.unwrap_or_default();
        let slot = slots.into_iter().find(|slot| slot.drive == Some(drive.id));
        let volume = slot.as_ref().and_then(|slot| slot.volume);
        let label = volumes.iter().find(|row| Some(row.id) == volume).map(|row| row.label.clone());
        let is_held = call.api.tasks.holder(drive.id).is_some();
        drives.push(DriveNow {
            id: drive.id.0,
            display_name: if drive.display_name.is_empty() { drive.model } else { drive.display_name },
            device_path: drive.device,
            ready: drive.enabled && !is_held && slot.as_ref().is_some_and(|slot| slot.full),
            online: drive.enabled,
            current_tape: label.or(slot.and_then(|slot| slot.barcode)),
            is_virtual: drive.is_virtual,
        });
    }
    if drives.iter().any(|drive| drive.is_virtual) {
        let message = "A virtual library is in use: its tapes are files on this machine".into();
        alerts.push(Alert { level: "info", message });
    }
    for task in &active {
        if task.state == TaskState::WaitingForOperator {
            let what = task.waiting_for.as_deref().unwrap_or("an operator");
            alerts.push(Alert { level: "warning", message: format!("{} waits for {what}", task.title) });
        }
    }
    for volume in &volumes {
        let percent = (u128::from(volume.used) * 100).checked_div(u128::from(volume.capacity)).unwrap_or(0);
        if volume.status == VolumeStatus::Active && percent >= u128::from(NEARLY_FULL) {
            let message = format!("Tape {} is {percent}% full", volume.label);
            alerts.push(Alert { level: "warning", message });
        }
    }
    if let Some(copy) = catalog.database_copies()?.first()
        && copy.status == CopyStatus::Failed
    {
        let why = copy.error.as_deref().unwrap_or("no reason was told");
        let message = format!("The last copy of the catalog to tape failed: {why}");
        alerts.push(Alert { level: "error", message });
    }
    let over = TaskFilter {
        states: vec![TaskState::Completed, TaskState::Failed, TaskState::Cancelled],
        limit: RECENT,
        ..TaskFilter::default()
    };
    let jobs = catalog.jobs()?;
    let recent: Vec<Activity> = call
        .api
        .tasks
        .list(&over)?
        .into_iter()
        .map(|task| Activity {
            job_name: jobs
                .iter()
                .find(|job| Some(job.id.0) == task.job)
                .map_or(task.title, |job| job.name.clone()),
            kind: task.kind,
            status: task.state.as_str(),
            timestamp: time(task.finished.unwrap_or(task.updated)),
            task_id: task.id.0,
        })
        .collect();
    for failed in recent.iter().take(3).filter(|task| task.status == "failed") {
        alerts.push(Alert {
            level: "error",
            message: format!("{} failed at {}", failed.job_name, failed.timestamp),
        });
    }
    Ok(Json(Dashboard {
        drives,
        stats: Stats {
            total_tapes: volumes.len(),
            active_tapes: volumes.iter().filter(|volume| volume.status == VolumeStatus::Active).count(),
            total_backup_sets: catalog.sets()?.len(),
            total_bytes_written: volumes.iter().map(|volume| volume.used).sum(),
            active_jobs: active.len(),
        },
        recent_activity: recent,
        alerts,
    }))
}
