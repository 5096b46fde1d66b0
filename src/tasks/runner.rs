//! Begins tasks when what they need is free, each on a thread of its own, and looks at them while they run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::error::TasksError;
use super::events::{PROGRESS, Publish};
use super::execute::{self, Context, Done, Failure};
use super::leases::{self, Holder};
use super::live::{Answer, Intent, Live};
use super::operator::{Prompt, TaskOperator, waiting};
use super::queue::{Shared, State};
use super::work::{AfterDeath, Work};
use crate::catalog::{
    DriveId, DriveRow, JobId, LibraryId, SetId, Severity, TaskId, TaskRow, TaskState, VolumeId, VolumeStatus,
};
use crate::engine::{DeviceChoice, EngineError, HeldVolume, OperatorRequest};

/// Running tasks are looked at this often.
const LOOK: Duration = Duration::from_millis(500);
/// Where nothing runs, the queue is looked at this often: drives may have been enabled, volumes added.
const IDLE: Duration = Duration::from_secs(2);
/// A running task's counters are written into its row this often.
const SAVE: Duration = Duration::from_secs(30);
/// Pause before a failed run of a job is tried again; it grows with each.
const RETRY: Duration = Duration::from_secs(60);
/// Tasks that need no drive run at most so many at a time.
const WITHOUT_DRIVE: usize = 4;

/// A drive lent until this is dropped.
pub(super) struct Lent {
    pub shared: Arc<Shared>,
    pub drive: Option<DriveId>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(drive) = self.drive else { return };
        let mut state = self.shared.lock();
        state.leases.give_back(drive);
        self.shared.notify(&mut state);
    }
}

/// A task that has what it needs.
struct Start {
    row: TaskRow,
    work: Work,
    drive: Option<DriveRow>,
    devices: DeviceChoice,
    volumes: Vec<HeldVolume>,
}

/// The thread that begins tasks.
pub(super) fn dispatch(shared: &Arc<Shared>) {
    let mut polled = Instant::now();
    loop {
        let mut events = Vec::new();
        let mut starts = Vec::new();
        let mut progress = Vec::new();
        let version;
        let pause;
        {
            let mut state = shared.lock();
            if state.stopping && !state.live.values().any(|live| shared.is_at_work(live)) {
                return;
            }
            if polled.elapsed() >= shared.poll {
                polled = Instant::now();
                shared.look_for_answers(&mut state, true, &mut events);
            } else {
                shared.look_for_answers(&mut state, false, &mut events);
            }
            match shared.begin_what_can(&mut state, &mut events) {
                Ok(begun) => starts = begun,
                Err(error) => {
                    tracing::error!(error = super::chain(&error), "the queue could not be looked at")
                }
            }
            for live in state.live.values_mut().filter(|live| live.row.state == TaskState::Running) {
                progress.push(shared.look(live));
            }
            version = state.version;
            pause = if progress.is_empty() && starts.is_empty() {
                IDLE.min(shared.poll)
            } else {
                LOOK.min(shared.poll)
            };
        }
        for event in events {
            shared.events.publish(event);
        }
        for (task, event) in progress {
            shared.events.progress(task, event);
        }
        for start in starts {
            begin(shared, start);
        }
        let state = shared.lock();
        let same = |state: &mut State| state.version == version;
        drop(shared.changed.wait_timeout_while(state, pause, same).unwrap_or_else(PoisonError::into_inner));
    }
}

/// Runs a task on a thread of its own.
fn begin(shared: &Arc<Shared>, start: Start) {
    let id = start.row.id;
    let lent = Lent { shared: shared.clone(), drive: start.drive.as_ref().map(|drive| drive.id) };
    let run = {
        let shared = shared.clone();
        move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| run(&shared, &start))).unwrap_or_else(|panic| {
                let what = panic
                    .downcast_ref::<&str>()
                    .map(|text| (*text).to_owned())
                    .or_else(|| panic.downcast_ref::<String>().cloned())
                    .unwrap_or_else(|| "no text".into());
                Err(Failure::Text(format!("a fault in the program ended it: {what}")))
            });
            let Start { volumes, .. } = start;
            drop(volumes);
            // The drive is free before anybody hears that the task is over.
            drop(lent);
            shared.finish(id, outcome);
        }
    };
    match std::thread::Builder::new().name(format!("task-{id}")).spawn(run) {
        Ok(worker) => {
            let mut threads = shared.threads.lock().unwrap_or_else(PoisonError::into_inner);
            threads.retain(|thread| !thread.is_finished());
            threads.push(worker);
        }
        Err(error) => shared.finish(id, Err(Failure::Text(format!("no thread for it: {error}")))),
    }
}

