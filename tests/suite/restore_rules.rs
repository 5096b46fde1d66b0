//! What a restore takes when there are several sets, and what it does when something is missing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reelward::engine::BackupRequest;
use reelward::pipeline::Progress;

use crate::support::bench::Bench;
use crate::support::random::Random;
use crate::support::tree::assert_same;

fn backup(bench: &Bench, path: &str) {
    bench.backup(|request| request.paths = vec![bench.path(path)]);
}

fn text(bench: &Bench, path: &str) -> String {
    let tree = bench.path("tree").canonicalize().unwrap();
    std::fs::read_to_string(bench.path("out").join(tree.strip_prefix("/").unwrap()).join(path))
        .unwrap_or_default()
}

#[test]
fn the_newest_version_of_everything_over_several_sets() {
    let bench = Bench::new();
    std::fs::create_dir_all(bench.path("tree/sub")).unwrap();
    for name in ["a", "b", "sub/c", "sub/gone"] {
        std::fs::write(bench.path("tree").join(name), format!("{name} 1")).unwrap();
    }
    backup(&bench, "tree");
    std::fs::write(bench.path("tree/sub/c"), "sub/c 2").unwrap();
    std::fs::remove_file(bench.path("tree/sub/gone")).unwrap();
    std::fs::write(bench.path("tree/a"), "a, not backed up again").unwrap();
    backup(&bench, "tree/sub");
    for patterns in [vec![], vec![bench.path("tree").canonicalize().unwrap().display().to_string()]] {
        let report = bench.restore(|request| request.patterns = patterns.clone());
        assert!(report.faults.is_empty(), "{:?}", report.faults);
        assert_eq!(report.sets, [2, 1]);
        assert_eq!(
            (text(&bench, "a"), text(&bench, "b"), text(&bench, "sub/c")),
            ("a 1".into(), "b 1".into(), "sub/c 2".into())
        );
        assert_eq!(text(&bench, "sub/gone"), "", "the newer state of sub lacks it");
        std::fs::remove_dir_all(bench.path("out")).unwrap();
    }
    // An older set by its number still gives its own state.
    bench.restore(|request| request.set = Some("1".into()));
    assert_eq!((text(&bench, "sub/c"), text(&bench, "sub/gone")), ("sub/c 1".into(), "sub/gone 1".into()));
}

#[test]
fn patterns_may_match_in_different_sets_and_the_one_that_matches_nowhere_is_named() {
    let bench = Bench::new();
    for name in ["tree/one", "tree/two"] {
        std::fs::create_dir_all(bench.path(name)).unwrap();
        std::fs::write(bench.path(name).join("file"), name).unwrap();
        backup(&bench, name);
    }
    let root = bench.path("tree").canonicalize().unwrap().display().to_string();
    let both = vec![format!("{root}/one"), format!("{root}/two")];
    bench.restore(|request| request.patterns = both);
    assert_eq!((text(&bench, "one/file"), text(&bench, "two/file")), ("tree/one".into(), "tree/two".into()));
    let error = bench
        .try_restore(|request| request.patterns = vec![format!("{root}/one"), "/nope".into()])
        .expect_err("one matches nothing");
    assert!(error.to_string().contains("/nope") && !error.to_string().contains("/one"), "{error}");
}

/// A set over several volumes, one of which is gone from the library.
fn spread() -> Bench {
    let bench = Bench::new().small_cartridges(8, 16 << 20);
    std::fs::create_dir_all(bench.path("tree")).unwrap();
    let mut random = Random::new(3);
    for number in 0..40 {
        std::fs::write(bench.path(&format!("tree/{number:02}")), random.bytes(1_500_000)).unwrap();
    }
    assert!(bench.backup(|_| {}).volumes.len() >= 4);
    // Into the drive with another one, then take the second away.
    bench.open().library_load("RW0001L9").unwrap();
    let file = bench.path("state/library/library.json");
    let mut library: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    library["cartridges"].as_array_mut().unwrap().retain(|cartridge| cartridge["barcode"] != "RW0002L9");
    std::fs::write(&file, serde_json::to_vec(&library).unwrap()).unwrap();
    bench
}

