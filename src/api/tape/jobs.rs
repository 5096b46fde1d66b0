//! Backup jobs and their runs.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::drives::named;
use crate::access::Resource;
use crate::api::call::{Call, Created, Json, Made};
use crate::api::endpoint::{Endpoint, delete, get, post, put};
use crate::api::error::{ApiError, Code};
use crate::api::work::{now, time};
use crate::catalog::{
    BackupType, Job, JobId, KeyId, NewJob, PoolId, SourceId, TaskFilter, TaskRow, TaskState, VolumeId,
};
use crate::engine::recommend_tape;
use crate::tasks::{BackupWork, NewTask, Schedule, Work};

/// A call that starts a run waits so long for its backup set.
const UNTIL_SET: Duration = Duration::from_secs(10);

pub(super) fn endpoints() -> Vec<Endpoint> {
    const J: Resource = Resource::Jobs;
    let one = |draft: crate::api::endpoint::Draft| draft.needs(J).error(Code::Conflict);
    vec![
        get("/api/v1/jobs", "jobs.list", "List jobs").needs(J).answers(list),
        post("/api/v1/jobs", "jobs.create", "Create a job").needs(J).error(Code::Conflict).takes(create),
        get("/api/v1/jobs/active", "jobs.active", "Runs that are queued, running, paused or waiting")
            .needs(J)
            .answers(active),
        get("/api/v1/jobs/resumable", "jobs.resumable", "Runs that are paused, or failed and can be resumed")
            .needs(J)
            .answers(resumable),
        get("/api/v1/jobs/{id}", "jobs.get", "One job").needs(J).answers(read),
        put("/api/v1/jobs/{id}", "jobs.update", "Change a job").needs(J).error(Code::Conflict).takes(update),
        one(delete("/api/v1/jobs/{id}", "jobs.delete", "Delete a job; its backup sets stay")).answers(remove),
        one(post("/api/v1/jobs/{id}/run", "jobs.run", "Run a job now")).long().takes(run),
        one(post("/api/v1/jobs/{id}/cancel", "jobs.cancel", "Cancel the run of a job")).answers(cancel),
        one(post("/api/v1/jobs/{id}/pause", "jobs.pause", "Pause the run of a job at its next checkpoint"))
            .answers(pause),
        one(post("/api/v1/jobs/{id}/resume", "jobs.resume", "Let a paused run go on")).answers(resume),
        one(post("/api/v1/jobs/{id}/retry", "jobs.retry", "Run a failed, cancelled or paused run again"))
            .long()
            .takes(retry),
        get("/api/v1/jobs/{id}/recommend-tape", "jobs.recommend_tape", "Which tape the next run would take")
            .needs(J)
            .answers(recommend),
    ]
}

