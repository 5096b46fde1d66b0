//! Archives and targets that try to lead the restore astray.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use proptest::prelude::*;

use super::*;

/// A target and a place outside with a file in it, which must stay as it is.
struct Rig {
    _root: tempfile::TempDir,
    target: std::path::PathBuf,
    outside: std::path::PathBuf,
}

impl Rig {
    fn new() -> Rig {
        let root = tempfile::tempdir().unwrap();
        let (target, outside) = (root.path().join("target"), root.path().join("outside"));
        fs::create_dir(&target).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("secret"), "untouched").unwrap();
        Rig { _root: root, target, outside }
    }

    fn outside_is_untouched(&self) {
        assert_eq!(listing(&self.outside), ["secret"]);
        assert_eq!(fs::read(self.outside.join("secret")).unwrap(), b"untouched");
        assert_eq!(fs::symlink_metadata(self.outside.join("secret")).unwrap().nlink(), 1);
        assert_eq!(listing(self._root.path()).iter().filter(|n| !n.contains('/')).count(), 2);
    }
}

const RULES: [Overwrite; 4] = [Overwrite::Never, Overwrite::Older, Overwrite::Always, Overwrite::Rename];

#[test]
fn paths_that_lead_out_are_refused_for_every_kind() {
    let rig = Rig::new();
    let extractor = extractor(&rig.target, Overwrite::Always);
    for (path, fault) in [
        ("../x", PathFault::Dots),
        ("..", PathFault::Dots),
        (".", PathFault::Dots),
        ("a/../../x", PathFault::Dots),
        ("a/..", PathFault::Dots),
        ("./a", PathFault::Dots),
        ("/abs", PathFault::Absolute),
        ("", PathFault::Empty),
        ("a//b", PathFault::Empty),
        ("a/b/\0c", PathFault::Nul),
    ] {
        for kind in (1..=7).filter_map(Kind::from_number) {
            let entry = Entry { link: b"a".to_vec(), ..entry(kind, path) };
            match extractor.begin(&entry, path.as_bytes()) {
                Err(ExtractError::UnsafePath { path: named, fault: found }) => {
                    assert_eq!((named.as_os_str().as_bytes(), found), (path.as_bytes(), fault));
                }
                Err(error) => panic!("{path:?}: {error}"),
                Ok(_) => panic!("{path:?} as {kind:?} was accepted"),
            }
        }
        assert!(matches!(file(&extractor, path, b"x"), Err(ExtractError::UnsafePath { .. })));
    }
    assert!(listing(&rig.target).is_empty());
    rig.outside_is_untouched();
}

#[test]
fn a_file_through_a_link_that_the_archive_planted() {
    for rule in RULES {
        let rig = Rig::new();
        let extractor = extractor(&rig.target, rule);
        other(&extractor, &link(Kind::Symlink, "d", rig.outside.to_str().unwrap())).unwrap();
        other(&extractor, &link(Kind::Symlink, "e", "../outside")).unwrap();
        for path in ["d/planted", "e/planted", "d/secret", "e/sub/planted"] {
            let Err(ExtractError::Blocked { path: at, by }) = file(&extractor, path, b"x") else {
                panic!("{path} was accepted under {rule:?}");
            };
            assert_eq!((at.to_str(), by), (path.get(..1), "a symbolic link"));
        }
        assert!(matches!(directory(&extractor, "d/sub"), Err(ExtractError::Blocked { .. })));
        finish(&extractor);
        rig.outside_is_untouched();
    }
}

#[test]
fn a_link_that_stood_in_the_target_before() {
    for rule in RULES {
        let rig = Rig::new();
        symlink(&rig.outside, rig.target.join("d")).unwrap();
        symlink(rig.outside.join("secret"), rig.target.join("f")).unwrap();
        let extractor = extractor(&rig.target, rule);
        assert!(matches!(file(&extractor, "d/planted", b"x"), Err(ExtractError::Blocked { .. })));
        let outcome = file(&extractor, "f", b"x").unwrap();
        let directory = directory(&extractor, "d");
        if rule == Overwrite::Always {
            // The archive's own file and directory take the links' places; the links are not followed.
            assert_eq!(outcome, Outcome::Replaced);
            assert_eq!(directory.unwrap(), Outcome::Replaced);
            assert_eq!(file(&extractor, "d/inside", b"x").unwrap(), Outcome::Created);
            assert!(fs::symlink_metadata(rig.target.join("d")).unwrap().is_dir());
        } else {
            assert!(matches!(directory, Err(ExtractError::Blocked { .. })));
            assert!(fs::symlink_metadata(rig.target.join("f")).unwrap().is_symlink());
        }
        finish(&extractor);
        rig.outside_is_untouched();
    }
}

