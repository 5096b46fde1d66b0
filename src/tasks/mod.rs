//! Long work: the queue and its workers, schedules, events.

mod error;
mod events;
mod execute;
mod leases;
mod live;
mod operator;
mod path_text;
mod queue;
mod restart;
mod runner;
mod schedule;
mod scheduler;
mod work;

pub use error::TasksError;
pub use events::{
    Callback, Event, Events, KEPT, PROGRESS, Publish, QUEUE, Received, Subscribed, Subscription,
};
pub use live::{Answer, ProgressView};
pub use operator::Prompt;
pub use queue::{Identities, NewTask, Submitted, Tasks, TasksOptions};
pub use schedule::{Missed, Schedule, ScheduleError, is_due, parse_schedule};
pub use scheduler::SCHEDULE;
pub use work::{
    AfterDeath, BackupWork, BatchLabelWork, FormatWork, LabelWork, LibraryStep, LibraryWork, OverwriteRule,
    OwnersRule, RestoreWork, SelectionWork, VerifyWork, Work,
};

/// Nanoseconds since the epoch, now.
fn now() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

/// An error with its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    crate::engine::chain(error)
}