/// A job.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Job")]
struct JobBody {
    id: i64,
    name: String,
    source_id: i64,
    source_name: String,
    pool_id: i64,
    pool_name: String,
    /// `full`, `incremental` or `differential`.
    backup_type: &'static str,
    /// Cron expression of five or six fields; empty: run by hand only.
    schedule: String,
    /// Zone of the schedule; the machine's when null.
    time_zone: Option<String>,
    enabled: bool,
    /// `none` or `zstd`.
    compression: String,
    encryption_key_id: Option<i64>,
    /// How often a failed run is tried again.
    retries: u32,
    last_run_at: Option<String>,
    next_run_at: Option<String>,
    created_at: String,
    updated_at: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct JobList {
    jobs: Vec<JobBody>,
}

fn body(call: &Call, job: Job) -> Result<JobBody, ApiError> {
    let next = call.api.tasks.next_run(&job, now());
    Ok(JobBody {
        id: job.id.0,
        source_name: call.api.catalog.source(job.source)?.name,
        pool_name: call.api.catalog.pool(job.pool)?.name,
        name: job.name,
        source_id: job.source.0,
        pool_id: job.pool.0,
        backup_type: job.backup_type.as_str(),
        schedule: job.schedule.unwrap_or_default(),
        time_zone: job.time_zone,
        enabled: job.enabled,
        compression: job.compression,
        encryption_key_id: job.encryption_key.map(|key| key.0),
        retries: job.retries,
        last_run_at: job.last_run.map(time),
        next_run_at: next.map(time),
        created_at: time(job.created),
        updated_at: time(job.updated),
    })
}

fn job(call: &Call) -> Result<Job, ApiError> {
    Ok(call.api.catalog.job(JobId(call.id("id")?))?)
}

fn list(call: &Call) -> Result<Json<JobList>, ApiError> {
    let jobs = call.api.catalog.jobs()?;
    Ok(Json(JobList { jobs: jobs.into_iter().map(|job| body(call, job)).collect::<Result<_, _>>()? }))
}

fn read(call: &Call) -> Result<Json<JobBody>, ApiError> {
    Ok(Json(body(call, job(call)?)?))
}

/// A job to create.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewJobBody {
    #[schemars(length(min = 1, max = 255))]
    name: String,
    source_id: i64,
    pool_id: i64,
    /// `full` (default), `incremental` or `differential`.
    backup_type: Option<String>,
    /// Cron expression of five or six fields; run by hand only when not given or empty.
    schedule: Option<String>,
    /// Zone of the schedule, as `Europe/Berlin`; the machine's when not given.
    time_zone: Option<String>,
    enabled: Option<bool>,
    /// `none` (default) or `zstd`.
    compression: Option<String>,
    encryption_key_id: Option<i64>,
    /// How often a failed run is tried again, at most 10.
    retries: Option<u32>,
}

/// What may be changed about a job; what is left out stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct JobChange {
    #[schemars(length(min = 1, max = 255))]
    name: Option<String>,
    source_id: Option<i64>,
    pool_id: Option<i64>,
    backup_type: Option<String>,
    /// Empty: run by hand only.
    schedule: Option<String>,
    /// Empty: the machine's.
    time_zone: Option<String>,
    enabled: Option<bool>,
    compression: Option<String>,
    /// 0: not encrypted.
    encryption_key_id: Option<i64>,
    retries: Option<u32>,
}

fn backup_type(text: &str) -> Result<BackupType, ApiError> {
    BackupType::parse(text).ok_or_else(|| {
        ApiError::field("backup_type", format!("{text:?}: say full, incremental or differential"))
    })
}

fn compression(text: &str) -> Result<String, ApiError> {
    match text {
        "none" | "zstd" => Ok(text.to_owned()),
        other => Err(ApiError::field("compression", format!("{other:?}: say none or zstd"))),
    }
}

fn retries(count: u32) -> Result<u32, ApiError> {
    match count {
        0..=10 => Ok(count),
        _ => Err(ApiError::field("retries", "at most 10")),
    }
}

/// A schedule and its zone, as they are kept.
fn schedule(
    text: Option<String>,
    zone: Option<String>,
) -> Result<(Option<String>, Option<String>), ApiError> {
    let given =
        |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let (text, zone) = (given(text), given(zone));
    if let Some(zone) = &zone {
        Schedule::parse("0 0 * * *", Some(zone)).map_err(|error| ApiError::field("time_zone", error))?;
    }
    if let Some(text) = &text {
        Schedule::parse(text, zone.as_deref()).map_err(|error| ApiError::field("schedule", error))?;
    }
    Ok((text, zone))
}

/// What a job points at is there, or the field that points is named.
fn check_references(call: &Call, source: SourceId, pool: PoolId, key: Option<KeyId>) -> Result<(), ApiError> {
    let missing = |field: &str, id: i64| ApiError::field(field, format!("there is none with ID {id}"));
    call.api.catalog.source(source).map_err(|_| missing("source_id", source.0))?;
    call.api.catalog.pool(pool).map_err(|_| missing("pool_id", pool.0))?;
    if let Some(key) = key {
        call.api.catalog.key(key).map_err(|_| missing("encryption_key_id", key.0))?;
    }
    Ok(())
}

