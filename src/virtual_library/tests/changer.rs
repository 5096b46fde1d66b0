use super::*;
use crate::scsi::element::{self, ElementType};

fn status(changer: &mut Unit0, kind: ElementType, ids: bool) -> Vec<element::ElementStatus> {
    let cdb = element::read_status(kind, 0, 0xffff, !ids, ids, 0xff_ffff);
    element::parse(&changer.get(&cdb)).unwrap().elements
}

#[test]
fn what_lies_where_is_told_and_moves() {
    let rig = Rig::new(&layout());
    let mut changer = rig.changer();
    let slots = status(&mut changer, ElementType::Storage, false);
    let tags: Vec<_> = slots.iter().map(|slot| slot.barcode.as_deref()).collect();
    let expected =
        [Some("RW0001L9"), Some("RW0002L9"), Some("RW0003L9"), Some("RW0004L9"), None, Some("CLN001CU")];
    assert_eq!(tags, expected);
    assert_eq!(slots[0].address, 1024);
    changer.good(&mv(1025, 257));
    let drives = status(&mut changer, ElementType::Drive, false);
    assert_eq!(drives[1].barcode.as_deref(), Some("RW0002L9"));
    assert_eq!((drives[1].source, drives[1].full, drives[0].full), (Some(1025), true, false));
    let identified = status(&mut changer, ElementType::Drive, true);
    let mut drive = rig.drive0();
    let serial = String::from_utf8(drive.get(&[0x12, 1, 0x80, 0, 255, 0])[4..].to_vec()).unwrap();
    assert_eq!(identified[0].drive_serial, Some(serial));
    assert_ne!(identified[0].drive_serial, identified[1].drive_serial);
    changer.good(&mv(257, 768));
    let doors = status(&mut changer, ElementType::ImportExport, false);
    assert_eq!(doors[0].barcode.as_deref(), Some("RW0002L9"));
    assert_eq!(status(&mut changer, ElementType::Transport, false).len(), 1);
    let all = changer.get(&[0xb8, 0x10, 0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff, 0, 0]);
    assert_eq!(element::parse(&all).unwrap().elements.len(), 1 + 2 + 2 + 6);
    let some = changer.get(&[0xb8, 0x12, 4, 2, 0, 3, 0, 0, 0xff, 0xff, 0, 0]);
    let some = element::parse(&some).unwrap().elements;
    assert_eq!(some.iter().map(|slot| slot.address).collect::<Vec<_>>(), [1026, 1027, 1028]);
}

#[test]
fn impossible_moves_have_their_sense() {
    let rig = Rig::new(&layout());
    let mut changer = rig.changer();
    assert_eq!(key(&changer.none(&mv(1024, 1025))), (5, 0x3b, 0x0d));
    assert_eq!(key(&changer.none(&mv(1028, 256))), (5, 0x3b, 0x0e));
    assert_eq!(key(&changer.none(&mv(1024, 258))), (5, 0x21, 1));
    assert_eq!(key(&changer.none(&mv(1024, 1))), (5, 0x21, 1));
    assert_eq!(key(&changer.none(&[0xa6; 12])), (5, 0x20, 0));
    changer.good(&mv(1024, 256));
    let mut drive = rig.drive0();
    drive.good(&[0x1e, 0, 0, 0, 1, 0]);
    assert_eq!(key(&changer.none(&mv(256, 1024))), (5, 0x53, 2));
    assert_eq!(key(&drive.none(&[0x1b, 0, 0, 0, 0, 0])), (5, 0x53, 2));
    drive.good(&[0x1e, 0, 0, 0, 0, 0]);
    changer.good(&mv(256, 1024));
    rig.library.faults().changer(|faults| faults.jam = true);
    assert_eq!(key(&changer.none(&mv(1024, 256))), (4, 0x15, 1));
}

#[test]
fn a_load_is_announced_and_survives_the_process() {
    let rig = Rig::new(&layout());
    rig.changer().good(&mv(1024, 256));
    let mut drive = Unit0(Box::new(rig.library.drive(0).unwrap()));
    assert_eq!(key(&drive.none(&[0; 6])), (6, 0x29, 0));
    assert_eq!(key(&drive.none(&[0; 6])), (6, 0x28, 0));
    drive.wrote(b"abc");
    drive.good(&[0x1b, 0, 0, 0, 0, 0]);
    assert_eq!(key(&drive.none(&[0; 6])), (2, 0x3a, 0));
    drive.good(&[0x1b, 0, 0, 0, 1, 0]);
    assert_eq!(key(&drive.none(&[0; 6])), (6, 0x28, 0));
    let rig = rig.killed();
    let mut drive = rig.drive0();
    assert_eq!(drive.read(3).1, b"abc");
    rig.changer().good(&mv(256, 1029 - 1));
    assert_eq!(key(&drive.none(&[0; 6])), (2, 0x3a, 0));
}

