//! The same as a plain user: run directly when the tests run as one, else in a child that has become nobody.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::*;

const NOBODY: u32 = 65_534;
const PLACE: &str = "REELWARD_TEST_PLAIN_USER";

/// What a plain user may expect, in a directory of their own.
fn expectations(place: &Path) {
    let (from, to) = (place.join("from"), place.join("to"));
    fs::create_dir(&from).unwrap();
    super::faithful::round_trip(&from, &to);
    // Owners are not tried, devices are reported, a foreign file's set-id bits are dropped.
    let options = ExtractOptions { special: true, keep_setid: true, ..ExtractOptions::default() };
    let extractor = Extractor::new(&place.join("other"), options).unwrap();
    let device = Entry { device: (1, 3), ..entry(Kind::CharDevice, "null") };
    assert_eq!(other(&extractor, &device).unwrap(), Outcome::Skipped(SkipReason::DeviceNotPermitted));
    let foreign = Entry { uid: 0, gid: 0, mode: 0o6755, ..entry(Kind::Regular, "f") };
    extractor.write_small(&foreign, b"f", b"").unwrap();
    assert_eq!(mode(&place.join("other/f")), 0o755);
    let warnings = extractor.take_warnings();
    assert!(warnings.iter().all(|w| matches!(w, ExtractError::PrivilegeDropped { .. })), "{warnings:?}");
    assert_eq!(warnings.len(), 2);
    // Told to, they are tried: a warning, not a lost file.
    let options = ExtractOptions { owners: Owners::Always, ..options };
    let insisting = Extractor::new(&place.join("other"), options).unwrap();
    let theirs = Entry { uid: 0, ..entry(Kind::Regular, "g") };
    assert_eq!(insisting.write_small(&theirs, b"g", b"").unwrap(), Outcome::Created);
    assert_eq!(insisting.take_warnings().len(), 1);
    // A directory that may not be written is an error of its files only.
    fs::set_permissions(place.join("other"), fs::Permissions::from_mode(0o500)).unwrap();
    assert!(matches!(file(&insisting, "h", b""), Err(ExtractError::System { .. })));
    fs::set_permissions(place.join("other"), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_plain_user_restores_what_is_theirs() {
    if let Some(place) = std::env::var_os(PLACE) {
        assert!(!is_root());
        return expectations(Path::new(&place));
    }
    let place = tempfile::tempdir().unwrap();
    if !is_root() {
        return expectations(place.path());
    }
    // The test binary may stand where nobody cannot reach it.
    let binary = place.path().join("tests");
    fs::copy(std::env::current_exe().unwrap(), &binary).unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let theirs = place.path().join("theirs");
    fs::create_dir(&theirs).unwrap();
    chown(&theirs, Some(NOBODY), Some(NOBODY)).unwrap();
    let name = std::thread::current().name().unwrap().to_owned();
    let done = Command::new(&binary)
        .args(["--exact", &name, "--nocapture"])
        .env(PLACE, &theirs)
        .current_dir("/")
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && text.contains("1 passed"), "{text}");
}
