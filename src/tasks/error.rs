//! What the queue refuses.

use crate::catalog::{CatalogError, TaskId, TaskState};
use crate::engine::EngineError;

/// Why the queue did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum TasksError {
    /// No task has this id.
    #[error("no task {0}")]
    NoSuchTask(TaskId),
    /// The task is in a state that does not allow it.
    #[error("task {task} is {}: it cannot be {what}", state.as_str())]
    State {
        /// The task.
        task: TaskId,
        /// Its state.
        state: TaskState,
        /// `paused`, `resumed`, ...
        what: &'static str,
    },
    /// The drive is at work.
    #[error("drive {drive} is busy: {by}")]
    Busy {
        /// Name of the drive.
        drive: String,
        /// Who has it.
        by: String,
    },
    /// No such drive, or it is disabled.
    #[error("drive {0} is not known, or not enabled")]
    NoSuchDrive(i64),
    /// What was asked for cannot be done.
    #[error("{0}")]
    Request(String),
    /// The daemon is ending.
    #[error("the daemon is ending: nothing new is begun")]
    Stopping,
    /// The catalog failed.
    #[error("the catalog failed")]
    Catalog(#[from] CatalogError),
    /// The engine refused.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The system gave no thread.
    #[error("a thread could not be started")]
    Thread(#[source] std::io::Error),
}
