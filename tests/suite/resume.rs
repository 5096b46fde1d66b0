//! Interrupted sets go on as the same set.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use reelward::catalog::SetState;
use reelward::drive::BlockAddress;
use reelward::engine::{BackupReport, BackupRequest, Compression, EngineError, LabelRequest, VerifyRequest};
use reelward::format::age::Identity;
use reelward::pipeline::Progress;

use crate::support::bench::Bench;
use crate::support::random::Random;
use crate::support::reelward::Reelward;
use crate::support::tree::{Awkward, assert_same};

fn export(bench: &Bench) -> Vec<String> {
    bench.open().catalog().export().unwrap().map(Result::unwrap).collect()
}

/// A backup that is cancelled from its beginning on: it stores one step of the walk (up to half a megabyte, or one large file).
fn one_step(bench: &Bench, change: impl FnOnce(&mut BackupRequest)) -> BackupReport {
    let mut request = BackupRequest { paths: vec![bench.path("tree")], ..BackupRequest::default() };
    change(&mut request);
    bench.open().backup(&request, &Progress::default(), &AtomicBool::new(true)).unwrap()
}

/// So many steps, each but the first a run that resumes.
fn steps(bench: &Bench, count: usize, change: impl Fn(&mut BackupRequest)) -> BackupReport {
    let mut report = one_step(bench, change);
    for _ in 1..count {
        if !report.cancelled {
            break;
        }
        let set = report.set.clone();
        report = one_step(bench, |request| {
            request.resume = Some(set);
            request.paths.clear();
        });
    }
    report
}

/// Directories with entries and subdirectories that sort into one another, hard links between them, a large file.
fn make_tree(tree: &Path) {
    let mut random = Random::new(77);
    for folder in ["a", "a/b", "a/b/c", "a/m", "b", "b.d", "m", "m/a/x/y", "z"] {
        std::fs::create_dir_all(tree.join(folder)).unwrap();
        for file in ["a", "a.txt", "f1", "f2", "m", "zz"] {
            let path = tree.join(folder).join(format!("{file}.{}", folder.len()));
            let length = 1 + random.below(30_000) as usize;
            std::fs::write(path, random.bytes(length)).unwrap();
        }
    }
    std::fs::write(tree.join("m/large"), random.bytes(3 << 20)).unwrap();
    for (first, second) in
        [("a/f1.1", "a/b/again"), ("a/f1.1", "z/again"), ("a/b/c/m.5", "m/other"), ("b/a.1", "zz")]
    {
        std::fs::hard_link(tree.join(first), tree.join(second)).unwrap();
    }
    std::os::unix::fs::symlink("nowhere", tree.join("a/link")).unwrap();
    std::fs::hard_link(tree.join("a/link"), tree.join("z/link")).unwrap();
}

fn resume(bench: &Bench, set: &str) -> BackupReport {
    bench.backup(|request| {
        request.paths = Vec::new();
        request.resume = Some(set.to_owned());
    })
}

fn assert_whole(bench: &Bench, identities: &[Identity]) {
    let sets = bench.open().catalog().sets().unwrap();
    let set = sets.last().unwrap();
    assert_eq!(set.state, SetState::Complete);
    let check = bench.open().check_catalog().unwrap();
    assert!(check.is_sound(), "{check:?}");
    let report = bench.restore(|request| {
        request.set = Some(set.uuid.clone());
        request.identities = identities.to_vec();
    });
    assert!(report.faults.is_empty(), "{:?}", report.faults);
    assert_same(&bench.path("tree"), &bench.restored());
    std::fs::remove_dir_all(bench.path("out")).unwrap();
    let request = VerifyRequest { identities: identities.to_vec(), ..VerifyRequest::default() };
    let verified = bench.open().verify(&request, &Progress::default(), &AtomicBool::new(false)).unwrap();
    assert!(verified.is_clean(), "{verified:#?}");
}

