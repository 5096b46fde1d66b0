//! The referee is refereed: GNU tar's copy of the awkward tree is the same, and each planted difference is seen.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use super::{Awkward, assert_same, difference};

fn copy_with_tar(from: &Path, to: &Path) {
    let script = r#"set -euo pipefail
        tar -C "$1" --format=posix --xattrs --xattrs-include='*' --acls --sparse --numeric-owner -cf - . |
            tar -C "$2" --xattrs --xattrs-include='*' --acls --numeric-owner -xpf -"#;
    fs::create_dir(to).unwrap();
    let status = Command::new("bash").args(["-c", script, "copy"]).args([from, to]).status().unwrap();
    assert!(status.success(), "{status}");
}

#[test]
fn a_copy_is_the_same_and_each_difference_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    Awkward { large: 3 << 20, ..Awkward::default() }.make(&a);
    copy_with_tar(&a, &b);
    assert_same(&a, &b);

    // Each change is undone by the next copy of one subtree; the whole is compared once above.
    type Change = fn(&Path);
    let changes: [(&str, Change); 9] = [
        ("names", |dir| fs::remove_file(dir.join("new\nline")).unwrap()),
        ("names", |dir| fs::write(dir.join("extra"), b"").unwrap()),
        ("links", |dir| {
            fs::remove_file(dir.join("hard-2")).unwrap();
            fs::copy(dir.join("hard-1"), dir.join("hard-2")).unwrap();
        }),
        ("links", |dir| {
            fs::remove_file(dir.join("symlink-0")).unwrap();
            std::os::unix::fs::symlink("hard-2", dir.join("symlink-0")).unwrap();
        }),
        ("modes", |dir| fs::set_permissions(dir.join("4755"), fs::Permissions::from_mode(0o755)).unwrap()),
        ("attributes", |dir| {
            rustix::fs::setxattr(dir.join("file"), "user.plain", b"other", rustix::fs::XattrFlags::empty())
                .unwrap();
        }),
        ("attributes", |dir| {
            let done =
                Command::new("setfacl").args(["-x", "u:12345"]).arg(dir.join("file")).status().unwrap();
            assert!(done.success());
        }),
        ("times", |dir| {
            let file = fs::File::open(dir.join("one-nanosecond")).unwrap();
            file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::new(1_700_000_000, 2)).unwrap();
        }),
        ("sparse", |dir| {
            let file = OpenOptions::new().write(true).open(dir.join("hole-first")).unwrap();
            let modified = file.metadata().unwrap().modified().unwrap();
            file.write_all_at(&vec![0; 8 << 20], 0).unwrap();
            file.sync_all().unwrap();
            file.set_modified(modified).unwrap();
        }),
    ];
    for (index, (part, change)) in changes.into_iter().enumerate() {
        let changed = dir.path().join(index.to_string());
        copy_with_tar(&a.join(part), &changed);
        assert_same(&a.join(part), &changed);
        change(&changed);
        assert!(difference(&a.join(part), &changed).is_some(), "change {index} of {part} is not seen");
    }
}

#[test]
fn the_same_seed_makes_the_same_content() {
    let dir = tempfile::tempdir().unwrap();
    let small = Awkward { large: 4097, ..Awkward::default() };
    for (name, seed) in [("a", 1), ("b", 1), ("c", 2)] {
        Awkward { seed, ..small }.make(&dir.path().join(name));
    }
    let content = |name: &str| fs::read(dir.path().join(name).join("large.bin")).unwrap();
    assert_eq!(content("a"), content("b"));
    assert_ne!(content("a"), content("c"));
    assert!(fs::read(dir.path().join("a/many/length-513")).unwrap().len() == 513);
}