#[test]
fn without_implicit_unload_the_drive_must_be_told_first() {
    let rig = Rig::new(&layout());
    locked(&rig.library.0.changer).file.implicit_unload = false;
    let mut changer = rig.changer();
    changer.good(&mv(1024, 256));
    assert_eq!(key(&changer.none(&mv(256, 1024))), (5, 0x53, 3));
    let mut drive = rig.drive0();
    drive.good(&[0x1b, 0, 0, 0, 0, 0]);
    changer.good(&mv(256, 1024));
}

#[test]
fn a_cleaning_cartridge_cleans() {
    let rig = Rig::new(&layout());
    rig.library.faults().drive(0, |faults| faults.cleaning_required = true);
    let mut drive = rig.drive0();
    let alerts = |drive: &mut Unit0| drive.get(&[0x4d, 0, 0x52, 0, 0, 0, 0, 0, 255, 0])[8..16].to_vec();
    assert_eq!(alerts(&mut drive), [0, 0, 0x10, 0, 0, 0, 0, 0]);
    let mut changer = rig.changer();
    let activity = |drive: &mut Unit0| drive.get(&[0x4d, 0, 0x51, 0, 0, 0, 0, 0, 255, 0])[10];
    changer.good(&mv(1029, 256));
    assert_eq!(key(&drive.none(&[0; 6])), (2, 0x30, 3));
    assert_eq!(activity(&mut drive), 1, "cleaning");
    assert_eq!(alerts(&mut drive)[2] & 0x10, 0x10, "not before it is done");
    for _ in 0..10 {
        drive.none(&[0; 6]);
    }
    assert_eq!(key(&drive.none(&[0; 6])), (2, 0x3a, 0), "the drive has let go");
    assert_eq!((activity(&mut drive), alerts(&mut drive)[2]), (0, 0));
    changer.good(&mv(256, 1029));
    assert_eq!(alerts(&mut drive), [0; 8]);
    let memory = rig.library.0.with_cartridge("CLN001CU", |medium| medium.memory.clone()).unwrap();
    assert_eq!(memory.cleanings, Some(49));
}

#[test]
fn cleaning_cartridges_that_stay_and_that_are_used_up() {
    let rig = Rig::new(&layout());
    rig.library.faults().drive(0, |faults| {
        faults.cleaning_requested = true;
        faults.keeps_cleaning_cartridge = true;
    });
    let mut drive = rig.drive0();
    let mut changer = rig.changer();
    let alerts = |drive: &mut Unit0| drive.get(&[0x4d, 0, 0x52, 0, 0, 0, 0, 0, 255, 0])[8..11].to_vec();
    assert_eq!(alerts(&mut drive), [0, 0, 0x08], "flag 21");
    changer.good(&mv(1029, 256));
    for _ in 0..15 {
        assert_eq!(key(&drive.none(&[0; 6])), (2, 0x30, 3));
    }
    assert_eq!(alerts(&mut drive), [0, 0x20, 0], "clean, and flag 11");
    drive.good(&[0x1b, 0, 0, 0, 0, 0]);
    assert_eq!(key(&drive.none(&[0; 6])), (2, 0x3a, 0));
    changer.good(&mv(256, 1029));
    rig.library.set_cleanings_left("CLN001CU", 0).unwrap();
    rig.library.faults().drive(0, |faults| faults.cleaning_required = true);
    changer.good(&mv(1029, 256));
    for _ in 0..9 {
        drive.none(&[0; 6]);
    }
    assert_eq!(alerts(&mut drive), [0, 0, 0x14], "flags 20 and 22");
    assert_eq!(key(&drive.none(&[0; 6])), (2, 0x3a, 0));
}

#[test]
fn identity_and_geometry() {
    let rig = Rig::new(&layout());
    let mut changer = rig.changer();
    let inquiry = changer.get(&[0x12, 0, 0, 0, 96, 0]);
    assert_eq!((inquiry[0], &inquiry[8..31]), (8, &b"REELWARDVIRTUAL CHANGER"[..]));
    let page = changer.get(&[0x1a, 8, 0x1d, 0, 255, 0]);
    assert_eq!(&page[4..22], &[0x1d, 18, 0, 1, 0, 1, 4, 0, 0, 6, 3, 0, 0, 2, 1, 0, 0, 2]);
    assert_eq!(changer.get(&[0x5a, 8, 0x3f, 0, 0, 0, 0, 1, 0, 0]).len(), 8 + 20 + 4 + 20);
}
