//! The snapshot, cleaning and retension over the virtual library and over a drive that has nothing.

use std::sync::Arc;

use super::*;
use crate::changer::{Changer, ElementAddress};
use crate::scsi::script::{Script, Scripted, check};
use crate::scsi::tape_alert::{CLEAN_NOW, CLEANING_EXPIRED};
use crate::scsi::{Generation, TapeAlert};
use crate::virtual_library::{DriveFaults, Layout, VirtualLibrary};

const SLOT: ElementAddress = ElementAddress(1024);
const CLEANER: ElementAddress = ElementAddress(1025);
const DRIVE: ElementAddress = ElementAddress(256);

struct Rig {
    _directory: tempfile::TempDir,
    library: VirtualLibrary,
    changer: Changer,
    drive: Drive,
}

impl Rig {
    fn new() -> Rig {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout {
            drives: 1,
            slots: 2,
            import_export: 0,
            cartridges: 1,
            generation: Generation::Lto9,
            capacity: Some(64 << 20),
            cleaning_cartridge: true,
            discard: false,
        };
        let library = VirtualLibrary::create(&directory.path().join("library"), &layout).unwrap();
        let changer = Changer::open(Box::new(library.changer())).unwrap();
        let drive = Drive::open(Box::new(library.drive(0).unwrap())).unwrap();
        Rig { _directory: directory, library, changer, drive }
    }

    fn loaded() -> Rig {
        let mut rig = Rig::new();
        rig.changer.move_medium(SLOT, DRIVE).unwrap();
        rig.drive.rewind().unwrap();
        rig
    }

    fn faults(&self, change: impl FnOnce(&mut DriveFaults)) {
        assert!(self.library.faults().drive(0, change));
    }
}

#[test]
fn everything_is_in_the_snapshot() {
    let mut rig = Rig::loaded();
    rig.faults(|faults| {
        faults.recovered_errors = 3;
        faults.temperature = Some(41);
    });
    for _ in 0..4 {
        rig.drive.write(&vec![1; 1 << 20]).unwrap();
    }
    rig.drive.rewind().unwrap();
    rig.drive.read(&mut vec![0; 1 << 20]).unwrap();
    let health = rig.drive.health().unwrap();
    assert!(!health.in_motion && health.cleaning() == Cleaning::NotNeeded && !health.alerts_clear);
    assert_eq!(health.alerts, Some(Vec::new()));
    assert_eq!((health.temperature, health.read_compression), (Some(41), Some(100)));
    let (write, read) = (health.write_errors.unwrap(), health.read_errors.unwrap());
    assert_eq!((write.corrected, write.uncorrected, write.bytes), (Some(12), Some(0), Some(4 << 20)));
    assert_eq!((read.corrected, read.bytes), (Some(3), Some(1 << 20)));
    assert_eq!(health.capacity.unwrap().total, 64 << 20);
    let volume = health.volume.unwrap();
    assert_eq!(
        (volume.mounts, volume.life_left, volume.recovered_write_errors),
        (Some(1), Some(100), Some(12))
    );
    let statistics = health.statistics.unwrap();
    assert_eq!((statistics.loads, statistics.power_cycles), (Some(1), Some(1)));
    assert_eq!(statistics.serial.as_deref(), Some(rig.drive.identity().serial.as_str()));
    let memory = health.memory.unwrap();
    assert_eq!((memory.loads, memory.barcode.as_deref()), (Some(1), Some("RW0001L9")));
    assert_eq!(memory.last_drives, [rig.drive.identity().serial.clone()]);
    // The place on tape is what it was.
    assert_eq!(rig.drive.position().unwrap().block, BlockAddress(1));
}

