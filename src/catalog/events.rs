//! Events: what happened, for people and for programs that follow.

use rusqlite::{Row, params};
use serde_json::Value;

use super::{Catalog, EventId, Result, TaskId, VolumeId};

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Severity {
    /// The course of things.
    Info = 0,
    /// Somebody should look at it.
    Warning = 1,
    /// Something failed.
    Error = 2,
}

impl Severity {
    /// `info`, `warning`, `error`.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }

    fn from_number(number: u8) -> Severity {
        match number {
            0 => Severity::Info,
            1 => Severity::Warning,
            _ => Severity::Error,
        }
    }
}

/// An event to add. Times are nanoseconds since the epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// When it happened.
    pub time: i64,
    /// `job.completed`, `tape.labelled`, ...
    pub kind: String,
    /// How much it matters.
    pub severity: Severity,
    /// For people.
    pub message: String,
    /// For programs.
    pub data: Value,
    /// Task it belongs to.
    pub task: Option<TaskId>,
    /// Number of the job it belongs to.
    pub job: Option<i64>,
    /// Volume it is about.
    pub volume: Option<VolumeId>,
    /// Number of the drive it is about.
    pub drive: Option<i64>,
}

/// An event as the catalog has it.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRow {
    /// Id; later events have larger ones.
    pub id: EventId,
    /// What happened.
    pub event: NewEvent,
}

const COLUMNS: &str = "id, time, kind, severity, message, data, task_id, job_id, volume_id, drive_id";

fn read(row: &Row<'_>) -> rusqlite::Result<EventRow> {
    Ok(EventRow {
        id: row.get(0)?,
        event: NewEvent {
            time: row.get(1)?,
            kind: row.get(2)?,
            severity: Severity::from_number(row.get(3)?),
            message: row.get(4)?,
            data: super::tasks::json(row, 5)?.unwrap_or(Value::Null),
            task: row.get(6)?,
            job: row.get(7)?,
            volume: row.get(8)?,
            drive: row.get(9)?,
        },
    })
}

impl Catalog {
    /// Adds an event and forgets all but the newest `keep`.
    pub fn add_event(&self, new: &NewEvent, keep: u32) -> Result<EventId> {
        self.durably(|c| {
            c.prepare_cached(
                "INSERT INTO event (time, kind, severity, message, data, task_id, job_id, volume_id, drive_id)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                new.time,
                new.kind,
                new.severity as u8,
                new.message,
                new.data.to_string(),
                new.task,
                new.job,
                new.volume,
                new.drive
            ])?;
            let id = c.last_insert_rowid();
            c.prepare_cached("DELETE FROM event WHERE id <= ?1")?.execute([id - i64::from(keep)])?;
            Ok(EventId(id))
        })
    }

    /// The first `limit` events after `id`, oldest first.
    pub fn events_after(&self, id: EventId, limit: u32) -> Result<Vec<EventRow>> {
        let reader = self.pool.get()?;
        let mut statement = reader
            .prepare_cached(&format!("SELECT {COLUMNS} FROM event WHERE id > ?1 ORDER BY id LIMIT ?2"))?;
        Ok(statement.query_map(params![id, limit], read)?.collect::<rusqlite::Result<_>>()?)
    }

    /// The newest `limit` events, newest first; only those with a smaller id than `before`, where given.
    pub fn newest_events(&self, limit: u32, before: Option<EventId>) -> Result<Vec<EventRow>> {
        let reader = self.pool.get()?;
        let mut statement = reader.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM event WHERE id < ?1 ORDER BY id DESC LIMIT ?2"
        ))?;
        let before = before.unwrap_or(EventId(i64::MAX));
        Ok(statement.query_map(params![before, limit], read)?.collect::<rusqlite::Result<_>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: u32) -> NewEvent {
        NewEvent {
            time: i64::from(number),
            kind: "job.completed".into(),
            severity: Severity::Warning,
            message: format!("event {number}"),
            data: serde_json::json!({ "number": number }),
            task: Some(TaskId(7)),
            job: Some(1),
            volume: None,
            drive: Some(2),
        }
    }

    #[test]
    fn ids_rise_and_only_the_newest_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&directory.path().join("c")).unwrap();
        let ids: Vec<EventId> = (0..10).map(|number| catalog.add_event(&event(number), 4).unwrap()).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        let kept = catalog.events_after(EventId(0), 100).unwrap();
        assert_eq!(kept.iter().map(|row| row.id).collect::<Vec<_>>(), ids[6..]);
        assert_eq!(kept[0].event, event(6));
        assert_eq!(catalog.events_after(ids[7], 1).unwrap()[0].id, ids[8]);
        let newest = catalog.newest_events(2, Some(ids[9])).unwrap();
        assert_eq!(newest.iter().map(|row| row.id).collect::<Vec<_>>(), [ids[8], ids[7]]);
    }
}
