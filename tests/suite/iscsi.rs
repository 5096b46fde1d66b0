//! Real iSCSI to tgtd: a drive without LOCATE, position, logs and cartridge memory, and a changer with quirks. What every
//! drive must do is in `device_suite.rs`.

use std::process::Stdio;
use std::time::Duration;

use reelward::changer::{Changer, ElementAddress, ElementKind};
use reelward::drive::{Drive, DriveError, MediumOptions, ReadOutcome};
use reelward::engine::LabelRequest;
use reelward::scsi::iscsi::{Iscsi, Target};
use reelward::scsi::{Data, Transport};

use crate::support::bench::Bench;
use crate::support::random::Random;
use crate::support::reelward::Reelward;
use crate::support::tgt::Tgt;
use crate::support::tree::{Awkward, assert_same};

fn open(url: &str) -> Box<Iscsi> {
    Box::new(Iscsi::open(Target::parse(url, None).unwrap()).unwrap())
}

/// The first drive with the first cartridge, and the changer.
fn loaded(tgt: &Tgt) -> (Drive, Changer) {
    let mut drive = Drive::open(open(&tgt.url(1))).unwrap();
    let mut changer = Changer::open(open(&tgt.url(3))).unwrap();
    changer.move_medium(ElementAddress(1024), ElementAddress(1)).unwrap();
    if !drive.is_loaded().unwrap() {
        drive.load().unwrap();
    }
    drive.rewind().unwrap();
    (drive, changer)
}

#[test]
fn what_the_drive_cannot_know_is_not_known() {
    let Some(tgt) = Tgt::start(16) else { return };
    let (mut drive, mut changer) = loaded(&tgt);
    let medium =
        drive.prepare_medium(MediumOptions { block_protection: true, ..Default::default() }).unwrap();
    assert!(medium.max_record >= 1 << 20 && !medium.block_protection, "{medium:?}");
    assert_eq!((medium.programmable_early_warning, medium.barcode, medium.serial), (None, None, None));
    assert_eq!(drive.capacity().unwrap(), None);
    assert_eq!(drive.volume_change_reference().unwrap(), None);
    assert!(drive.tape_alerts().unwrap().is_empty());
    // What its changer says wrong is put right: no element has the bit ACCESS.
    let inventory = changer.inventory().unwrap();
    let count = |kind| inventory.of(kind).count();
    assert_eq!([ElementKind::Storage, ElementKind::ImportExport, ElementKind::Drive].map(count), [8, 2, 2]);
    assert!(inventory.elements.iter().all(|element| element.accessible));
    assert_eq!(inventory.find("REEL06L5").unwrap().address, ElementAddress(1029));
}

#[test]
fn chap_is_asked_for_and_shown() {
    let Some(tgt) = Tgt::start_with(1, Some("backup:a-secret-of-ours")) else { return };
    let inquiry = |device: &mut dyn Transport| {
        let mut buffer = [0; 96];
        device.execute(&[0x12, 0, 0, 0, 96, 0], Data::In(&mut buffer), Duration::from_secs(10)).unwrap();
        String::from_utf8_lossy(&buffer[8..32]).into_owned()
    };
    for (url, secret) in [
        (tgt.url_as("backup%a-secret-of-ours", 1), None),
        (tgt.url_as("backup", 1), Some("a-secret-of-ours")),
    ] {
        let mut device = Iscsi::open(Target::parse(&url, secret).unwrap()).unwrap();
        assert!(inquiry(&mut device).starts_with("HP"));
        assert!(!format!("{device:?} {}", device.name()).contains("a-secret-of-ours"));
    }
    for url in [tgt.url_as("backup%some-other-secret", 1), tgt.url(1)] {
        let refused = Iscsi::open(Target::parse(&url, None).unwrap()).unwrap_err();
        assert!(!format!("{refused} {refused:?}").contains("some-other-secret"), "{refused}");
    }
}

