//! Many tapes at once: labelled one after the other, or changed together.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fields::{name, pool};
use super::tapes::{free, status};
use crate::access::Resource;
use crate::api::call::{Call, Json, Status};
use crate::api::endpoint::{Endpoint, get, post};
use crate::api::error::{ApiError, Code};
use crate::api::work::now;
use crate::catalog::{DriveId, TaskFilter, TaskRow, TaskState, VolumeEdit, VolumeId};
use crate::tasks::{BatchLabelWork, NewTask, Work};

pub(super) fn endpoints() -> Vec<Endpoint> {
    const T: Resource = Resource::Tapes;
    vec![
        post("/api/v1/tapes/batch-label", "tapes.batch_label", "Label tapes one after the other")
            .needs(T)
            .long()
            .error(Code::Conflict)
            .takes(label),
        get("/api/v1/tapes/batch-label/status", "tapes.batch_label_status", "How far the labelling is")
            .needs(T)
            .answers(progress),
        post("/api/v1/tapes/batch-label/cancel", "tapes.batch_label_cancel", "End the labelling")
            .needs(T)
            .error(Code::Conflict)
            .answers(cancel),
        post("/api/v1/tapes/batch-update", "tapes.batch_update", "Change status or pool of several tapes")
            .needs(T)
            .takes(update),
    ]
}

/// Which tapes to label.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BatchLabelBody {
    /// The drive; any when left out.
    drive_id: Option<i64>,
    /// What every name begins with.
    prefix: String,
    /// Number of the first name.
    start_number: u32,
    /// How many.
    #[schemars(range(min = 1, max = 1000))]
    count: u32,
    /// Digits of each number, with zeros before it; 3 unless given.
    #[schemars(range(min = 1, max = 9))]
    digits: Option<u32>,
    pool_id: Option<i64>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct BatchStarted {
    /// `started`.
    status: &'static str,
    message: String,
    task_id: i64,
}

fn label(call: &Call, body: BatchLabelBody) -> Result<Json<BatchStarted>, ApiError> {
    if !(1..=1000).contains(&body.count) {
        return Err(ApiError::field("count", "must be from 1 to 1000"));
    }
    let digits = body.digits.unwrap_or(3);
    if !(1..=9).contains(&digits) {
        return Err(ApiError::field("digits", "must be from 1 to 9"));
    }
    let last = body.start_number.checked_add(body.count - 1);
    let last = last.ok_or_else(|| ApiError::field("start_number", "is too large"))?;
    if let Some(drive) = body.drive_id {
        call.api
            .catalog
            .drive(DriveId(drive))
            .map_err(|_| ApiError::field("drive_id", format!("no drive {drive}")))?;
    }
    let pool = body.pool_id.map(|id| pool(call, "pool_id", id)).transpose()?.map(|pool| pool.name);
    let labels: Vec<String> = (body.start_number..=last)
        .map(|number| format!("{}{number:0width$}", body.prefix, width = digits as usize))
        .collect();
    let (Some(first), Some(end)) = (labels.first().cloned(), labels.last().cloned()) else {
        return Err(ApiError::field("count", "must be from 1 to 1000"));
    };
    name("prefix", &end)?;
    if let Some(taken) = call.api.catalog.volumes()?.into_iter().find(|volume| labels.contains(&volume.label))
    {
        return Err(ApiError::conflict(format!(
            "tape {} exists already; begin with another number",
            taken.label
        )));
    }
    let work = BatchLabelWork { drive: body.drive_id, labels, pool, ..BatchLabelWork::default() };
    let submitted = call.api.tasks.submit(NewTask::new(Work::BatchLabel(work), call.who()))?;
    if submitted.duplicate {
        let message = format!("tapes are being labelled already, as task {}", submitted.id);
        return Err(ApiError::conflict(message));
    }
    Ok(Json(BatchStarted {
        status: "started",
        message: format!("Batch labelling started: {first} through {end}"),
        task_id: submitted.id.0,
    }))
}

/// How far the labelling is, or how the last one ended.
#[derive(Debug, Default, Serialize, JsonSchema)]
struct BatchStatus {
    running: bool,
    /// Names that are done with.
    progress: u64,
    total: u64,
    /// The name in work.
    current: String,
    message: String,
    /// Tapes labelled.
    completed: u64,
    /// Cartridges that could not be labelled.
    failed: u64,
    task_id: Option<i64>,
}

