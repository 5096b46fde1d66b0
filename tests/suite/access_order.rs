//! Far-apart members in the order that the drive recommends: sooner, and the same tree whatever the order.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reelward::engine::{Compression, LabelRequest, RestoreReport};
use reelward::format::age::Identity;
use reelward::scsi::Generation;
use reelward::scsi::opcode::MAINTENANCE_OUT;
use reelward::virtual_library::{Clock, SimulatedClock, SpeedModel};

use crate::support::bench::Bench;
use crate::support::random::Random;

/// More than a gap that is read through, and more than two frames.
const FAR: usize = 9 << 20;

/// Directories with something wanted, each behind a file that is not; some of it is in a directory of another one.
fn make(root: &Path, count: u32) {
    let mut random = Random::new(11);
    for number in 0..count {
        let directory = root.join(format!("d{number:02}"));
        std::fs::create_dir_all(directory.join("keep-folder/inner")).unwrap();
        std::fs::write(directory.join("a-filler"), random.bytes(FAR)).unwrap();
        std::fs::write(directory.join("keep-file"), random.bytes(20_000)).unwrap();
        std::fs::write(directory.join("keep-folder/inner/file"), random.bytes(3_000)).unwrap();
        std::fs::write(directory.join("keep-folder/large"), random.bytes(1_200_000)).unwrap();
        std::os::unix::fs::symlink("keep-file", directory.join("keep-symlink")).unwrap();
        let first = root.join(format!("d{:02}/keep-file", number / 3 * 3));
        std::fs::hard_link(first, directory.join("keep-link")).unwrap();
        let folder = std::fs::File::open(directory.join("keep-folder")).unwrap();
        let time = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000 + u64::from(number));
        folder.set_modified(time).unwrap();
    }
}

/// All that is wanted: kind and mode, time, first name of the same file, content or target.
fn found(root: &Path) -> BTreeMap<String, String> {
    fn walk(
        root: &Path,
        directory: &Path,
        names: &mut BTreeMap<u64, String>,
        all: &mut BTreeMap<String, String>,
    ) {
        let mut entries: Vec<_> =
            std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            let name = path.strip_prefix(root).unwrap().display().to_string();
            let about = std::fs::symlink_metadata(&path).unwrap();
            if name.contains("keep") {
                let first = names.entry(about.ino()).or_insert_with(|| name.clone()).clone();
                let content = match () {
                    () if about.is_symlink() => std::fs::read_link(&path).unwrap().display().to_string(),
                    () if about.is_dir() => String::new(),
                    () => digest(&std::fs::read(&path).unwrap()),
                };
                let about =
                    format!("{:o} {} {} {first} {content}", about.mode(), about.mtime(), about.mtime_nsec());
                all.insert(name, about);
            }
            if about.is_dir() {
                walk(root, &path, names, all);
            }
        }
    }
    let mut all = BTreeMap::new();
    walk(root, root, &mut BTreeMap::new(), &mut all);
    all
}

fn digest(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    format!("{} {:x?}", bytes.len(), sha2::Sha256::digest(bytes).as_slice())
}

fn restored(bench: &Bench, name: &str, identity: &Identity, patterns: &[&str]) -> RestoreReport {
    let report = bench.restore(|request| {
        request.target = bench.path(name);
        request.identities = vec![identity.clone()];
        request.patterns = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
    });
    assert!(report.faults.is_empty(), "{:?}", report.faults);
    report
}

#[test]
fn any_order_restores_the_same_tree() {
    for (compression, encrypt, capacity) in
        [(Compression::None, false, 200 << 20), (Compression::Zstd(1), true, 84 << 20)]
    {
        let bench = Bench::new().small_cartridges(6, capacity);
        make(&bench.path("tree"), 14);
        let identity = Identity::generate().unwrap();
        let stored = bench.backup(|request| {
            request.compression = compression;
            request.recipients = if encrypt { vec![identity.recipient()] } else { Vec::new() };
            request.checkpoint_bytes = 19 << 20; // many archives
        });
        assert_eq!(stored.volumes.len() > 1, encrypt, "{:?}", stored.volumes);
        let library = bench.library();
        let top = bench.path("tree").display().to_string();
        let top = top.trim_start_matches('/');
        for (at, patterns) in [&["*keep*", "*05/a-filler"][..], &["*keep-link"]].into_iter().enumerate() {
            library.faults().drive(0, |faults| faults.no_access_order = true);
            let plain = restored(&bench, &format!("plain-{at}"), &identity, patterns);
            let expected = found(&bench.path(&format!("plain-{at}")).join(top));
            assert!(expected.len() >= 14, "{expected:?}");
            if at == 0 {
                assert_eq!(expected, found(&bench.path("tree")), "as it was");
            }
            for seed in 0..3 {
                library.faults().drive(0, |faults| {
                    (faults.no_access_order, faults.access_order_seed) = (false, Some(seed));
                });
                let before = library.statistics().units["drive0"].count(MAINTENANCE_OUT);
                let name = format!("any-{at}-{seed}");
                let report = restored(&bench, &name, &identity, patterns);
                assert!(
                    library.statistics().units["drive0"].count(MAINTENANCE_OUT) > before,
                    "{name} {encrypt}: it was not asked"
                );
                assert_eq!((report.files, report.bytes), (plain.files, plain.bytes));
                assert_eq!(found(&bench.path(&name).join(top)), expected, "seed {seed}");
                std::fs::remove_dir_all(bench.path(&name)).unwrap();
            }
        }
    }
}

#[test]
fn the_order_of_the_drive_is_sooner_and_not_asked_for_in_vain() {
    let bench = Bench::new().small_cartridges(1, 224 << 20);
    make(&bench.path("tree"), 20);
    bench
        .open()
        .label(&LabelRequest {
            barcode: Some("RW0001L9".into()),
            record_size: Some(16 << 10),
            ..LabelRequest::default()
        })
        .unwrap();
    bench.backup(|_| {});
    let library = bench.library();
    let identity = Identity::generate().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SimulatedClock::default());
    library.set_speed(Some(SpeedModel::of(Generation::Lto9)), &clock);
    let seconds = |name: &str, without: bool, patterns: &[&str]| {
        library.faults().drive(0, |faults| faults.no_access_order = without);
        let asked = library.statistics().units["drive0"].count(MAINTENANCE_OUT);
        let before = clock.now();
        restored(&bench, name, &identity, patterns);
        let asked = library.statistics().units["drive0"].count(MAINTENANCE_OUT) > asked;
        ((clock.now() - before).as_secs(), asked)
    };
    let (plain, _) = seconds("plain", true, &["*keep-file"]);
    let (sorted, asked) = seconds("sorted", false, &["*keep-file"]);
    println!("20 files of a full tape: {plain} s as they stand, {sorted} s as the drive recommends");
    assert!(asked && sorted * 3 < plain * 2, "{sorted} s, {plain} s");
    // Few of them, and a whole tree, are read as they stand.
    assert!(!seconds("few", false, &["*d0[1-4]/keep-file"]).1);
    assert!(!seconds("all", false, &[]).1);
}
