//! The odd paths, over a scripted transport.

use std::sync::Arc;

use super::*;
use crate::scsi::script::{Answer, Script, Scripted, check};

fn inquiry(kind: u8) -> Answer {
    let mut bytes = vec![kind, 0x80, 5, 2, 31, 0, 0, 0];
    bytes.extend(b"IBM     3573-TL         F.60");
    Answer::Bytes(bytes)
}

fn open() -> (Changer, Arc<Script>) {
    let (transport, script) = Scripted::new(1 << 20);
    script
        .expect(&[0x12, 0], inquiry(8))
        .expect(&[0x12, 1, 0x80], Answer::Bytes(b"\x08\x80\x00\x0400L4".to_vec()))
        .expect(&[0xa3, 0x0c], check(0x06, 0x29, 0x00))
        .expect(&[0xa3, 0x0c], check(0x05, 0x20, 0x00));
    let changer = Changer::open(transport).unwrap();
    script.done();
    (changer, script)
}

/// A report with one page.
fn report(kind: u8, flags: u8, each: usize, descriptors: &[Vec<u8>]) -> Answer {
    let mut body = Vec::new();
    for descriptor in descriptors {
        let mut bytes = descriptor.clone();
        bytes.resize(each, 0);
        body.extend(bytes);
    }
    let size = body.len() as u16;
    let [high, low] = size.to_be_bytes();
    let [report_high, report_low] = (size + 8).to_be_bytes();
    let mut bytes = vec![0, 0, 0, descriptors.len() as u8, 0, 0, report_high, report_low];
    bytes.extend([kind, flags, 0, each as u8, 0, 0, high, low]);
    bytes.extend(body);
    Answer::Bytes(bytes)
}

fn slot(address: u16, flags: u8, tag: &str) -> Vec<u8> {
    let mut bytes = address.to_be_bytes().to_vec();
    bytes.extend([flags, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend(format!("{tag:<32}").bytes());
    bytes
}

#[test]
fn a_drive_is_not_a_changer() {
    let (transport, script) = Scripted::new(1 << 20);
    script.expect(&[0x12, 0], inquiry(1));
    assert!(matches!(Changer::open(transport), Err(ChangerError::NotAChanger { .. })));
}

#[test]
fn inventory_asks_one_type_at_a_time() {
    let (mut changer, script) = open();
    assert_eq!(changer.identity().serial, "00L4");
    let id = [&[1, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 4][..], b"SER1"].concat();
    script
        .expect(&[0xb8, 0x11], report(1, 0x80, 52, &[slot(1, 0, "")]))
        .expect(&[0xb8, 0x12], report(2, 0x80, 52, &[slot(4096, 9, "RWD001L9"), slot(4097, 9, "CLN001CU")]))
        .expect(&[0xb8, 0x13], check(0x05, 0x21, 0x01))
        .expect(&[0xb8, 0x03], check(0x05, 0x21, 0x01))
        .expect(&[0xb8, 0x14], report(4, 0x80, 52, &[slot(256, 8, "OLD001L9")]))
        .expect(&[0xb8, 0x04, 0, 0, 0xff, 0xff, 1], report(4, 0, 20, &[id]));
    let inventory = changer.inventory().unwrap();
    script.done();
    assert_eq!(inventory.elements.len(), 4);
    assert!(inventory.at(ElementAddress(4097)).unwrap().cleaning);
    assert_eq!(inventory.find("RWD001L9").unwrap().address, ElementAddress(4096));
    let drive = inventory.of(ElementKind::Drive).next().unwrap();
    assert_eq!((drive.drive_serial.as_deref(), drive.barcode.as_deref()), (Some("SER1"), None));
    // The robot that the inventory named moves.
    script.expect(&[0xa5, 0, 0, 1, 0x10, 0, 1, 0], Answer::Good);
    changer.move_medium(ElementAddress(4096), ElementAddress(256)).unwrap();
    script.done();
}

#[test]
fn a_library_that_refuses_tags_or_is_cut_short() {
    let (transport, script) = Scripted::new(16 + 2 * 12);
    script
        .expect(&[0x12, 0], inquiry(8))
        .expect(&[0x12, 1], check(0x05, 0x24, 0x00))
        .expect(&[0xa3], check(0x05, 0x20, 0x00));
    let mut changer = Changer::open(transport).unwrap();
    let robots = report(1, 0, 12, &[vec![0, 0, 0]]);
    // Three slots, of which the reply holds two: the third is asked for behind the second.
    let slots = report(2, 0, 12, &[vec![0, 1, 9], vec![0, 2, 9], vec![0, 3, 9]]);
    let rest = report(2, 0, 12, &[vec![0, 3, 9]]);
    let none = || report(3, 0, 12, &[]);
    script
        .expect(&[0xb8, 0x11], robots)
        .expect(&[0xb8, 0x12], check(0x05, 0x24, 0x00))
        .expect(&[0xb8, 0x02, 0, 0], slots)
        .expect(&[0xb8, 0x02, 0, 3], rest)
        .expect(&[0xb8, 0x13], none())
        .expect(&[0xb8, 0x14], none());
    let inventory = changer.inventory().unwrap();
    script.done();
    let slots: Vec<u16> = inventory.of(ElementKind::Storage).map(|slot| slot.address.0).collect();
    assert_eq!(slots, [1, 2, 3]);
}

#[test]
fn moves_fail_by_reason() {
    let (mut changer, script) = open();
    let (from, to) = (ElementAddress(1), ElementAddress(2));
    let mut attempt = |answer: Answer| {
        script.expect(&[0xa5], answer);
        changer.move_medium(from, to).unwrap_err()
    };
    assert!(matches!(attempt(check(0x05, 0x3b, 0x0e)), ChangerError::SourceEmpty { .. }));
    assert!(matches!(attempt(check(0x05, 0x3b, 0x0d)), ChangerError::DestinationFull { .. }));
    assert!(matches!(attempt(check(0x05, 0x21, 0x01)), ChangerError::NoSuchElement { .. }));
    assert!(matches!(attempt(check(0x05, 0x53, 0x02)), ChangerError::MediumPrevented { .. }));
    assert!(matches!(attempt(check(0x04, 0x15, 0x01)), ChangerError::Jammed { .. }));
    assert!(matches!(attempt(check(0x02, 0x04, 0x03)), ChangerError::NotReady { .. }));
    assert!(matches!(attempt(Answer::Dead), ChangerError::Transport { .. }));
    let error = attempt(Answer::Status(crate::scsi::Status::ReservationConflict));
    assert!(matches!(error, ChangerError::ReservationConflict { .. }));
    script.expect(&[0x07], check(0x06, 0x28, 0x01)).expect(&[0x07], check(0x02, 0x04, 0x01));
    script.expect(&[0x07], Answer::Good).expect(&[0x1e], check(0x05, 0x20, 0x00));
    changer.initialize().unwrap();
    changer.prevent_removal(true).unwrap();
    script.done();
}
