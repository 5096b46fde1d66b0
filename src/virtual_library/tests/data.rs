use super::*;

#[test]
fn records_of_any_length_come_back() {
    let (_rig, mut drive) = Rig::loaded(&layout());
    let records: Vec<Vec<u8>> = [1, 511, 65536, 262_144, 3].iter().map(|&n| vec![n as u8; n]).collect();
    for record in &records {
        drive.wrote(record);
    }
    drive.marks(1);
    assert_eq!(drive.position(), (6, 1, 0));
    drive.rewind();
    for record in &records {
        let (reply, bytes) = drive.read(record.len());
        assert_eq!((reply.status, &bytes), (Status::Good, record));
    }
    assert_eq!(sense(&drive.read(10).0), (0, 0, 1, 0x80, 10));
    assert_eq!(sense(&drive.read(10).0), (8, 0, 5, 0, 10));
    assert_eq!(drive.block(), 6);
}

#[test]
fn wrong_lengths_are_told_with_a_signed_residual() {
    let (_rig, mut drive) = Rig::loaded(&layout());
    drive.wrote(&[7; 1000]);
    drive.wrote(&[8; 1000]);
    drive.rewind();
    let (reply, bytes) = drive.read(1500);
    assert_eq!((sense(&reply), bytes.len()), ((0, 0, 0, 0x20, 500), 1000));
    let (reply, bytes) = drive.read(400);
    assert_eq!((sense(&reply), bytes), ((0, 0, 0, 0x20, -600), vec![8; 400]));
    drive.rewind();
    let mut buffer = [0; 1500];
    let reply = drive.run(&read6(1500, 2), Data::In(&mut buffer));
    assert_eq!(reply, Reply::good(1000));
    let reply = drive.run(&read6(400, 2), Data::In(&mut buffer));
    assert_eq!(reply, Reply::good(400));
    assert_eq!(key(&drive.none(&read6(4, 3))), (5, 0x24, 0));
    assert_eq!(key(&drive.none(&read6((8 << 20) + 5, 0))), (5, 0x24, 0));
}

#[test]
fn fixed_blocks() {
    let (_rig, mut drive) = Rig::loaded(&layout());
    assert_eq!(key(&drive.put(&write6(2, 1), &[0; 1024])), (5, 0x24, 0));
    assert_eq!(select(&mut drive, 512, &[]).status, Status::Good);
    let bytes: Vec<u8> = (0..2048u32).map(|n| (n / 512) as u8).collect();
    assert_eq!(drive.put(&write6(4, 1), &bytes), Reply::good(2048));
    drive.marks(1);
    assert_eq!(drive.block(), 5);
    drive.rewind();
    let mut buffer = [0; 4096];
    let reply = drive.run(&read6(8, 1), Data::In(&mut buffer));
    assert_eq!((sense(&reply), reply.transferred), ((0, 0, 1, 0x80, 4), 2048));
    assert_eq!(&buffer[..2048], &bytes[..]);
    // An initiator that sends too little is told, and nothing is written.
    assert_eq!(key(&drive.put(&write6(4, 1), &bytes[..2000])), (0xb, 0x4b, 0));
    assert_eq!(drive.block(), 5);
}

#[test]
fn spacing_stops_where_it_must() {
    let (_rig, mut drive) = Rig::loaded(&layout());
    for _ in 0..3 {
        drive.wrote(&[1; 100]);
        drive.wrote(&[2; 100]);
        drive.marks(1);
    }
    drive.rewind();
    drive.good(&space(1, 2));
    assert_eq!(drive.position(), (6, 2, 0));
    drive.good(&space(1, -1));
    assert_eq!(drive.position(), (5, 1, 0));
    assert_eq!(sense(&drive.none(&space(0, 3))), (0, 0, 1, 0x80, 3));
    drive.good(&space(0, 2));
    assert_eq!(drive.block(), 8);
    assert_eq!(sense(&drive.none(&space(0, -5))), (0, 0, 1, 0x80, 3));
    assert_eq!(drive.block(), 5);
    assert_eq!(sense(&drive.none(&space(1, 9))), (8, 0, 5, 0, 7));
    assert_eq!(drive.block(), 9);
    assert_eq!(sense(&drive.none(&space(1, -4))), (0, 0, 4, 0x40, 1));
    assert_eq!(drive.position(), (0, 0, 0x80));
    drive.good(&space(3, 0));
    assert_eq!(drive.block(), 9);
    let mut long = [0u8; 16];
    (long[0], long[1]) = (0x91, 1);
    long[4..12].copy_from_slice(&(-3i64).to_be_bytes());
    drive.good(&long);
    assert_eq!(drive.block(), 2);
}

