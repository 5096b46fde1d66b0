//! Following a task to its end: progress, Ctrl-C, what it asks of a person.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::{CallError, Daemon, Task};
use crate::cli::error::CliError;
use crate::cli::monitor;
use crate::cli::output::tell;
use crate::engine::{EngineError, OperatorRequest};
use crate::pipeline::{Progress, Snapshot};
use crate::tasks::{AfterDeath, Work};

/// A task is looked at this often; one that has just begun, more often.
const LOOK: Duration = Duration::from_millis(150);
const FIRST_LOOK: Duration = Duration::from_millis(10);

/// What a task asks of a person.
#[derive(Debug, Deserialize)]
struct Asked {
    kind: String,
    message: String,
    volume: Option<String>,
    drive: Option<String>,
    why: String,
}

impl Asked {
    /// The same as the engine says it where nobody can be asked.
    fn request(&self) -> OperatorRequest {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        match self.kind.as_str() {
            "insert" => OperatorRequest::Insert { volume: text(&self.volume), drive: text(&self.drive) },
            "insert_to_label" => OperatorRequest::InsertToLabel { drive: text(&self.drive) },
            _ => OperatorRequest::NeedVolume { why: self.why.clone() },
        }
    }
}

impl Daemon<'_> {
    /// The report of a task, when it has one.
    pub(super) fn follow(
        &self,
        title: &str,
        work: &Work,
        task: Task,
        cancel: &AtomicBool,
    ) -> Result<Value, CliError> {
        let id = task.id;
        let lost = |error: CallError| match error {
            CallError::Gone(why) => CliError::Failed(gone(id, work, &why)),
            refused => refused.into(),
        };
        let mut given_up = None;
        let mut is_cancelled = false;
        let mut task = task;
        loop {
            task = monitor::watched(self.output(), title, |progress| {
                self.until_told(task, progress, cancel, &mut is_cancelled)
            })
            .map_err(lost)?;
            if is_over(&task) {
                break;
            }
            let asked: Option<Asked> =
                task.prompt.take().and_then(|prompt| serde_json::from_value(prompt).ok());
            let Some(asked) = asked else { continue };
            let answer = self.ask_person(id, &asked, cancel).map_err(lost)?;
            if answer == Some(GIVE_UP) {
                given_up = Some(asked.request());
            }
            if let Some(answer) = answer {
                self.answer(id, answer).map_err(lost)?;
            }
            task = self.task(id).map_err(lost)?;
        }
        match (task.result, given_up, task.error) {
            (Some(report), ..) => Ok(report),
            (None, Some(request), _) => Err(EngineError::Operator(request).into()),
            (None, None, Some(error)) => Err(CliError::Failed(error)),
            (None, None, None) => Err(CliError::Failed(format!("task {id} was {}", task.status))),
        }
    }

    /// Looks at a task until it is over or asks a person.
    fn until_told(
        &self,
        mut task: Task,
        progress: &Progress,
        cancel: &AtomicBool,
        is_cancelled: &mut bool,
    ) -> Result<Task, CallError> {
        let mut pause = FIRST_LOOK;
        let mut told = None;
        loop {
            if let Some(seen) = task.progress.take()
                && let Ok(seen) = serde_json::from_value::<Snapshot>(seen)
            {
                progress.follow(&seen);
            }
            if cancel.load(Ordering::Relaxed) && !*is_cancelled && !is_over(&task) {
                *is_cancelled = true;
                match self
                    .client
                    .post(&format!("/api/v1/tasks/{}/cancel", task.id), Bytes::from_static(b"{}"))
                {
                    // It was over already: the next look says how.
                    Ok(_) | Err(CallError::Refused(_)) => {}
                    Err(gone) => return Err(gone),
                }
            }
            if is_over(&task) || task.status == "waiting_for_operator" && !*is_cancelled {
                return Ok(task);
            }
            let waits = match task.status.as_str() {
                "paused" => Some("it is paused; somebody must let it go on".to_owned()),
                _ => task.waiting_for.take(),
            };
            if waits.is_some() && waits != told && self.output().shows_progress() {
                tell(&format!(
                    "reelward: task {} waits: {}\n",
                    task.id,
                    waits.as_deref().unwrap_or_default()
                ));
                told = waits;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LOOK);
            task = self.task(task.id)?;
        }
    }

    fn answer(&self, id: i64, answer: &str) -> Result<(), CallError> {
        let body = Bytes::from(format!("{{\"answer\":\"{answer}\"}}"));
        match self.client.post(&format!("/api/v1/tasks/{id}/answer"), body) {
            // The tape came by itself meanwhile.
            Ok(_) | Err(CallError::Refused(_)) => Ok(()),
            Err(gone) => Err(gone),
        }
    }

    /// Tells what must be done and waits until it is. None: the task does not ask any more, or is to be cancelled.
    fn ask_person(
        &self,
        id: i64,
        asked: &Asked,
        cancel: &AtomicBool,
    ) -> Result<Option<&'static str>, CallError> {
        let is_alone =
            self.output().is_json() || !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal();
        if is_alone {
            self.output().warning(&asked.message);
            return Ok(Some(GIVE_UP));
        }
        tell(&format!("\n{}\nPress Enter when it is done; g and Enter give up. ", asked.message));
        loop {
            if let Some(line) = line_typed(LOOK) {
                return Ok(Some(if line.trim().eq_ignore_ascii_case("g") { GIVE_UP } else { DONE }));
            }
            if cancel.load(Ordering::Relaxed) || self.task(id)?.status != "waiting_for_operator" {
                tell("\n");
                return Ok(None);
            }
        }
    }
}

