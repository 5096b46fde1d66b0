//! Tasks: what was asked for, how far it got, how it ended.

use rusqlite::{OptionalExtension, Row, ToSql, params};
use serde_json::Value;

use super::{Catalog, CatalogError, Result, SetId, TaskId};

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum TaskState {
    /// Waits for its turn, a drive or a volume.
    Queued = 0,
    /// A worker has it.
    Running = 1,
    /// Stopped at a safe point; goes on when told to.
    Paused = 2,
    /// A person has to do something.
    WaitingForOperator = 3,
    /// Done.
    Completed = 4,
    /// Ended by an error, which the row names.
    Failed = 5,
    /// Ended by request.
    Cancelled = 6,
}

impl TaskState {
    const ALL: [TaskState; 7] = [
        TaskState::Queued,
        TaskState::Running,
        TaskState::Paused,
        TaskState::WaitingForOperator,
        TaskState::Completed,
        TaskState::Failed,
        TaskState::Cancelled,
    ];

    /// `queued`, `running`, `waiting_for_operator`, ...
    pub fn as_str(self) -> &'static str {
        match self {
            TaskState::Queued => "queued",
            TaskState::Running => "running",
            TaskState::Paused => "paused",
            TaskState::WaitingForOperator => "waiting_for_operator",
            TaskState::Completed => "completed",
            TaskState::Failed => "failed",
            TaskState::Cancelled => "cancelled",
        }
    }

    /// The inverse of [`TaskState::as_str`].
    pub fn parse(text: &str) -> Option<TaskState> {
        TaskState::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether it has ended.
    pub fn is_over(self) -> bool {
        matches!(self, TaskState::Completed | TaskState::Failed | TaskState::Cancelled)
    }
}

/// A task to add: queued. Times are nanoseconds since the epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTaskRow {
    /// `backup`, `restore`, ...
    pub kind: String,
    /// For people.
    pub title: String,
    /// What is to be done, as its worker reads it.
    pub work: Value,
    /// Who asked: a user's name, `schedule`, ...
    pub origin: String,
    /// Larger goes first.
    pub priority: i32,
    /// Live tasks with the same text are duplicates.
    pub dedupe: Option<String>,
    /// Number of the job it runs.
    pub job: Option<i64>,
    /// When it was asked for.
    pub created: i64,
}

/// A task as the catalog has it. Times are nanoseconds since the epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskRow {
    /// Id.
    pub id: TaskId,
    /// `backup`, `restore`, ...
    pub kind: String,
    /// For people.
    pub title: String,
    /// Where it stands.
    pub state: TaskState,
    /// What is to be done, as its worker reads it.
    pub work: Value,
    /// Who asked: a user's name, `schedule`, ...
    pub origin: String,
    /// Larger goes first.
    pub priority: i32,
    /// Live tasks with the same text are duplicates.
    pub dedupe: Option<String>,
    /// How often it was begun, from 1.
    pub attempt: u32,
    /// Number of the job it runs.
    pub job: Option<i64>,
    /// The backup set that it writes.
    pub set: Option<SetId>,
    /// Number of the drive that serves it, or served it last.
    pub drive: Option<i64>,
    /// Label of the volume in work.
    pub volume: Option<String>,
    /// What it waits for, for people.
    pub waiting_for: Option<String>,
    /// What a person must do.
    pub prompt: Option<Value>,
    /// The last look at its counters.
    pub progress: Option<Value>,
    /// Its report.
    pub result: Option<Value>,
    /// Why it failed, causes included.
    pub error: Option<String>,
    /// When it was asked for.
    pub created: i64,
    /// When it was first begun.
    pub started: Option<i64>,
    /// When it ended.
    pub finished: Option<i64>,
    /// When the row last changed.
    pub updated: i64,
}

/// Which tasks.
#[derive(Debug, Clone, Default)]
pub struct TaskFilter {
    /// In one of these states; any where empty.
    pub states: Vec<TaskState>,
    /// Of this kind.
    pub kind: Option<String>,
    /// Of this job.
    pub job: Option<i64>,
    /// At most this many; 0 for all.
    pub limit: u32,
    /// Of those, leave out this many.
    pub offset: u32,
}

const COLUMNS: &str =
    "id, kind, title, state, work, origin, priority, dedupe, attempt, job_id, set_id, drive_id, volume,
    waiting_for, prompt, progress, result, error, created, started, finished, updated";

/// The JSON in a column.
pub(super) fn json(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Value>> {
    let text: Option<String> = row.get(column)?;
    let wrong = |error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
    };
    text.map(|text| serde_json::from_str(&text)).transpose().map_err(wrong)
}

