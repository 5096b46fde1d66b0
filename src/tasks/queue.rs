//! The queue: what is asked of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::error::TasksError;
use super::events::{Events, Publish};
use super::leases::{self, Holder, Leases};
use super::live::{Answer, Intent, Live};
use super::schedule::Missed;
use super::work::{BackupWork, Work};
use crate::catalog::{
    Catalog, DriveId, DriveRow, JobId, NewTaskRow, SetId, SetState, Severity, TaskFilter, TaskId, TaskRow,
    TaskState,
};
use crate::engine::Appliance;
use crate::format::age::Identity;

/// Opens the keys that encrypted sets are read with.
pub type Identities = Arc<dyn Fn() -> Result<Vec<Identity>, String> + Send + Sync>;

/// Who waits for a task looks at its counters this often.
const COUNTERS: Duration = Duration::from_millis(100);

/// What tasks work with.
pub struct TasksOptions {
    /// The state directory, claimed.
    pub appliance: Appliance,
    /// Where what happens is told.
    pub events: Events,
    /// Keys for reading.
    pub identities: Identities,
    /// How often devices are looked at while a person is waited for.
    pub poll: Duration,
    /// Rows of tasks that are over, kept.
    pub kept: u32,
    /// Zone of schedules that name none; the system's when not given.
    pub time_zone: Option<String>,
    /// What a job does whose time passed while nobody was there.
    pub missed: Missed,
}

impl TasksOptions {
    /// The usual: every three seconds, ten thousand rows, no keys.
    pub fn new(appliance: Appliance, events: Events) -> TasksOptions {
        TasksOptions {
            appliance,
            events,
            identities: Arc::new(|| Ok(Vec::new())),
            poll: Duration::from_secs(3),
            kept: 10_000,
            time_zone: None,
            missed: Missed::CatchUp,
        }
    }
}

/// A task to submit.
#[derive(Debug, Clone)]
pub struct NewTask {
    /// What to do.
    pub work: Work,
    /// Who asks: a user's name, `schedule`, ...
    pub origin: String,
    /// Larger goes first; 0 is usual.
    pub priority: i32,
    /// Keys for this task alone. They are kept in memory with it and written nowhere.
    pub keys: Vec<Identity>,
}

impl NewTask {
    /// Work that `origin` asks for, of usual priority.
    pub fn new(work: Work, origin: impl Into<String>) -> NewTask {
        NewTask { work, origin: origin.into(), priority: 0, keys: Vec::new() }
    }
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submitted {
    /// The task.
    pub id: TaskId,
    /// It was there already: the same work is not queued twice.
    pub duplicate: bool,
}

/// The queue and its workers. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Tasks(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub appliance: Appliance,
    pub events: Events,
    pub identities: Identities,
    pub poll: Duration,
    pub kept: u32,
    pub time_zone: Option<String>,
    pub missed: Missed,
    state: Mutex<State>,
    /// Something in `state` changed.
    pub changed: Condvar,
    pub threads: Mutex<Vec<JoinHandle<()>>>,
}

/// Guarded by one lock; rows are written while it is held, so that they say what is.
#[derive(Default)]
pub(super) struct State {
    pub live: BTreeMap<TaskId, Live>,
    pub leases: Leases,
    pub stopping: bool,
    /// Counts changes, for those who wait.
    pub version: u64,
}

