use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use super::{Comparison, Trees, compare};
use crate::pipeline::Progress;

fn make(root: &Path) {
    fs::create_dir_all(root.join("d")).unwrap();
    fs::write(root.join("d/a"), "content").unwrap();
    fs::hard_link(root.join("d/a"), root.join("d/b")).unwrap();
    symlink("a", root.join("d/link")).unwrap();
    let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    fs::File::open(root.join("d/a")).unwrap().set_modified(time).unwrap();
    let pinned = rustix::fs::Timestamps {
        last_access: rustix::fs::Timespec { tv_sec: 1_000_000_000, tv_nsec: 0 },
        last_modification: rustix::fs::Timespec { tv_sec: 1_000_000_000, tv_nsec: 0 },
    };
    for path in ["d/link", "d", "."] {
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::utimensat(rustix::fs::CWD, root.join(path), &pinned, flags).unwrap();
    }
}

/// Compares two trees made alike after `change` changed the second; nothing counts as changed meanwhile.
fn after(problems: &[String], change: impl FnOnce(&Path, &Path)) -> Comparison {
    let place = tempfile::tempdir().unwrap();
    let (a, b) = (place.path().join("a"), place.path().join("b"));
    make(&a);
    make(&b);
    change(&a, &b);
    let trees =
        Trees { original: &a, restored: &b, never: Path::new("/nowhere"), problems, since: i128::MAX / 2 };
    compare(&trees, &Progress::default(), &AtomicBool::new(false))
}

#[test]
fn equal_trees_are_equal() {
    let found = after(&[], |_, _| {});
    assert_eq!((found.different, found.same), (0, 5), "{:?}", found.differences);
}

#[test]
fn every_difference_is_found() {
    type Change = (&'static str, &'static str, fn(&Path));
    let changes: [Change; 6] = [
        ("content", "another content", |b| {
            let path = b.join("d/a");
            let time = fs::metadata(&path).unwrap().modified().unwrap();
            fs::write(&path, "CONTENT").unwrap();
            fs::File::open(&path).unwrap().set_modified(time).unwrap();
        }),
        ("mode", "mode", |b| fs::set_permissions(b.join("d/a"), Permissions::from_mode(0o600)).unwrap()),
        ("time", "another modification time", |b| {
            fs::File::open(b.join("d/a")).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
        }),
        ("target", "another link target", |b| {
            fs::remove_file(b.join("d/link")).unwrap();
            symlink("b", b.join("d/link")).unwrap();
            make_time(&b.join("d/link"));
        }),
        ("hard link", "another set of hard links", |b| {
            fs::remove_file(b.join("d/b")).unwrap();
            fs::copy(b.join("d/a"), b.join("d/b")).unwrap();
            make_time(&b.join("d/b"));
        }),
        ("missing", "not restored", |b| fs::remove_file(b.join("d/a")).unwrap()),
    ];
    for (name, how, change) in changes {
        let found = after(&[], |_, b| {
            change(b);
            make_time(&b.join("d"));
        });
        assert!(found.different > 0, "{name}");
        assert!(found.differences.iter().any(|line| line.contains(how)), "{name}: {:?}", found.differences);
    }
}

fn make_time(path: &Path) {
    let time = rustix::fs::Timespec { tv_sec: 1_000_000_000, tv_nsec: 0 };
    let both = rustix::fs::Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(rustix::fs::CWD, path, &both, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

#[test]
fn what_was_not_restored_from_nothing_is_surplus() {
    let found = after(&[], |_, b| {
        fs::write(b.join("d/new"), "").unwrap();
        make_time(&b.join("d"));
    });
    assert_eq!(found.different, 1);
    assert!(found.differences[0].contains("not in the original"));
}

#[test]
fn what_the_backup_told_is_no_difference_but_is_named() {
    let place = tempfile::tempdir().unwrap();
    let (a, b) = (place.path().join("a"), place.path().join("b"));
    make(&a);
    make(&b);
    fs::remove_file(b.join("d/link")).unwrap();
    make_time(&b.join("d"));
    let problems = [format!("{}: cannot be opened (EACCES)", a.join("d/link").display())];
    let trees = Trees {
        original: &a,
        restored: &b,
        never: Path::new("/nowhere"),
        problems: &problems,
        since: i128::MAX / 2,
    };
    let found = compare(&trees, &Progress::default(), &AtomicBool::new(false));
    assert_eq!((found.different, found.not_stored.len()), (0, 1), "{:?}", found.differences);
}

#[test]
fn what_changed_since_the_backup_is_named_and_no_difference() {
    let place = tempfile::tempdir().unwrap();
    let (a, b) = (place.path().join("a"), place.path().join("b"));
    make(&a);
    make(&b);
    fs::write(a.join("d/a"), "later").unwrap();
    let trees = Trees { original: &a, restored: &b, never: Path::new("/nowhere"), problems: &[], since: 0 };
    let found = compare(&trees, &Progress::default(), &AtomicBool::new(false));
    assert_eq!(found.different, 0, "{:?}", found.differences);
    assert!(!found.changed_meanwhile.is_empty());
}
