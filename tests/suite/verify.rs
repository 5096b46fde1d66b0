//! Verification finds what is wrong on tape, and nothing else.

use std::sync::atomic::AtomicBool;

use reelward::engine::{Compression, EngineError, VerifyReport, VerifyRequest};
use reelward::format::age::Identity;
use reelward::pipeline::Progress;

use crate::support::bench::Bench;

fn try_verify(bench: &Bench, change: impl FnOnce(&mut VerifyRequest)) -> Result<VerifyReport, EngineError> {
    let mut request = VerifyRequest::default();
    change(&mut request);
    bench.open().verify(&request, &Progress::default(), &AtomicBool::new(false))
}

fn verify(bench: &Bench, change: impl FnOnce(&mut VerifyRequest)) -> VerifyReport {
    try_verify(bench, change).unwrap()
}

#[test]
fn what_is_as_stored_is_clean() {
    let bench = Bench::new().few_files();
    assert!(verify(&bench, |_| {}).is_clean()); // nothing at all is as it was stored
    let first = bench.backup(|_| {});
    bench.backup(|request| request.compression = Compression::Zstd(1));
    let all = verify(&bench, |_| {});
    assert!(all.is_clean(), "{all:#?}");
    assert_eq!((all.sets.len(), all.volumes.len(), all.files), (2, 1, 2 * first.members));
    assert_eq!((all.volumes[0].index_files, all.volumes[0].end_ok), (2, true));
    let one = verify(&bench, |request| request.set = Some(first.set.clone()));
    assert!(one.is_clean() && one.volumes.is_empty() && one.files == first.members, "{one:#?}");
    let volume = verify(&bench, |request| request.volume = Some(first.volumes[0].clone()));
    assert!(volume.is_clean() && volume.files == 2 * first.members, "{volume:#?}");
}

#[test]
fn each_volume_of_a_spread_set_can_be_verified() {
    let bench = Bench::new().small_cartridges(6, 12 << 20);
    std::fs::create_dir_all(bench.path("tree")).unwrap();
    let content: Vec<u8> = (0..25_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(bench.path("tree/large"), &content).unwrap();
    let stored = bench.backup(|_| {});
    assert!(stored.volumes.len() >= 3);
    let all = verify(&bench, |_| {});
    assert!(all.is_clean() && all.unchecked.is_empty() && all.files == stored.members, "{all:#?}");
    for volume in &stored.volumes {
        let report = verify(&bench, |request| request.volume = Some(volume.clone()));
        assert!(report.is_clean() && report.unchecked.is_empty() && report.files >= 1, "{report:#?}");
    }
}

#[test]
fn damage_is_found_and_the_rest_still_read() {
    let bench = Bench::new().few_files();
    let stored = bench.backup(|_| {});
    let path = bench.path("state/library/cartridges").join(&stored.volumes[0]).join("data");
    let mut data = std::fs::read(&path).unwrap();
    let at = data.windows(5000).position(|window| window == [13; 5000]).unwrap();
    data[at + 2500] ^= 1;
    std::fs::write(&path, data).unwrap();
    let report = verify(&bench, |_| {});
    assert!(!report.is_clean());
    let faults = &report.sets[0].faults;
    assert!(faults.iter().any(|fault| fault.path.ends_with("/tree/sub/file-13")), "{faults:?}");
}

#[test]
fn a_volume_that_somebody_else_wrote_to_is_told() {
    let bench = Bench::new().few_files();
    bench.backup(|_| {});
    let mut drive = bench.other_program();
    drive.space_to_end_of_data().unwrap();
    drive.write(&[5; 512]).unwrap();
    drive.write_filemarks(1, false).unwrap();
    drop(drive);
    let report = verify(&bench, |_| {});
    assert_eq!(report.faults, 1, "{report:#?}");
    assert!(!report.volumes[0].end_ok && report.volumes[0].index_files_ok);
    assert!(report.volumes[0].problems[0].contains("the data ends at block"), "{report:#?}");
}

#[test]
fn a_missing_key_is_told_and_other_sets_are_verified() {
    let bench = Bench::new().few_files();
    let identity = Identity::generate().unwrap();
    let sealed = bench.backup(|request| request.recipients = vec![identity.recipient()]);
    let open = bench.backup(|_| {});
    let report = verify(&bench, |_| {});
    assert_eq!((report.faults, report.files), (0, open.members), "{report:#?}");
    assert!(report.is_clean() && !report.is_complete());
    assert_eq!(report.unchecked.len(), 1);
    assert!(report.unchecked[0].contains(&identity.recipient().to_string()));
    let refused = try_verify(&bench, |request| request.set = Some(sealed.set.clone()));
    assert!(matches!(refused, Err(EngineError::KeyMissing { .. })), "{refused:?}");
    let report = verify(&bench, |request| request.identities = vec![identity]);
    assert!(report.is_clean() && report.files == open.members + sealed.members, "{report:#?}");
}
