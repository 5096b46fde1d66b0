//! Full, incremental and differential sets: each set restores the tree as it was then.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use reelward::catalog::{CatalogError, SetState};
use reelward::engine::{BackupKind, BackupReport, EngineError, LabelRequest};
use reelward::sources::extract::Overwrite;

use crate::support::bench::Bench;
use crate::support::random::Random;
use crate::support::reelward::Reelward;
use crate::support::tree::assert_same;

fn export(bench: &Bench) -> Vec<String> {
    bench.open().catalog().export().unwrap().map(Result::unwrap).collect()
}

fn backup(bench: &Bench, kind: BackupKind) -> BackupReport {
    // Files changed within the last tick of the clock count as changed.
    std::thread::sleep(Duration::from_millis(40));
    bench.backup(|request| request.kind = kind)
}

/// The tree as it is now, for later.
fn keep(bench: &Bench, number: usize) {
    let to = bench.path(&format!("state-{number}"));
    let copied =
        std::process::Command::new("cp").arg("-a").arg(bench.path("tree")).arg(&to).status().unwrap();
    assert!(copied.success());
}

fn assert_state(bench: &Bench, set: Option<&str>, number: usize) {
    let report = bench.restore(|request| request.set = set.map(str::to_owned));
    assert!(report.faults.is_empty() && report.warnings.is_empty(), "set {set:?}: {report:#?}");
    assert_same(&bench.path(&format!("state-{number}")), &bench.restored());
    std::fs::remove_dir_all(bench.path("out")).unwrap();
}