impl Shared {
    pub(super) fn catalog(&self) -> &Catalog {
        self.appliance.catalog()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that something changed.
    pub(super) fn notify(&self, state: &mut State) {
        state.version += 1;
        self.changed.notify_all();
    }

    /// Changes a live task and writes its row; none where it is not live.
    pub(super) fn change<T>(&self, id: TaskId, change: impl FnOnce(&mut Live) -> T) -> Option<T> {
        let mut state = self.lock();
        let live = state.live.get_mut(&id)?;
        let result = change(live);
        self.save(live);
        self.notify(&mut state);
        Some(result)
    }

    /// Writes the row of a live task. A catalog that fails is told: the task itself goes on.
    pub(super) fn save(&self, live: &mut Live) {
        live.row.updated = super::now();
        live.saved = Instant::now();
        if let Err(error) = self.catalog().update_task(&live.row) {
            tracing::error!(
                task = live.row.id.0,
                error = super::chain(&error),
                "the row of a task could not be written"
            );
        }
    }

    /// The set that a backup wrote so far, if it wrote any.
    pub(super) fn set_of(&self, work: &Work) -> Result<Option<(SetId, SetState)>, TasksError> {
        let Work::Backup(backup) = work else { return Ok(None) };
        let set = self.catalog().set_by_uuid(&backup.set_uuid)?;
        Ok(set.map(|set| (set.id, set.state)))
    }
}

impl Tasks {
    /// Starts the queue: takes up what the last process left, and begins what waits.
    ///
    /// # Errors
    /// The catalog failed; no thread.
    pub fn start(options: TasksOptions) -> Result<Tasks, TasksError> {
        let shared = Arc::new(Shared {
            appliance: options.appliance,
            events: options.events,
            identities: options.identities,
            poll: options.poll,
            kept: options.kept,
            time_zone: options.time_zone,
            missed: options.missed,
            state: Mutex::default(),
            changed: Condvar::new(),
            threads: Mutex::default(),
        });
        super::restart::take_up(&shared)?;
        let dispatcher = {
            let shared = shared.clone();
            std::thread::Builder::new().name("tasks".into()).spawn(move || super::runner::dispatch(&shared))
        };
        shared
            .threads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(dispatcher.map_err(TasksError::Thread)?);
        Ok(Tasks(shared))
    }

    /// The event bus.
    pub fn events(&self) -> &Events {
        &self.0.events
    }

    /// The catalog.
    pub fn catalog(&self) -> &Catalog {
        self.0.catalog()
    }

    /// An appliance for what needs no drive.
    pub fn appliance(&self) -> &Appliance {
        &self.0.appliance
    }

    /// Queues a task. One whose work is under way or waits already is not queued again.
    ///
    /// # Errors
    /// What it names is not there; [`TasksError::Stopping`]; the catalog failed.
    pub fn submit(&self, new: NewTask) -> Result<Submitted, TasksError> {
        let mut work = new.work;
        if let Work::Backup(BackupWork { set_uuid, .. }) = &mut work
            && set_uuid.is_empty()
        {
            *set_uuid = crate::engine::new_uuid();
        }
        if let Work::Backup(BackupWork { set_uuid, resume: Some(set), .. }) = &mut work {
            *set_uuid = self.0.appliance.set_named(set)?.uuid;
        }
        if work.has_own_keys() == new.keys.is_empty() {
            return Err(TasksError::Request(
                "keys came with the task, or are announced, but not both".into(),
            ));
        }
        let job = work.job().map(|job| self.catalog().job(JobId(job))).transpose()?;
        if let Some(drive) = work.drive() {
            self.drive_row(drive)?;
        }
        if let Some(library) = work.changer_only() {
            self.catalog().library(crate::catalog::LibraryId(library))?;
        }
        let volumes = super::restart::volumes_of(&self.0, &work)?;
        let row = NewTaskRow {
            kind: work.kind().into(),
            title: work.title(job.as_ref().map(|job| job.name.as_str())),
            work: serde_json::to_value(&work).map_err(|error| TasksError::Request(error.to_string()))?,
            origin: new.origin,
            priority: new.priority,
            dedupe: work.dedupe(),
            job: work.job(),
            created: super::now(),
        };
        let mut state = self.0.lock();
        if state.stopping {
            return Err(TasksError::Stopping);
        }
        if row.dedupe.is_some()
            && let Some(same) = state.live.values().find(|live| live.row.dedupe == row.dedupe)
        {
            return Ok(Submitted { id: same.row.id, duplicate: true });
        }
        let id = self.catalog().add_task(&row)?;
        let row = self.catalog().task(id)?.ok_or(TasksError::NoSuchTask(id))?;
        let event = Publish::new("task.queued", Severity::Info, format!("{} is queued", row.title))
            .task(id)
            .job(row.job)
            .data(serde_json::json!({ "task_id": id.0, "task": row.kind, "origin": row.origin }));
        let mut live = Live::new(row, work);
        live.volumes = volumes;
        live.keys = Arc::new(new.keys);
        state.live.insert(id, live);
        self.0.notify(&mut state);
        drop(state);
        self.0.events.publish(event);
        Ok(Submitted { id, duplicate: false })
    }

