//! Write-once and partitioned cartridges.

use reelward::drive::DriveError;
use reelward::engine::{EngineError, LabelReport, LabelRequest};

use crate::support::bench::Bench;
use crate::support::reelward::Reelward;

const FIRST: &str = "RW0001L9";
const SECOND: &str = "RW0002L9";

fn label(bench: &Bench, force: bool) -> Result<LabelReport, EngineError> {
    bench.open().label(&LabelRequest {
        barcode: Some(FIRST.into()),
        overwrite: force,
        destroy_sets: force,
        ..LabelRequest::default()
    })
}

#[test]
fn a_write_once_cartridge_is_labelled_once_and_appended_to() {
    let bench = Bench::new().small_cartridges(2, 64 << 20).few_files();
    bench.library().set_worm(FIRST, true).unwrap();
    label(&bench, false).unwrap();
    assert_eq!(bench.backup(|_| {}).volumes, [FIRST]);
    assert_eq!(bench.backup(|_| {}).volumes, [FIRST]);
    assert!(bench.restore(|_| {}).faults.is_empty());
    let before = bench.cartridge(FIRST);
    let error = label(&bench, true).expect_err("write-once");
    assert!(matches!(error, EngineError::WriteOnce { .. }), "{error}");
    assert!(bench.cartridge(FIRST) == before && bench.open().catalog().sets().unwrap().len() == 2);
    // A task that dies leaves what cannot be written over: the next goes on on another volume.
    let library = bench.library();
    for number in 0..12 {
        std::fs::write(bench.path(&format!("tree/sub/more-{number}")), vec![number; 1 << 20]).unwrap();
    }
    let committed = bench.open().catalog().volumes().unwrap()[0].end_block;
    library.faults().drive(0, |faults| faults.write_error_at = Some(committed + 20));
    bench.try_backup(|request| request.checkpoint_bytes = 3 << 20).expect_err("the write fails");
    library.faults().drive(0, |faults| faults.write_error_at = None);
    assert_eq!(bench.backup(|_| {}).volumes, [SECOND]);
    assert!(bench.restore(|_| {}).faults.is_empty());
}

#[test]
fn the_command_says_why_before_anything_is_written() {
    let bench = Bench::new().small_cartridges(2, 64 << 20).few_files();
    let program = Reelward::new(bench.path("state"));
    program.ok(["tape", "label", FIRST, "--label", "archive"]);
    program.ok(["tape", "label", SECOND]);
    bench.library().set_worm(FIRST, true).unwrap();
    bench.library().set_partitions(SECOND, 2).unwrap();
    let before = [bench.cartridge(FIRST), bench.cartridge(SECOND)];
    for flags in [&[][..], &["--overwrite"], &["--overwrite", "--destroy-sets"]] {
        let (_, told) = program.exits(1, [&["tape", "label", FIRST], flags].concat());
        assert!(told.contains("RW0001L9 is write-once and holds the volume archive ("), "{told}");
    }
    let (_, told) = program.exits(1, ["tape", "label", SECOND]);
    assert!(told.contains("has 2 partitions") && told.contains("--overwrite"), "{told}");
    assert!(before == [bench.cartridge(FIRST), bench.cartridge(SECOND)], "something was written");
    // Nothing is forgotten either: the write-once volume is appended to.
    assert_eq!(bench.backup(|request| request.volume = Some("archive".into())).volumes, ["archive"]);
    assert!(bench.restore(|_| {}).faults.is_empty());
}

#[test]
fn a_drive_that_only_claims_it_is_no_obstacle() {
    let bench = Bench::new().small_cartridges(1, 64 << 20).few_files();
    label(&bench, false).unwrap();
    let library = bench.library();
    library.set_worm(FIRST, true).unwrap();
    let told = || {
        library.faults().drive(0, |faults| (faults.missing_pages, faults.no_cartridge_memory) = (0, false));
        label(&bench, true).expect_err("two signs")
    };
    assert!(matches!(told(), EngineError::WriteOnce { .. }));
    // Neither log page 17h nor cartridge memory: mode page 1Dh stands alone, and the drive itself has the last word.
    library.faults().drive(0, |faults| {
        (faults.missing_pages, faults.no_cartridge_memory) = (1 << 0x17, true);
    });
    let before = bench.cartridge(FIRST);
    let error = label(&bench, true).expect_err("the cartridge is write-once all the same");
    assert!(matches!(error, EngineError::Drive(DriveError::Worm { .. })), "{error:?}");
    assert!(bench.cartridge(FIRST) == before);
}

#[test]
fn a_partitioned_cartridge_is_not_touched_unasked() {
    let bench = Bench::new().small_cartridges(2, 64 << 20).few_files();
    bench.library().set_partitions(FIRST, 2).unwrap();
    let before = bench.cartridge(FIRST);
    let error = label(&bench, false).expect_err("two partitions");
    assert!(matches!(error, EngineError::Partitioned { partitions: 2, .. }), "{error}");
    assert!(error.to_string().contains("LTFS") && error.to_string().contains("--overwrite"), "{error}");
    // A backup that takes blank cartridges passes it by.
    assert_eq!(bench.backup(|_| {}).volumes, [SECOND]);
    assert!(bench.cartridge(FIRST) == before, "something was written");
    // Asked for in so many words, it becomes one partition.
    label(&bench, true).unwrap();
    assert_eq!(bench.backup(|request| request.volume = Some(FIRST.into())).volumes, [FIRST]);
    // A volume of ours that was partitioned since is not appended to.
    bench.library().set_partitions(FIRST, 2).unwrap();
    let error = bench.try_backup(|request| request.volume = Some(FIRST.into())).expect_err("partitioned");
    assert!(matches!(error, EngineError::Partitioned { .. }), "{error}");
}
