//! What a person is asked, and waiting for it.

use std::sync::{Arc, Weak};

use serde::Serialize;

use super::events::Publish;
use super::live::{Answer, Control};
use super::queue::Shared;
use crate::catalog::{Severity, TaskId, TaskState};
use crate::engine::{Operator, OperatorRequest};

/// What a task waits for, as its row keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Prompt {
    /// `insert`, `insert_to_label`, `insert_cleaning` or `need_volume`.
    pub kind: &'static str,
    /// For people.
    pub message: String,
    /// Label of the volume.
    pub volume: Option<String>,
    /// The drive it goes into.
    pub drive: Option<String>,
    /// Why.
    pub why: String,
}

impl Prompt {
    pub(super) fn new(request: &OperatorRequest, title: &str) -> Prompt {
        match request {
            OperatorRequest::Insert { volume, drive } => Prompt {
                kind: "insert",
                message: format!("Please insert tape {volume} into {drive}."),
                volume: Some(volume.clone()),
                drive: Some(drive.clone()),
                why: title.to_owned(),
            },
            OperatorRequest::InsertToLabel { drive } => Prompt {
                kind: "insert_to_label",
                message: format!("Please insert the tape to be labelled into {drive}."),
                volume: None,
                drive: Some(drive.clone()),
                why: title.to_owned(),
            },
            OperatorRequest::InsertCleaning { drive, why } => Prompt {
                kind: "insert_cleaning",
                message: match why.is_empty() {
                    true => format!("Please insert a cleaning cartridge into {drive}."),
                    false => format!("Please put a cleaning cartridge into the library of {drive}: {why}."),
                },
                volume: None,
                drive: Some(drive.clone()),
                why: title.to_owned(),
            },
            OperatorRequest::NeedVolume { why } => Prompt {
                kind: "need_volume",
                message: format!(
                    "No volume can take more: {why}. Please label a tape, or bring one with room."
                ),
                volume: None,
                drive: None,
                why: why.clone(),
            },
        }
    }
}

/// Asks on behalf of one running task, which keeps its drive.
pub(super) struct TaskOperator {
    pub shared: Weak<Shared>,
    pub id: TaskId,
    pub control: Arc<Control>,
}

impl Operator for TaskOperator {
    fn ask(&self, request: &OperatorRequest, is_there: &mut dyn FnMut() -> bool) -> bool {
        let Some(shared) = self.shared.upgrade() else { return false };
        self.control.forget_answer();
        shared.asks(self.id, request);
        loop {
            let goes_on = match self.control.wait(shared.poll) {
                (_, Some(_)) | (Some(Answer::GiveUp), _) => false,
                (Some(Answer::Done), _) => true,
                (None, None) if is_there() => true,
                (None, None) => continue,
            };
            shared.asks_no_more(self.id);
            return goes_on;
        }
    }
}

impl Shared {
    /// A running task asks a person.
    pub(super) fn asks(&self, id: TaskId, request: &OperatorRequest) {
        let event = self.change(id, |live| {
            let prompt = Prompt::new(request, &live.row.title);
            live.row.state = TaskState::WaitingForOperator;
            live.row.waiting_for = Some(prompt.message.clone());
            live.row.prompt = serde_json::to_value(&prompt).ok();
            waiting(live, &prompt)
        });
        if let Some(event) = event {
            self.events.publish(event);
        }
    }

    fn asks_no_more(&self, id: TaskId) {
        self.change(id, |live| {
            live.row.state = TaskState::Running;
            live.row.waiting_for = None;
            live.row.prompt = None;
        });
    }
}

/// The event of a task that waits for a person.
pub(super) fn waiting(live: &super::live::Live, prompt: &Prompt) -> Publish {
    Publish::new("task.waiting", Severity::Warning, format!("{}: {}", live.row.title, prompt.message))
        .task(live.row.id)
        .job(live.row.job)
        .drive(live.row.drive)
        .data(serde_json::json!({ "task_id": live.row.id.0, "prompt": prompt }))
}