#[test]
fn each_page_may_be_missing() {
    for page in [0x00u64, 0x02, 0x0c, 0x11, 0x12, 0x14, 0x17, 0x2e, 0x31, 0x37] {
        let mut rig = Rig::loaded();
        rig.faults(|faults| faults.missing_pages = 1 << page);
        let health = rig.drive.health().unwrap();
        assert_eq!(health.status.is_some(), !matches!(page, 0 | 0x11), "page {page:02x}");
        assert_eq!(health.alerts_clear, page == 0x12);
        assert_eq!(health.alerts.is_some(), page != 0);
        assert_eq!(health.volume.is_some(), !matches!(page, 0 | 0x17));
        assert_eq!(health.capacity.is_some(), !matches!(page, 0 | 0x31));
        assert!(health.memory.is_some());
        rig.drive.write(b"x").unwrap();
    }
}

#[test]
fn a_drive_that_has_nothing_has_no_health_and_works() {
    let mut rig = Rig::loaded();
    rig.faults(|faults| {
        faults.missing_pages = u64::MAX;
        faults.no_cartridge_memory = true;
    });
    assert_eq!(rig.drive.health().unwrap(), Health::default());
    rig.drive.write(b"x").unwrap();
}

#[test]
fn flags_that_reading_clears_are_kept_until_the_cartridge_goes() {
    let mut rig = Rig::loaded();
    rig.faults(|faults| {
        faults.missing_pages = 1 << 0x12;
        faults.tape_alerts = 1 << 3;
    });
    rig.drive.health().unwrap();
    rig.faults(|faults| faults.tape_alerts = 0);
    rig.drive.health().unwrap();
    let again = rig.drive.health().unwrap();
    assert_eq!(again.alerts, Some(vec![TapeAlert::new(4).unwrap()]));
    assert!(again.alerts_clear);
    rig.drive.unload().unwrap();
    assert_eq!(rig.drive.health().unwrap().alerts, Some(Vec::new()));
}

#[test]
fn a_drive_in_motion_is_asked_nothing_else() {
    let mut rig = Rig::new();
    rig.changer.move_medium(CLEANER, DRIVE).unwrap();
    let health = rig.drive.health().unwrap();
    assert!(health.in_motion && health.alerts.is_none() && health.statistics.is_none());
    assert_eq!(health.status.unwrap().activity, crate::scsi::log::Activity::Cleaning);
}

#[test]
fn no_answer_ends_it_and_a_deferred_error_is_not_swallowed() {
    let mut rig = Rig::loaded();
    rig.faults(|faults| faults.hung = true);
    assert!(matches!(rig.drive.health(), Err(DriveError::Transport { .. })));
    let (mut drive, script) = scripted();
    script.expect(&[0x4d], crate::scsi::script::Answer::Check(0x71, 3, 0, 0x0c, 0, Vec::new()));
    assert!(matches!(drive.health(), Err(DriveError::Deferred { .. })));
    assert!(matches!(drive.write(b"x"), Err(DriveError::PositionLost { .. })));
    script.done();
}

fn scripted() -> (Drive, Arc<Script>) {
    use crate::scsi::script::Answer;
    let (transport, script) = Scripted::new(1 << 20);
    let mut inquiry = vec![1, 0x80, 6, 2, 31, 0, 0, 0];
    inquiry.extend(b"OTHER   DLT TAPE        0001");
    script
        .expect(&[0x12, 0], Answer::Bytes(inquiry))
        .expect(&[0x12, 1, 0x80], check(0x05, 0x24, 0x00))
        .expect(&[0x00], Answer::Good)
        .expect(&[0xa3, 0x0c], check(0x05, 0x20, 0x00));
    (Drive::open(transport).unwrap(), script)
}

#[test]
fn cleaning_ends_with_the_cartridge_ejected_or_kept() {
    for keeps in [false, true] {
        let mut rig = Rig::new();
        rig.faults(|faults| {
            faults.cleaning_required = true;
            faults.keeps_cleaning_cartridge = keeps;
        });
        assert_eq!(rig.drive.health().unwrap().cleaning(), Cleaning::Required);
        let before = rig.drive.cleanings().unwrap();
        rig.changer.move_medium(CLEANER, DRIVE).unwrap();
        let end = rig.drive.wait_cleaned(before, CleaningLimits::default()).unwrap();
        assert_eq!(end, if keeps { CleaningEnd::Loaded } else { CleaningEnd::Ejected });
        assert_eq!(rig.drive.holds_cleaning_cartridge().unwrap(), keeps);
        rig.drive.release().unwrap();
        rig.changer.move_medium(DRIVE, CLEANER).unwrap();
        assert_eq!(rig.drive.health().unwrap().cleaning(), Cleaning::NotNeeded);
        assert_eq!(rig.drive.cleanings().unwrap(), Some(before.unwrap() + 1));
    }
}

