//! Taking up what the last process left, and what a task needs before it can begin.

use std::sync::Arc;

use super::error::TasksError;
use super::events::Publish;
use super::live::Live;
use super::queue::Shared;
use super::work::{AfterDeath, FormatWork, Work};
use crate::catalog::{DatabaseCopyId, Severity, TaskFilter, TaskRow, TaskState, Volume, VolumeId};
use crate::engine::RestoreRequest;

/// Rows that are not over become live tasks again.
pub(super) fn take_up(shared: &Arc<Shared>) -> Result<(), TasksError> {
    let states =
        vec![TaskState::Queued, TaskState::Running, TaskState::Paused, TaskState::WaitingForOperator];
    let mut rows = shared.catalog().tasks(&TaskFilter { states, ..TaskFilter::default() })?;
    rows.reverse();
    for row in rows {
        take_up_one(shared, row)?;
    }
    Ok(())
}

fn take_up_one(shared: &Arc<Shared>, mut row: TaskRow) -> Result<(), TasksError> {
    let ran = matches!(row.state, TaskState::Running | TaskState::WaitingForOperator);
    let work: Result<Work, String> =
        serde_json::from_value(row.work.clone()).map_err(|error| error.to_string());
    let failure = match &work {
        Err(error) => Some(format!("what was to be done cannot be read: {error}")),
        Ok(work) if ran && work.after_death() == AfterDeath::Fail && !work.has_own_keys() => {
            Some("the daemon ended while it ran; look at the cartridge, then retry".to_owned())
        }
        Ok(work) if work.has_own_keys() => Some(super::execute::KEYS_LOST.to_owned()),
        Ok(_) => None,
    };
    let volumes = match &work {
        Ok(work) if failure.is_none() => volumes_of(shared, work).map_err(|error| super::chain(&error)),
        _ => Ok(Vec::new()),
    };
    let failure = failure.or_else(|| volumes.as_ref().err().cloned());
    (row.waiting_for, row.prompt) = (None, None);
    row.updated = super::now();
    if let Some(why) = failure {
        row.state = TaskState::Failed;
        row.finished = Some(row.updated);
        let event = Publish::new("task.failed", Severity::Error, format!("{} failed: {why}", row.title))
            .task(row.id)
            .job(row.job)
            .data(serde_json::json!({ "task_id": row.id.0, "error": why }));
        row.error = Some(why);
        shared.catalog().update_task(&row)?;
        shared.events.publish(event);
        return Ok(());
    }
    let (Ok(work), Ok(volumes)) = (work, volumes) else { return Ok(()) };
    if ran {
        row.state = TaskState::Queued;
        row.attempt += 1;
        shared.catalog().update_task(&row)?;
        let goes_on = shared.set_of(&work)?.is_some();
        let how = if goes_on { "goes on where it was" } else { "begins again" };
        shared.events.publish(
            Publish::new(
                "task.requeued",
                Severity::Warning,
                format!("The daemon ended during {}: it {how}", row.title),
            )
            .task(row.id)
            .job(row.job)
            .data(serde_json::json!({ "task_id": row.id.0 })),
        );
    }
    let mut live = Live::new(row, work);
    live.volumes = volumes;
    let mut state = shared.lock();
    state.live.insert(live.row.id, live);
    Ok(())
}

/// The volumes that a task needs and that no other may have meanwhile. A backup without a volume named finds its own.
pub(super) fn volumes_of(shared: &Shared, work: &Work) -> Result<Vec<(VolumeId, String)>, TasksError> {
    let catalog = shared.catalog();
    let volumes: Vec<Volume> = catalog.volumes()?;
    let by_name = |name: &str| {
        volumes
            .iter()
            .find(|volume| volume.label == name)
            .or_else(|| volumes.iter().find(|volume| volume.barcode.as_deref() == Some(name)))
            .or_else(|| volumes.iter().find(|volume| volume.uuid == name))
    };
    let mut found: Vec<&Volume> = Vec::new();
    match work {
        Work::Backup(backup) => found.extend(backup.volume.as_deref().and_then(by_name)),
        Work::Restore(restore) => {
            let request = RestoreRequest {
                set: restore.set.clone(),
                patterns: restore.patterns.clone(),
                ..RestoreRequest::default()
            };
            let plan = shared.appliance.plan_restore(&request)?;
            for planned in plan.sets.iter().flat_map(|set| &set.volumes) {
                found.extend(by_name(&planned.label));
            }
        }
        Work::Verify(verify) => match (&verify.set, &verify.volume) {
            (Some(set), _) => {
                let set = shared.appliance.set_named(set)?;
                for part in catalog.parts_of(set.id)? {
                    found.extend(volumes.iter().find(|volume| volume.id == part.volume));
                }
            }
            (None, Some(name)) => found.push(by_name(name).ok_or_else(|| no_such_volume(name))?),
            (None, None) => {}
        },
        Work::DatabaseRestore { copy, .. } => {
            let set = catalog.database_copy(DatabaseCopyId(*copy))?.set;
            if let Some(set) = set.map(|set| catalog.set_by_uuid(&set)).transpose()?.flatten() {
                for part in catalog.parts_of(set.id)? {
                    found.extend(volumes.iter().find(|volume| volume.id == part.volume));
                }
            }
        }
        Work::LabelTape(label) => {
            found.extend(volumes.iter().find(|volume| Some(volume.id.0) == label.volume));
            found.extend(label.barcode.as_deref().and_then(by_name));
        }
        Work::FormatTape(FormatWork { volume: Some(id), .. }) => {
            found.push(
                volumes
                    .iter()
                    .find(|volume| volume.id.0 == *id)
                    .ok_or_else(|| no_such_volume(&id.to_string()))?,
            );
        }
        _ => {}
    }
    let mut needed: Vec<(VolumeId, String)> = Vec::new();
    for volume in found {
        if !needed.iter().any(|(id, _)| *id == volume.id) {
            needed.push((volume.id, volume.label.clone()));
        }
    }
    Ok(needed)
}

fn no_such_volume(name: &str) -> TasksError {
    crate::engine::EngineError::NoSuchVolume { name: name.to_owned() }.into()
}
