//! Real iSCSI to tgtd: a drive without LOCATE, position, logs and cartridge memory, and a changer with quirks.

use std::process::Stdio;
use std::time::Duration;

use reelward::changer::{Changer, ChangerError, ElementAddress, ElementKind};
use reelward::drive::{BlockAddress, Drive, DriveError, MediumOptions, ReadOutcome, Warning};
use reelward::engine::LabelRequest;
use reelward::scsi::iscsi::{Iscsi, Target};
use reelward::scsi::{Data, Transport};

use crate::support::bench::Bench;
use crate::support::random::Random;
use crate::support::reelward::Reelward;
use crate::support::tgt::Tgt;
use crate::support::tree::{Awkward, assert_same};

const RECORD: usize = 256 * 1024;

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

fn block(drive: &mut Drive) -> u64 {
    drive.position().unwrap().block.0
}

#[test]
fn the_device_suite() {
    let Some(tgt) = Tgt::start(64) else { return };
    let (mut drive, mut changer) = loaded(&tgt);
    let medium =
        drive.prepare_medium(MediumOptions { block_protection: true, ..Default::default() }).unwrap();
    assert!(
        medium.max_record >= 1 << 20 && !medium.block_protection && !medium.write_protected,
        "{medium:?}"
    );
    // What it cannot know it does not know.
    assert_eq!(drive.capacity().unwrap(), None);
    assert_eq!(drive.volume_change_reference().unwrap(), None);
    assert!(drive.tape_alerts().unwrap().is_empty());

    // Records of all lengths, filemarks, position.
    let mut random = Random::new(3);
    let mut buffer = vec![0; 2 << 20];
    assert_eq!(drive.read(&mut buffer).unwrap(), ReadOutcome::EndOfData);
    let records: Vec<Vec<u8>> =
        [1, 511, 512, 4096, RECORD, 1 << 20].iter().map(|&length| random.bytes(length)).collect();
    for record in &records {
        assert_eq!(drive.write(record).unwrap(), Warning::None);
    }
    drive.write_filemarks(1, false).unwrap();
    drive.write(&records[3]).unwrap();
    drive.write_filemarks(2, false).unwrap();
    assert_eq!(block(&mut drive), 10);
    drive.rewind().unwrap();
    for record in &records {
        assert_eq!(drive.read(&mut buffer).unwrap(), ReadOutcome::Record(record.len()));
        assert_eq!(&buffer[..record.len()], record);
    }
    assert_eq!(drive.read(&mut buffer).unwrap(), ReadOutcome::Filemark);
    let position = drive.position().unwrap();
    assert_eq!((position.block, position.file.map(|file| file.0)), (BlockAddress(7), Some(1)));
    assert_eq!(drive.read(&mut buffer).unwrap(), ReadOutcome::Record(4096));
    assert_eq!(drive.read(&mut buffer).unwrap(), ReadOutcome::Filemark);
    assert_eq!(drive.read(&mut buffer).unwrap(), ReadOutcome::Filemark);
    assert_eq!(drive.read(&mut buffer).unwrap(), ReadOutcome::EndOfData);

    // A record longer than the buffer is told with both lengths.
    drive.rewind().unwrap();
    drive.locate(BlockAddress(4)).unwrap();
    let long = drive.read(&mut buffer[..1000]);
    assert!(matches!(long, Err(DriveError::RecordTooLong { asked: 1000, found: RECORD, .. })), "{long:?}");
    assert_eq!(block(&mut drive), 5);

    // Places, without LOCATE: in both directions, over filemarks, and beyond the end.
    for (at, length) in [(3, 4096), (7, 4096), (0, 1), (4, RECORD)] {
        drive.locate(BlockAddress(at)).unwrap();
        assert_eq!(block(&mut drive), at);
        assert_eq!(drive.read(&mut buffer).unwrap(), ReadOutcome::Record(length));
    }
    drive.rewind().unwrap();
    drive.space_filemarks(1).unwrap();
    assert_eq!(block(&mut drive), 7);
    drive.space_to_end_of_data().unwrap();
    assert_eq!(block(&mut drive), 10);
    assert!(drive.locate(BlockAddress(50)).is_err());

    // Writing in the middle ends the data there.
    drive.rewind().unwrap();
    drive.locate(BlockAddress(2)).unwrap();
    drive.write(b"new").unwrap();
    drive.write_filemarks(1, false).unwrap();
    drive.rewind().unwrap();
    drive.space_to_end_of_data().unwrap();
    assert_eq!(block(&mut drive), 4);

    // Early warning is a return value, and a filemark still fits.
    let record = random.bytes(1 << 20);
    let mut warned = None;
    for number in 0..80 {
        if drive.write(&record).unwrap() != Warning::None {
            warned = Some(number);
            break;
        }
    }
    assert!(warned.is_some_and(|at| at > 48), "{warned:?}");
    drive.write_filemarks(1, false).unwrap();

    // The changer: everything seen, moves there and back, refusals by name.
    let inventory = changer.inventory().unwrap();
    assert_eq!(inventory.of(ElementKind::Storage).count(), 8);
    assert_eq!(inventory.of(ElementKind::ImportExport).count(), 2);
    assert_eq!(inventory.of(ElementKind::Drive).count(), 2);
    assert!(inventory.elements.iter().all(|element| element.accessible));
    assert_eq!(inventory.find("REEL01L5").unwrap().address, ElementAddress(1));
    assert_eq!(inventory.find("REEL06L5").unwrap().address, ElementAddress(1029));
    drive.unload().unwrap();
    changer.move_medium(ElementAddress(1), ElementAddress(1031)).unwrap();
    assert!(!drive.is_loaded().unwrap());
    let occupied = changer.move_medium(ElementAddress(1025), ElementAddress(1026));
    assert!(matches!(occupied, Err(ChangerError::DestinationFull { .. })), "{occupied:?}");
    let empty = changer.move_medium(ElementAddress(1024), ElementAddress(1030));
    assert!(matches!(empty, Err(ChangerError::SourceEmpty { .. })), "{empty:?}");
    assert_eq!(changer.inventory().unwrap().find("REEL01L5").unwrap().address, ElementAddress(1031));
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