fn run(shared: &Arc<Shared>, start: &Start) -> Result<Done, Failure> {
    let told = {
        let mut state = shared.lock();
        let live = state.live.get_mut(&start.row.id);
        live.map(|live| (live.control.clone(), live.progress.clone(), live.keys.clone()))
    };
    let Some((control, progress, keys)) = told else { return Err(Failure::Text("it is gone".into())) };
    let operator =
        TaskOperator { shared: Arc::downgrade(shared), id: start.row.id, control: control.clone() };
    let appliance = shared.appliance.sibling(start.devices.clone()).asking(Arc::new(operator));
    let mut context = Context {
        shared,
        row: &start.row,
        drive: start.drive.as_ref(),
        appliance,
        progress: &progress,
        control: &control,
        keys: &keys,
    };
    // Who looks at the cartridge that somebody loaded leaves it where it is.
    let stays = matches!(start.work, Work::ReadLabel { .. }) && shared.is_loaded(start.drive.as_ref());
    let outcome = execute::execute(&mut context, &start.work);
    if start.work.mounts() && !stays && shared.is_shared_library(start.drive.as_ref()) {
        execute::put_back(&mut context);
    }
    note_inventory(&context, &start.work);
    outcome
}

/// What lies where after a task is what the catalog says.
fn note_inventory(context: &Context<'_>, work: &Work) {
    let library = context.drive.and_then(|drive| drive.library).or(work.changer_only().map(LibraryId));
    if let Some(library) = library
        && let Err(error) = context.appliance.take_inventory(library)
    {
        let task = context.row.id.0;
        tracing::warn!(
            task,
            error = super::chain(&error),
            "the library could not be looked at after the task"
        );
    }
}

/// For people: `job` where a job runs, else the kind of the task.
fn prefix(row: &TaskRow) -> &str {
    if row.job.is_some() { "job" } else { &row.kind }
}

fn event(row: &TaskRow, what: &str, severity: Severity, message: String) -> Publish {
    Publish::new(&format!("{}.{what}", prefix(row)), severity, message)
        .task(row.id)
        .job(row.job)
        .drive(row.drive)
        .data(serde_json::json!({
            "task_id": row.id.0,
            "task": row.kind,
            "job_id": row.job,
            "backup_set_id": row.set.map(|set| set.0),
            "state": row.state.as_str(),
            "error": row.error,
        }))
}

impl Shared {
    /// Whether a worker has it.
    pub(super) fn is_at_work(&self, live: &Live) -> bool {
        match live.row.state {
            TaskState::Running => true,
            // One that asks while it holds its drive.
            TaskState::WaitingForOperator => live.asked_with.is_none(),
            _ => false,
        }
    }

    /// Whether a cartridge is in the drive, as the catalog has it.
    fn is_loaded(&self, drive: Option<&DriveRow>) -> bool {
        let Some((drive, library)) = drive.and_then(|drive| Some((drive, drive.library?))) else {
            return false;
        };
        let slots = self.catalog().slots_of(library).unwrap_or_default();
        slots.iter().any(|slot| slot.drive == Some(drive.id) && slot.full)
    }

    /// Whether other drives need what lies in this one.
    fn is_shared_library(&self, drive: Option<&DriveRow>) -> bool {
        let Some(library) = drive.and_then(|drive| drive.library) else { return false };
        let drives = self.catalog().drives().unwrap_or_default();
        drives.iter().filter(|drive| drive.enabled && drive.library == Some(library)).count() > 1
    }

    /// Takes the counters of a running task; the event that tells them.
    fn look(&self, live: &mut Live) -> (TaskId, Publish) {
        live.look();
        let set = match &live.work {
            Work::Backup(backup) if live.row.set.is_none() => {
                self.catalog().set_by_uuid(&backup.set_uuid).ok().flatten().map(|set| set.id)
            }
            _ => None,
        };
        if set.is_some() {
            live.row.set = set;
        }
        if set.is_some() || live.saved.elapsed() >= SAVE {
            self.save(live);
        }
        let data = serde_json::json!({
            "task_id": live.row.id.0,
            "task": live.row.kind,
            "title": live.row.title,
            "job_id": live.row.job,
            "backup_set_id": live.row.set.map(|set| set.0),
            "progress": live.view,
        });
        let event = Publish::new(PROGRESS, Severity::Info, live.row.title.clone())
            .job(live.row.job)
            .drive(live.row.drive);
        (live.row.id, event.data(data))
    }