/// Paths below `tree` that are directories, or are not.
fn paths(tree: &Path, directories: bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![tree.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let is_directory = entry.file_type().unwrap().is_dir();
            if is_directory {
                folders.push(entry.path());
            }
            if is_directory == directories {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

struct Editor {
    tree: PathBuf,
    random: Random,
    names: u64,
}

impl Editor {
    fn pick(&mut self, directories: bool) -> Option<PathBuf> {
        let found = paths(&self.tree, directories);
        if found.is_empty() {
            None
        } else {
            Some(found[self.random.below(found.len() as u64) as usize].clone())
        }
    }

    fn folder(&mut self) -> PathBuf {
        self.pick(true).unwrap_or_else(|| self.tree.clone())
    }

    /// A name that sorts anywhere.
    fn fresh(&mut self) -> PathBuf {
        self.names += 1;
        let letter = char::from(b'a' + self.random.below(26) as u8);
        let name = format!("{letter}{}", self.names);
        self.folder().join(name)
    }

    fn write(&mut self, path: &Path) {
        let length = self.random.below(6000) as usize;
        std::fs::write(path, self.random.bytes(length)).unwrap();
    }

    fn edit(&mut self) -> Option<()> {
        match self.random.below(16) {
            0..=3 => {
                let path = self.fresh();
                self.write(&path);
            }
            4 => std::fs::create_dir(self.fresh()).unwrap(),
            5 => {
                let path = self.pick(false)?;
                if path.is_file() && !path.is_symlink() {
                    self.write(&path);
                }
            }
            6 => {
                // The same length, and the time turned back: only ctime tells.
                let path = self.pick(false)?;
                let status = std::fs::symlink_metadata(&path).unwrap();
                if status.is_file() {
                    std::fs::write(&path, self.random.bytes(status.len() as usize)).unwrap();
                    let file = std::fs::File::options().write(true).open(&path).unwrap();
                    file.set_modified(status.modified().unwrap()).unwrap();
                }
            }
            7 => std::fs::remove_file(self.pick(false)?).unwrap(),
            8 => {
                let (from, to) = (self.pick(false)?, self.fresh());
                std::fs::rename(from, to).unwrap();
            }
            9 => {
                let (from, to) = (self.pick(true)?, self.fresh());
                if !to.starts_with(&from) {
                    std::fs::rename(from, to).unwrap();
                }
            }
            10 => std::fs::remove_dir_all(self.pick(true)?).unwrap(),
            11 => {
                let path = self.pick(self.names.is_multiple_of(2))?;
                if !path.is_symlink() {
                    let mode = 0o700 | self.random.below(0o100) as u32;
                    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
                }
            }
            12 => {
                let path = self.pick(false)?;
                if path.is_file() && !path.is_symlink() {
                    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(self.random.below(1_000_000_000));
                    std::fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
                }
            }
            13 => {
                let path = self.pick(true)?;
                std::fs::remove_dir_all(&path).unwrap();
                self.write(&path);
            }
            14 => {
                let path = self.pick(false)?;
                std::fs::remove_file(&path).unwrap();
                std::fs::create_dir(&path).unwrap();
                self.write(&path.join("within"));
            }
            _ => {
                let (first, second) = (self.pick(false)?, self.fresh());
                match self.random.below(2) {
                    0 => std::fs::hard_link(first, second).unwrap(),
                    _ => std::os::unix::fs::symlink(first.file_name().unwrap(), second).unwrap(),
                }
            }
        }
        Some(())
    }
}

#[test]
fn every_set_of_a_chain_restores_its_state() {
    for seed in 0..4 {
        let bench = Bench::new();
        std::fs::create_dir_all(bench.path("tree")).unwrap();
        let mut editor = Editor { tree: bench.path("tree"), random: Random::new(seed), names: 0 };
        for _ in 0..60 {
            editor.edit();
        }
        let mut chain = Vec::new();
        for number in 0..6 {
            keep(&bench, number);
            let kind = match (number, editor.random.below(5)) {
                (0, _) | (_, 0) => BackupKind::Full,
                (_, 1) => BackupKind::Differential,
                _ => BackupKind::Incremental,
            };
            let report = backup(&bench, kind);
            assert_eq!((report.kind, report.no_base), (kind, false));
            chain.push(report);
            for _ in 0..editor.random.below(15) {
                editor.edit();
            }
        }
        for rebuilt in [false, true] {
            if rebuilt {
                let before = export(&bench);
                bench.forget_catalog();
                assert!(bench.rebuild().is_complete());
                assert_eq!(export(&bench), before);
            }
            for (number, report) in chain.iter().enumerate() {
                assert_state(&bench, Some(&report.set), number);
            }
            assert_state(&bench, None, 5);
        }
        let check = bench.open().check_catalog().unwrap();
        assert!(check.is_sound(), "{check:?}");
        // After the rebuild the chain goes on.
        keep(&bench, 6);
        let report = backup(&bench, BackupKind::Incremental);
        assert!(!report.no_base);
        assert_state(&bench, Some(&report.set), 6);
    }
}

#[test]
fn what_is_unchanged_is_not_stored_again() {
    let bench = Bench::new().few_files();
    let first = backup(&bench, BackupKind::Incremental);
    assert_eq!((first.kind, first.no_base, first.unchanged), (BackupKind::Full, true, 0));
    let second = backup(&bench, BackupKind::Incremental);
    assert_eq!((second.kind, second.unchanged, second.bytes), (BackupKind::Incremental, 21, 0));
    assert_eq!(second.base.as_deref(), Some(&first.set[..]));
    assert_eq!(second.members, 2, "the directories");
    std::fs::write(bench.path("tree/sub/file-7"), "another").unwrap();
    std::fs::remove_file(bench.path("tree/sub/file-8")).unwrap();
    let third = backup(&bench, BackupKind::Incremental);
    assert_eq!((third.unchanged, third.members), (19, 3));
    let differential = backup(&bench, BackupKind::Differential);
    assert_eq!((differential.unchanged, differential.members), (19, 3));
    assert_eq!(differential.base.as_deref(), Some(&first.set[..]));
    // One path of it, wherever it lies, and what was deleted is not there.
    let root = bench.path("tree/sub").canonicalize().unwrap();
    for (name, content) in [("file-7", &b"another"[..]), ("file-3", &[3; 5000])] {
        let report = bench.restore(|request| {
            request.set = Some(differential.set.clone());
            request.patterns = vec![root.join(name).display().to_string()];
        });
        assert_eq!((report.files, report.faults.len()), (1, 0));
        assert!(std::fs::read(bench.restored().join("sub").join(name)).unwrap() == content);
    }
    let gone = |set: &str| {
        bench.try_restore(|request| {
            request.set = Some(set.to_owned());
            request.patterns = vec![root.join("file-8").display().to_string()];
            request.options.overwrite = Overwrite::Always;
        })
    };
    assert!(matches!(gone(&third.set), Err(EngineError::NothingFound { .. })));
    assert_eq!(gone(&second.set).unwrap().files, 1);
    // Another job, or other paths: nothing to build upon.
    let other = bench.backup(|request| {
        request.kind = BackupKind::Incremental;
        request.job = "other".into();
    });
    assert!(other.no_base && other.kind == BackupKind::Full);
    let listed = Reelward::new(bench.path("state")).json(["ls"]);
    let kinds: Vec<_> = listed["sets"].as_array().unwrap().iter().map(|set| set["kind"].clone()).collect();
    assert!(kinds.contains(&"differential".into()) && kinds.contains(&"full".into()), "{listed}");
}

#[test]
fn an_increment_that_was_interrupted_goes_on() {
    let bench = Bench::new();
    std::fs::create_dir_all(bench.path("tree")).unwrap();
    let mut editor = Editor { tree: bench.path("tree"), random: Random::new(31), names: 0 };
    for _ in 0..150 {
        editor.edit();
    }
    for number in 0..5 {
        std::fs::write(bench.path(&format!("tree/large-{number}")), editor.random.bytes(1_200_000)).unwrap();
    }
    backup(&bench, BackupKind::Full);
    for _ in 0..40 {
        editor.edit();
    }
    for (number, length) in [(1, 600_000), (3, 600_000), (5, 1_200_000), (6, 600_000)] {
        std::fs::write(bench.path(&format!("tree/huge-{number}")), editor.random.bytes(length)).unwrap();
    }
    keep(&bench, 1);
    std::thread::sleep(Duration::from_millis(40));
    let cancelled = |change: &dyn Fn(&mut reelward::engine::BackupRequest)| {
        let mut request = reelward::engine::BackupRequest {
            paths: vec![bench.path("tree")],
            kind: BackupKind::Incremental,
            ..Default::default()
        };
        change(&mut request);
        let stop = std::sync::atomic::AtomicBool::new(true);
        bench.open().backup(&request, &Default::default(), &stop).unwrap()
    };
    let mut report = cancelled(&|_| {});
    let mut runs = 1;
    while report.cancelled && runs < 12 {
        runs += 1;
        report = cancelled(&|request| {
            request.paths.clear();
            request.resume = Some("latest".into());
        });
    }
    // A file of more than a megabyte is given up as soon as a cancel is met: from here on without one.
    assert!(report.cancelled && report.resumed_behind > Some(3), "{runs} runs: {report:?}");
    report = bench.backup(|request| {
        request.paths.clear();
        request.resume = Some("latest".into());
        request.checkpoint_bytes = 64 << 10;
    });
    assert_eq!(report.kind, BackupKind::Incremental);
    assert_eq!(bench.open().set_named("2").unwrap().state, SetState::Complete);
    assert_state(&bench, Some("2"), 1);
    let before = export(&bench);
    bench.forget_catalog();
    assert!(bench.rebuild().is_complete());
    assert_eq!(export(&bench), before);
    assert_state(&bench, None, 1);
    let next = backup(&bench, BackupKind::Incremental);
    assert_eq!(next.bytes, 0, "{next:?}");
    assert_state(&bench, Some(&next.set), 1);
}

#[test]
fn what_increments_hang_on_is_not_given_up() {
    let bench = Bench::new().few_files();
    for volume in ["RW0001L9", "RW0002L9"] {
        let label = LabelRequest { barcode: Some(volume.into()), ..LabelRequest::default() };
        bench.open().label(&label).unwrap();
    }
    bench.backup(|request| request.volume = Some("RW0001L9".into()));
    std::thread::sleep(Duration::from_millis(40));
    bench.backup(|request| request.kind = BackupKind::Incremental);
    let on_second = bench.backup(|request| {
        request.kind = BackupKind::Incremental;
        request.volume = Some("RW0002L9".into());
    });
    assert_eq!(on_second.unchanged, 21);
    keep(&bench, 1);
    let overwrite = |volume: &str| {
        let label = LabelRequest {
            barcode: Some(volume.into()),
            overwrite: true,
            destroy_sets: true,
            ..LabelRequest::default()
        };
        bench.open().label(&label)
    };
    let before = bench.cartridge("RW0001L9");
    let refused = overwrite("RW0001L9").unwrap_err();
    assert!(matches!(refused, EngineError::Catalog(CatalogError::Depended { .. })), "{refused}");
    assert_eq!(bench.cartridge("RW0001L9"), before);
    assert_state(&bench, Some(&on_second.set), 1);
    let appliance = bench.open();
    let set = appliance.set_named("1").unwrap();
    let error = appliance.catalog().delete_set(set.id).unwrap_err();
    assert!(error.to_string().contains("sets 2, 3"), "{error}");
    drop(appliance);
    // The newest first, then what it was built upon.
    overwrite("RW0002L9").unwrap();
    overwrite("RW0001L9").unwrap();
    assert!(bench.open().catalog().sets().unwrap().is_empty());
}

#[test]
fn a_base_that_no_rebuild_has_read_is_told() {
    let bench = Bench::new().few_files();
    for volume in ["RW0001L9", "RW0002L9"] {
        let label = LabelRequest { barcode: Some(volume.into()), ..LabelRequest::default() };
        bench.open().label(&label).unwrap();
    }
    bench.backup(|request| request.volume = Some("RW0001L9".into()));
    std::thread::sleep(Duration::from_millis(40));
    std::fs::write(bench.path("tree/new"), "new").unwrap();
    bench.backup(|request| {
        request.kind = BackupKind::Incremental;
        request.volume = Some("RW0002L9".into());
    });
    keep(&bench, 1);
    bench.forget_catalog();
    let request = reelward::engine::RebuildRequest { volumes: vec!["RW0002L9".into()], ..Default::default() };
    bench.open().rebuild(&request, &Default::default(), &Default::default()).unwrap();
    let report = bench.restore(|_| {});
    assert!(report.faults.iter().any(|fault| fault.reason.contains("catalog rebuild")), "{report:?}");
    assert_eq!(report.files, 3, "{report:?}");
    std::fs::remove_dir_all(bench.path("out")).unwrap();
    // Nothing is built upon what is not there.
    std::thread::sleep(Duration::from_millis(40));
    assert!(bench.backup(|request| request.kind = BackupKind::Incremental).no_base);
    bench.rebuild();
    let set = bench.open().catalog().sets().unwrap()[1].uuid.clone();
    assert_state(&bench, Some(&set), 1);
}
