use super::*;
use crate::scsi::{attribute, rao};

fn number(drive: &mut Unit0, id: u16) -> u64 {
    let reply = drive.get(&attribute::read(0, id, 65536));
    let found = attribute::parse(&reply).next().unwrap();
    assert_eq!(found.id, id);
    found.number().unwrap()
}

/// A parameter of a log page.
fn log(drive: &mut Unit0, page: u8, code: u16) -> Vec<u8> {
    let reply = drive.get(&[0x4d, 0, 0x40 | page, 0, 0, 0, 0, 0xff, 0xff, 0]);
    assert_eq!(usize::from(u16::from_be_bytes([reply[2], reply[3]])) + 4, reply.len());
    let mut rest = &reply[4..];
    while rest.len() >= 4 {
        let (value, tail) = rest[4..].split_at(usize::from(rest[3]));
        if rest[..2] == code.to_be_bytes() {
            return value.to_vec();
        }
        rest = tail;
    }
    panic!("page {page:02x} has no parameter {code:04x}");
}

#[test]
fn identity() {
    let rig = Rig::new(&layout());
    let mut drive = Unit0(Box::new(rig.library.drive(0).unwrap()));
    assert_eq!(drive.0.name(), format!("virtual://{}#drive0", rig.path().display()));
    let inquiry = drive.get(&[0x12, 0, 0, 0, 96, 0]);
    assert_eq!((inquiry[0], inquiry[1], &inquiry[8..29]), (1, 0x80, &b"REELWARDVIRTUAL LTO-9"[..]));
    assert_eq!(drive.get(&[0x12, 0, 0, 0, 5, 0]).len(), 5);
    for page in [0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2] {
        let reply = drive.get(&[0x12, 1, page, 0, 255, 0]);
        assert_eq!((reply[1], usize::from(reply[3]) + 4), (page, reply.len()));
    }
    assert_eq!(key(&drive.none(&[0x12, 1, 0x99, 0, 255, 0])), (5, 0x24, 0));
    drive.quiet();
    assert_eq!(drive.get(&[0x05, 0, 0, 0, 0, 0]), [0, 0x80, 0, 0, 0, 1]);
    let density = drive.get(&[0x44, 0, 0, 0, 0, 0, 0, 1, 0, 0]);
    assert_eq!((density.len(), density[4]), (56, 0x60));
    let supported = drive.get(&[0xa3, 0x0c, 0x80, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0]);
    assert_eq!((supported.len() - 4) % 20, 0);
    let load = supported[4..].chunks(20).find(|entry| entry[0] == 0x1b).unwrap();
    assert_eq!(u32::from_be_bytes(load[16..20].try_into().unwrap()), 960);
}

#[test]
fn the_memory_counts_what_happens() {
    let (rig, mut drive) = Rig::loaded(&layout());
    assert_eq!((number(&mut drive, 0), number(&mut drive, 1)), (8, 8));
    assert_eq!((number(&mut drive, 3), number(&mut drive, 9)), (1, 0));
    for _ in 0..3 {
        drive.wrote(&vec![0; MIB]);
    }
    assert_eq!((number(&mut drive, 0), number(&mut drive, 9), number(&mut drive, 0x220)), (5, 1, 3));
    assert_eq!(log(&mut drive, 0x17, 0x0203)[4..], 3u32.to_be_bytes());
    assert_eq!(log(&mut drive, 0x31, 1), 5u32.to_be_bytes());
    assert_eq!(log(&mut drive, 0x02, 5), (3u64 << 20).to_be_bytes());
    let mut changer = rig.changer();
    changer.good(&mv(256, 1024));
    changer.good(&mv(1024, 256));
    drive.quiet();
    assert_eq!((number(&mut drive, 3), number(&mut drive, 9)), (2, 1));
    drive.good(&space(3, 0));
    drive.wrote(b"x");
    drive.wrote(b"x");
    assert_eq!(number(&mut drive, 9), 2);
    drop(drive);
    // A kill does not take the change reference back.
    let rig = rig.killed();
    assert_eq!(number(&mut rig.drive0(), 9), 2);
}

#[test]
fn host_attributes_are_kept() {
    let (rig, mut drive) = Rig::loaded(&layout());
    let list = attribute::list(0x0801, attribute::Format::Ascii, b"Reelward");
    assert_eq!(drive.put(&attribute::write(0, list.len() as u32), &list), Reply::good(list.len()));
    let wrong = attribute::list(0x0003, attribute::Format::Binary, &[0; 8]);
    assert_eq!(key(&drive.put(&attribute::write(0, wrong.len() as u32), &wrong)), (5, 0x26, 0));
    let rig = rig.killed();
    let mut drive = rig.drive0();
    let reply = drive.get(&attribute::read(0, 0, 65536));
    let all: Vec<_> = attribute::parse(&reply).collect();
    let text = |id| all.iter().find(|found| found.id == id).and_then(attribute::Attribute::text);
    assert_eq!(text(0x0801).as_deref(), Some("Reelward"));
    assert_eq!(text(0x0806).as_deref(), Some("RW0001L9"));
    assert!(all.windows(2).all(|pair| pair[0].id < pair[1].id));
    let delete = attribute::list(0x0801, attribute::Format::Ascii, b"");
    assert_eq!(drive.put(&attribute::write(0, delete.len() as u32), &delete).status, Status::Good);
    let ids = attribute::parse_list(&drive.get(&attribute::read_list(0, 65536)));
    assert!(!ids.contains(&0x0801) && ids.contains(&0x0401));
}