#[test]
fn a_lost_session_loses_the_position_and_nothing_else() {
    let Some(tgt) = Tgt::start(64) else { return };
    let (mut drive, _changer) = loaded(&tgt);
    drive.write(b"first").unwrap();
    drive.write_filemarks(1, false).unwrap();
    tgt.drop_sessions();
    let lost = drive.write(b"second");
    assert!(matches!(lost, Err(DriveError::PositionLost { .. } | DriveError::Transport { .. })), "{lost:?}");
    assert!(matches!(drive.write(b"third"), Err(DriveError::PositionLost { .. })));
    drive.rewind().unwrap();
    let mut buffer = [0; 100];
    assert_eq!(drive.read(&mut buffer).unwrap(), ReadOutcome::Record(5));
    assert_eq!(drive.read(&mut buffer).unwrap(), ReadOutcome::Filemark);
    assert_eq!(drive.read(&mut buffer).unwrap(), ReadOutcome::EndOfData);
}

fn labelled(bench: &Bench, barcodes: &[&str]) {
    for barcode in barcodes {
        let request = LabelRequest { barcode: Some((*barcode).into()), ..LabelRequest::default() };
        bench.open().label(&request).unwrap();
    }
}

#[test]
fn a_tree_goes_to_tape_and_comes_back() {
    let Some(tgt) = Tgt::start(200) else { return };
    let bench = Bench::new().devices(&tgt.url(1), &tgt.url(3));
    Awkward { seed: 5, large: 9 << 20, huge: false }.make(&bench.path("tree"));
    labelled(&bench, &["REEL02L5"]);
    let stored = bench.backup(|request| request.checkpoint_bytes = 4 << 20);
    assert_eq!((stored.problems, stored.is_virtual), (Vec::<String>::new(), false));
    bench.backup(|_| {});
    let report = bench.restore(|_| {});
    assert!(report.faults.is_empty(), "{:?}", report.faults);
    assert_same(&bench.path("tree"), &bench.restored());

    // The catalog is lost and made again from the tape.
    let before = bench.members();
    bench.forget_catalog();
    let report = bench.rebuild();
    assert!(report.is_complete(), "{report:#?}");
    assert_eq!(bench.members(), before);
    bench.backup(|_| {});

    // One small file out of a set.
    let file = std::fs::read_dir(bench.path("tree")).unwrap().map(|entry| entry.unwrap().path());
    let file =
        file.filter(|path| path.is_file() && !path.is_symlink()).min().unwrap().canonicalize().unwrap();
    let target = bench.path("one");
    let report = bench.restore(|request| {
        request.patterns = vec![file.display().to_string()];
        request.target = target.clone();
    });
    assert_eq!((report.faults.len(), report.files), (0, 1));
    let restored = target.join(file.strip_prefix("/").unwrap());
    assert_eq!(std::fs::read(restored).unwrap(), std::fs::read(&file).unwrap());
}

#[test]
fn a_set_goes_on_over_small_cartridges() {
    let Some(tgt) = Tgt::start(24) else { return };
    let bench = Bench::new().devices(&tgt.url(1), &tgt.url(3));
    Awkward { seed: 6, large: 50 << 20, huge: false }.make(&bench.path("tree"));
    let stored = bench.backup(|request| request.auto_label = true);
    assert!(stored.volumes.len() >= 3, "{:?}", stored.volumes);
    let report = bench.restore(|_| {});
    assert!(report.faults.is_empty(), "{:?}", report.faults);
    assert_same(&bench.path("tree"), &bench.restored());
}

#[test]
fn a_killed_backup_is_appended_to() {
    let Some(tgt) = Tgt::start(400) else { return };
    let bench = Bench::new().devices(&tgt.url(1), &tgt.url(3));
    let mut random = Random::new(9);
    std::fs::create_dir_all(bench.path("tree")).unwrap();
    for number in 0..40 {
        std::fs::write(bench.path(&format!("tree/{number:02}")), random.bytes(1 << 20)).unwrap();
    }
    labelled(&bench, &["REEL01L5"]);
    let reelward = Reelward::new(bench.path("state"));
    for milliseconds in [150, 300, 500] {
        let tree = bench.path("tree").display().to_string();
        let mut child = reelward
            .command(["backup", "--quiet", "--checkpoint-bytes", "2M", &tree])
            .args(["--drive", &tgt.url(1), "--changer", &tgt.url(3)])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        let _ = child.kill(); // SIGKILL
        child.wait().unwrap();
    }
    bench.backup(|_| {});
    let report = bench.restore(|_| {});
    assert!(report.faults.is_empty(), "{:?}", report.faults);
    assert_same(&bench.path("tree"), &bench.restored());
    assert!(bench.open().check_catalog().unwrap().is_sound());
}