    /// Gives what is free to the tasks that wait, in their order.
    fn begin_what_can(&self, state: &mut State, events: &mut Vec<Publish>) -> Result<Vec<Start>, TasksError> {
        if state.stopping {
            return Ok(Vec::new());
        }
        let now = Instant::now();
        let mut waiting: Vec<(i32, TaskId)> = state
            .live
            .values()
            .filter(|live| live.row.state == TaskState::Queued)
            .filter(|live| live.not_before.is_none_or(|time| time <= now))
            .map(|live| (-live.row.priority, live.row.id))
            .collect();
        if waiting.is_empty() {
            return Ok(Vec::new());
        }
        waiting.sort_unstable();
        let drives = self.catalog().drives()?;
        let mut starts = Vec::new();
        for (_, id) in waiting {
            let without_drive = state
                .live
                .values()
                .filter(|live| live.row.state == TaskState::Running && live.row.drive.is_none())
                .count();
            let State { live, leases, .. } = &mut *state;
            let owners = owners(live.values());
            let Some(live) = live.get_mut(&id) else { continue };
            match self.what_it_needs(live, leases, &drives, without_drive, &owners) {
                Ok((drive, devices, volumes)) => {
                    if let Some(drive) = &drive {
                        leases.lend(drive.id, Holder::Task(id));
                    }
                    live.begin();
                    let row = &mut live.row;
                    row.state = TaskState::Running;
                    row.started.get_or_insert_with(super::now);
                    row.drive = drive.as_ref().map(|drive| drive.id.0);
                    (row.waiting_for, row.prompt, row.error, row.finished) = (None, None, None, None);
                    live.asked_with = None;
                    self.save(live);
                    let on = drive.as_ref().map(|drive| format!(" on drive {}", leases::name(drive)));
                    let message = format!("{} started{}", live.row.title, on.unwrap_or_default());
                    events.push(event(&live.row, "started", Severity::Info, message));
                    starts.push(Start {
                        row: live.row.clone(),
                        work: live.work.clone(),
                        drive,
                        devices,
                        volumes,
                    });
                    self.notify(state);
                }
                Err(what) => {
                    if live.row.waiting_for.as_deref() != Some(&what) {
                        live.row.waiting_for = Some(what);
                        self.notify(state);
                    }
                }
            }
        }
        Ok(starts)
    }

    /// A drive and volumes for a task, or what it waits for.
    fn what_it_needs(
        &self,
        live: &Live,
        leases: &leases::Leases,
        drives: &[DriveRow],
        without_drive: usize,
        owners: &[(VolumeId, TaskId)],
    ) -> Result<(Option<DriveRow>, DeviceChoice, Vec<HeldVolume>), String> {
        let broken = |error: crate::catalog::CatalogError| format!("the catalog: {}", super::chain(&error));
        let (drive, devices) = match live.work.changer_only() {
            Some(library) => {
                if without_drive >= WITHOUT_DRIVE {
                    return Err("its turn: others come first".into());
                }
                let library = self.catalog().library(LibraryId(library)).map_err(broken)?;
                (None, DeviceChoice { drive: None, changer: Some(library.device) })
            }
            None => {
                let drive = leases.free(drives, live.work.drive())?;
                (Some(drive.clone()), leases::devices(self.catalog(), drive).map_err(broken)?)
            }
        };
        let in_use = self.appliance.volumes_in_use();
        let mut held = Vec::new();
        for (volume, label) in &live.volumes {
            let taken = match &live.work {
                // It takes its volumes itself.
                Work::Backup(_) => in_use.holds(*volume),
                _ => match in_use.hold(*volume) {
                    Some(one) => {
                        held.push(one);
                        false
                    }
                    None => true,
                },
            };
            if taken {
                let by = owners.iter().find(|(id, _)| id == volume).map(|(_, task)| *task);
                return Err(match by {
                    Some(task) => format!("volume {label}: task {task} uses it"),
                    None => format!("volume {label}: another task uses it"),
                });
            }
        }
        Ok((drive, devices, held))
    }