#[test]
fn log_pages_are_whole() {
    let (_rig, mut drive) = Rig::loaded(&layout());
    let list = drive.get(&[0x4d, 0, 0x40, 0, 0, 0, 0, 0, 255, 0]);
    for page in &list[4..] {
        let reply = drive.get(&[0x4d, 0, 0x40 | page, 0, 0, 0, 0, 0xff, 0xff, 0]);
        assert_eq!(reply[0], *page);
    }
    assert_eq!(log(&mut drive, 0x11, 0)[1], 0x37);
    assert_eq!(key(&drive.none(&[0x4d, 0, 0x7e, 0, 0, 0, 0, 0, 255, 0])), (5, 0x24, 0));
}

#[test]
fn tape_alert_2e_clears_and_12_does_not() {
    let (rig, mut drive) = Rig::loaded(&layout());
    rig.library.set_write_protect("RW0001L9", true).unwrap();
    drive.write(b"x");
    for _ in 0..2 {
        assert_eq!(log(&mut drive, 0x12, 0), [0, 0x80, 0, 0, 0, 0, 0, 0]);
    }
    assert_eq!(log(&mut drive, 0x2e, 9), [1]);
    assert_eq!(log(&mut drive, 0x2e, 9), [0]);
}

#[test]
fn modes_are_shown_as_selected() {
    let (_rig, mut drive) = Rig::loaded(&layout());
    let shown = drive.get(&[0x5a, 0, 0x0f, 0, 0, 0, 0, 1, 0, 0]);
    assert_eq!((shown[3], shown[8], shown[16 + 2] & 0x80), (0x10, 0x60, 0x80));
    let mut page = shown[16..].to_vec();
    page[2] &= 0x7f;
    assert_eq!(select(&mut drive, 65536, &page).status, Status::Good);
    let shown = drive.get(&[0x1a, 0, 0x0f, 0, 255, 0]);
    assert_eq!((&shown[9..12], shown[12 + 2] & 0x80), (&[1, 0, 0][..], 0));
    let default = drive.get(&[0x1a, 0, 0x8f, 0, 255, 0]);
    assert_eq!(default[12 + 2] & 0x80, 0x80);
    assert_eq!(key(&drive.none(&[0x1a, 0, 0xcf, 0, 255, 0])), (5, 0x39, 0));
    assert_eq!(key(&drive.none(&[0x1a, 0, 0x07, 0, 255, 0])), (5, 0x24, 0));
    assert_eq!(key(&select(&mut drive, 0, &[0x07, 0x01, 0])), (5, 0x26, 0));
    assert_eq!(key(&select(&mut drive, 0, &[0x0f, 0x0e, 0])), (5, 0x1a, 0));
}

#[test]
fn segments_are_put_in_order() {
    let (_rig, mut drive) = Rig::loaded(&layout());
    for _ in 0..8 {
        drive.wrote(&vec![0; 512 << 10]);
    }
    drive.rewind();
    let limits = rao::parse_limits(&drive.get(&rao::receive_limits(8))).unwrap();
    assert_eq!(limits.descriptor_length, 32);
    let segment = |first: u64| rao::Segment { name: [first as u8; 10], partition: 0, first, last: first };
    let list = rao::list(&[segment(6), segment(1), segment(4), segment(0)]);
    assert_eq!(drive.put(&rao::generate(list.len() as u32), &list).status, Status::Good);
    let order = rao::parse(&drive.get(&rao::receive(65536))).unwrap();
    // A block is 17.5 wraps of this small tape: the second ends far from the beginning, where the seventh begins.
    assert_eq!(order.iter().map(|segment| segment.first).collect::<Vec<_>>(), [0, 1, 6, 4]);
    let (_rig, mut old) = Rig::loaded(&Layout { generation: Generation::Lto8, ..layout() });
    assert_eq!(key(&old.none(&rao::receive(8))), (5, 0x24, 0));
}

#[test]
fn reservations_of_the_one_host() {
    let (_rig, mut drive) = Rig::loaded(&layout());
    let mut list = [0u8; 24];
    list[15] = 9;
    assert_eq!(drive.put(&[0x5f, 6, 0, 0, 0, 0, 0, 0, 24, 0], &list).status, Status::Good);
    list = [0; 24];
    list[7] = 9;
    assert_eq!(drive.put(&[0x5f, 1, 3, 0, 0, 0, 0, 0, 24, 0], &list).status, Status::Good);
    let held = drive.get(&[0x5e, 1, 0, 0, 0, 0, 0, 1, 0, 0]);
    assert_eq!((held[15], held[21]), (9, 3));
    list[7] = 8;
    assert_eq!(drive.put(&[0x5f, 3, 0, 0, 0, 0, 0, 0, 24, 0], &list).status, Status::ReservationConflict);
}
