//! The longest transfer to a drive, probed once and kept.
//!
//! Some host adapters break commands beyond 256 or 512 KiB, whatever the kernel believes. A command that moves nothing on
//! tape shows it. What was found is kept in `devices.json` in the state directory, by serial number and way; removing the
//! file has it probed again.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::EngineError;
use crate::catalog::Catalog;
use crate::drive::{Drive, Medium};
use crate::scsi::iscsi;
use crate::scsi::linux_sg::sysfs::{self, Roots};

/// Bytes of the CRC32C behind a record.
const PROTECTION: usize = 4;
/// The file in the state directory, beside the catalog.
const NAME: &str = "devices.json";

/// What is kept of devices.
#[derive(Debug, Default, Serialize, Deserialize)]
struct DeviceFile {
    /// Longest transfer in bytes by `SERIAL@WAY`.
    #[serde(default)]
    transfer: BTreeMap<String, Transfer>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Transfer {
    bytes: usize,
    /// RFC 3339.
    probed: String,
}

/// Bytes that one command may carry to and from this drive: as kept, else probed now.
///
/// # Errors
/// The drive does not answer; the file cannot be written.
pub(super) fn longest(catalog: &Catalog, drive: &mut Drive) -> Result<usize, EngineError> {
    probed(catalog.path().parent().unwrap_or(Path::new(".")), drive)
}

/// Bytes of the longest record where commands carry `longest`: with block protection each carries its CRC besides.
pub(super) fn of_record(longest: usize, medium: &Medium) -> usize {
    let protection = if medium.block_protection { PROTECTION } else { 0 };
    longest.saturating_sub(protection).min(medium.max_record)
}

fn probed(state: &Path, drive: &mut Drive) -> Result<usize, EngineError> {
    let key = key(drive);
    let mut file = read(state);
    if let Some(kept) = key.as_ref().and_then(|key| file.transfer.get(key)) {
        return Ok(kept.bytes);
    }
    let bytes = drive.probe_transfer()?;
    if let Some(key) = key {
        file.transfer.insert(key, Transfer { bytes, probed: super::rfc3339(super::now()) });
        let path = state.join(NAME);
        write(&path, &file).map_err(|source| EngineError::File {
            path,
            what: "cannot be written",
            source,
        })?;
    }
    Ok(bytes)
}

/// What is kept for this drive.
pub(super) fn kept(state: &Path, drive: &Drive) -> Option<usize> {
    read(state).transfer.get(&key(drive)?).map(|kept| kept.bytes)
}

/// Serial number and way; none for a drive without a serial number.
fn key(drive: &Drive) -> Option<String> {
    let serial = drive.identity().serial.trim();
    (!serial.is_empty()).then(|| format!("{serial}@{}", way(&Roots::default(), drive.name())))
}

/// The host adapter's driver, or what stands in its place.
fn way(roots: &Roots, name: &str) -> String {
    if name.starts_with(iscsi::SCHEME) {
        return "iscsi".into();
    }
    let Ok(node) = Path::new(name).canonicalize() else { return "virtual".into() };
    let unit = sysfs::units(roots).into_iter().find(|unit| unit.nodes().any(|known| known == node));
    unit.map_or_else(|| "unknown".into(), |unit| unit.adapter.driver)
}

/// A file that is missing or cannot be understood holds nothing: it is probed again.
fn read(state: &Path) -> DeviceFile {
    fs::read(state.join(NAME)).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// Replaced whole or not at all.
fn write(path: &Path, file: &DeviceFile) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(file)?;
    text.push(b'\n');
    let beside = path.with_extension("json.new");
    let mut new = File::create(&beside)?;
    new.write_all(&text)?;
    new.sync_all()?;
    drop(new);
    fs::rename(&beside, path)?;
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scsi::Generation;
    use crate::scsi::linux_sg::fake::{Fake, FakeUnit};
    use crate::virtual_library::{Layout, VirtualLibrary};

    fn library(place: &Path) -> VirtualLibrary {
        let layout = Layout {
            drives: 1,
            slots: 1,
            import_export: 0,
            cartridges: 1,
            generation: Generation::Lto9,
            capacity: None,
            cleaning_cartridge: false,
            discard: false,
        };
        VirtualLibrary::create(&place.join("library"), &layout).unwrap()
    }

    #[test]
    fn what_was_probed_is_kept() {
        let place = tempfile::tempdir().unwrap();
        let library = library(place.path());
        let mut drive = Drive::open(Box::new(library.drive(0).unwrap())).unwrap();
        assert_eq!(kept(place.path(), &drive), None);
        assert_eq!(probed(place.path(), &mut drive).unwrap(), 1 << 20);
        assert_eq!(kept(place.path(), &drive), Some(1 << 20));
        // What is kept is not probed again: the drive may even hang.
        let path = place.path().join(NAME);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("1048576", "524288")).unwrap();
        library.faults().drive(0, |faults| faults.hung = true);
        assert_eq!(probed(place.path(), &mut drive).unwrap(), 512 << 10);
        // A file that cannot be understood is probed anew, and then the drive has to answer.
        fs::write(&path, "{").unwrap();
        assert!(probed(place.path(), &mut drive).is_err());
        library.faults().drive(0, |faults| faults.hung = false);
        assert_eq!(probed(place.path(), &mut drive).unwrap(), 1 << 20);
        assert!(!path.with_extension("json.new").exists());
    }

    #[test]
    fn a_state_directory_that_cannot_be_written_is_told() {
        let place = tempfile::tempdir().unwrap();
        let library = library(place.path());
        let mut drive = Drive::open(Box::new(library.drive(0).unwrap())).unwrap();
        let missing = place.path().join("missing");
        let error = probed(&missing, &mut drive).unwrap_err();
        assert!(matches!(error, EngineError::File { .. }), "{error:?}");
    }

    #[test]
    fn ways_are_told_apart() {
        let fake = Fake::new();
        fake.host(0, "mpt3sas", 128);
        fake.unit(&FakeUnit::drive("0:0:0:0", 0, 0, "A"));
        fake.link("scsi-A-nst", "nst0");
        let named = |name: &str| way(&fake.roots(), &fake.path(name).display().to_string());
        assert_eq!(
            (named("dev/nst0").as_str(), named("dev/tape/by-id/scsi-A-nst").as_str()),
            ("mpt3sas", "mpt3sas")
        );
        assert_eq!(named("dev/sg0"), "mpt3sas");
        assert_eq!(way(&fake.roots(), "iscsi://h:3260/iqn.x/0"), "iscsi");
        assert_eq!(way(&fake.roots(), "virtual:///x#drive0"), "virtual");
    }
}