fn assert_rebuilds(bench: &Bench, identities: &[Identity]) {
    let before = export(bench);
    bench.forget_catalog();
    let request = reelward::engine::RebuildRequest { volumes: Vec::new(), identities: identities.to_vec() };
    let report = bench.open().rebuild(&request, &Progress::default(), &AtomicBool::new(false)).unwrap();
    assert!(report.is_complete() && report.incomplete.is_empty(), "{report:#?}");
    assert_eq!(export(bench), before);
}

/// What every archive of the volumes holds, laid over one another by GNU tar alone.
fn assert_plain_tar(bench: &Bench, volumes: &[&str]) {
    let out = bench.path("plain");
    std::fs::create_dir_all(&out).unwrap();
    for (number, volume) in volumes.iter().enumerate() {
        let tapes = bench.path(&format!("exported-{number}"));
        let files = bench.library().export(volume, &tapes).unwrap();
        for file in 1..files {
            let file = tapes.join(format!("{file:04}"));
            let mut tar = std::process::Command::new("tar");
            tar.args(["-x", "--xattrs", "--acls", "-p", "-C"]).arg(&out).arg("-f").arg(&file);
            let done = tar.output().unwrap();
            let told = String::from_utf8_lossy(&done.stderr).into_owned();
            // An archive that an interruption ended inside a member is short; what it cut off comes again.
            assert!(done.status.success() || told.contains("Unexpected EOF"), "{}: {told}", file.display());
        }
        std::fs::remove_dir_all(&tapes).unwrap();
    }
    let tree = bench.path("tree").canonicalize().unwrap();
    assert_same(&tree, &out.join(tree.strip_prefix("/").unwrap()));
    std::fs::remove_dir_all(&out).unwrap();
}

#[test]
fn cancelled_at_many_points_and_resumed() {
    for count in 1..12 {
        let bench = Bench::new();
        make_tree(&bench.path("tree"));
        let identity = Identity::generate().unwrap();
        let stored = steps(&bench, count, |request| {
            if count % 3 == 1 {
                request.compression = Compression::Zstd(1);
            }
            if count % 3 == 2 {
                request.recipients = vec![identity.recipient()];
            }
        });
        if !stored.cancelled {
            assert!(count > 4, "{stored:?}");
            break;
        }
        let set = bench.open().catalog().sets().unwrap().remove(0);
        assert_eq!(set.state, SetState::Interrupted);
        let resumed = resume(&bench, &stored.set);
        assert_eq!(
            (&resumed.set, resumed.set_id, resumed.resumed_behind),
            (&stored.set, 1, Some(set.committed))
        );
        let identities = [identity];
        assert_whole(&bench, &identities);
        assert_rebuilds(&bench, &identities);
        assert_whole(&bench, &identities);
        if count % 3 == 0 {
            assert_plain_tar(&bench, &["RW0001L9"]);
        }
    }
}

#[test]
fn a_tree_of_awkward_files_is_interrupted_again_and_again() {
    let bench = Bench::new();
    Awkward { seed: 5, large: 5 << 20, huge: false }.make(&bench.path("tree"));
    let whole = bench.backup(|_| {}).members;
    assert!(steps(&bench, 12, |_| {}).cancelled);
    let stored = resume(&bench, "latest");
    assert_eq!(stored.members, whole);
    let parts = bench.open().catalog().parts_of(bench.open().catalog().sets().unwrap()[1].id).unwrap();
    assert_eq!(parts.len(), 13, "{parts:?}");
    assert_whole(&bench, &[]);
    assert_rebuilds(&bench, &[]);
    // Found and listed once each.
    let query = reelward::catalog::FindQuery {
        sets: vec![bench.open().set_named(&stored.set).unwrap().id],
        limit: u64::MAX,
        ..reelward::catalog::FindQuery::new(b"*")
    };
    let found = bench.open().catalog().find(&query).unwrap();
    assert_eq!(found.total, whole);
    let mut paths: Vec<_> = found.rows.iter().map(|row| row.path.clone()).collect();
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len() as u64, whole);
}