#[test]
fn locating_by_block_file_and_end() {
    let (_rig, mut drive) = Rig::loaded(&layout());
    for n in 0..4u8 {
        drive.wrote(&[n; 10]);
        drive.marks(1);
    }
    assert_eq!(drive.locate(4).status, Status::Good);
    assert_eq!(drive.read(10).1, vec![2; 10]);
    let mut by_file = locate(3);
    by_file[1] = 1 << 3;
    drive.good(&by_file);
    assert_eq!(drive.position(), (6, 3, 0));
    let mut end = locate(0);
    end[1] = 3 << 3;
    drive.good(&end);
    assert_eq!(drive.block(), 8);
    assert_eq!(drive.locate(8).status, Status::Good);
    assert_eq!(key(&drive.locate(9)), (8, 0, 5));
    let mut partition = locate(0);
    (partition[1], partition[3]) = (2, 1);
    assert_eq!(key(&drive.none(&partition)), (5, 0x24, 0));
    drive.good(&[0x2b, 0, 0, 0, 0, 0, 5, 0, 0, 0]);
    let short = drive.get(&[0x34, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!((short.len(), &short[4..8]), (20, &[0, 0, 0, 5][..]));
}

#[test]
fn writing_drops_what_follows() {
    let (_rig, mut drive) = Rig::loaded(&layout());
    for n in 0..4u8 {
        drive.wrote(&[n; 10]);
    }
    drive.locate(1);
    drive.wrote(b"new");
    assert_eq!(key(&drive.read(10).0), (8, 0, 5));
    drive.locate(1);
    drive.good(&[0x19, 0, 0, 0, 0, 0]);
    assert_eq!(key(&drive.read(10).0), (8, 0, 5));
    drive.rewind();
    assert_eq!(drive.read(10).1, vec![0; 10]);
}

#[test]
fn the_end_of_the_tape_is_announced_and_then_real() {
    let (_rig, mut drive) = Rig::loaded(&layout());
    let record = vec![5u8; 256 << 10];
    let (mut warned, mut written) = (0usize, 0usize);
    let last = loop {
        let reply = drive.write(&record);
        if reply.status == Status::Good {
            assert_eq!(warned, 0);
        } else if key(&reply) == (0, 0, 2) {
            assert_eq!((sense(&reply).3, reply.transferred), (0x40, record.len()));
            warned += 1;
        } else {
            break reply;
        }
        written += 1;
    };
    assert_eq!(sense(&last), (0xd, 0, 2, 0x40, 256 << 10));
    assert_eq!(written * record.len(), 8 * MIB);
    assert!(warned * record.len() > 512 << 10);
    assert_eq!(drive.position().2 & 0x41, 0x41);
    assert_eq!(key(&drive.none(&[0x10, 0, 0, 0, 1, 0])), (0xd, 0, 2));
    drive.good(&[0x10, 0, 0, 0, 0, 0]);
    drive.rewind();
    for _ in 0..written {
        assert_eq!(drive.read(record.len()).0.status, Status::Good);
    }
    assert_eq!(key(&drive.read(10).0), (8, 0, 5));
}

#[test]
fn programmable_early_warning_comes_once_and_first() {
    let (_rig, mut drive) = Rig::loaded(&layout());
    let mut page = [0u8; 32];
    page[..4].copy_from_slice(&[0x50, 1, 0, 0x1c]);
    page[7] = 3;
    assert_eq!(select(&mut drive, 0, &page).status, Status::Good);
    let mut told = Vec::new();
    for n in 0..30 {
        let reply = drive.write(&vec![1; 256 << 10]);
        if reply.status != Status::Good {
            told.push((n, key(&reply).2));
        }
    }
    assert_eq!(told[0].1, 7);
    assert!(told[1..].iter().all(|told| told.1 == 2));
    let between = (told[1].0 - told[0].0) * (256 << 10);
    assert!((2_700_000..3_300_000).contains(&between), "{told:?}");
}

#[test]
fn protected_and_write_once_cartridges() {
    let (rig, mut drive) = Rig::loaded(&layout());
    drive.wrote(b"first");
    drive.marks(1);
    rig.library.set_write_protect("RW0001L9", true).unwrap();
    assert_eq!(key(&drive.write(b"x")), (7, 0x27, 0));
    assert_eq!(key(&drive.none(&[0x10, 0, 0, 0, 1, 0])), (7, 0x27, 0));
    assert_eq!(drive.get(&[0x5a, 0, 0x3f, 0, 0, 0, 0, 1, 0, 0])[3] & 0x80, 0x80);
    rig.library.set_write_protect("RW0001L9", false).unwrap();
    rig.library.set_worm("RW0001L9", true).unwrap();
    drive.wrote(b"second");
    drive.marks(1);
    drive.rewind();
    assert_eq!(key(&drive.write(b"x")), (7, 0x30, 0x0c));
    assert_eq!(key(&drive.none(&[0x19, 0, 0, 0, 0, 0])), (7, 0x30, 0x0c));
    assert_eq!(key(&drive.none(&[0x04, 0, 0, 0, 0, 0])), (7, 0x30, 0x0c));
    assert_eq!(drive.get(&[0x1a, 8, 0x1d, 0, 255, 0])[4 + 2], 1);
    assert_eq!(drive.read(5).1, b"first");
}

#[test]
fn block_protection_is_checked_on_write_and_sent_on_read() {
    let (_rig, mut drive) = Rig::loaded(&layout());
    let mut page = [0u8; 32];
    page[..7].copy_from_slice(&[0x4a, 0xf0, 0, 0x1c, 2, 4, 0xc0]);
    assert_eq!(select(&mut drive, 0, &page).status, Status::Good);
    let shown = drive.get(&[0x5a, 0, 0x0a, 0xf0, 0, 0, 0, 1, 0, 0]);
    assert_eq!(&shown[20..23], &[2, 4, 0xc0]);
    let mut block = vec![9u8; 1000];
    block.extend(crc32c::crc32c(&block).to_le_bytes());
    drive.wrote(&block);
    block[17] ^= 1;
    assert_eq!(key(&drive.write(&block)), (0xb, 0x10, 1));
    block[17] ^= 1;
    assert_eq!(drive.block(), 1);
    drive.rewind();
    assert_eq!(drive.read(1004), (Reply::good(1004), block.clone()));
    drive.rewind();
    let (reply, bytes) = drive.read(1002);
    assert_eq!((sense(&reply), &bytes[..]), ((0, 0, 0, 0x20, -2), &block[..1002]));
    page[4..7].copy_from_slice(&[0, 0, 0]);
    assert_eq!(select(&mut drive, 0, &page).status, Status::Good);
    drive.rewind();
    assert_eq!(drive.read(1000).1, &block[..1000]);
    let (_rig, mut old) = Rig::loaded(&Layout { generation: Generation::Lto6, ..layout() });
    page[4..7].copy_from_slice(&[2, 4, 0xc0]);
    assert_eq!(key(&select(&mut old, 0, &page)), (5, 0x26, 0));
}

#[test]
fn append_only_mode_asks_for_permission() {
    let (_rig, mut drive) = Rig::loaded(&layout());
    drive.wrote(b"one");
    drive.wrote(b"two");
    let mut page = [0u8; 32];
    page[..6].copy_from_slice(&[0x50, 1, 0, 0x1c, 0, 0x10]);
    assert_eq!(select(&mut drive, 0, &page).status, Status::Good);
    drive.locate(1);
    assert_eq!(sense(&drive.write(b"x")).0, 7);
    let mut allow = locate(1);
    (allow[0], allow[2]) = (0x82, 1);
    drive.good(&allow);
    drive.wrote(b"TWO");
    drive.wrote(b"three");
    drive.locate(1);
    assert_eq!(drive.read(3).1, b"TWO");
}

#[test]
fn without_a_cartridge_nothing_moves() {
    let rig = Rig::new(&layout());
    let mut drive = rig.drive0();
    for cdb in [[0u8; 6], [0x01, 0, 0, 0, 0, 0], read6(10, 0), space(1, 1), [0x1b, 0, 0, 0, 1, 0]] {
        assert_eq!(key(&drive.none(&cdb)), (2, 0x3a, 0), "{cdb:02x?}");
    }
    assert_eq!(key(&drive.none(&[0xc0, 0, 0, 0, 0, 0])), (5, 0x20, 0));
    assert_eq!(key(&drive.none(&[0x2a; 10])), (5, 0x20, 0));
    assert_eq!(key(&drive.none(&[0x34, 0])), (5, 0x24, 0));
}

#[test]
fn capacity_can_be_set_and_records_verified() {
    let (_rig, mut drive) = Rig::loaded(&layout());
    drive.wrote(&[1; 100]);
    assert_eq!(key(&drive.none(&[0x0b, 0, 0, 0x80, 0, 0])), (5, 0x3b, 0x0c));
    drive.rewind();
    drive.good(&[0x13, 0, 0, 0, 100, 0]);
    assert_eq!(drive.block(), 1);
    drive.rewind();
    assert_eq!(sense(&drive.none(&[0x13, 0, 0, 0, 120, 0])), (0, 0, 0, 0x20, 20));
    drive.rewind();
    drive.good(&[0x0b, 0, 0, 0x80, 0, 0]);
    assert_eq!(key(&drive.read(100).0), (8, 0, 5));
    let record = vec![0u8; MIB];
    let written =
        (0..9).take_while(|_| matches!(drive.write(&record).sense.get(2), None | Some(0x40))).count();
    assert_eq!(written, 4);
}

#[test]
fn unbuffered_mode_puts_every_record_on_the_medium() {
    let (rig, mut drive) = Rig::loaded(&layout());
    let list = [0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(drive.put(&[0x55, 0x10, 0, 0, 0, 0, 0, 0, 8, 0], &list).status, Status::Good);
    drive.wrote(b"there");
    let rig = rig.killed();
    assert_eq!(rig.drive0().read(5).1, b"there");
}
