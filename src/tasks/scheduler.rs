//! The thread that submits jobs when they are due.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::error::TasksError;
use super::events::Publish;
use super::queue::{NewTask, Shared, Tasks};
use super::schedule::{Missed, Schedule, is_due};
use super::work::{BackupWork, Work};
use crate::catalog::{Job, JobId, Severity};

/// Who asks, in the rows of tasks that a schedule began.
pub const SCHEDULE: &str = "schedule";
/// Jobs are looked at this often.
const LOOK: Duration = Duration::from_secs(1);
/// A run that begins so much late is still its own.
const GRACE: i64 = 10 * 60 * 1_000_000_000;

/// The next time a job is due after `now`; none where it is disabled, has no schedule, or one that cannot be read. `zone`:
/// of schedules that name none. Nanoseconds since the epoch, both.
fn next_run(job: &Job, now: i64, zone: Option<&str>) -> Option<i64> {
    if !job.enabled {
        return None;
    }
    Schedule::parse(job.schedule.as_deref()?, job.time_zone.as_deref().or(zone)).ok()?.next_after(now)
}

/// What a thread that submits remembers.
#[derive(Debug, Default)]
struct Memory {
    /// When each job was last found due.
    tried: HashMap<JobId, i64>,
}

impl Memory {
    /// The jobs that are due at `now`; each is told once for each of its times.
    fn due(&mut self, jobs: &[Job], now: i64, missed: Missed, zone: Option<&str>) -> Vec<JobId> {
        let mut due = Vec::new();
        for job in jobs.iter().filter(|job| job.enabled) {
            let Some(text) = &job.schedule else { continue };
            // What cannot be read was refused when it was entered, or its time zone is gone.
            let Ok(schedule) = Schedule::parse(text, job.time_zone.as_deref().or(zone)) else { continue };
            // A schedule that was changed counts from then on.
            let tried = self.tried.get(&job.id).copied().unwrap_or(i64::MIN);
            let since = job.last_run.unwrap_or(i64::MIN).max(job.updated).max(tried);
            if is_due(&schedule, since, now, missed, GRACE) {
                self.tried.insert(job.id, now);
                due.push(job.id);
            }
        }
        due
    }
}

impl Tasks {
    /// Starts the thread that submits jobs when they are due. It ends with the queue.
    ///
    /// # Errors
    /// The time zone for schedules that name none is not known; no thread.
    pub fn start_schedule(&self) -> Result<(), TasksError> {
        Schedule::parse("0 0 * * *", self.0.time_zone.as_deref())
            .map_err(|error| TasksError::Request(error.to_string()))?;
        let tasks = self.clone();
        let thread = std::thread::Builder::new().name("schedule".into()).spawn(move || keep(&tasks));
        self.0
            .threads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(thread.map_err(TasksError::Thread)?);
        Ok(())
    }
}

impl Tasks {
    /// The next time a job is due after `now`; none where it is disabled, has no schedule, or one that cannot be read.
    /// Nanoseconds since the epoch, both.
    pub fn next_run(&self, job: &Job, now: i64) -> Option<i64> {
        next_run(job, now, self.0.time_zone.as_deref())
    }
}

fn keep(tasks: &Tasks) {
    let mut memory = Memory::default();
    loop {
        let shared: &Arc<Shared> = &tasks.0;
        let outcome = (|| {
            let jobs = shared.catalog().jobs()?;
            Ok::<_, TasksError>(memory.due(&jobs, super::now(), shared.missed, shared.time_zone.as_deref()))
        })();
        match outcome {
            Ok(due) => due.into_iter().for_each(|job| submit(tasks, job)),
            Err(error) => tracing::error!(error = super::chain(&error), "the schedule could not be read"),
        }
        let state = shared.lock();
        let runs = |state: &mut super::queue::State| !state.stopping;
        let (state, _) =
            shared.changed.wait_timeout_while(state, LOOK, runs).unwrap_or_else(PoisonError::into_inner);
        if state.stopping {
            return;
        }
    }
}