/// Answers to a prompt.
const DONE: &str = "done";
const GIVE_UP: &str = "give_up";

fn is_over(task: &Task) -> bool {
    ["completed", "failed", "cancelled"].contains(&task.status.as_str())
}

/// A line from the terminal, if one comes within `limit`; the end of the input is an empty one.
fn line_typed(limit: Duration) -> Option<String> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let stdin = std::io::stdin();
    let limit = Timespec { tv_sec: 0, tv_nsec: i64::from(limit.subsec_nanos()) };
    let mut watched = [PollFd::new(&stdin, PollFlags::IN)];
    match poll(&mut watched, Some(&limit)) {
        Ok(1..) => {}
        _ => return None,
    }
    let mut line = String::new();
    stdin.read_line(&mut line).ok().map(|_| line)
}

/// The daemon went away; what becomes of its task.
fn gone(id: i64, work: &Work, why: &str) -> String {
    let then = match (work, work.after_death()) {
        (Work::Backup(_), _) => "the task goes on where it is, as the same set, at the daemon's next start",
        (_, AfterDeath::Again) => "the task begins again at the daemon's next start",
        (_, AfterDeath::Fail) => {
            "the task is not begun again by itself: look what is in the drive, then run the command again"
        }
    };
    format!("the daemon ended during task {id}: {then} ({why})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::{BackupWork, LabelWork, VerifyWork};

    #[test]
    fn what_becomes_of_the_task_is_said() {
        let text = |work| gone(7, &work, "reset");
        assert!(text(Work::Backup(BackupWork::default())).contains("goes on where it is, as the same set"));
        assert!(text(Work::Verify(VerifyWork::default())).contains("begins again"));
        assert!(text(Work::LabelTape(LabelWork::default())).contains("run the command again"));
        let keyed = VerifyWork { own_keys: true, ..VerifyWork::default() };
        assert!(text(Work::Verify(keyed)).contains("not begun again"));
    }

    #[test]
    fn prompts_become_what_the_engine_says() {
        let asked: Asked = serde_json::from_value(serde_json::json!({
            "kind": "insert", "message": "m", "volume": "A", "drive": "d", "why": "w"
        }))
        .unwrap();
        assert_eq!(asked.request(), OperatorRequest::Insert { volume: "A".into(), drive: "d".into() });
        let asked = Asked { kind: "need_volume".into(), ..asked };
        assert_eq!(asked.request(), OperatorRequest::NeedVolume { why: "w".into() });
    }
}
