//! Tasks: long work, whoever asked for it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::access::{Level, Resource};
use crate::api::call::{Call, Json};
use crate::api::endpoint::{Endpoint, get, post};
use crate::api::error::{ApiError, Code};
use crate::api::work::time;
use crate::catalog::{TaskFilter, TaskId, TaskRow, TaskState};
use crate::tasks::{Answer, NewTask, Work};

/// Longest time that a call waits.
const LONGEST_WAIT: u64 = 50;

pub(super) fn endpoints() -> Vec<Endpoint> {
    const T: Resource = Resource::Tasks;
    let change = |draft: crate::api::endpoint::Draft| draft.needs(T).error(Code::Conflict);
    vec![
        get("/api/v1/tasks", "tasks.list", "List tasks, the newest first").needs(T).asks(list),
        post("/api/v1/tasks", "tasks.submit", "Queue any work, as a command of the command line does")
            .needs_level(T, Level::Administer)
            .error(Code::Conflict)
            .takes(submit),
        get("/api/v1/tasks/{id}", "tasks.get", "One task").needs(T).answers(one),
        get("/api/v1/tasks/{id}/wait", "tasks.wait", "One task, when it is over or waits for a person")
            .needs(T)
            .asks(wait),
        change(post("/api/v1/tasks/{id}/cancel", "tasks.cancel", "End a task at its next safe point"))
            .answers(cancel),
        change(post("/api/v1/tasks/{id}/pause", "tasks.pause", "Hold a task")).answers(pause),
        change(post("/api/v1/tasks/{id}/resume", "tasks.resume", "Let a held task go on")).answers(resume),
        change(post("/api/v1/tasks/{id}/answer", "tasks.answer", "Answer what a task asks of a person"))
            .takes(answer),
    ]
}

/// A task.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Task")]
struct TaskBody {
    id: i64,
    /// `backup`, `restore`, `verify`, `label_tape`, ...
    kind: String,
    /// For people.
    title: String,
    /// `queued`, `running`, `paused`, `waiting_for_operator`, `completed`, `failed` or `cancelled`.
    status: &'static str,
    /// Who asked for it.
    origin: String,
    /// Larger goes first.
    priority: i32,
    /// How often it was begun, from 1.
    attempt: u32,
    job_id: Option<i64>,
    backup_set_id: Option<i64>,
    drive_id: Option<i64>,
    /// Label of the volume in work.
    volume: Option<String>,
    /// What it waits for, for people.
    waiting_for: Option<String>,
    /// What a person must do: `kind`, `message`, `volume`, `drive`, `why`.
    prompt: Option<Value>,
    /// Its counters: `phase`, `files`, `bytes`, `rate`, `eta_seconds`, `current`, `buffer_percent`, ...
    progress: Option<Value>,
    /// Its report.
    result: Option<Value>,
    /// Why it failed, or what is wrong although it is done.
    error: Option<String>,
    created_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    updated_at: String,
}

fn body(row: TaskRow) -> TaskBody {
    TaskBody {
        id: row.id.0,
        kind: row.kind,
        title: row.title,
        status: row.state.as_str(),
        origin: row.origin,
        priority: row.priority,
        attempt: row.attempt,
        job_id: row.job,
        backup_set_id: row.set.map(|set| set.0),
        drive_id: row.drive,
        volume: row.volume,
        waiting_for: row.waiting_for,
        prompt: row.prompt,
        progress: row.progress,
        result: row.result,
        error: row.error,
        created_at: time(row.created),
        started_at: row.started.map(time),
        finished_at: row.finished.map(time),
        updated_at: time(row.updated),
    }
}

/// Which tasks.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// With this status; several, separated by commas.
    status: Option<String>,
    /// Of this kind.
    kind: Option<String>,
    /// Of this job.
    job_id: Option<i64>,
    /// At most this many, 100 unless told otherwise, 1000 at most.
    limit: Option<u32>,
    /// Leave out so many.
    offset: Option<u32>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct TaskList {
    tasks: Vec<TaskBody>,
    /// How many there are.
    total: u64,
}