    /// Tasks that wait for a person without a drive: begun again when there is an answer, or what they lacked.
    fn look_for_answers(&self, state: &mut State, look_for_volumes: bool, events: &mut Vec<Publish>) {
        let mut again = Vec::new();
        let mut failed = Vec::new();
        for live in state.live.values_mut() {
            let Some(had) = &live.asked_with else { continue };
            if live.row.state != TaskState::WaitingForOperator {
                continue;
            }
            match live.control.wait(Duration::ZERO).0 {
                Some(Answer::Done) => again.push(live.row.id),
                Some(Answer::GiveUp) => failed.push(live.row.id),
                None if look_for_volumes => {
                    let has_more = self.usable_volumes().iter().any(|volume| !had.contains(volume));
                    if has_more {
                        again.push(live.row.id);
                    }
                }
                None => {}
            }
        }
        for id in again {
            let Some(live) = state.live.get_mut(&id) else { continue };
            live.row.state = TaskState::Queued;
            (live.row.waiting_for, live.row.prompt, live.asked_with) = (None, None, None);
            self.save(live);
            self.notify(state);
        }
        for id in failed {
            let Some(live) = state.live.get_mut(&id) else { continue };
            live.row.error = live.row.waiting_for.take();
            if let Ok((_, event)) = self.end(state, id, TaskState::Failed) {
                events.push(event);
            }
        }
    }

    /// Volumes that take data and that no task has: who they are, and in which pool.
    fn usable_volumes(&self) -> Vec<String> {
        let in_use = self.appliance.volumes_in_use();
        let volumes = self.catalog().volumes().unwrap_or_default();
        let takes_data = |status| matches!(status, VolumeStatus::Blank | VolumeStatus::Active);
        let usable = volumes.iter().filter(|v| takes_data(v.status) && !in_use.holds(v.id));
        usable.map(|v| format!("{} {}", v.uuid, v.pool.as_deref().unwrap_or_default())).collect()
    }

    /// Takes a task that has ended, or ends without having been begun, out of the queue; its row and event.
    pub(super) fn end(
        &self,
        state: &mut State,
        id: TaskId,
        how: TaskState,
    ) -> Result<(TaskRow, Publish), TasksError> {
        let mut live = state.live.remove(&id).ok_or(TasksError::NoSuchTask(id))?;
        live.row.state = how;
        live.row.finished = Some(super::now());
        (live.row.waiting_for, live.row.prompt) = (None, None);
        self.save(&mut live);
        self.notify(state);
        let title = &live.row.title;
        let (what, severity, message) = match how {
            TaskState::Completed => match &live.row.error {
                None => ("completed", Severity::Info, format!("{title} completed")),
                Some(but) => ("completed", Severity::Warning, format!("{title} completed: {but}")),
            },
            TaskState::Cancelled => ("cancelled", Severity::Warning, format!("{title} was cancelled")),
            _ => (
                "failed",
                Severity::Error,
                format!("{title} failed: {}", live.row.error.as_deref().unwrap_or("no reason is known")),
            ),
        };
        let event = event(&live.row, what, severity, message);
        Ok((live.row, event))
    }

    /// A worker has ended.
    fn finish(self: &Arc<Shared>, id: TaskId, outcome: Result<Done, Failure>) {
        self.events.forget(id);
        let mut events = Vec::new();
        let mut state = self.lock();
        let Some(live) = state.live.get_mut(&id) else { return };
        live.look();
        if let Work::Backup(backup) = &live.work {
            live.row.set = self.catalog().set_by_uuid(&backup.set_uuid).ok().flatten().map(|set| set.id);
        }
        let intent = live.control.intent();
        let how = match outcome {
            Ok(done) => {
                live.row.result = Some(done.report);
                live.row.error = done.warning;
                match (done.cut_short, intent) {
                    (false, _) => Next::Over(TaskState::Completed),
                    (true, Some(Intent::Pause)) => Next::Paused,
                    (true, Some(Intent::Stop)) => Next::Again(None),
                    (true, _) => Next::Over(TaskState::Cancelled),
                }
            }
            Err(failure) => self.after_failure(live, failure, intent),
        };
        match how {
            Next::Over(how) => {
                if let Ok((_, event)) = self.end(&mut state, id, how) {
                    events.push(event);
                }
                let _ = self.catalog().prune_tasks(self.kept);
            }
            Next::Paused => {
                live.row.state = TaskState::Paused;
                (live.row.waiting_for, live.row.prompt) = (None, None);
                self.save(live);
                events.push(event(
                    &live.row,
                    "paused",
                    Severity::Info,
                    format!("{} is paused", live.row.title),
                ));
            }
            Next::Again(pause) => {
                live.row.state = TaskState::Queued;
                live.row.attempt += 1;
                live.row.prompt = None;
                live.row.waiting_for = pause.map(|pause| format!("its next try, in {} s", pause.as_secs()));
                live.not_before = pause.map(|pause| Instant::now() + pause);
                self.save(live);
                if let (Some(error), true) = (&live.row.error, pause.is_some()) {
                    let message = format!("{} failed and is tried again: {error}", live.row.title);
                    events.push(event(&live.row, "retried", Severity::Warning, message));
                }
            }
            Next::Asks(request, had) => {
                let prompt = Prompt::new(&request, &live.row.title);
                live.control.forget_answer();
                live.row.state = TaskState::WaitingForOperator;
                live.row.waiting_for = Some(prompt.message.clone());
                live.row.prompt = serde_json::to_value(&prompt).ok();
                live.asked_with = Some(had);
                self.save(live);
                events.push(waiting(live, &prompt));
            }
        }
        self.notify(&mut state);
        drop(state);
        for event in events {
            self.events.publish(event);
        }
    }