    /// The task, running ones with their counters of this moment.
    ///
    /// # Errors
    /// [`TasksError::NoSuchTask`]; the catalog failed.
    pub fn get(&self, id: TaskId) -> Result<TaskRow, TasksError> {
        if let Some(live) = self.0.lock().live.get_mut(&id) {
            if self.0.is_at_work(live) {
                live.look();
            }
            return Ok(live.row.clone());
        }
        self.catalog().task(id)?.ok_or(TasksError::NoSuchTask(id))
    }

    /// Tasks, newest first.
    ///
    /// # Errors
    /// The catalog failed.
    pub fn list(&self, filter: &TaskFilter) -> Result<Vec<TaskRow>, TasksError> {
        let mut rows = self.catalog().tasks(filter)?;
        let state = self.0.lock();
        for row in &mut rows {
            if let Some(live) = state.live.get(&row.id) {
                row.clone_from(&live.row);
            }
        }
        Ok(rows)
    }

    /// Tasks that are not over, oldest first.
    pub fn active(&self) -> Vec<TaskRow> {
        self.0.lock().live.values().map(|live| live.row.clone()).collect()
    }

    /// The task of a job that is not over.
    pub fn active_of_job(&self, job: i64) -> Option<TaskRow> {
        self.0.lock().live.values().find(|live| live.row.job == Some(job)).map(|live| live.row.clone())
    }

    /// Runs of jobs that are paused, or failed or cancelled as the last run of their job, and whether each can go on where
    /// it ended; newest first.
    ///
    /// # Errors
    /// The catalog failed.
    pub fn resumable(&self) -> Result<Vec<(TaskRow, bool)>, TasksError> {
        let states = vec![TaskState::Paused, TaskState::Failed, TaskState::Cancelled];
        let rows = self.list(&TaskFilter { states, kind: Some("backup".into()), ..TaskFilter::default() })?;
        let mut found = Vec::new();
        for row in rows {
            let is_last = |job| -> Result<bool, TasksError> {
                let last = self.catalog().tasks(&TaskFilter {
                    job: Some(job),
                    limit: 1,
                    ..TaskFilter::default()
                })?;
                Ok(last.first().is_some_and(|last| last.id == row.id))
            };
            if !row.job.map(is_last).transpose()?.unwrap_or(true) {
                continue;
            }
            let can_resume = match row.state {
                TaskState::Paused => true,
                _ => {
                    let work = serde_json::from_value(row.work.clone()).ok();
                    let set = work.map(|work| self.0.set_of(&work)).transpose()?.flatten();
                    matches!(set, Some((_, SetState::Interrupted | SetState::Open)))
                }
            };
            if can_resume || row.state == TaskState::Failed {
                found.push((row, can_resume));
            }
        }
        Ok(found)
    }

    /// Ends a task: at once where it waits, at its next safe point where it runs. What it has stored stays readable.
    ///
    /// # Errors
    /// [`TasksError::NoSuchTask`]; it is over.
    pub fn cancel(&self, id: TaskId) -> Result<TaskRow, TasksError> {
        let mut state = self.0.lock();
        let Some(live) = state.live.get_mut(&id) else { return Err(self.over(id, "cancelled")) };
        if self.0.is_at_work(live) {
            live.control.end(Intent::Cancel);
            let row = live.row.clone();
            self.0.notify(&mut state);
            return Ok(row);
        }
        let (row, event) = self.0.end(&mut state, id, TaskState::Cancelled)?;
        drop(state);
        self.0.events.publish(event);
        Ok(row)
    }