#[test]
fn cleaning_without_status_page_or_with_a_used_up_cartridge() {
    let limits = CleaningLimits {
        begin: std::time::Duration::from_millis(200),
        end: std::time::Duration::from_millis(400),
    };
    for missing in [1 << 0x11, 1 << 0x11 | 1 << 0x14, u64::MAX] {
        let mut rig = Rig::new();
        rig.faults(|faults| faults.missing_pages = missing);
        rig.changer.move_medium(CLEANER, DRIVE).unwrap();
        assert_eq!(rig.drive.wait_cleaned(Some(0), CleaningLimits::default()).unwrap(), CleaningEnd::Ejected);
    }
    let mut rig = Rig::new();
    rig.faults(|faults| {
        faults.missing_pages = u64::MAX;
        faults.keeps_cleaning_cartridge = true;
    });
    rig.changer.move_medium(CLEANER, DRIVE).unwrap();
    assert_eq!(rig.drive.wait_cleaned(None, limits).unwrap(), CleaningEnd::Loaded);
    let mut rig = Rig::new();
    rig.library.set_cleanings_left("CLN001CU", 0).unwrap();
    rig.faults(|faults| faults.cleaning_required = true);
    rig.changer.move_medium(CLEANER, DRIVE).unwrap();
    let end = rig.drive.wait_cleaned(Some(0), CleaningLimits::default()).unwrap();
    assert_eq!(end, CleaningEnd::Refused(CLEANING_EXPIRED));
    assert!(rig.drive.health().unwrap().alerts.unwrap().contains(&CLEAN_NOW));
    let mut empty = Rig::new();
    assert_eq!(empty.drive.wait_cleaned(Some(0), limits).unwrap(), CleaningEnd::NotBegun);
    let mut data = Rig::loaded();
    assert_eq!(data.drive.wait_cleaned(Some(0), limits).unwrap(), CleaningEnd::NotBegun);
}

#[test]
fn a_tape_is_wound_by_the_drive_or_by_a_pass() {
    let mut rig = Rig::loaded();
    rig.drive.write(b"x").unwrap();
    assert_eq!(rig.drive.retension().unwrap(), Retension::ByPass, "LTO takes no notice of RETEN");
    assert_eq!(rig.drive.position().unwrap().block, BlockAddress(0));
    use crate::scsi::script::Answer;
    // Density 1Bh is none of ours: the drive winds, or refuses and is wound.
    let mode = || {
        let mut bytes = vec![0, 22, 0, 0x10, 0, 0, 0, 8, 0x1b, 0, 0, 0, 0, 0, 0, 0];
        bytes.resize(24, 0);
        Answer::Bytes(bytes)
    };
    let (mut drive, script) = scripted();
    script.expect(&[0x5a], mode()).expect(&[0x1b, 0, 0, 0, 3, 0], Answer::Good);
    script.expect(&[0x00], Answer::Good).expect(&[0x01], Answer::Good);
    assert_eq!(drive.retension().unwrap(), Retension::ByDrive);
    script.done();
    let (mut drive, script) = scripted();
    script.expect(&[0x5a], mode()).expect(&[0x1b, 0, 0, 0, 3, 0], check(0x05, 0x24, 0x00));
    let mut beginning = vec![0; 32];
    beginning[0] = 0x80;
    script.expect(&[0x01], Answer::Good).expect(&[0x34, 6], Answer::Bytes(beginning));
    script.expect(&[0x11, 3], Answer::Good);
    script.expect(&[0x01], Answer::Good);
    assert_eq!(drive.retension().unwrap(), Retension::ByPass);
    script.done();
}