fn create(call: &Call, new: NewJobBody) -> Result<Made<Created<JobBody>>, ApiError> {
    named("name", &new.name)?;
    let (schedule, time_zone) = schedule(new.schedule, new.time_zone)?;
    let key = new.encryption_key_id.filter(|key| *key != 0).map(KeyId);
    check_references(call, SourceId(new.source_id), PoolId(new.pool_id), key)?;
    let id = call.api.catalog.add_job(&NewJob {
        name: new.name,
        source: SourceId(new.source_id),
        pool: PoolId(new.pool_id),
        backup_type: backup_type(new.backup_type.as_deref().unwrap_or("full"))?,
        schedule,
        time_zone,
        enabled: new.enabled.unwrap_or(true),
        compression: compression(new.compression.as_deref().unwrap_or("none"))?,
        encryption_key: key,
        retries: retries(new.retries.unwrap_or(0))?,
        created: now(),
    })?;
    Ok(Made(id.0, Created(body(call, call.api.catalog.job(id)?)?)))
}

fn update(call: &Call, change: JobChange) -> Result<Json<JobBody>, ApiError> {
    let mut job = job(call)?;
    if let Some(name) = change.name {
        named("name", &name)?;
        job.name = name;
    }
    job.source = change.source_id.map_or(job.source, SourceId);
    job.pool = change.pool_id.map_or(job.pool, PoolId);
    if let Some(key) = change.encryption_key_id {
        job.encryption_key = Some(KeyId(key)).filter(|key| key.0 != 0);
    }
    check_references(call, job.source, job.pool, job.encryption_key)?;
    if let Some(text) = change.backup_type {
        job.backup_type = backup_type(&text)?;
    }
    let text = change.schedule.or(job.schedule.take());
    (job.schedule, job.time_zone) = schedule(text, change.time_zone.or(job.time_zone.take()))?;
    job.enabled = change.enabled.unwrap_or(job.enabled);
    if let Some(text) = change.compression {
        job.compression = compression(&text)?;
    }
    job.retries = retries(change.retries.unwrap_or(job.retries))?;
    job.updated = now();
    call.api.catalog.update_job(&job)?;
    read(call)
}

#[derive(Debug, Serialize, JsonSchema)]
struct Removed {
    status: &'static str,
}

fn remove(call: &Call) -> Result<Json<Removed>, ApiError> {
    let job = job(call)?;
    if let Some(task) = call.api.tasks.active_of_job(job.id.0) {
        return Err(ApiError::conflict(format!(
            "job {} is {} as task {}; cancel that first",
            job.name,
            task.state.as_str(),
            task.id
        )));
    }
    call.api.catalog.remove_job(job.id)?;
    Ok(Json(Removed { status: "deleted" }))
}

/// One run of a job.
#[derive(Debug, Serialize, JsonSchema)]
struct Execution {
    /// Number of the task.
    id: i64,
    job_id: i64,
    job_name: String,
    /// `queued`, `running`, `paused`, `waiting_for_operator`, `failed` or `cancelled`.
    status: &'static str,
    backup_set_id: Option<i64>,
    files_processed: u64,
    bytes_processed: u64,
    /// Why it failed; empty where it did not.
    error_message: String,
    /// What it waits for.
    waiting_for: Option<String>,
    /// It can go on where it ended.
    can_resume: bool,
    created_at: String,
    updated_at: String,
}

fn execution(call: &Call, row: TaskRow, can_resume: bool) -> Result<Option<Execution>, ApiError> {
    let Some(id) = row.job else { return Ok(None) };
    let Ok(job) = call.api.catalog.job(JobId(id)) else { return Ok(None) };
    let stored = row.set.and_then(|set| call.api.catalog.set(set).ok());
    let counted = |name: &str| {
        row.progress.as_ref().and_then(|progress| progress.get(name)?.as_u64()).unwrap_or_default()
    };
    // While it runs its counters are ahead of the set, after a resumption they are behind it.
    let (files, bytes) = stored.map_or((0, 0), |set| (set.members, set.bytes));
    Ok(Some(Execution {
        id: row.id.0,
        job_id: id,
        job_name: job.name,
        status: row.state.as_str(),
        backup_set_id: row.set.map(|set| set.0),
        files_processed: files.max(counted("files")),
        bytes_processed: bytes.max(counted("bytes")),
        error_message: row.error.unwrap_or_default(),
        waiting_for: row.waiting_for,
        can_resume,
        created_at: time(row.created),
        updated_at: time(row.updated),
    }))
}

