//! A tree goes to tape and comes back the same, through the engine.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use reelward::engine::{
    Appliance, BackupReport, BackupRequest, Compression, DeviceChoice, RestoreReport, RestoreRequest, Settings,
};
use reelward::format::age::Identity;
use reelward::pipeline::Progress;
use reelward::scsi::Generation;
use reelward::sources::extract::{ExtractOptions, Overwrite};
use reelward::virtual_library::{Layout, VirtualLibrary};

use crate::support::tree::{Awkward, assert_same};

struct Bench {
    directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        Bench { directory: tempfile::tempdir().unwrap() }
    }

    /// A library of small cartridges.
    fn small_cartridges(self, count: u16, capacity: u64) -> Bench {
        let layout = Layout {
            drives: 1,
            slots: count + 2,
            import_export: 1,
            cartridges: count,
            generation: Generation::Lto9,
            capacity: Some(capacity),
            cleaning_cartridge: false,
            discard: false,
        };
        std::fs::create_dir_all(self.path("state")).unwrap();
        VirtualLibrary::create(&self.path("state/library"), &layout).unwrap();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn open(&self) -> Appliance {
        Appliance::open(Settings { state: self.path("state"), devices: DeviceChoice::default() }).unwrap()
    }

    fn backup(&self, change: impl FnOnce(&mut BackupRequest)) -> BackupReport {
        let mut request = BackupRequest { paths: vec![self.path("tree")], ..BackupRequest::default() };
        change(&mut request);
        self.open().backup(&request, &Progress::default(), &AtomicBool::new(false)).unwrap()
    }

    fn restore(&self, change: impl FnOnce(&mut RestoreRequest)) -> RestoreReport {
        let mut request = RestoreRequest {
            target: self.path("out"),
            options: ExtractOptions { keep_setid: true, special: true, ..ExtractOptions::default() },
            ..RestoreRequest::default()
        };
        change(&mut request);
        self.open().restore(&request, &Progress::default(), &AtomicBool::new(false)).unwrap()
    }

    /// Where the tree stands below the restore target.
    fn restored(&self) -> PathBuf {
        let tree = self.path("tree").canonicalize().unwrap();
        self.path("out").join(tree.strip_prefix("/").unwrap())
    }
}

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
fn checkpoints_close_archives_and_all_of_them_are_read_back() {
    let bench = Bench::new();
    awkward(&bench.path("tree"), 20 << 20);
    bench.backup(|request| request.checkpoint_bytes = 1 << 20);
    let report = bench.restore(|request| request.options.overwrite = Overwrite::Always);
    assert!(report.faults.is_empty(), "{:?}", report.faults);
    assert_same(&bench.path("tree"), &bench.restored());
}