#[test]
fn a_set_goes_on_on_another_volume_and_the_first_one_is_closed_later() {
    let bench = Bench::new();
    make_tree(&bench.path("tree"));
    for volume in ["RW0001L9", "RW0002L9"] {
        let label = LabelRequest { barcode: Some(volume.into()), ..LabelRequest::default() };
        bench.open().label(&label).unwrap();
    }
    let stored = one_step(&bench, |request| request.volume = Some("RW0001L9".into()));
    assert!(stored.cancelled);
    let resumed = bench.backup(|request| {
        request.paths.clear();
        request.resume = Some("1".into());
        request.volume = Some("RW0002L9".into());
    });
    assert_eq!(resumed.volumes, ["RW0002L9"]);
    assert_whole(&bench, &[]);
    assert_rebuilds(&bench, &[]);
    assert_plain_tar(&bench, &["RW0001L9", "RW0002L9"]);
    // In the other order.
    let before = export(&bench);
    bench.forget_catalog();
    for volume in ["RW0002L9", "RW0001L9"] {
        let request =
            reelward::engine::RebuildRequest { volumes: vec![volume.into()], identities: Vec::new() };
        bench.open().rebuild(&request, &Progress::default(), &AtomicBool::new(false)).unwrap();
    }
    assert_eq!(export(&bench), before);
}

#[test]
fn a_part_without_an_index_is_entered_before_the_one_behind_it() {
    let bench = Bench::new();
    make_tree(&bench.path("tree"));
    for volume in ["RW0001L9", "RW0002L9"] {
        let label = LabelRequest { barcode: Some(volume.into()), ..LabelRequest::default() };
        bench.open().label(&label).unwrap();
    }
    let stored = one_step(&bench, |request| request.volume = Some("RW0001L9".into()));
    let part = bench.open().catalog().parts_of(bench.open().set_named("1").unwrap().id).unwrap().remove(0);
    bench.backup(|request| {
        request.paths.clear();
        request.resume = Some(stored.set.clone());
        request.volume = Some("RW0002L9".into());
    });
    let before = bench.members();
    // As if the first run had been killed before its index: only its archives stand there.
    bench.open().library_load("RW0001L9").unwrap();
    let mut drive = bench.other_program();
    drive.locate(BlockAddress(part.index_block.unwrap())).unwrap();
    drive.erase(false).unwrap();
    drop(drive);
    bench.forget_catalog();
    let report = bench.rebuild();
    assert!(report.is_complete() && report.incomplete.is_empty(), "{report:#?}");
    assert_eq!(bench.open().set_named("1").unwrap().state, SetState::Complete);
    let counted = |lines: Vec<String>| -> Vec<String> {
        lines.iter().map(|line| line.split(" direct=").next().unwrap().to_owned()).collect()
    };
    assert_eq!(counted(bench.members()), counted(before));
    assert_whole(&bench, &[]);
    // The next task on that volume writes the index that is missing, and the set stays complete.
    bench.backup(|request| request.volume = Some("RW0001L9".into()));
    let sets = bench.open().catalog().sets().unwrap();
    assert_eq!(sets.iter().map(|set| set.state).collect::<Vec<_>>(), [SetState::Complete; 2]);
    assert_rebuilds(&bench, &[]);
}

#[test]
fn a_member_cut_off_where_its_volume_ended_is_stored_again_whole() {
    let bench = Bench::new().small_cartridges(6, 12 << 20);
    std::fs::create_dir_all(bench.path("tree/d")).unwrap();
    let mut random = Random::new(9);
    std::fs::write(bench.path("tree/a"), random.bytes(1 << 20)).unwrap();
    std::fs::write(bench.path("tree/d/large"), random.bytes(24 << 20)).unwrap();
    std::fs::write(bench.path("tree/d/z"), "behind").unwrap();
    let (cancel, progress) = (AtomicBool::new(false), Progress::default());
    let request = BackupRequest { paths: vec![bench.path("tree")], ..BackupRequest::default() };
    let report = std::thread::scope(|scope| {
        scope.spawn(|| {
            // On the second volume, inside the large file.
            while progress.snapshot().volume != "RW0002L9" {
                std::thread::yield_now();
            }
            cancel.store(true, Ordering::Relaxed);
        });
        bench.open().backup(&request, &progress, &cancel).unwrap()
    });
    assert!(report.cancelled && report.members == 3, "{report:?}");
    let resumed = resume(&bench, "1");
    assert_eq!((resumed.members, resumed.resumed_behind), (5, Some(3)));
    assert_whole(&bench, &[]);
    assert_rebuilds(&bench, &[]);
}