#[test]
fn a_directory_replaced_by_a_link_between_entries() {
    let rig = Rig::new();
    let extractor = extractor(&rig.target, Overwrite::Always);
    let private = Entry { mode: 0o700, ..entry(Kind::Directory, "d") };
    other(&extractor, &private).unwrap();
    file(&extractor, "d/first", b"x").unwrap();
    // Moved away: what is open stays open, the link is not followed.
    fs::rename(rig.target.join("d"), rig.target.join("moved")).unwrap();
    symlink(&rig.outside, rig.target.join("d")).unwrap();
    let _ = file(&extractor, "d/second", b"x");
    // Removed: the open directory takes no more files, and the link blocks the way.
    fs::remove_dir_all(rig.target.join("moved")).unwrap();
    let result = file(&extractor, "d/third", b"x");
    assert!(matches!(result, Err(ExtractError::Blocked { .. })), "{result:?}");
    // Its attributes are not given to what the link points to.
    let before = mode(&rig.outside);
    let failed = extractor.finish_directories();
    assert!(matches!(failed.as_slice(), [ExtractError::Blocked { .. }]), "{failed:?}");
    assert_eq!(mode(&rig.outside), before);
    rig.outside_is_untouched();
}

#[test]
fn a_directory_removed_between_entries_is_made_again() {
    let rig = Rig::new();
    let extractor = extractor(&rig.target, Overwrite::Never);
    file(&extractor, "d/first", b"x").unwrap();
    fs::remove_dir_all(rig.target.join("d")).unwrap();
    assert_eq!(file(&extractor, "d/second", b"x").unwrap(), Outcome::Created);
    assert_eq!(listing(&rig.target), ["d", "d/second"]);
}

#[test]
fn hard_links_to_the_outside() {
    let rig = Rig::new();
    let extractor = extractor(&rig.target, Overwrite::Always);
    let absolute = rig.outside.join("secret");
    for to in [absolute.to_str().unwrap(), "../outside/secret", "a/../../outside/secret"] {
        let result = other(&extractor, &link(Kind::HardLink, "h", to));
        assert!(matches!(result, Err(ExtractError::UnsafePath { .. })), "{result:?}");
    }
    // Through a link in the way, and by a link as the last component.
    other(&extractor, &link(Kind::Symlink, "d", "../outside")).unwrap();
    other(&extractor, &link(Kind::Symlink, "s", "../outside/secret")).unwrap();
    let through = other(&extractor, &link(Kind::HardLink, "h", "d/secret"));
    assert!(matches!(through, Err(ExtractError::Blocked { .. })), "{through:?}");
    // A link is not followed: it gets a further name itself, and nothing is ever written through that one either.
    assert_eq!(other(&extractor, &link(Kind::HardLink, "l", "s")).unwrap(), Outcome::Created);
    assert_eq!(fs::read_link(rig.target.join("l")).unwrap(), Path::new("../outside/secret"));
    assert_eq!(file(&extractor, "l", b"x").unwrap(), Outcome::Replaced);
    let pipe = other(&extractor, &link(Kind::Fifo, "p", ""))
        .map(|_| other(&extractor, &link(Kind::HardLink, "h", "p")));
    assert!(matches!(pipe, Ok(Err(ExtractError::LinkTargetKind { .. }))), "{pipe:?}");
    let missing = other(&extractor, &link(Kind::HardLink, "h", "nothing/here"));
    assert!(matches!(missing, Err(ExtractError::LinkTargetMissing { .. })), "{missing:?}");
    assert_eq!(listing(&rig.target), ["d", "l", "p", "s"]);
    rig.outside_is_untouched();
}

#[test]
fn long_and_strange_names() {
    let rig = Rig::new();
    let extractor = extractor(&rig.target, Overwrite::Never);
    let longest = "n".repeat(255);
    for name in ["two\nlines", " ", "-rf", "--", "\u{1b}[2J", "a\\b", "*?", longest.as_str()] {
        assert_eq!(file(&extractor, name, name.as_bytes()).unwrap(), Outcome::Created);
        assert_eq!(fs::read(rig.target.join(name)).unwrap(), name.as_bytes());
        let below = format!("dirs/{name}/{name}");
        directory(&extractor, &below).unwrap();
        assert!(rig.target.join(below).is_dir());
    }
    file(&extractor, b"\xff\xfe", b"x").unwrap();
    assert!(file(&extractor, "n".repeat(256), b"x").is_err());
    let error = file(&extractor, "../two\nlines", b"x").unwrap_err();
    assert!(!error.to_string().contains('\n'));
    finish(&extractor);
}