#[test]
fn one_volume_is_lost_and_everything_else_comes_back() {
    let bench = spread();
    let report = bench.restore(|_| {});
    assert_eq!(report.missing_volumes, ["RW0002L9"]);
    assert!(!report.faults.is_empty() && report.faults.len() < 20, "{}", report.faults.len());
    assert_eq!(report.files as usize + report.faults.len(), 41, "each object is restored or named");
    for fault in &report.faults {
        assert!(fault.reason.contains("RW0002L9"), "{fault:?}");
    }
}

#[test]
fn one_volume_and_the_catalog_are_lost_and_everything_else_comes_back() {
    let bench = spread();
    for name in ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"] {
        let _ = std::fs::remove_file(bench.path("state").join(name));
    }
    let request = reelward::engine::RebuildRequest { volumes: Vec::new(), identities: Vec::new() };
    bench.open().rebuild(&request, &Progress::default(), &AtomicBool::new(false)).unwrap();
    let report = bench.restore(|_| {});
    assert!(report.files >= 20, "{}", report.files);
    assert!(!report.faults.is_empty(), "what is missing is told");
    for fault in &report.faults {
        assert!(fault.reason.contains("catalog rebuild"), "{fault:?}");
    }
}

#[test]
fn a_hard_link_to_damaged_data_is_named_itself() {
    let bench = Bench::new();
    std::fs::create_dir_all(bench.path("tree/l")).unwrap();
    std::fs::write(bench.path("tree/big"), Random::new(5).bytes(6 << 20)).unwrap();
    std::fs::hard_link(bench.path("tree/big"), bench.path("tree/l/again")).unwrap();
    let identity = reelward::format::age::Identity::generate().unwrap();
    bench.backup(|request| request.recipients = vec![identity.recipient()]);
    let data = bench.path("state/library/cartridges/RW0001L9/data");
    let mut bytes = std::fs::read(&data).unwrap();
    bytes[3_000_000] ^= 1;
    std::fs::write(&data, bytes).unwrap();
    let report = bench.restore(|request| request.identities = vec![identity]);
    let named: Vec<&str> = report.faults.iter().map(|fault| fault.path.rsplit('/').next().unwrap()).collect();
    assert_eq!(named, ["big", "again"], "{:?}", report.faults);
    assert_eq!(report.volumes, ["RW0001L9"]);
}

#[test]
fn a_backup_of_a_huge_hole_can_be_cancelled() {
    let bench = Bench::new();
    std::fs::create_dir_all(bench.path("tree")).unwrap();
    std::fs::write(bench.path("tree/a"), "first").unwrap();
    std::fs::File::create(bench.path("tree/hole")).unwrap().set_len(1 << 43).unwrap();
    std::fs::write(bench.path("tree/z"), "last").unwrap();
    let cancel = AtomicBool::new(false);
    let request = BackupRequest { paths: vec![bench.path("tree")], ..BackupRequest::default() };
    let started = Instant::now();
    let report = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(500));
            cancel.store(true, Ordering::Relaxed);
        });
        bench.open().backup(&request, &Progress::default(), &cancel).unwrap()
    });
    assert!(report.cancelled || report.members < 4, "{report:?}");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert!(bench.restore(|_| {}).faults.is_empty());
}

#[test]
fn a_backup_cancelled_inside_a_large_file_keeps_what_came_before() {
    let bench = Bench::new();
    std::fs::create_dir_all(bench.path("tree")).unwrap();
    std::fs::write(bench.path("tree/a"), "first").unwrap();
    std::fs::write(bench.path("tree/large"), vec![1; 64 << 20]).unwrap();
    let cancel = AtomicBool::new(true);
    let request = BackupRequest { paths: vec![bench.path("tree")], ..BackupRequest::default() };
    let report = bench.open().backup(&request, &Progress::default(), &cancel).unwrap();
    assert!(report.cancelled);
    assert!(bench.restore(|_| {}).faults.is_empty());
    // And then whole.
    bench.backup(|_| {});
    std::fs::remove_dir_all(bench.path("out")).unwrap();
    assert!(bench.restore(|_| {}).faults.is_empty());
    assert_same(&bench.path("tree"), &bench.restored());
}