fn submit(tasks: &Tasks, job: JobId) {
    let work = Work::Backup(BackupWork { job: Some(job.0), ..BackupWork::default() });
    let (severity, message) = match tasks.submit(NewTask::new(work, SCHEDULE)) {
        Ok(submitted) if !submitted.duplicate => return,
        Ok(submitted) => (
            Severity::Warning,
            format!("Job {job} is due and not begun: task {} still runs it, or waits", submitted.id),
        ),
        Err(TasksError::Stopping) => return,
        Err(error) => {
            (Severity::Error, format!("Job {job} is due and cannot be begun: {}", super::chain(&error)))
        }
    };
    tasks.events().publish(Publish::new("job.skipped", severity, message).job(Some(job.0)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{BackupType, PoolId, SourceId};
    use jiff::Timestamp;

    fn at(text: &str) -> i64 {
        i64::try_from(text.parse::<Timestamp>().unwrap().as_nanosecond()).unwrap()
    }

    fn job(id: i64, schedule: Option<&str>) -> Job {
        let made = at("2026-03-01T00:00:00Z");
        Job {
            id: JobId(id),
            name: format!("job {id}"),
            source: SourceId(1),
            pool: PoolId(1),
            backup_type: BackupType::Full,
            schedule: schedule.map(str::to_owned),
            time_zone: Some("Europe/Berlin".into()),
            enabled: true,
            compression: "none".into(),
            encryption_key: None,
            retries: 0,
            last_run: None,
            created: made,
            updated: made,
        }
    }

    #[test]
    fn a_year_of_nights_each_run_once() {
        let mut memory = Memory::default();
        let mut nightly = job(1, Some("30 2 * * *"));
        let mut runs = Vec::new();
        // Looked at every 20 minutes, through both changes of the clocks.
        let (mut now, end) = (at("2026-03-01T00:00:00Z"), at("2027-03-01T00:00:00Z"));
        while now < end {
            for due in memory.due(std::slice::from_ref(&nightly), now, Missed::CatchUp, None) {
                assert_eq!(due, JobId(1));
                runs.push(now);
                nightly.last_run = Some(now);
            }
            now += 20 * 60 * 1_000_000_000;
        }
        assert_eq!(runs.len(), 365);
        let hours: Vec<i64> = runs.windows(2).map(|pair| (pair[1] - pair[0]) / 3_600_000_000_000).collect();
        assert!(hours.iter().all(|hours| (22..=25).contains(hours)), "{hours:?}");
    }

    #[test]
    fn due_once_and_only_when_enabled() {
        let mut memory = Memory::default();
        let mut jobs =
            [job(1, Some("0 2 * * *")), job(2, Some("0 2 * * *")), job(3, None), job(4, Some("x"))];
        jobs[1].enabled = false;
        let night = at("2026-03-02T01:00:00Z");
        jobs.iter_mut().for_each(|job| job.updated = night - GRACE);
        assert_eq!(memory.due(&jobs, night - 1, Missed::CatchUp, None), []);
        assert_eq!(memory.due(&jobs, night, Missed::CatchUp, None), [JobId(1)]);
        // It waits for a drive: it is not due again before its next time.
        assert_eq!(memory.due(&jobs, night + GRACE, Missed::CatchUp, None), []);
        // Enabled in between: from then on.
        jobs[1].enabled = true;
        jobs[1].updated = night + GRACE;
        assert_eq!(memory.due(&jobs, night + 2 * GRACE, Missed::CatchUp, None), []);
        assert_eq!(next_run(&jobs[1], night, None), Some(night + 86_400_000_000_000));
        jobs[1].enabled = false;
        assert_eq!(
            (
                next_run(&jobs[1], night, None),
                next_run(&jobs[2], night, None),
                next_run(&jobs[3], night, None)
            ),
            (None, None, None)
        );
    }

    #[test]
    fn a_schedule_without_a_zone_takes_the_one_configured() {
        let mut job = job(1, Some("0 2 * * *"));
        job.time_zone = None;
        let noon = at("2026-07-01T12:00:00Z");
        assert_eq!(next_run(&job, noon, Some("Asia/Tokyo")), Some(at("2026-07-01T17:00:00Z")));
        assert_eq!(next_run(&job, noon, Some("UTC")), Some(at("2026-07-02T02:00:00Z")));
        job.time_zone = Some("Europe/Berlin".into());
        assert_eq!(next_run(&job, noon, Some("UTC")), Some(at("2026-07-02T00:00:00Z")));
    }

    #[test]
    fn times_that_passed_while_the_machine_was_off() {
        let mut jobs = [job(1, Some("0 2 * * *"))];
        jobs[0].last_run = Some(at("2026-03-02T01:00:00Z"));
        let noon = at("2026-03-09T12:00:00Z");
        assert_eq!(Memory::default().due(&jobs, noon, Missed::Skip, None), []);
        let mut memory = Memory::default();
        assert_eq!(memory.due(&jobs, noon, Missed::CatchUp, None), [JobId(1)]);
        assert_eq!(memory.due(&jobs, noon + 1, Missed::CatchUp, None), []);
    }
}
