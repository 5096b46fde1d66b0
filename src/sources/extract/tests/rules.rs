//! What happens to names that are taken.

use std::path::PathBuf;

use super::*;

const OLD: Timestamp = Timestamp { seconds: 1_000, nanoseconds: 5 };
const NEW: Timestamp = Timestamp { seconds: 2_000_000_000, nanoseconds: 5 };

/// A target with a file `f` ("there") of the given time.
fn taken(mtime: Timestamp) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let first = extractor(root.path(), Overwrite::Never);
    first.write_small(&Entry { size: 5, mtime, ..entry(Kind::Regular, "f") }, b"f", b"there").unwrap();
    root
}

fn content(root: &tempfile::TempDir, name: &str) -> String {
    fs::read_to_string(root.path().join(name)).unwrap()
}

#[test]
fn regular_files() {
    for (rule, there, outcome, left) in [
        (Overwrite::Never, OLD, Outcome::Skipped(SkipReason::Exists), "there"),
        (Overwrite::Always, NEW, Outcome::Replaced, "fresh"),
        (Overwrite::Older, OLD, Outcome::Replaced, "fresh"),
        (Overwrite::Older, NEW, Outcome::Skipped(SkipReason::NewerExists), "there"),
        (Overwrite::Older, entry(Kind::Regular, "f").mtime, Outcome::Unchanged, "there"),
        (Overwrite::Rename, OLD, Outcome::Renamed(PathBuf::from("f.restored")), "there"),
    ] {
        let root = taken(there);
        let extractor = extractor(root.path(), rule);
        assert_eq!(file(&extractor, "f", b"fresh").unwrap(), outcome, "{rule:?}");
        assert_eq!(content(&root, "f"), left, "{rule:?}");
        let names = if rule == Overwrite::Rename { vec!["f", "f.restored"] } else { vec!["f"] };
        assert_eq!(listing(root.path()), names);
    }
}

#[test]
fn streamed_files_follow_the_same_rules() {
    for rule in [Overwrite::Never, Overwrite::Always, Overwrite::Rename] {
        let root = taken(OLD);
        let extractor = extractor(root.path(), rule);
        let entry = Entry { size: 5, ..entry(Kind::Regular, "f") };
        match extractor.begin(&entry, b"f").unwrap() {
            Begun::Done(outcome) => {
                assert_eq!((rule, outcome), (Overwrite::Never, Outcome::Skipped(SkipReason::Exists)));
            }
            Begun::File(mut sink) => {
                sink.write(b"fr").unwrap();
                assert_eq!(content(&root, "f"), "there"); // never half of it
                sink.write(b"esh").unwrap();
                let outcome = sink.finish().unwrap();
                let name = if rule == Overwrite::Always { "f" } else { "f.restored" };
                assert_eq!(content(&root, name), "fresh");
                assert_eq!(matches!(outcome, Outcome::Renamed(_)), rule == Overwrite::Rename);
            }
        }
    }
}

#[test]
fn a_name_taken_while_the_file_is_written() {
    let root = tempfile::tempdir().unwrap();
    let extractor = extractor(root.path(), Overwrite::Never);
    let entry = Entry { size: 5, ..entry(Kind::Regular, "d/f") };
    let Begun::File(mut sink) = extractor.begin(&entry, b"d/f").unwrap() else { panic!() };
    sink.write(b"fresh").unwrap();
    fs::write(root.path().join("d/f"), "other").unwrap();
    assert_eq!(sink.finish().unwrap(), Outcome::Skipped(SkipReason::Exists));
    assert_eq!(content(&root, "d/f"), "other");
}

#[test]
fn renames_find_a_free_name_that_fits() {
    let root = tempfile::tempdir().unwrap();
    let name = "n".repeat(255);
    for n in 0..3 {
        let extractor = extractor(root.path(), Overwrite::Rename);
        let outcome = file(&extractor, &name, &[n]).unwrap();
        let expected = match n {
            0 => Outcome::Created,
            1 => Outcome::Renamed(PathBuf::from(format!("{}.restored", "n".repeat(246)))),
            _ => Outcome::Renamed(PathBuf::from(format!("{}.restored.2", "n".repeat(244)))),
        };
        assert_eq!(outcome, expected);
    }
}

#[test]
fn links_and_pipes_follow_the_rules() {
    for rule in [Overwrite::Never, Overwrite::Always, Overwrite::Rename, Overwrite::Older] {
        let root = taken(OLD);
        let extractor = extractor(root.path(), rule);
        for (kind, to) in [(Kind::Symlink, "nowhere"), (Kind::Fifo, "")] {
            let outcome = other(&extractor, &link(kind, "f", to)).unwrap();
            match rule {
                Overwrite::Never => assert_eq!(outcome, Outcome::Skipped(SkipReason::Exists)),
                Overwrite::Rename => assert!(matches!(outcome, Outcome::Renamed(_))),
                Overwrite::Older if kind == Kind::Fifo => {
                    assert_eq!(outcome, Outcome::Skipped(SkipReason::NewerExists));
                }
                _ => assert_eq!(outcome, Outcome::Replaced),
            }
        }
    }
}