    /// Holds a task: a queued one is not begun, a backup stops at its next checkpoint.
    ///
    /// # Errors
    /// [`TasksError::NoSuchTask`]; it is over, or cannot stop half-way.
    pub fn pause(&self, id: TaskId) -> Result<TaskRow, TasksError> {
        let mut state = self.0.lock();
        let Some(live) = state.live.get_mut(&id) else { return Err(self.over(id, "paused")) };
        let wrong = |live: &Live| TasksError::State { task: id, state: live.row.state, what: "paused" };
        if self.0.is_at_work(live) {
            if !live.work.can_pause() {
                return Err(wrong(live));
            }
            live.control.end(Intent::Pause);
        } else {
            live.row.state = TaskState::Paused;
            (live.row.waiting_for, live.row.prompt) = (None, None);
            self.0.save(live);
        }
        let row = live.row.clone();
        self.0.notify(&mut state);
        Ok(row)
    }

    /// Lets a paused task go on, a backup as the same set.
    ///
    /// # Errors
    /// [`TasksError::NoSuchTask`]; it is not paused.
    pub fn resume(&self, id: TaskId) -> Result<TaskRow, TasksError> {
        let mut state = self.0.lock();
        let Some(live) = state.live.get_mut(&id) else { return Err(self.over(id, "resumed")) };
        if live.row.state != TaskState::Paused {
            return Err(TasksError::State { task: id, state: live.row.state, what: "resumed" });
        }
        live.row.state = TaskState::Queued;
        live.row.attempt += 1;
        self.0.save(live);
        let row = live.row.clone();
        self.0.notify(&mut state);
        Ok(row)
    }

    /// Runs a task again that failed, was cancelled or is paused. A backup goes on as the same set where it can, unless
    /// `from_scratch`; `volume`: only this one may be written. The second value says whether it goes on.
    ///
    /// # Errors
    /// [`TasksError::NoSuchTask`]; it is neither; another run of its job is under way; what it names is gone.
    pub fn retry(
        &self,
        id: TaskId,
        from_scratch: bool,
        volume: Option<String>,
    ) -> Result<(TaskRow, bool), TasksError> {
        let row = self.get(id)?;
        if !matches!(row.state, TaskState::Failed | TaskState::Cancelled | TaskState::Paused) {
            return Err(TasksError::State { task: id, state: row.state, what: "retried" });
        }
        let mut work: Work = serde_json::from_value(row.work.clone())
            .map_err(|error| TasksError::Request(format!("task {id} cannot be read: {error}")))?;
        let mut goes_on = false;
        let set = self.0.set_of(&work)?;
        if let Work::Backup(backup) = &mut work {
            goes_on = !from_scratch && matches!(set, Some((_, SetState::Interrupted | SetState::Open)));
            if !goes_on {
                backup.set_uuid = crate::engine::new_uuid();
            }
            backup.volume = volume;
        }
        let volumes = super::restart::volumes_of(&self.0, &work)?;
        let mut state = self.0.lock();
        if state.stopping {
            return Err(TasksError::Stopping);
        }
        let duplicate =
            |live: &&Live| live.row.id != id && live.row.dedupe.is_some() && live.row.dedupe == row.dedupe;
        if let Some(same) = state.live.values().find(duplicate) {
            return Err(TasksError::Request(format!(
                "{} is under way already, as task {}; cancel that one first",
                row.title, same.row.id
            )));
        }
        let mut row = row;
        row.state = TaskState::Queued;
        row.attempt += 1;
        row.work = serde_json::to_value(&work).map_err(|error| TasksError::Request(error.to_string()))?;
        (row.error, row.result, row.finished, row.waiting_for, row.prompt) = (None, None, None, None, None);
        if !goes_on {
            (row.set, row.progress, row.volume) = (None, None, None);
        }
        let mut live = Live::new(row.clone(), work);
        live.volumes = volumes;
        self.0.save(&mut live);
        state.live.insert(id, live);
        self.0.notify(&mut state);
        Ok((row, goes_on))
    }

    /// Answers the prompt of a task that waits for a person.
    ///
    /// # Errors
    /// [`TasksError::NoSuchTask`]; it does not wait for one.
    pub fn answer(&self, id: TaskId, answer: Answer) -> Result<TaskRow, TasksError> {
        let mut state = self.0.lock();
        let Some(live) = state.live.get_mut(&id) else { return Err(self.over(id, "answered")) };
        if live.row.state != TaskState::WaitingForOperator {
            return Err(TasksError::State { task: id, state: live.row.state, what: "answered" });
        }
        live.control.answer(answer);
        let row = live.row.clone();
        self.0.notify(&mut state);
        Ok(row)
    }