fn newest(call: &Call) -> Result<Option<TaskRow>, ApiError> {
    let filter = TaskFilter { kind: Some("batch_label".into()), limit: 1, ..TaskFilter::default() };
    Ok(call.api.tasks.list(&filter)?.into_iter().next())
}

fn progress(call: &Call) -> Result<Json<BatchStatus>, ApiError> {
    let Some(row) = newest(call)? else {
        return Ok(Json(BatchStatus {
            message: "No tapes were labelled yet".into(),
            ..BatchStatus::default()
        }));
    };
    let number = |name: &str| row.progress.as_ref().and_then(|seen| seen.get(name)?.as_u64()).unwrap_or(0);
    let counted = |name: &str| row.result.as_ref().and_then(|report| report.get(name)?.as_u64());
    let current = row.progress.as_ref().and_then(|seen| seen.get("current")?.as_str()).unwrap_or_default();
    let asked = row.work.get("labels").and_then(|labels| labels.as_array()).map_or(0, Vec::len);
    let entered = row.work.get("volumes").and_then(|volumes| volumes.as_array()).map_or(0, Vec::len);
    let total = number("total_files").max(asked.max(entered) as u64);
    let done = number("files");
    let message = match row.state {
        TaskState::Completed => "Done".to_owned(),
        TaskState::Cancelled => "Cancelled".to_owned(),
        TaskState::Failed => row.error.clone().unwrap_or_else(|| "Failed".into()),
        _ => match (&row.waiting_for, current) {
            (Some(what), _) => format!("Waiting for {what}"),
            (None, "") => "Waiting to begin".to_owned(),
            (None, current) => format!("Labelling tape {current}..."),
        },
    };
    Ok(Json(BatchStatus {
        running: !row.state.is_over(),
        progress: done,
        total,
        current: current.to_owned(),
        message,
        completed: counted("completed").unwrap_or(done),
        failed: counted("failed").unwrap_or(0),
        task_id: Some(row.id.0),
    }))
}

fn cancel(call: &Call) -> Result<Json<Status>, ApiError> {
    match newest(call)?.filter(|row| !row.state.is_over()) {
        Some(row) => {
            call.api.tasks.cancel(row.id)?;
            Ok(Status::ok("cancelled"))
        }
        None => Err(ApiError::conflict("no tapes are being labelled")),
    }
}

/// What to change, and of which tapes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BatchUpdateBody {
    #[schemars(length(min = 1, max = 1000))]
    tape_ids: Vec<i64>,
    /// As far as the life of each tape allows.
    status: Option<String>,
    pool_id: Option<i64>,
}

/// Why a tape stayed as it was.
#[derive(Debug, Serialize, JsonSchema)]
struct Skipped {
    tape_id: i64,
    reason: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct BatchUpdated {
    updated: usize,
    skipped: usize,
    /// One for each that was skipped.
    reasons: Vec<Skipped>,
}

fn update(call: &Call, body: BatchUpdateBody) -> Result<Json<BatchUpdated>, ApiError> {
    if body.status.is_none() && body.pool_id.is_none() {
        return Err(ApiError::field("status", "give status, pool_id or both"));
    }
    if !(1..=1000).contains(&body.tape_ids.len()) {
        return Err(ApiError::field("tape_ids", "name 1 to 1000 tapes"));
    }
    let edit = VolumeEdit {
        status: body.status.as_deref().map(status).transpose()?,
        pool: body.pool_id.map(|id| pool(call, "pool_id", id)).transpose()?.map(|pool| Some(pool.name)),
        ..VolumeEdit::default()
    };
    let (mut updated, mut reasons) = (0, Vec::new());
    for &tape_id in &body.tape_ids {
        let id = VolumeId(tape_id);
        let free = call.api.catalog.volume(id).map_err(ApiError::from).and_then(|volume| free(call, &volume));
        let changed = free.and_then(|()| Ok(call.api.catalog.edit_volume(id, &edit, now())?));
        match changed {
            Ok(()) => updated += 1,
            Err(error) if error.code == Code::InternalError => return Err(error),
            Err(error) => reasons.push(Skipped { tape_id, reason: error.message }),
        }
    }
    Ok(Json(BatchUpdated { updated, skipped: reasons.len(), reasons }))
}