#[test]
fn what_changed_meanwhile_is_as_it_was_before_and_as_it_is_behind() {
    let bench = Bench::new();
    for folder in ["a", "m", "z"] {
        std::fs::create_dir_all(bench.path("tree").join(folder)).unwrap();
        for file in 0..8 {
            std::fs::write(bench.path("tree").join(folder).join(format!("f{file}")), vec![file; 100_000])
                .unwrap();
        }
    }
    let stored = one_step(&bench, |_| {});
    assert!(stored.cancelled);
    let set = bench.open().catalog().sets().unwrap().remove(0);
    let last = bench.open().catalog().members(set.id, set.committed - 1..set.committed).unwrap().next();
    let (_, _, last) = last.unwrap().unwrap();
    let root = bench.path("tree").canonicalize().unwrap();
    let before = root.join("a/f0");
    std::fs::write(&before, "changed").unwrap();
    std::fs::write(root.join("a/e"), "new before").unwrap();
    std::fs::write(root.join("z/f0"), "changed behind").unwrap();
    std::fs::remove_dir_all(root.join("m")).unwrap();
    std::fs::write(root.join("z/new"), "new behind").unwrap();
    // A link to what changed since is no link to what was stored.
    std::fs::hard_link(&before, root.join("z/link")).unwrap();
    let resumed = resume(&bench, "1");
    assert!(!resumed.cancelled);
    let report = bench.restore(|_| {});
    assert!(report.faults.is_empty(), "{:?}", report.faults);
    let text = |path: &str| std::fs::read(bench.restored().join(path)).ok();
    assert!(text("a/f0") == Some(vec![0; 100_000]), "stored before; the last was {last:?}");
    assert_eq!(text("a/e"), None);
    assert!(text("z/f0").unwrap() == b"changed behind");
    assert_eq!(text("z/new").unwrap(), b"new behind");
    assert_eq!(text("z/link").unwrap(), b"changed");
    assert_rebuilds(&bench, &[]);
}

#[test]
fn several_roots_of_which_one_is_gone() {
    let bench = Bench::new();
    for root in ["tree/a", "tree/b", "tree/c"] {
        std::fs::create_dir_all(bench.path(root)).unwrap();
        for file in 0..20 {
            std::fs::write(bench.path(root).join(format!("f{file:02}")), vec![file; 60_000]).unwrap();
        }
    }
    std::fs::write(bench.path("tree/bb"), "a root that is a file").unwrap();
    let roots = ["tree/c", "tree/a", "tree/b", "tree/bb"].map(|root| bench.path(root));
    one_step(&bench, |request| request.paths = roots.to_vec());
    let stored = steps(&bench, 3, |request| {
        request.paths.clear();
        request.resume = Some("1".into());
    });
    assert!(stored.cancelled && stored.members > 21, "{stored:?}");
    std::fs::rename(bench.path("tree/a"), bench.path("elsewhere")).unwrap();
    resume(&bench, "1");
    std::fs::rename(bench.path("elsewhere"), bench.path("tree/a")).unwrap();
    let report = bench.restore(|_| {});
    assert!(report.faults.is_empty(), "{:?}", report.faults);
    assert_eq!(report.files, 3 * 21 + 1);
    for root in ["a", "b", "c"] {
        assert_same(&bench.path("tree").join(root), &bench.restored().join(root));
    }
    assert_eq!(std::fs::read(bench.restored().join("bb")).unwrap(), b"a root that is a file");
    assert_rebuilds(&bench, &[]);
}