#[test]
fn directories_are_merged_and_never_removed() {
    for rule in [Overwrite::Never, Overwrite::Older, Overwrite::Always, Overwrite::Rename] {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("d/keep")).unwrap();
        fs::create_dir(root.path().join("x")).unwrap();
        let before = mode(&root.path().join("d"));
        let extractor = extractor(root.path(), rule);
        let wanted = Entry { mode: 0o1711, mtime: NEW, ..entry(Kind::Directory, "d") };
        let outcome = other(&extractor, &wanted).unwrap();
        file(&extractor, "d/f", b"new").unwrap();
        let over = file(&extractor, "x", b"file over a directory");
        finish(&extractor);
        let replaced = matches!(rule, Overwrite::Always | Overwrite::Older);
        if replaced {
            assert_eq!(outcome, Outcome::Replaced);
            assert!(matches!(over, Err(ExtractError::Blocked { by: "a directory", .. })), "{over:?}");
            assert_eq!((mode(&root.path().join("d")), time(&root.path().join("d"))), (0o1711, NEW));
        } else {
            assert_eq!(outcome, Outcome::Skipped(SkipReason::Exists));
            assert!(over.is_ok());
            assert_eq!(mode(&root.path().join("d")), before);
        }
        assert!(root.path().join("d/keep").is_dir() && root.path().join("x").is_dir());
    }
}

#[test]
fn hard_links_know_what_became_of_the_first_name() {
    // Renamed: the link goes to the restored file, not to the one that stood there.
    let root = taken(OLD);
    let renaming = extractor(root.path(), Overwrite::Rename);
    file(&renaming, "f", b"fresh").unwrap();
    assert_eq!(other(&renaming, &link(Kind::HardLink, "h", "f")).unwrap(), Outcome::Created);
    assert_eq!((content(&root, "f").as_str(), content(&root, "h").as_str()), ("there", "fresh"));
    // Skipped: a link to what stood there would be other content.
    let root = taken(OLD);
    let never = extractor(root.path(), Overwrite::Never);
    file(&never, "f", b"fresh").unwrap();
    let outcome = other(&never, &link(Kind::HardLink, "h", "f")).unwrap();
    assert_eq!(outcome, Outcome::Skipped(SkipReason::LinkTargetSkipped));
    // Replaced, then once more: the link is one already.
    let always = extractor(root.path(), Overwrite::Always);
    fs::write(root.path().join("h"), "in the way").unwrap();
    file(&always, "f", b"fresh").unwrap();
    assert_eq!(other(&always, &link(Kind::HardLink, "h", "f")).unwrap(), Outcome::Replaced);
    assert_eq!(other(&always, &link(Kind::HardLink, "h", "f")).unwrap(), Outcome::Unchanged);
    assert_eq!(content(&root, "h"), "fresh");
    assert_eq!(listing(root.path()), ["f", "h"]);
}

#[test]
fn a_stripped_prefix_is_taken_off_the_first_name_too() {
    let root = tempfile::tempdir().unwrap();
    let extractor = extractor(root.path(), Overwrite::Never);
    let first = Entry { size: 1, ..entry(Kind::Regular, "home/u/a") };
    extractor.write_small(&first, b"a", b"1").unwrap();
    let second = link(Kind::HardLink, "home/u/d/b", "home/u/a");
    assert!(matches!(extractor.begin(&second, b"d/b").unwrap(), Begun::Done(Outcome::Created)));
    assert_eq!(extractor.hard_link(&second, b"moved", b"a").unwrap(), Outcome::Created);
    assert_eq!(fs::metadata(root.path().join("a")).unwrap().nlink(), 3);
}

#[test]
fn devices_need_leave() {
    let root = tempfile::tempdir().unwrap();
    let extractor = extractor(root.path(), Overwrite::Never);
    for kind in [Kind::CharDevice, Kind::BlockDevice] {
        let outcome = other(&extractor, &entry(kind, "d")).unwrap();
        assert_eq!(outcome, Outcome::Skipped(SkipReason::DeviceNotAllowed));
    }
    assert!(listing(root.path()).is_empty());
}

#[test]
fn threads_share_one_restore() {
    let root = tempfile::tempdir().unwrap();
    let extractor = extractor(root.path(), Overwrite::Never);
    std::thread::scope(|scope| {
        for t in 0..4 {
            let extractor = &extractor;
            scope.spawn(move || {
                for n in 0..50 {
                    // Every thread meets directories that another one is making.
                    let dir = Entry { mode: 0o710, ..entry(Kind::Directory, format!("d{n}/e")) };
                    if t == n % 4 {
                        assert_eq!(other(extractor, &dir).unwrap(), Outcome::Created);
                    }
                    file(extractor, format!("d{n}/e/f{t}"), b"x").unwrap();
                }
            });
        }
    });
    finish(&extractor);
    assert_eq!(listing(root.path()).len(), 50 * 6);
    assert!((0..50).all(|n| mode(&root.path().join(format!("d{n}/e"))) == 0o710));
}
