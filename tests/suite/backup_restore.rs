//! A tree goes to tape and comes back the same, through the engine.

use std::path::Path;

use reelward::engine::Compression;
use reelward::format::age::Identity;
use reelward::sources::extract::Overwrite;
use reelward::virtual_library::Unit;

use crate::support::bench::Bench;
use crate::support::tree::{Awkward, assert_same};

fn awkward(path: &Path, large: u64) {
    Awkward { seed: 7, large, huge: false }.make(path);
}

#[test]
fn an_awkward_tree_comes_back_the_same() {
    let bench = Bench::new();
    awkward(&bench.path("tree"), 20 << 20);
    let stored = bench.backup(|_| {});
    assert_eq!(stored.problems, Vec::<String>::new());
    let report = bench.restore(|_| {});
    assert!(report.faults.is_empty(), "{:?}", report.faults);
    assert_same(&bench.path("tree"), &bench.restored());
}

#[test]
fn compressed_and_encrypted_it_comes_back_the_same() {
    let bench = Bench::new();
    awkward(&bench.path("tree"), 20 << 20);
    let identity = Identity::generate().unwrap();
    bench.backup(|request| {
        request.compression = Compression::Zstd(1);
        request.recipients = vec![identity.recipient()];
    });
    let report = bench.restore(|request| request.identities = vec![identity]);
    assert!(report.faults.is_empty(), "{:?}", report.faults);
    assert_same(&bench.path("tree"), &bench.restored());
}

#[test]
fn spread_over_small_volumes_it_comes_back_the_same() {
    for (compression, encrypt) in [(Compression::None, false), (Compression::Zstd(1), true)] {
        let bench = Bench::new().small_cartridges(12, 12 << 20);
        awkward(&bench.path("tree"), 60 << 20);
        let identity = Identity::generate().unwrap();
        let stored = bench.backup(|request| {
            request.compression = compression;
            request.recipients = if encrypt { vec![identity.recipient()] } else { Vec::new() };
        });
        assert!(stored.volumes.len() >= 4, "{:?}", stored.volumes);
        let report = bench.restore(|request| request.identities = vec![identity]);
        assert!(report.faults.is_empty(), "{:?}", report.faults);
        assert_same(&bench.path("tree"), &bench.restored());
    }
}

#[test]
fn one_small_file_at_the_far_end_costs_a_few_reads() {
    let bench = Bench::new();
    std::fs::create_dir_all(bench.path("tree/zz")).unwrap();
    std::fs::write(bench.path("tree/large"), vec![7; 64 << 20]).unwrap();
    std::fs::write(bench.path("tree/zz/last"), b"the one").unwrap();
    for (number, (compression, encrypt)) in [
        (Compression::None, false),
        (Compression::Zstd(1), false),
        (Compression::None, true),
        (Compression::Zstd(1), true),
    ]
    .into_iter()
    .enumerate()
    {
        let identity = Identity::generate().unwrap();
        bench.backup(|request| {
            request.compression = compression;
            request.recipients = if encrypt { vec![identity.recipient()] } else { Vec::new() };
        });
        // One handle held over the restore: the counts are of this process's library.
        let library = bench.library();
        let reads = || library.statistics().count(Unit::Drive(0), 0x08);
        let before = reads();
        let pattern = bench.path("tree/zz/last").canonicalize().unwrap().display().to_string();
        let target = bench.path(&format!("out-{number}"));
        let report = bench.restore(|request| {
            request.patterns = vec![pattern.clone()];
            request.identities = vec![identity];
            request.target = target.clone();
        });
        let used = reads() - before;
        assert_eq!((report.files, report.faults.len()), (1, 0));
        assert_eq!(std::fs::read(target.join(pattern.trim_start_matches('/'))).unwrap(), b"the one");
        // The volume file, the age header's record, and the records of one frame at most.
        assert!(used <= 4, "{used} READ commands, compression {compression:?}, encrypted {encrypt}");
    }
}

#[test]
fn checkpoints_close_archives_and_all_of_them_are_read_back() {
    let bench = Bench::new();
    awkward(&bench.path("tree"), 20 << 20);
    bench.backup(|request| request.checkpoint_bytes = 1 << 20);
    let report = bench.restore(|request| request.options.overwrite = Overwrite::Always);
    assert!(report.faults.is_empty(), "{:?}", report.faults);
    assert_same(&bench.path("tree"), &bench.restored());
}

#[test]
fn files_that_grow_shrink_and_vanish_while_they_are_read_never_spoil_the_archive() {
    let bench = Bench::new();
    let steady = vec![3; 200_000];
    std::fs::create_dir_all(bench.path("tree")).unwrap();
    for number in 0..40 {
        std::fs::write(bench.path(&format!("tree/steady-{number:02}")), &steady).unwrap();
    }
    let stop = std::sync::atomic::AtomicBool::new(false);
    let mut problems = Vec::new();
    let mut sets = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut round = 0_usize;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                round += 1;
                for number in 0..20 {
                    let path = bench.path(&format!("tree/churn-{number:02}"));
                    match (round + number) % 4 {
                        0 => drop(std::fs::remove_file(path)),
                        1 => std::fs::write(path, vec![1; 3_000_000]).unwrap(),
                        2 => std::fs::write(path, b"short").unwrap(),
                        _ => std::fs::write(path, vec![2; 90_000]).unwrap(),
                    }
                }
            }
        });
        // Twelve, and more only where chance let nothing be caught in motion.
        while sets < 12 || (problems.is_empty() && sets < 100) {
            problems.extend(bench.backup(|_| {}).problems);
            sets += 1;
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(!problems.is_empty(), "{sets} backups of files in motion tell of some of it");
    for set in 1..=sets {
        let target = bench.path(&format!("out-{set}"));
        let report =
            bench.restore(|request| (request.set, request.target) = (Some(set.to_string()), target.clone()));
        assert!(report.faults.is_empty(), "set {set}: {:?}", report.faults);
        let tree = bench.path("tree").canonicalize().unwrap();
        for number in 0..40 {
            let file = target.join(tree.strip_prefix("/").unwrap()).join(format!("steady-{number:02}"));
            assert!(std::fs::read(&file).unwrap() == steady, "{}", file.display());
        }
    }
    // A tool that is not ours finds every archive whole.
    let files = bench.library().export("RW0001L9", &bench.path("tape")).unwrap();
    for number in 0..files {
        let file = bench.path("tape").join(format!("{number:04}"));
        let listed = std::process::Command::new("tar").arg("-tf").arg(&file).output().unwrap();
        assert!(listed.status.success(), "{number}: {}", String::from_utf8_lossy(&listed.stderr));
    }
}