/// 4,000 bytes as many short and as few long components, and beyond what one system call takes.
#[test]
fn deep_and_long_paths() {
    let rig = Rig::new();
    for component in ["d", "dddddddddd", &"d".repeat(255)] {
        let extractor = extractor(&rig.target, Overwrite::Never);
        for length in [4000, 9000] {
            let mut path = format!("{length}");
            while path.len() + component.len() < length - 2 && path.matches('/').count() < 3000 {
                path.push('/');
                path.push_str(component);
            }
            let dir = Entry { mode: 0o750, ..entry(Kind::Directory, &path) };
            other(&extractor, &dir).unwrap();
            path.push_str("/f");
            assert_eq!(file(&extractor, &path, path.as_bytes()).unwrap(), Outcome::Created);
            path.push('h');
            let first = path.strip_suffix('h').unwrap().to_owned();
            other(&extractor, &link(Kind::HardLink, &path, &first)).unwrap();
        }
        finish(&extractor);
        // Too deep for remove_dir_all of some systems: leave it to `rm`.
        let found = std::process::Command::new("find")
            .arg(&rig.target)
            .args(["-type", "f", "-links", "2", "-printf", "%s\n"])
            .output()
            .unwrap();
        let sizes: Vec<usize> =
            String::from_utf8(found.stdout).unwrap().lines().map(|l| l.parse().unwrap()).collect();
        assert_eq!(sizes.len(), 4);
        assert!(sizes.iter().any(|s| *s > 3700) && sizes.iter().any(|s| *s > 5900), "{sizes:?}");
        let gone = std::process::Command::new("rm").arg("-rf").arg(&rig.target).status().unwrap();
        assert!(gone.success());
        fs::create_dir(&rig.target).unwrap();
    }
}

#[test]
fn caps_hold() {
    let rig = Rig::new();
    let limits = Limits { entries: 3, depth: 2, path_bytes: 20, file_bytes: 10, total_bytes: 15 };
    let options = ExtractOptions { limits, ..ExtractOptions::default() };
    let extractor = Extractor::new(&rig.target, options).unwrap();
    let refused = |result: Result<Outcome, ExtractError>| match result {
        Err(ExtractError::Limit { what, .. }) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(file(&extractor, "a/b/c", b"")), "components in a path");
    assert_eq!(refused(file(&extractor, "a".repeat(21), b"")), "bytes in a path");
    assert_eq!(refused(file(&extractor, "big", &[0; 11])), "bytes in a file");
    file(&extractor, "one", &[0; 10]).unwrap();
    assert_eq!(refused(file(&extractor, "two", &[0; 10])), "bytes in all");
    assert_eq!(refused(file(&extractor, "three", b"")), "entries");
    assert_eq!(listing(&rig.target), ["one"]);
}

#[test]
fn content_and_maps_that_lie() {
    use crate::format::v1::entry::Extent;
    let rig = Rig::new();
    let limits = Limits { total_bytes: 1 << 40, ..Limits::default() };
    let extractor =
        Extractor::new(&rig.target, ExtractOptions { limits, ..ExtractOptions::default() }).unwrap();
    let four = Entry { size: 4, ..entry(Kind::Regular, "f") };
    for data in ["abc", "abcde"] {
        let result = extractor.write_small(&four, b"f", data.as_bytes());
        assert!(matches!(result, Err(ExtractError::Length { expected: 4, .. })), "{result:?}");
    }
    let Begun::File(mut sink) = extractor.begin(&four, b"f").unwrap() else { panic!() };
    sink.write(b"ab").unwrap();
    drop(sink);
    for map in [
        vec![(0, 5)],
        vec![(2, 1), (1, 1)],
        vec![(0, 2), (1, 1)],
        vec![(u64::MAX, 1)],
        vec![(1, u64::MAX)],
        vec![(0, u64::MAX), (u64::MAX, u64::MAX)],
    ] {
        let extents = map.iter().map(|(offset, length)| Extent { offset: *offset, length: *length });
        let sparse = Entry { sparse: Some(extents.collect()), ..four.clone() };
        let result = extractor.begin(&sparse, b"f").map(|_| ());
        assert!(matches!(result, Err(ExtractError::SparseMap { .. })), "{map:?} {result:?}");
    }
    assert!(listing(&rig.target).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever the bytes: no panic, nothing outside, and what is refused leaves nothing behind.
    #[test]
    fn any_sequence_of_names_stays_inside(
        steps in proptest::collection::vec((1u8..=7, "[ab./\n]{0,6}", "(/|\\.\\./)?[ab./]{0,8}"), 1..12),
        rule in 0usize..4,
    ) {
        let rig = Rig::new();
        let extractor = extractor(&rig.target, RULES[rule]);
        for (kind, path, to) in &steps {
            let entry = link(Kind::from_number(*kind).unwrap(), path, to);
            if let Ok(Begun::File(sink)) = extractor.begin(&entry, path.as_bytes()) {
                let _ = sink.finish();
            }
        }
        extractor.finish_directories();
        rig.outside_is_untouched();
        prop_assert!(!listing(&rig.target).iter().any(|n| n.contains(".reelward-")));
    }
}
