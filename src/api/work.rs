//! Work that a call starts and waits for.

use std::time::Duration;

use super::call::Call;
use super::error::{ApiError, Code};
use crate::catalog::{TaskId, TaskRow, TaskState};
use crate::tasks::{NewTask, Work};

/// A call waits so long for its task; then it says that it goes on.
const PATIENCE: Duration = Duration::from_secs(50);

/// How work stands when the call answers.
pub(super) enum Ended {
    /// It is done; the engine's report.
    Done(TaskRow),
    /// It goes on as this task, or waits for somebody.
    GoesOn(TaskRow),
}

impl Ended {
    /// `done`, or what the task is doing, and the task's id.
    pub(super) fn status(&self, done: &str) -> (String, TaskId) {
        match self {
            Ended::Done(row) => (done.to_owned(), row.id),
            Ended::GoesOn(row) => (row.state.as_str().to_owned(), row.id),
        }
    }
}

/// Queues work on behalf of the caller and waits for its end.
///
/// # Errors
/// The queue refuses it; it failed or was cancelled.
pub(super) fn run(call: &Call, work: Work) -> Result<Ended, ApiError> {
    let submitted = call.api.tasks.submit(NewTask::new(work, call.who()))?;
    let waits = |row: &TaskRow| row.state.is_over() || row.state == TaskState::WaitingForOperator;
    let row = call.api.tasks.wait_for(submitted.id, PATIENCE, waits);
    let row = row.ok_or_else(|| ApiError::missing("task", submitted.id))?;
    match row.state {
        TaskState::Completed => Ok(Ended::Done(row)),
        TaskState::Failed | TaskState::Cancelled => {
            let why = row.error.clone().unwrap_or_else(|| format!("task {} was cancelled", row.id));
            Err(ApiError::new(Code::Conflict, why))
        }
        _ => Ok(Ended::GoesOn(row)),
    }
}

/// A time in nanoseconds since the epoch as RFC 3339, UTC, to the second.
pub(super) fn time(nanoseconds: i64) -> String {
    let second = nanoseconds.div_euclid(1_000_000_000);
    jiff::Timestamp::from_second(second).map_or_else(|_| String::new(), |time| time.to_string())
}

/// Nanoseconds since the epoch, now.
pub(super) fn now() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}