fn active(call: &Call) -> Result<Json<Vec<Execution>>, ApiError> {
    let mut found = Vec::new();
    for row in call.api.tasks.active().into_iter().filter(|row| row.job.is_some()) {
        let row = call.api.tasks.get(row.id)?;
        let can_resume = row.state == TaskState::Paused;
        found.extend(execution(call, row, can_resume)?);
    }
    Ok(Json(found))
}

fn resumable(call: &Call) -> Result<Json<Vec<Execution>>, ApiError> {
    let mut found = Vec::new();
    for (row, can_resume) in call.api.tasks.resumable()? {
        found.extend(execution(call, row, can_resume)?);
    }
    Ok(Json(found))
}

/// How to run.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RunBody {
    /// Instead of what the job says.
    backup_type: Option<String>,
}

/// A run that has begun.
#[derive(Debug, Serialize, JsonSchema)]
struct Run {
    /// Null while the run waits for a drive, a tape or a person.
    backup_set_id: Option<i64>,
    /// Number of the task.
    task_id: i64,
    /// `running`, `queued`, `waiting_for_operator`; `completed` where it was that quick.
    status: &'static str,
    message: String,
}

/// Waits until the run has its set, or waits itself; a run that failed at once is an error.
fn begun(call: &Call, row: TaskRow) -> Result<TaskRow, ApiError> {
    let settled = |row: &TaskRow| match row.state {
        TaskState::Queued => row.waiting_for.is_some(),
        TaskState::Running => row.set.is_some(),
        _ => true,
    };
    let row = call.api.tasks.wait_for(row.id, UNTIL_SET, settled).unwrap_or(row);
    if row.state == TaskState::Failed {
        return Err(ApiError::conflict(row.error.unwrap_or_else(|| "the run failed at once".into())));
    }
    Ok(row)
}

fn message(what: &str, row: &TaskRow) -> String {
    match (&row.waiting_for, row.state) {
        (Some(waits), TaskState::WaitingForOperator) => format!("{what}. {waits}"),
        (Some(waits), _) => format!("{what}; it waits for {waits}"),
        (None, _) => what.to_owned(),
    }
}

fn run(call: &Call, how: RunBody) -> Result<Json<Run>, ApiError> {
    let job = job(call)?;
    let backup_type = how.backup_type.as_deref().map(backup_type).transpose()?;
    let work = Work::Backup(BackupWork {
        job: Some(job.id.0),
        backup_type: backup_type.map(|kind| kind.as_str().to_owned()),
        ..BackupWork::default()
    });
    let submitted = call.api.tasks.submit(NewTask::new(work, call.who()))?;
    let row = call.api.tasks.get(submitted.id)?;
    if submitted.duplicate {
        let state = row.state.as_str();
        return Err(ApiError::conflict(format!("job {} is {state} already, as task {}", job.name, row.id)));
    }
    let row = begun(call, row)?;
    Ok(Json(Run {
        backup_set_id: row.set.map(|set| set.0),
        task_id: row.id.0,
        status: row.state.as_str(),
        message: message("Backup job started", &row),
    }))
}

/// What became of a run.
#[derive(Debug, Serialize, JsonSchema)]
struct Changed {
    /// State of the run; `cancelling` and `pausing` until its next safe point.
    status: &'static str,
    /// Number of the task.
    task_id: i64,
    message: String,
}

/// The run of the job that is not over.
fn live(call: &Call, what: &str) -> Result<TaskRow, ApiError> {
    let job = job(call)?;
    let row = call.api.tasks.active_of_job(job.id.0);
    row.ok_or_else(|| ApiError::conflict(format!("job {} has no run that could be {what}", job.name)))
}