#[test]
fn what_cannot_be_resumed_is_refused() {
    let bench = Bench::new().few_files();
    bench.backup(|_| {});
    let refused = |change: &dyn Fn(&mut BackupRequest)| {
        let error = bench
            .try_backup(|request| {
                request.paths.clear();
                change(request);
            })
            .unwrap_err();
        assert!(matches!(error, EngineError::NotResumable { .. }), "{error}");
        error.to_string()
    };
    assert!(refused(&|request| request.resume = Some("1".into())).contains("it is complete"));
    let stored = one_step(&bench, |request| {
        request.exclude = vec!["*.o".into()];
        request.one_file_system = true;
    });
    assert!(stored.cancelled);
    let before = bench.cartridge("RW0001L9");
    type Change = Box<dyn Fn(&mut BackupRequest)>;
    let tree = bench.path("tree");
    let changes: [(&str, Change); 6] = [
        ("paths were", Box::new(|request| request.paths = vec!["/".into()])),
        ("left out were", Box::new(|request| request.exclude = vec!["*.c".into()])),
        ("left out were", Box::new(move |request| request.paths = vec![tree.clone()])),
        ("compression was", Box::new(|request| request.compression = Compression::Zstd(1))),
        (
            "recipients were",
            Box::new(|request| {
                request.recipients = vec![Identity::generate().unwrap().recipient()];
            }),
        ),
        ("job was", Box::new(|request| request.job = "other".into())),
    ];
    for (reason, change) in changes {
        let told = refused(&|request| {
            request.resume = Some("2".into());
            change(request);
        });
        assert!(told.contains(reason), "{told}");
    }
    assert_eq!(bench.cartridge("RW0001L9"), before);
    // Its settings came back with it.
    bench.forget_catalog();
    bench.rebuild();
    let set = bench.open().set_named(&stored.set).unwrap();
    assert_eq!((set.exclude, set.one_file_system), (vec!["*.o".to_owned()], true));
    resume(&bench, &stored.set);
    assert_whole(&bench, &[]);
}

#[test]
fn killed_at_many_moments_and_resumed_by_the_real_binary() {
    let bench = Bench::new();
    make_tree(&bench.path("tree"));
    let tree = bench.path("tree").canonicalize().unwrap().display().to_string();
    let reelward = Reelward::new(bench.path("state"));
    reelward.ok(["backup", "--quiet", &tree]);
    bench.without_sync();
    let mut random = Random::new(41);
    let (mut killed, mut resumed) = (0, 0);
    for _ in 0..12 {
        let sets = bench.open().catalog().sets().unwrap().len();
        let mut arguments = vec!["backup", "--quiet", "--checkpoint-bytes", "256K"];
        arguments.push(&tree);
        loop {
            let mut child = reelward
                .command(arguments.clone())
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(std::time::Duration::from_micros(5_000 + random.below(60_000)));
            let _ = child.kill();
            killed += usize::from(child.wait().unwrap().code().is_none());
            let appliance = bench.open();
            let now = appliance.catalog().sets().unwrap();
            if now.len() == sets || now.last().unwrap().state == SetState::Complete {
                break;
            }
            drop(appliance);
            if random.below(3) == 0 {
                let answer = reelward.json(["backup", "--resume", &now.last().unwrap().uuid]);
                assert_eq!(answer["cancelled"], false, "{answer}");
                resumed += 1;
                break;
            }
            arguments = vec!["backup", "--quiet", "--checkpoint-bytes", "256K", "--resume", "latest"];
        }
        if bench.open().catalog().sets().unwrap().len() > sets {
            assert_whole(&bench, &[]);
        }
    }
    eprintln!("{killed} kills, {resumed} sets resumed to their end");
    assert!(killed > 6 && resumed > 0, "{killed} kills, {resumed} resumed");
    assert_rebuilds(&bench, &[]);
    assert_plain_tar(&bench, &["RW0001L9"]);
}