fn list(call: &Call, query: ListQuery) -> Result<Json<TaskList>, ApiError> {
    let status = |name: &str| {
        TaskState::parse(name.trim())
            .ok_or_else(|| ApiError::field("status", format!("{name:?} is no status")))
    };
    let states = match &query.status {
        Some(names) => names.split(',').map(status).collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    let filter = TaskFilter {
        states,
        kind: query.kind,
        job: query.job_id,
        limit: query.limit.unwrap_or(100).clamp(1, 1000),
        offset: query.offset.unwrap_or(0),
    };
    let total = call.api.catalog.count_tasks(&filter)?;
    let tasks = call.api.tasks.list(&filter)?.into_iter().map(body).collect();
    Ok(Json(TaskList { tasks, total }))
}

/// Work to queue.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SubmitBody {
    /// `kind` (`backup`, `restore`, `verify`, `label_tape`, `library`, `rebuild`, ...) and what belongs to it. A path is text
    /// or, where it is no UTF-8, a list of its bytes.
    work: serde_json::Map<String, Value>,
    /// age identities for this task alone. They are held in memory until it ends, and lost when the daemon ends before.
    #[serde(default)]
    identities: Vec<SecretText>,
}

/// Text that is wiped when it is not needed any more.
#[derive(Deserialize, JsonSchema)]
#[serde(from = "String")]
#[schemars(with = "String")]
struct SecretText(zeroize::Zeroizing<String>);

impl From<String> for SecretText {
    fn from(text: String) -> SecretText {
        SecretText(text.into())
    }
}

/// A task that was queued.
#[derive(Debug, Serialize, JsonSchema)]
struct SubmittedBody {
    task: TaskBody,
    /// It was there already: the same work is not queued twice.
    duplicate: bool,
}

fn submit(call: &Call, asked: SubmitBody) -> Result<Json<SubmittedBody>, ApiError> {
    let work: Work = serde_json::from_value(Value::Object(asked.work))
        .map_err(|error| ApiError::field("work", error.to_string()))?;
    let parse = |(number, text): (usize, &SecretText)| {
        text.0.parse().map_err(|error: crate::format::age::AgeError| {
            ApiError::field(&format!("identities[{number}]"), error.to_string())
        })
    };
    let keys = asked.identities.iter().enumerate().map(parse).collect::<Result<_, _>>()?;
    // Somebody waits for it: before backups that nobody looks at.
    let submitted =
        call.api.tasks.submit(NewTask { priority: 10, keys, ..NewTask::new(work, call.who()) })?;
    let task = body(call.api.tasks.get(submitted.id)?);
    Ok(Json(SubmittedBody { task, duplicate: submitted.duplicate }))
}

fn id(call: &Call) -> Result<TaskId, ApiError> {
    let id = TaskId(call.id("id")?);
    match call.api.catalog.task(id)? {
        Some(_) => Ok(id),
        None => Err(ApiError::missing("task", id)),
    }
}

fn one(call: &Call) -> Result<Json<TaskBody>, ApiError> {
    Ok(Json(body(call.api.tasks.get(id(call)?)?)))
}

/// How long.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WaitQuery {
    /// Seconds, 50 at most.
    timeout: Option<u64>,
}

fn wait(call: &Call, query: WaitQuery) -> Result<Json<TaskBody>, ApiError> {
    let id = id(call)?;
    let limit = Duration::from_secs(query.timeout.unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT));
    let asks = |row: &TaskRow| row.state == TaskState::WaitingForOperator;
    let row = call.api.tasks.wait_for(id, limit, asks);
    Ok(Json(body(row.ok_or_else(|| ApiError::missing("task", id))?)))
}

fn cancel(call: &Call) -> Result<Json<TaskBody>, ApiError> {
    Ok(Json(body(call.api.tasks.cancel(id(call)?)?)))
}

fn pause(call: &Call) -> Result<Json<TaskBody>, ApiError> {
    Ok(Json(body(call.api.tasks.pause(id(call)?)?)))
}

fn resume(call: &Call) -> Result<Json<TaskBody>, ApiError> {
    Ok(Json(body(call.api.tasks.resume(id(call)?)?)))
}

/// What a person says.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AnswerBody {
    /// `done`: it is in the drive, or labelled: look again. `give_up`: it cannot be had.
    answer: String,
}

fn answer(call: &Call, said: AnswerBody) -> Result<Json<TaskBody>, ApiError> {
    let answer = match said.answer.as_str() {
        "done" => Answer::Done,
        "give_up" => Answer::GiveUp,
        other => return Err(ApiError::field("answer", format!("{other:?}: say done or give_up"))),
    };
    Ok(Json(body(call.api.tasks.answer(id(call)?, answer)?)))
}