fn read(row: &Row<'_>) -> rusqlite::Result<TaskRow> {
    let state: u8 = row.get(3)?;
    Ok(TaskRow {
        id: row.get(0)?,
        kind: row.get(1)?,
        title: row.get(2)?,
        state: TaskState::ALL.get(usize::from(state)).copied().unwrap_or(TaskState::Failed),
        work: json(row, 4)?.unwrap_or(Value::Null),
        origin: row.get(5)?,
        priority: row.get(6)?,
        dedupe: row.get(7)?,
        attempt: row.get(8)?,
        job: row.get(9)?,
        set: row.get(10)?,
        drive: row.get(11)?,
        volume: row.get(12)?,
        waiting_for: row.get(13)?,
        prompt: json(row, 14)?,
        progress: json(row, 15)?,
        result: json(row, 16)?,
        error: row.get(17)?,
        created: row.get(18)?,
        started: row.get(19)?,
        finished: row.get(20)?,
        updated: row.get(21)?,
    })
}

fn text(value: Option<&Value>) -> Option<String> {
    value.map(Value::to_string)
}

impl TaskFilter {
    /// The condition and its values. The states are our own numbers.
    fn condition(&self) -> (String, Vec<Box<dyn ToSql>>) {
        let mut condition = String::from("1");
        let mut values: Vec<Box<dyn ToSql>> = Vec::new();
        if !self.states.is_empty() {
            let states: Vec<String> = self.states.iter().map(|state| (*state as u8).to_string()).collect();
            condition.push_str(&format!(" AND state IN ({})", states.join(", ")));
        }
        if let Some(kind) = &self.kind {
            values.push(Box::new(kind.clone()));
            condition.push_str(&format!(" AND kind = ?{}", values.len()));
        }
        if let Some(job) = self.job {
            values.push(Box::new(job));
            condition.push_str(&format!(" AND job_id = ?{}", values.len()));
        }
        (condition, values)
    }
}

impl Catalog {
    /// Adds a task, queued.
    pub fn add_task(&self, new: &NewTaskRow) -> Result<TaskId> {
        self.durably(|c| {
            c.prepare_cached(
                "INSERT INTO task (kind, title, state, work, origin, priority, dedupe, attempt, job_id, created, updated)
                 VALUES (?1, ?2, 0, ?3, ?4, ?5, ?6, 1, ?7, ?8, ?8)",
            )?
            .execute(params![
                new.kind,
                new.title,
                new.work.to_string(),
                new.origin,
                new.priority,
                new.dedupe,
                new.job,
                new.created
            ])?;
            Ok(TaskId(c.last_insert_rowid()))
        })
    }

    /// Writes everything but the id.
    pub fn update_task(&self, task: &TaskRow) -> Result<()> {
        let changed = self.durably(|c| {
            Ok(c.prepare_cached(
                "UPDATE task SET kind = ?2, title = ?3, state = ?4, work = ?5, origin = ?6, priority = ?7, dedupe = ?8,
                   attempt = ?9, job_id = ?10, set_id = ?11, drive_id = ?12, volume = ?13, waiting_for = ?14, prompt = ?15,
                   progress = ?16, result = ?17, error = ?18, created = ?19, started = ?20, finished = ?21, updated = ?22
                 WHERE id = ?1",
            )?
            .execute(params![
                task.id,
                task.kind,
                task.title,
                task.state as u8,
                task.work.to_string(),
                task.origin,
                task.priority,
                task.dedupe,
                task.attempt,
                task.job,
                task.set,
                task.drive,
                task.volume,
                task.waiting_for,
                text(task.prompt.as_ref()),
                text(task.progress.as_ref()),
                text(task.result.as_ref()),
                task.error,
                task.created,
                task.started,
                task.finished,
                task.updated
            ])?)
        })?;
        match changed {
            0 => Err(CatalogError::NotFound { what: "task", name: task.id.to_string() }),
            _ => Ok(()),
        }
    }

    /// The task with this id.
    pub fn task(&self, id: TaskId) -> Result<Option<TaskRow>> {
        let reader = self.pool.get()?;
        let mut statement = reader.prepare_cached(&format!("SELECT {COLUMNS} FROM task WHERE id = ?1"))?;
        Ok(statement.query_row([id], read).optional()?)
    }

