//! Names of devices to `/dev/sgN`, by what sysfs says.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

/// The classes of devices that have an sg node beside them: tapes and changers.
const CLASSES: [&str; 2] = ["scsi_tape", "scsi_changer"];

/// The sg node of a device: of `/dev/sg3`, `/dev/nst0`, `/dev/st0`, `/dev/sch0`, or of a link to one of them, such as
/// those below `/dev/tape/by-id`.
///
/// # Errors
/// The name leads nowhere; or nothing of this name is a tape drive or a changer (`InvalidInput`).
pub(super) fn generic_node(name: &Path) -> io::Result<PathBuf> {
    resolve(Path::new("/sys"), name)
}

fn resolve(sys: &Path, name: &Path) -> io::Result<PathBuf> {
    let node = name.canonicalize()?;
    let directory = node.parent().unwrap_or(Path::new("/dev"));
    let Some(base) = node.file_name() else { return Err(no_device("it is no device")) };
    if is_numbered(base, "sg") {
        return Ok(node);
    }
    for class in CLASSES {
        let generic = sys.join("class").join(class).join(base).join("device/scsi_generic");
        let Ok(entries) = std::fs::read_dir(&generic) else { continue };
        if let Some(found) = entries.flatten().map(|e| e.file_name()).find(|name| is_numbered(name, "sg")) {
            return Ok(directory.join(found));
        }
        return Err(no_device("it has no sg node: `modprobe sg`"));
    }
    Err(no_device("it is no tape drive or changer that the kernel knows"))
}

/// Whether a name is `prefix` and a number.
pub(super) fn is_numbered(name: &OsStr, prefix: &str) -> bool {
    name.to_str()
        .and_then(|name| name.strip_prefix(prefix))
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn no_device(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir_all, write};
    use std::os::unix::fs::symlink;

    use super::*;

    /// A small `/sys` and `/dev`: a drive, a changer, and a drive whose sg node is missing.
    fn machine() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        for (class, names, target) in [
            ("scsi_tape", &["st0", "nst0", "nst0a"][..], "0:0:1:0"),
            ("scsi_changer", &["sch0"], "0:0:3:0"),
            ("scsi_tape", &["nst1"], "0:0:2:0"),
        ] {
            create_dir_all(at("sys/devices").join(target).join("scsi_generic")).unwrap();
            for name in names {
                create_dir_all(at("sys/class").join(class).join(name)).unwrap();
                symlink(
                    at("sys/devices").join(target),
                    at("sys/class").join(class).join(name).join("device"),
                )
                .unwrap();
            }
        }
        create_dir_all(at("sys/devices/0:0:1:0/scsi_generic/sg3")).unwrap();
        create_dir_all(at("sys/devices/0:0:3:0/scsi_generic/sg12")).unwrap();
        create_dir_all(at("dev/tape/by-id")).unwrap();
        for node in ["st0", "nst0", "nst0a", "nst1", "sch0", "sg3", "sg12", "sda", "sgx"] {
            write(at("dev").join(node), "").unwrap();
        }
        symlink("../../nst0", at("dev/tape/by-id/scsi-35000-nst")).unwrap();
        symlink("../../sg12", at("dev/tape/by-id/scsi-36000-changer")).unwrap();
        root
    }

    #[test]
    fn names_lead_to_sg_nodes() {
        let root = machine();
        let dev = root.path().canonicalize().unwrap().join("dev");
        let found = |name: &str| resolve(&root.path().join("sys"), &dev.join(name)).unwrap();
        for name in ["sg3", "st0", "nst0", "nst0a", "tape/by-id/scsi-35000-nst"] {
            assert_eq!(found(name), dev.join("sg3"), "{name}");
        }
        for name in ["sg12", "sch0", "tape/by-id/scsi-36000-changer"] {
            assert_eq!(found(name), dev.join("sg12"), "{name}");
        }
    }

    #[test]
    fn what_leads_nowhere_is_told() {
        let root = machine();
        let told = |name: &str| {
            let error = resolve(&root.path().join("sys"), &root.path().join("dev").join(name)).unwrap_err();
            (error.kind(), error.to_string())
        };
        assert_eq!(told("none").0, io::ErrorKind::NotFound);
        assert!(told("nst1").1.contains("modprobe sg"));
        for name in ["sda", "sgx"] {
            assert!(told(name).1.contains("no tape drive or changer"), "{name}");
        }
    }
}
