//! Drives, each lent to one task or one short operation at a time.

use std::collections::HashMap;

use crate::catalog::{Catalog, CatalogError, DriveId, DriveRow, TaskId};
use crate::engine::DeviceChoice;

/// Who has a drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Holder {
    /// A task.
    Task(TaskId),
    /// A short operation, by its name.
    Operation(String),
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Holder::Task(task) => write!(f, "task {task} uses it"),
            Holder::Operation(name) => write!(f, "{name} is under way"),
        }
    }
}

/// Which drives are lent, and to whom.
#[derive(Debug, Default)]
pub(super) struct Leases(HashMap<DriveId, Holder>);

impl Leases {
    pub(super) fn holder(&self, drive: DriveId) -> Option<&Holder> {
        self.0.get(&drive)
    }

    pub(super) fn lend(&mut self, drive: DriveId, to: Holder) {
        self.0.insert(drive, to);
    }

    pub(super) fn give_back(&mut self, drive: DriveId) {
        self.0.remove(&drive);
    }

    /// A free drive among `drives`: the one wanted, else the selected one, else the first; or what to wait for.
    pub(super) fn free<'a>(
        &self,
        drives: &'a [DriveRow],
        wanted: Option<i64>,
    ) -> Result<&'a DriveRow, String> {
        if let Some(wanted) = wanted {
            let Some(drive) = drives.iter().find(|drive| drive.id.0 == wanted && drive.enabled) else {
                return Err(format!("drive {wanted}, which is not known or not enabled"));
            };
            return match self.holder(drive.id) {
                None => Ok(drive),
                Some(holder) => Err(format!("drive {}: {holder}", name(drive))),
            };
        }
        let enabled = || drives.iter().filter(|drive| drive.enabled);
        let mut free: Vec<&DriveRow> = enabled().filter(|drive| self.holder(drive.id).is_none()).collect();
        free.sort_by_key(|drive| (!drive.selected, drive.id));
        free.into_iter().next().ok_or_else(|| {
            let busy: Vec<String> = enabled()
                .filter_map(|drive| Some(format!("drive {}: {}", name(drive), self.holder(drive.id)?)))
                .collect();
            match busy.as_slice() {
                [] => "a drive: none is known and enabled".into(),
                busy => format!("a free drive; {}", busy.join(", ")),
            }
        })
    }
}

/// What people call a drive.
pub(super) fn name(drive: &DriveRow) -> &str {
    if drive.display_name.is_empty() { &drive.device } else { &drive.display_name }
}

/// How the drive and the changer that serves it are opened.
pub(super) fn devices(catalog: &Catalog, drive: &DriveRow) -> Result<DeviceChoice, CatalogError> {
    let changer = drive.library.map(|library| catalog.library(library)).transpose()?;
    Ok(DeviceChoice {
        drive: Some(drive.device.clone()),
        changer: changer.filter(|library| library.enabled).map(|library| library.device),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drive(id: i64) -> DriveRow {
        DriveRow {
            id: DriveId(id),
            device: format!("/dev/nst{id}"),
            display_name: String::new(),
            vendor: String::new(),
            model: String::new(),
            serial: String::new(),
            enabled: true,
            selected: false,
            library: None,
            element: None,
            is_virtual: false,
            created: 0,
            updated: 0,
        }
    }

    #[test]
    fn the_selected_drive_goes_first_and_what_is_waited_for_is_said() {
        let mut drives = [drive(1), drive(2), drive(3)];
        drives[1].selected = true;
        drives[2].enabled = false;
        let mut leases = Leases::default();
        assert_eq!(leases.free(&drives, None).unwrap().id, DriveId(2));
        leases.lend(DriveId(2), Holder::Task(TaskId(7)));
        assert_eq!(leases.free(&drives, None).unwrap().id, DriveId(1));
        assert_eq!(leases.free(&drives, Some(2)).unwrap_err(), "drive /dev/nst2: task 7 uses it");
        leases.lend(DriveId(1), Holder::Operation("rewind".into()));
        let waiting = leases.free(&drives, None).unwrap_err();
        assert_eq!(
            waiting,
            "a free drive; drive /dev/nst1: rewind is under way, drive /dev/nst2: task 7 uses it"
        );
        assert!(leases.free(&drives, Some(3)).unwrap_err().contains("not enabled"));
        leases.give_back(DriveId(2));
        assert_eq!(leases.free(&drives, None).unwrap().id, DriveId(2));
        assert_eq!(Leases::default().free(&[], None).unwrap_err(), "a drive: none is known and enabled");
    }
}