    /// Tasks, newest first.
    pub fn tasks(&self, filter: &TaskFilter) -> Result<Vec<TaskRow>> {
        let (condition, mut values) = filter.condition();
        let limit = if filter.limit == 0 { -1 } else { i64::from(filter.limit) };
        values.push(Box::new(limit));
        values.push(Box::new(filter.offset));
        let (at, reader) = (values.len(), self.pool.get()?);
        let mut statement = reader.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM task WHERE {condition} ORDER BY id DESC LIMIT ?{} OFFSET ?{at}",
            at - 1
        ))?;
        Ok(statement.query_map(rusqlite::params_from_iter(values), read)?.collect::<rusqlite::Result<_>>()?)
    }

    /// How many tasks there are, limit and offset left aside.
    pub fn count_tasks(&self, filter: &TaskFilter) -> Result<u64> {
        let (condition, values) = filter.condition();
        let reader = self.pool.get()?;
        let mut statement = reader.prepare_cached(&format!("SELECT count(*) FROM task WHERE {condition}"))?;
        Ok(statement.query_row(rusqlite::params_from_iter(values), |row| super::ids::uint(row, 0))?)
    }

    /// Forgets tasks that are over, the newest `keep` of them and the last one of every job excepted.
    pub fn prune_tasks(&self, keep: u32) -> Result<usize> {
        self.durably(|c| {
            Ok(c.execute(
                "DELETE FROM task WHERE state >= 4
                   AND id <= ifnull((SELECT id FROM task WHERE state >= 4 ORDER BY id DESC LIMIT 1 OFFSET ?1), 0)
                   AND id NOT IN (SELECT max(id) FROM task WHERE job_id IS NOT NULL GROUP BY job_id)",
                [keep],
            )?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(job: Option<i64>) -> NewTaskRow {
        NewTaskRow {
            kind: "backup".into(),
            title: "Backup".into(),
            work: serde_json::json!({"kind": "backup"}),
            origin: "admin".into(),
            priority: 3,
            dedupe: Some("job 1".into()),
            job,
            created: 5,
        }
    }

    #[test]
    fn rows_come_back_as_they_were_written() {
        let directory = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&directory.path().join("c")).unwrap();
        let id = catalog.add_task(&new(Some(4))).unwrap();
        let mut row = catalog.task(id).unwrap().unwrap();
        assert_eq!((row.state, row.attempt, row.job, row.created), (TaskState::Queued, 1, Some(4), 5));
        row.state = TaskState::WaitingForOperator;
        row.set = Some(SetId(9));
        row.prompt = Some(serde_json::json!({"volume": "A"}));
        row.progress = Some(serde_json::json!({"bytes": 12}));
        row.error = Some("why".into());
        (row.started, row.finished, row.updated) = (Some(6), Some(7), 8);
        catalog.update_task(&row).unwrap();
        assert_eq!(catalog.task(id).unwrap().unwrap(), row);
        assert_eq!(catalog.task(TaskId(99)).unwrap(), None);
        row.id = TaskId(99);
        assert!(matches!(catalog.update_task(&row), Err(CatalogError::NotFound { .. })));
    }

    #[test]
    fn filters_and_pruning() {
        let directory = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&directory.path().join("c")).unwrap();
        for number in 0..10 {
            let id = catalog.add_task(&new((number == 2).then_some(1))).unwrap();
            let mut row = catalog.task(id).unwrap().unwrap();
            row.state = if number < 7 { TaskState::Completed } else { TaskState::Running };
            catalog.update_task(&row).unwrap();
        }
        let over =
            TaskFilter { states: vec![TaskState::Completed], limit: 2, offset: 1, ..TaskFilter::default() };
        let ids: Vec<i64> = catalog.tasks(&over).unwrap().iter().map(|row| row.id.0).collect();
        assert_eq!(ids, [6, 5]);
        assert_eq!(catalog.count_tasks(&over).unwrap(), 7);
        let job = TaskFilter { job: Some(1), kind: Some("backup".into()), ..TaskFilter::default() };
        assert_eq!(catalog.tasks(&job).unwrap().len(), 1);
        // Tasks 6 and 7 are the newest over, 3 is the last of its job, 8 to 10 run.
        assert_eq!(catalog.prune_tasks(2).unwrap(), 4);
        let left: Vec<i64> =
            catalog.tasks(&TaskFilter::default()).unwrap().iter().map(|row| row.id.0).collect();
        assert_eq!(left, [10, 9, 8, 7, 6, 3]);
    }

    #[test]
    fn states_have_one_name_each() {
        for state in TaskState::ALL {
            assert_eq!(TaskState::parse(state.as_str()), Some(state));
        }
        assert_eq!(TaskState::parse("done"), None);
    }
}