    fn after_failure(&self, live: &mut Live, failure: Failure, intent: Option<Intent>) -> Next {
        let error = match &failure {
            Failure::Engine(error) => super::chain(error),
            Failure::Text(text) => text.clone(),
            Failure::Faults(_, text) => text.clone(),
        };
        if let Failure::Faults(report, _) = &failure {
            live.row.result = Some(report.clone());
        }
        match intent {
            Some(Intent::Cancel) => {
                live.row.error = Some(error);
                return Next::Over(TaskState::Cancelled);
            }
            // It was asked to stop, and what it says of that is no fault of its own.
            Some(Intent::Pause) if live.work.can_pause() => return Next::Paused,
            Some(Intent::Stop) if live.work.after_death() == AfterDeath::Again => return Next::Again(None),
            _ => {}
        }
        match failure {
            Failure::Engine(EngineError::Operator(request @ OperatorRequest::NeedVolume { .. })) => {
                return Next::Asks(request, self.usable_volumes());
            }
            // Somebody else has the cartridge just now.
            Failure::Engine(EngineError::InAnotherDrive { busy: true, .. }) => {
                return Next::Again(Some(self.poll));
            }
            _ => {}
        }
        live.row.error = Some(error);
        let retries =
            live.row.job.and_then(|job| self.catalog().job(JobId(job)).ok()).map_or(0, |job| job.retries);
        if live.row.attempt <= retries {
            return Next::Again(Some(RETRY * live.row.attempt));
        }
        Next::Over(TaskState::Failed)
    }
}

/// Who has which volume, for people.
fn owners<'a>(live: impl Iterator<Item = &'a Live>) -> Vec<(VolumeId, TaskId)> {
    live.filter(|live| live.row.state == TaskState::Running)
        .flat_map(|live| live.volumes.iter().map(|(volume, _)| (*volume, live.row.id)))
        .collect()
}

/// What becomes of a task whose worker has ended.
enum Next {
    Over(TaskState),
    Paused,
    /// Queued again, after a pause where there is one.
    Again(Option<Duration>),
    /// A person is asked; the volumes that could have been used by then.
    Asks(OperatorRequest, Vec<String>),
}

impl super::queue::Tasks {
    /// The number of the set that a task writes, as soon as it has one; none when it takes longer than `limit`, or ends
    /// without.
    pub fn wait_for_set(&self, id: TaskId, limit: Duration) -> Option<SetId> {
        let uuid = match serde_json::from_value(self.get(id).ok()?.work) {
            Ok(Work::Backup(backup)) => backup.set_uuid,
            _ => return None,
        };
        let until = Instant::now() + limit;
        loop {
            if let Ok(Some(set)) = self.catalog().set_by_uuid(&uuid) {
                return Some(set.id);
            }
            let left = until.saturating_duration_since(Instant::now());
            let row = self.get(id).ok()?;
            if row.state.is_over() || row.state == TaskState::WaitingForOperator || left.is_zero() {
                return None;
            }
            let state = self.0.lock();
            let step = left.min(Duration::from_millis(20));
            drop(self.0.changed.wait_timeout(state, step).unwrap_or_else(PoisonError::into_inner));
        }
    }
}
