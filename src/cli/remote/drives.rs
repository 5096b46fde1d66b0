//! Devices named on the command line, as the daemon's drives.

use std::path::PathBuf;

use serde::Deserialize;

use super::{CallError, Daemon};
use crate::cli::error::CliError;
use crate::virtual_library::{Unit, parse_url};

#[derive(Debug, Deserialize)]
struct Drives {
    drives: Vec<Drive>,
}

#[derive(Debug, Deserialize)]
struct Drive {
    id: i64,
    device_path: String,
    display_name: String,
    enabled: bool,
    selected: bool,
    library_id: Option<i64>,
    busy_with: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Library {
    id: i64,
    device_path: String,
}

/// What a device's name means, however it is written.
#[derive(Debug, PartialEq, Eq)]
enum Device {
    Virtual(PathBuf, Unit),
    Node(PathBuf),
    Other(String),
}

impl Device {
    fn named(name: &str) -> Device {
        let real = |path: PathBuf| path.canonicalize().unwrap_or(path);
        match parse_url(name) {
            Some((directory, unit)) => Device::Virtual(real(directory), unit),
            None if name.starts_with('/') => Device::Node(real(name.into())),
            None => Device::Other(name.to_owned()),
        }
    }
}

impl Daemon<'_> {
    /// Number of the drive that `--drive` and `--changer` mean; none where any will do.
    pub(super) fn drive(&self) -> Result<Option<i64>, CliError> {
        let named = &self.context.devices;
        if named.drive.is_none() && named.changer.is_none() {
            return Ok(None);
        }
        let drives = self.enabled_drives()?;
        if named.is_embedded() {
            return self.embedded(&drives);
        }
        let library = match &named.changer {
            Some(changer) => Some(self.library_named(changer)?),
            None => None,
        };
        let wanted = named.drive.as_deref().map(Device::named);
        let fits = |drive: &&Drive| {
            wanted.as_ref().is_none_or(|wanted| Device::named(&drive.device_path) == *wanted)
                && library.is_none_or(|library| drive.library_id == Some(library))
        };
        let mut fitting: Vec<&Drive> = drives.iter().filter(fits).collect();
        fitting.sort_by_key(|drive| (drive.busy_with.is_some(), !drive.selected, drive.id));
        match fitting.first() {
            Some(drive) => Ok(Some(drive.id)),
            None => Err(unknown(named.drive.as_deref().or(named.changer.as_deref()).unwrap_or(""), &drives)),
        }
    }

    /// The drive to look at; one at work is not looked at.
    pub(super) fn idle_drive(&self) -> Result<i64, CliError> {
        let wanted = self.drive()?;
        let mut drives = self.enabled_drives()?;
        drives.sort_by_key(|drive| (!drive.selected, drive.id));
        let drive = drives.iter().find(|drive| wanted.is_none_or(|wanted| drive.id == wanted));
        let drive = drive.ok_or_else(|| unknown("a drive", &drives))?;
        match &drive.busy_with {
            None => Ok(drive.id),
            Some(by) => Err(CliError::Failed(format!(
                "drive {} is busy: {by}; look again when it is done",
                drive.display_name
            ))),
        }
    }

    /// The state directory's own library: where the daemon has no other drives, any of its drives will do.
    fn embedded(&self, drives: &[Drive]) -> Result<Option<i64>, CliError> {
        let own = self.context.state().join("library");
        let own = own.canonicalize().unwrap_or(own);
        let is_own = |drive: &&Drive| matches!(Device::named(&drive.device_path), Device::Virtual(directory, _) if directory == own);
        let embedded: Vec<&Drive> = drives.iter().filter(is_own).collect();
        match embedded.first() {
            None => Err(unknown("virtual", drives)),
            Some(_) if embedded.len() == drives.len() => Ok(None),
            Some(first) => Ok(Some(first.id)),
        }
    }

    fn enabled_drives(&self) -> Result<Vec<Drive>, CliError> {
        let mut found: Drives = self.ask("/api/v1/drives")?;
        found.drives.retain(|drive| drive.enabled);
        Ok(found.drives)
    }

    fn library_named(&self, changer: &str) -> Result<i64, CliError> {
        let found: Vec<Library> = self.ask("/api/v1/libraries")?;
        let wanted = Device::named(changer);
        let library = found.iter().find(|library| Device::named(&library.device_path) == wanted);
        library.map(|library| library.id).ok_or_else(|| {
            let known: Vec<&str> = found.iter().map(|library| library.device_path.as_str()).collect();
            CliError::Failed(not_known(changer, &known))
        })
    }

    fn ask<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        let answer = self.client.get(path)?;
        serde_json::from_value(answer)
            .map_err(|error| CallError::Refused(format!("{path}: not as expected: {error}")).into())
    }
}

fn unknown(name: &str, drives: &[Drive]) -> CliError {
    let known: Vec<&str> = drives.iter().map(|drive| drive.device_path.as_str()).collect();
    CliError::Failed(not_known(name, &known))
}

fn not_known(name: &str, known: &[&str]) -> String {
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    format!(
        "{name}: the daemon that runs on this state directory does not have this device (it has: {known}). Name one of these, \
         add it to the daemon's configuration, or stop the daemon"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_device_under_several_names() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(directory.path(), &link).unwrap();
        let virtual_drive = |path: &std::path::Path, drive| {
            Device::named(&format!("virtual://{}#drive{drive}", path.display()))
        };
        assert_eq!(virtual_drive(&link, 0), virtual_drive(directory.path(), 0));
        assert_ne!(virtual_drive(&link, 0), virtual_drive(directory.path(), 1));
        let node = directory.path().join("nst0");
        std::fs::write(&node, "").unwrap();
        let same = link.join("nst0");
        assert_eq!(Device::named(node.to_str().unwrap()), Device::named(same.to_str().unwrap()));
        assert_ne!(Device::named("iscsi://a/t/0"), Device::named("iscsi://a/t/1"));
    }
}