    /// Waits until a task is over, at most `limit`; as it is then. None where there is no such task.
    pub fn wait(&self, id: TaskId, limit: Duration) -> Option<TaskRow> {
        self.wait_for(id, limit, |row| row.state.is_over())
    }

    /// Waits until a task is as `wanted` says, or over; at most `limit`. As it is then; none where there is no such task.
    pub fn wait_for(
        &self,
        id: TaskId,
        limit: Duration,
        wanted: impl Fn(&TaskRow) -> bool,
    ) -> Option<TaskRow> {
        let until = Instant::now() + limit;
        loop {
            let version = self.0.lock().version;
            let row = self.get(id).ok()?;
            let left = until.saturating_duration_since(Instant::now());
            if wanted(&row) || row.state.is_over() || left.is_zero() {
                return Some(row);
            }
            let state = self.0.lock();
            let same = |state: &mut State| state.version == version;
            // Counters change without notice.
            let step = left.min(COUNTERS);
            drop(
                self.0.changed.wait_timeout_while(state, step, same).unwrap_or_else(PoisonError::into_inner),
            );
        }
    }

    /// The error for a task that is not live.
    fn over(&self, id: TaskId, what: &'static str) -> TasksError {
        match self.catalog().task(id) {
            Ok(Some(row)) => TasksError::State { task: id, state: row.state, what },
            Ok(None) => TasksError::NoSuchTask(id),
            Err(error) => error.into(),
        }
    }

    pub(super) fn drive_row(&self, id: i64) -> Result<DriveRow, TasksError> {
        let drives = self.catalog().drives()?;
        drives
            .into_iter()
            .find(|drive| drive.id == DriveId(id) && drive.enabled)
            .ok_or(TasksError::NoSuchDrive(id))
    }

    /// Has a drive for one short operation; `what` names it for those who find it busy.
    ///
    /// # Errors
    /// [`TasksError::Busy`] while a task or another operation has it; what `work` returns.
    pub fn with_drive<T, E: From<TasksError>>(
        &self,
        id: DriveId,
        what: &str,
        work: impl FnOnce(&mut Appliance) -> Result<T, E>,
    ) -> Result<T, E> {
        let drive = self.drive_row(id.0)?;
        let devices = leases::devices(self.catalog(), &drive).map_err(TasksError::from)?;
        {
            let mut state = self.0.lock();
            if let Some(holder) = state.leases.holder(id) {
                let drive = leases::name(&drive).to_owned();
                return Err(TasksError::Busy { drive, by: holder.to_string() }.into());
            }
            state.leases.lend(id, Holder::Operation(what.to_owned()));
        }
        let _lent = super::runner::Lent { shared: self.0.clone(), drive: Some(id) };
        work(&mut self.0.appliance.sibling(devices))
    }

    /// Who has a drive: the task, where one does, and a text.
    pub fn holder(&self, id: DriveId) -> Option<(Option<TaskId>, String)> {
        let state = self.0.lock();
        let holder = state.leases.holder(id)?;
        let task = if let Holder::Task(task) = holder { Some(*task) } else { None };
        Some((task, holder.to_string()))
    }

    /// Ends the queue: nothing new begins; backups stop at their next checkpoint, and they and whatever can be begun anew
    /// go on at the next start. Waits for the others, at most until `limit` has passed; whether all ended.
    pub fn stop(&self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        let mut state = self.0.lock();
        state.stopping = true;
        for live in state.live.values() {
            if self.0.is_at_work(live) && live.work.after_death() == super::work::AfterDeath::Again {
                live.control.end(Intent::Stop);
            }
        }
        self.0.notify(&mut state);
        let mut is_idle;
        loop {
            is_idle = !state.live.values().any(|live| self.0.is_at_work(live));
            let left = until.saturating_duration_since(Instant::now());
            if is_idle || left.is_zero() {
                break;
            }
            state = self.0.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(state);
        if is_idle {
            let threads = std::mem::take(&mut *self.0.threads.lock().unwrap_or_else(PoisonError::into_inner));
            for thread in threads {
                let _ = thread.join();
            }
        }
        is_idle
    }
}