fn changed(row: &TaskRow, until: &'static str, message: &str) -> Json<Changed> {
    let status = if row.state == TaskState::Running { until } else { row.state.as_str() };
    Json(Changed { status, task_id: row.id.0, message: message.to_owned() })
}

fn cancel(call: &Call) -> Result<Json<Changed>, ApiError> {
    let row = call.api.tasks.cancel(live(call, "cancelled")?.id)?;
    let row = call.api.tasks.wait(row.id, UNTIL_SET).unwrap_or(row);
    Ok(changed(&row, "cancelling", "Backup job cancelled; what it stored stays readable"))
}

fn pause(call: &Call) -> Result<Json<Changed>, ApiError> {
    let row = call.api.tasks.pause(live(call, "paused")?.id)?;
    let settled = |row: &TaskRow| row.state == TaskState::Paused;
    let row = call.api.tasks.wait_for(row.id, UNTIL_SET, settled).unwrap_or(row);
    Ok(changed(&row, "pausing", "Backup job paused"))
}

fn resume(call: &Call) -> Result<Json<Changed>, ApiError> {
    let row = call.api.tasks.resume(live(call, "resumed")?.id)?;
    let row = begun(call, row)?;
    Ok(changed(&row, "running", &message("Backup job resumed", &row)))
}

/// How to run again.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RetryBody {
    /// Write to this tape only; 0: any of the pool.
    tape_id: Option<i64>,
    /// Any tape of the pool, whatever `tape_id` says.
    use_pool: Option<bool>,
    /// A new backup set, instead of going on with the one that was begun.
    from_scratch: Option<bool>,
}

/// A run that was begun again.
#[derive(Debug, Serialize, JsonSchema)]
struct Retried {
    backup_set_id: Option<i64>,
    task_id: i64,
    status: &'static str,
    message: String,
    /// The tape in work, or the one asked for; null where none is known yet.
    tape_label: Option<String>,
    /// It goes on where it ended.
    resume: bool,
}

fn retry(call: &Call, how: RetryBody) -> Result<Json<Retried>, ApiError> {
    let job = job(call)?;
    let tape = how.tape_id.filter(|id| *id != 0 && !how.use_pool.unwrap_or(false));
    let label = match tape {
        Some(id) => {
            let volume = call.api.catalog.volume(VolumeId(id));
            Some(volume.map_err(|_| ApiError::field("tape_id", format!("there is no tape {id}")))?.label)
        }
        None => None,
    };
    let last = TaskFilter { job: Some(job.id.0), limit: 1, ..TaskFilter::default() };
    let Some(last) = call.api.tasks.list(&last)?.into_iter().next() else {
        return Err(ApiError::conflict(format!("job {} was never run", job.name)));
    };
    let (row, resume) = call.api.tasks.retry(last.id, how.from_scratch.unwrap_or(false), label.clone())?;
    let row = begun(call, row)?;
    Ok(Json(Retried {
        backup_set_id: row.set.map(|set| set.0),
        task_id: row.id.0,
        status: row.state.as_str(),
        message: message("Backup job retried", &row),
        tape_label: row.volume.or(label),
        resume,
    }))
}

/// The tape for the next run.
#[derive(Debug, Serialize, JsonSchema)]
struct Recommended {
    /// Null where none will do.
    tape_id: Option<i64>,
    tape_label: Option<String>,
    reason: String,
}

fn recommend(call: &Call) -> Result<Json<Recommended>, ApiError> {
    let pool = call.api.catalog.pool(job(call)?.pool)?.name;
    let found = recommend_tape(&call.api.catalog, &pool, call.api.tasks.appliance().volumes_in_use())?;
    Ok(Json(match found {
        Some(tape) => Recommended {
            tape_id: Some(tape.volume.id.0),
            tape_label: Some(tape.volume.label),
            reason: tape.reason,
        },
        None => Recommended {
            tape_id: None,
            tape_label: None,
            reason: format!("No tape of pool {pool} is within reach and has room"),
        },
    }))
}
