//! The odd paths, over a scripted transport.

use std::sync::Arc;

use proptest::strategy::Strategy;

use super::*;
use crate::scsi::attribute::{self, Format};
use crate::scsi::script::{Answer, Script, Scripted, check};
use crate::scsi::{Generation, Status, rao};

fn inquiry(kind: u8) -> Answer {
    let mut bytes = vec![kind, 0x80, 6, 2, 31, 0, 0, 0];
    bytes.extend(b"REELWARDVIRTUAL LTO-9   0001");
    Answer::Bytes(bytes)
}

fn open() -> (Drive, Arc<Script>) {
    let (transport, script) = Scripted::new(1 << 20);
    script
        .expect(&[0x12, 0], inquiry(1))
        .expect(&[0x12, 1, 0x80], Answer::Bytes(b"\x01\x80\x00\x05VD001".to_vec()))
        .expect(&[0x00], check(0x06, 0x29, 0x00))
        .expect(&[0x00], check(0x06, 0x28, 0x00))
        .expect(&[0x00], Answer::Good)
        .expect(&[0xa3, 0x0c], check(0x05, 0x20, 0x00));
    let drive = Drive::open(transport).unwrap();
    script.done();
    (drive, script)
}

/// A drive at the beginning of its tape.
fn rewound() -> (Drive, Arc<Script>) {
    let (mut drive, script) = open();
    script.expect(&[0x01], Answer::Good);
    drive.rewind().unwrap();
    (drive, script)
}

/// READ POSITION, long form.
fn position(flags: u8, block: u64, file: u64) -> Answer {
    let mut bytes = vec![flags, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend(block.to_be_bytes());
    bytes.extend(file.to_be_bytes());
    bytes.resize(32, 0);
    Answer::Bytes(bytes)
}

/// ILI with this residual, and data.
fn odd(residual: i32, bytes: Vec<u8>) -> Answer {
    Answer::Check(0xf0, 0x20, residual, 0, 0, bytes)
}

#[test]
fn opening_takes_the_attentions_away() {
    let (mut drive, script) = open();
    assert!(drive.identity().is_virtual());
    assert_eq!((drive.identity().serial.as_str(), drive.name()), ("VD001", "double"));
    script.expect(&[0x34, 6], position(0x80, 0, 0));
    let at = drive.position().unwrap();
    assert!(at.at_beginning && at.file == Some(FileNumber(0)));
    let (transport, script) = Scripted::new(1 << 20);
    script.expect(&[0x12], inquiry(8));
    assert!(matches!(Drive::open(transport), Err(DriveError::NotATapeDrive { .. })));
}

#[test]
fn a_reset_in_mid_task_loses_the_position_and_nothing_is_repeated() {
    for (asc, ascq) in [(0x29, 0x00), (0x28, 0x00)] {
        let (mut drive, script) = rewound();
        script.expect(&[0x0a], Answer::Good).expect(&[0x0a], check(0x06, asc, ascq));
        drive.write(b"one").unwrap();
        assert!(matches!(drive.write(b"two"), Err(DriveError::PositionLost { .. })));
        // Nothing reaches the drive before a rewind.
        assert!(matches!(drive.write(b"two"), Err(DriveError::PositionLost { .. })));
        assert!(matches!(drive.read(&mut [0; 8]), Err(DriveError::PositionLost { .. })));
        assert!(matches!(drive.locate(BlockAddress(1)), Err(DriveError::PositionLost { .. })));
        assert!(matches!(drive.position(), Err(DriveError::PositionLost { .. })));
        assert!(matches!(drive.flush(), Err(DriveError::PositionLost { .. })));
        script.done();
        script.expect(&[0x01], Answer::Good).expect(&[0x0a], Answer::Good);
        drive.rewind().unwrap();
        drive.write(b"two").unwrap();
        script.done();
    }
}

#[test]
fn a_query_that_meets_a_reset_loses_the_position_too() {
    let (mut drive, script) = rewound();
    script.expect(&[0x4d], check(0x06, 0x29, 0x01)).expect(&[0x4d], check(0x05, 0x20, 0x00));
    script.expect(&[0x4d], check(0x05, 0x20, 0x00));
    assert!(drive.tape_alerts().unwrap().is_empty());
    assert!(matches!(drive.write(b"x"), Err(DriveError::PositionLost { .. })));
    script.done();
}

#[test]
fn other_attentions_let_a_write_go_on_only_at_its_place() {
    let (mut drive, script) = rewound();
    script.expect(&[0x0a], check(0x06, 0x2a, 0x03)).expect(&[0x34, 6], position(0x80, 0, 0));
    script.expect(&[0x0a], Answer::Good);
    drive.write(b"one").unwrap();
    script.expect(&[0x0a], check(0x06, 0x3f, 0x01)).expect(&[0x34, 6], position(0, 7, 0));
    assert!(matches!(drive.write(b"two"), Err(DriveError::PositionLost { .. })));
    script.expect(&[0x01], Answer::Good).expect(&[0x0a], check(0x06, 0x2a, 0x01));
    drive.rewind().unwrap();
    assert!(matches!(drive.write(b"one"), Err(DriveError::PositionLost { .. })));
    script.done();
}

#[test]
fn deferred_errors_and_silence_are_never_repeated() {
    let (mut drive, script) = rewound();
    script.expect(&[0x0a], Answer::Check(0x71, 0x03, 0, 0x0c, 0x00, Vec::new()));
    assert!(matches!(drive.write(b"x"), Err(DriveError::Deferred { .. })));
    assert!(matches!(drive.flush(), Err(DriveError::PositionLost { .. })));
    script.expect(&[0x01], Answer::Good).expect(&[0x10], Answer::Dead);
    drive.rewind().unwrap();
    assert!(matches!(drive.flush(), Err(DriveError::Transport { .. })));
    assert!(matches!(drive.write(b"x"), Err(DriveError::PositionLost { .. })));
    script.done();
}

#[test]
fn early_warning_is_a_value_and_stays() {
    let (mut drive, script) = rewound();
    script
        .expect(&[0x0a], check(0x40, 0x00, 0x07))
        .expect(&[0x0a], Answer::Good)
        .expect(&[0x0a], check(0x40, 0x00, 0x02))
        .expect(&[0x10, 0, 0, 0, 1], check(0x40, 0x00, 0x02))
        .expect(&[0x0a], check(0x4d, 0x00, 0x02))
        .expect(&[0x34, 6], position(0x44, 0, 0));
    // The double answers CHECK CONDITION with no data taken unless told; all of a write is taken.
    assert_eq!(
        drive.write(b"").unwrap_err().to_string(),
        "double: a record of 0 bytes, the limit is 1048576"
    );
    assert_eq!(drive.write(b"a").unwrap(), Warning::Programmable);
    assert_eq!(drive.write(b"b").unwrap(), Warning::Programmable);
    assert_eq!(drive.write(b"c").unwrap(), Warning::EarlyWarning);
    assert_eq!(drive.write_filemarks(1, false).unwrap(), Warning::EarlyWarning);
    assert!(matches!(drive.write(b"d"), Err(DriveError::VolumeFull { .. })));
    // The drive does not tell (LONU): our count does.
    let at = drive.position().unwrap();
    assert_eq!((at.block, at.file), (BlockAddress(4), Some(FileNumber(1))));
    assert!(at.at_end && at.beyond_early_warning);
    script.done();
}

#[test]
fn refusals_have_their_names() {
    type Expected = fn(&DriveError) -> bool;
    let table: &[(u8, u8, u8, Expected)] = &[
        (0x07, 0x27, 0x00, |e| matches!(e, DriveError::WriteProtected { .. })),
        (0x07, 0x30, 0x0c, |e| matches!(e, DriveError::Worm { .. })),
        (0x03, 0x0c, 0x00, |e| matches!(e, DriveError::MediumError { block: Some(0), .. })),
        (0x04, 0x44, 0x00, |e| matches!(e, DriveError::HardwareError { .. })),
        (0x02, 0x3a, 0x00, |e| matches!(e, DriveError::NoMedium { .. })),
        (0x02, 0x04, 0x01, |e| matches!(e, DriveError::NotReady { .. })),
        (0x07, 0x74, 0x01, |e| matches!(e, DriveError::Encryption { .. })),
        (0x0b, 0x10, 0x01, |e| matches!(e, DriveError::BlockProtection { .. })),
        (0x05, 0x20, 0x00, |e| matches!(e, DriveError::Unsupported { .. })),
    ];
    for &(key, asc, ascq, expected) in table {
        let (mut drive, script) = rewound();
        script.expect(&[0x0a], check(key, asc, ascq));
        let error = drive.write(b"x").unwrap_err();
        assert!(expected(&error), "{error}");
        script.done();
    }
    let (mut drive, script) = rewound();
    let holder = b"\0\0\0\x01\0\0\0\x10\0\0\0\0\0\0\0\x07\0\0\0\0\0\x03\0\0".to_vec();
    script.expect(&[0x0a], Answer::Status(Status::ReservationConflict));
    script.expect(&[0x5e, 1], Answer::Bytes(holder));
    let error = drive.write(b"x").unwrap_err();
    assert!(matches!(error, DriveError::ReservationConflict { holder: Some(7), .. }), "{error}");
    script.expect(&[0x0a], Answer::Status(Status::ReservationConflict));
    script.expect(&[0x5e, 1], check(0x05, 0x20, 0x00));
    assert!(matches!(drive.write(b"x"), Err(DriveError::ReservationConflict { holder: None, .. })));
    script.expect(&[0x0a], Answer::Status(Status::Busy)).expect(&[0x0a], Answer::Good);
    drive.write(b"x").unwrap();
    // CHECK CONDITION without sense: REQUEST SENSE brings it.
    script.expect(&[0x0a], Answer::Status(Status::CheckCondition));
    let sense = vec![0x70, 0, 0x07, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x27, 0, 0, 0, 0, 0];
    script.expect(&[0x03], Answer::Bytes(sense));
    assert!(matches!(drive.write(b"x"), Err(DriveError::WriteProtected { .. })));
    script.done();
}

#[test]
fn records_filemarks_and_the_end() {
    let (mut drive, script) = rewound();
    let mut buffer = [0; 8];
    script
        .expect(&[0x08, 0, 0, 0, 8], odd(3, b"hello".to_vec()))
        .expect(&[0x08], odd(3, b"hel".to_vec())) // data left out: once more, with its own length
        .expect(&[0x11, 0, 0xff, 0xff, 0xff], Answer::Good)
        .expect(&[0x08, 0, 0, 0, 5], Answer::Bytes(b"hello".to_vec()))
        .expect(&[0x08, 0, 0, 0, 5], odd(-3, b"12345".to_vec())) // the next one is longer
        .expect(&[0x11, 0, 0xff, 0xff, 0xff], Answer::Good)
        .expect(&[0x08, 0, 0, 0, 8], Answer::Bytes(b"12345678".to_vec()))
        .expect(&[0x08], Answer::Bytes(b"12345678".to_vec()))
        .expect(&[0x08], odd(-92, b"12345678".to_vec()))
        .expect(&[0x08], Answer::Bytes(b"123".to_vec())) // GOOD, but bytes are missing
        .expect(&[0x08], check(0x80, 0x00, 0x01))
        .expect(&[0x08], check(0x08, 0x00, 0x05))
        .expect(&[0x34, 6], position(0x0c, 0, 0));
    assert_eq!(drive.read(&mut buffer).unwrap(), ReadOutcome::Record(5));
    assert_eq!(&buffer[..5], b"hello");
    assert_eq!(drive.read(&mut buffer).unwrap(), ReadOutcome::Record(5));
    assert_eq!(&buffer[..5], b"hello");
    assert_eq!(drive.read(&mut buffer).unwrap(), ReadOutcome::Record(8));
    assert_eq!(drive.read(&mut buffer).unwrap(), ReadOutcome::Record(8));
    let error = drive.read(&mut buffer).unwrap_err();
    assert_eq!(error.to_string(), "double: the record has 100 bytes, the buffer 8");
    assert!(matches!(drive.read(&mut buffer), Err(DriveError::ShortTransfer { moved: 3, .. })));
    assert_eq!(drive.read(&mut buffer).unwrap(), ReadOutcome::Filemark);
    assert_eq!(drive.read(&mut buffer).unwrap(), ReadOutcome::EndOfData);
    let at = drive.position().unwrap();
    assert_eq!((at.block, at.file), (BlockAddress(7), Some(FileNumber(1))));
    script.done();
}

#[test]
fn protected_records_carry_their_crc() {
    let (mut drive, script) = rewound();
    drive.protected = true;
    script.expect(&[0x0a, 0, 0, 0, 13], Answer::Good).expect(&[0x0a, 0, 0, 0, 13], Answer::Good);
    let mut record = b"123456789".to_vec();
    drive.write_with_room(&mut record).unwrap();
    assert_eq!(record, b"123456789");
    drive.write(&record).unwrap();
    let written: Vec<Vec<u8>> = script.sent().into_iter().rev().take(2).map(|(_, data)| data).collect();
    assert_eq!(written[0], written[1]);
    assert_eq!(&written[0][9..], &0xe306_9283_u32.to_le_bytes(), "CRC32C check value, little-endian");

    let mut buffer = [0; 32];
    script.expect(&[0x08, 0, 0, 0, 36], odd(23, written[0].clone()));
    assert_eq!(drive.read(&mut buffer).unwrap(), ReadOutcome::Record(9));
    let mut damaged = written[0].clone();
    damaged[3] ^= 1;
    script.expect(&[0x08], odd(23, damaged)).expect(&[0x08], odd(34, vec![1, 2]));
    assert!(matches!(drive.read(&mut buffer), Err(DriveError::BlockProtection { block: Some(3), .. })));
    assert!(matches!(drive.read(&mut buffer), Err(DriveError::BlockProtection { .. })));
    script.expect(&[0x08], odd(-64, written[0].clone()));
    let error = drive.read(&mut buffer).unwrap_err();
    assert!(matches!(error, DriveError::RecordTooLong { asked: 32, found: 96, .. }), "{error}");
    script.done();
}

#[test]
fn locate_falls_back_to_spacing() {
    let (mut drive, script) = rewound();
    script
        .expect(&[0x92], check(0x05, 0x20, 0x00))
        .expect(&[0x2b], check(0x05, 0x20, 0x00))
        .expect(&[0x11, 0, 0, 0, 10], Answer::Check(0xf0, 0x80, 6, 0x00, 0x01, Vec::new()))
        .expect(&[0x11, 0, 0, 0, 5], Answer::Good);
    drive.locate(BlockAddress(10)).unwrap();
    script.done();
    // Backwards: from the beginning; and the missing commands are not tried again.
    script.expect(&[0x01], Answer::Good).expect(&[0x11, 0, 0, 0, 3], Answer::Good);
    drive.locate(BlockAddress(3)).unwrap();
    script.expect(&[0x34], position(0x0c, 0, 0));
    assert_eq!(drive.position().unwrap().block, BlockAddress(3));
    script.expect(&[0x11, 0, 0, 0, 97], check(0x08, 0x00, 0x05));
    assert!(matches!(drive.locate(BlockAddress(100)), Err(DriveError::Blank { .. })));
    script.done();
}

#[test]
fn a_drive_that_does_not_tell_its_position_is_counted() {
    let (mut drive, script) = rewound();
    script.expect(&[0x34, 6], position(0x0c, 0, 0));
    // One record, a filemark; then a record and the end of data.
    script.expect(&[0x08, 0, 0, 0, 1], odd(-511, vec![0])).expect(&[0x08], check(0x80, 0x00, 0x01));
    drive.space_filemarks(1).unwrap();
    script.expect(&[0x08], odd(-511, vec![0])).expect(&[0x08], check(0x08, 0x00, 0x05));
    drive.space_to_end_of_data().unwrap();
    script.expect(&[0x34, 6], check(0x05, 0x24, 0x00));
    script.expect(&[0x34, 0], Answer::Bytes([vec![0x34], vec![0; 19]].concat()));
    let at = drive.position().unwrap();
    assert_eq!((at.block, at.file), (BlockAddress(3), Some(FileNumber(1))));
    script.done();
}

#[test]
fn spacing_stops_where_it_must() {
    let (mut drive, script) = rewound();
    script.expect(&[0x34, 6], position(0x80, 0, 0)).expect(&[0x11, 1, 0, 0, 2], Answer::Good);
    drive.space_filemarks(2).unwrap();
    assert_eq!(drive.place.file, Some(2));
    script.expect(&[0x11, 1, 0xff, 0xff, 0xfb], Answer::Check(0xf0, 0x40, 3, 0x00, 0x04, Vec::new()));
    assert!(matches!(drive.space_filemarks(-5), Err(DriveError::StoppedShort { left: 3, .. })));
    assert_eq!((drive.place.counted, drive.place.file), (Some(0), Some(0)));
    script.expect(&[0x11, 0, 0, 0, 4], Answer::Check(0xf0, 0x80, 1, 0x00, 0x01, Vec::new()));
    assert!(matches!(drive.space_records(4), Err(DriveError::StoppedShort { left: 1, .. })));
    assert_eq!((drive.place.counted, drive.place.file), (Some(4), Some(1)));
    script.expect(&[0x11, 3], check(0x03, 0x14, 0x03));
    assert!(matches!(drive.space_to_end_of_data(), Err(DriveError::EndOfDataMissing { .. })));
    script.done();
}

#[test]
fn a_count_that_is_not_the_records_length_is_not_believed() {
    let (mut drive, script) = rewound();
    let mut buffer = [0; 8];
    // All 8 bytes are said to have moved, of a record of 5: nobody knows which did.
    script
        .expect(&[0x08, 0, 0, 0, 8], odd(3, b"he\0\0\0\0\0\0".to_vec()))
        .expect(&[0x11, 0, 0xff, 0xff, 0xff], Answer::Good)
        .expect(&[0x08, 0, 0, 0, 5], Answer::Bytes(b"hello".to_vec()))
        .expect(&[0x08, 0, 0, 0, 5], Answer::Bytes(b"again".to_vec()));
    for expected in [b"hello", b"again"] {
        assert_eq!(drive.read(&mut buffer).unwrap(), ReadOutcome::Record(5));
        assert_eq!(&buffer[..5], expected);
    }
    script.done();
}

#[test]
fn the_end_of_data_without_a_count_is_counted() {
    let (mut drive, script) = rewound();
    script.expect(&[0x92], check(0x05, 0x20, 0x00)).expect(&[0x2b], check(0x05, 0x20, 0x00));
    let end = |script: &Script| {
        script.expect(&[0x11, 0], check(0x00, 0x00, 0x05)).expect(&[0x01], Answer::Good);
    };
    end(&script);
    // Two records, and the end.
    script.expect(&[0x34, 6], position(0x0c, 0, 0));
    let records = |script: &Script| {
        script.expect(&[0x08], odd(-511, vec![0])).expect(&[0x08], odd(-511, vec![0]));
        script.expect(&[0x08], check(0x08, 0x00, 0x05));
    };
    records(&script);
    drive.locate(BlockAddress(2)).unwrap();
    assert_eq!(drive.place.counted, Some(2));
    // A place behind it is not reached, and the count stays right.
    end(&script);
    records(&script);
    assert!(matches!(drive.locate(BlockAddress(5)), Err(DriveError::Blank { .. })));
    assert_eq!(drive.place.counted, Some(2));
    script.done();
}

#[test]
fn waiting_for_a_cartridge() {
    let (mut drive, script) = open();
    script.expect(&[0x00], check(0x02, 0x3a, 0x02)).expect(&[0x00], check(0x02, 0x04, 0x02));
    assert!(!drive.is_loaded().unwrap());
    assert!(!drive.is_loaded().unwrap());
    script
        .expect(&[0x1b, 0, 0, 0, 1], Answer::Good)
        .expect(&[0x00], check(0x02, 0x04, 0x01))
        .expect(&[0x00], check(0x06, 0x28, 0x00))
        .expect(&[0x00], Answer::Good)
        .expect(&[0x01], Answer::Good);
    drive.load().unwrap();
    script.expect(&[0x00], check(0x02, 0x3a, 0x00));
    assert!(matches!(drive.wait_ready(Duration::from_secs(5)), Err(DriveError::NoMedium { .. })));
    script.expect(&[0x00], check(0x02, 0x04, 0x01));
    assert!(matches!(drive.wait_ready(Duration::ZERO), Err(DriveError::NotReady { .. })));
    script.expect(&[0x1e, 0, 0, 0, 1], check(0x05, 0x20, 0x00)).expect(&[0x1b, 0, 0, 0, 0], Answer::Good);
    drive.prevent_removal(true).unwrap();
    drive.unload().unwrap();
    script.done();
}

/// MODE SENSE(10) of an LTO-9 with a page.
fn mode(page: &[u8]) -> Answer {
    let mut bytes = vec![0, 0, 0, 0x10, 0, 0, 0, 8, 0x60, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend_from_slice(page);
    bytes[1] = (bytes.len() - 2) as u8;
    Answer::Bytes(bytes)
}

#[test]
fn preparing_sets_what_the_drive_has() {
    let (mut drive, script) = rewound();
    let protection = |method: u8, flags: u8| {
        let mut page = vec![0xca, 0xf0, 0, 0x1c, method, 4, flags];
        page.resize(32, 0);
        mode(&page)
    };
    let mut zone = vec![0xd0, 0x01, 0, 0x1c];
    zone.resize(32, 0);
    let mut zone_set = zone.clone();
    zone_set[7] = 5;
    let compression = [&[0x8f, 14, 0xc0][..], &[0; 13]].concat();
    let barcode = attribute::list(attribute::BARCODE, Format::Ascii, b"RWD001L9");
    script
        .expect(&[0x05], Answer::Bytes(vec![0, 0x80, 0, 0, 0, 1]))
        .expect(&[0x5a, 0, 0], mode(&[]))
        .expect(&[0x5a, 0, 0x0f], mode(&compression))
        .expect(&[0x55], Answer::Good)
        .expect(&[0x5a, 0, 0x10, 1], mode(&zone))
        .expect(&[0x55], Answer::Good)
        .expect(&[0x5a, 0, 0x10, 1], mode(&zone_set))
        .expect(&[0x5a, 0, 0x0a, 0xf0], protection(0, 0))
        .expect(&[0x55], Answer::Good)
        .expect(&[0x5a, 0, 0x0a, 0xf0], protection(2, 0xc0))
        .expect(&[0x8c, 0, 0, 0, 0, 0, 0, 0, 8, 6], Answer::Bytes(barcode))
        .expect(&[0x5a, 0, 0x1d], mode(&[0x1d, 2, 1, 0]))
        .expect(&[0x4d, 0, 0x57], Answer::Bytes(vec![0x17, 0, 0, 5, 0, 0x81, 3, 1, 1]))
        .expect(&[0x8c], check(0x03, 0x11, 0x12));
    let medium = drive
        .prepare_medium(MediumOptions {
            block_protection: true,
            compression: false,
            programmable_early_warning: Some(4_000_001),
        })
        .unwrap();
    script.done();
    assert_eq!(medium.generation, Some(Generation::Lto9));
    assert_eq!(medium.barcode.as_deref(), Some("RWD001L9"));
    assert!(medium.worm && medium.block_protection && !medium.write_protected);
    assert_eq!(medium.max_record, (1 << 20) - 4);
    assert_eq!(medium.programmable_early_warning, Some(5_000_000));
    let lists: Vec<Vec<u8>> =
        script.sent().into_iter().filter(|(cdb, _)| cdb[0] == 0x55).map(|(_, list)| list).collect();
    assert_eq!((lists[0][16], lists[0][18]), (0x0f, 0x40), "PS and DCE are clear");
    assert_eq!(&lists[1][22..24], &[0, 5]);
    assert_eq!(&lists[2][20..23], &[2, 4, 0xc0]);
}

#[test]
fn preparing_a_plain_drive() {
    let (mut drive, script) = rewound();
    let six = || Answer::Bytes(vec![11, 0, 0, 8, 0x58, 0, 0, 0, 0, 0, 2, 0]);
    let unknown = || check(0x05, 0x20, 0x00);
    script.expect(&[0x05], unknown()).expect(&[0x5a], unknown()).expect(&[0x1a, 0, 0], six());
    script.expect(&[0x55], unknown()).expect(&[0x15, 0x10, 0, 0, 12], Answer::Good);
    for _ in 0..4 {
        script.expect(&[0x5a], unknown()).expect(&[0x1a], check(0x05, 0x24, 0x00));
    }
    script.expect(&[0x8c, 0, 0, 0, 0, 0, 0, 0, 8, 6], unknown());
    script.expect(&[0x5a, 0, 0x1d], unknown()).expect(&[0x1a, 0, 0x1d], check(0x05, 0x24, 0x00));
    script.expect(&[0x4d, 0, 0x57], unknown()).expect(&[0x8c], unknown()).expect(&[0x8c], unknown());
    let medium =
        drive.prepare_medium(MediumOptions { block_protection: true, ..Default::default() }).unwrap();
    script.done();
    assert_eq!((medium.generation, medium.max_record), (Some(Generation::Lto5), 1 << 20));
    assert!(!medium.block_protection && !medium.worm);
    script.expect(&[0x8c], unknown()).expect(&[0x8c], unknown());
    script.expect(&[0x4d], unknown()).expect(&[0x4d], unknown());
    assert_eq!(drive.capacity().unwrap(), None);
    script.done();
}

#[test]
fn one_sign_alone_makes_no_cartridge_write_once() {
    let lacks = || check(0x05, 0x24, 0x00);
    let page = |worm: Option<bool>| match worm {
        Some(worm) => mode(&[0x1d, 2, u8::from(worm), 0]),
        None => mode(&[]),
    };
    let log = |worm: u8| Answer::Bytes(vec![0x17, 0, 0, 5, 0, 0x81, 3, 1, worm]);
    let kind = |kind: u8| Answer::Bytes(attribute::list(attribute::MEDIUM_TYPE, Format::Binary, &[kind]));
    let told = |barcode: &str, answers: Vec<Answer>| {
        let (mut drive, script) = rewound();
        for (prefix, answer) in [&[0x5a, 0, 0x1d][..], &[0x4d, 0, 0x57], &[0x8c]].into_iter().zip(answers) {
            script.expect(prefix, answer);
        }
        let worm = drive.write_once(Some(barcode)).unwrap();
        script.done();
        worm
    };
    assert!(!told("RWD001L9", vec![page(Some(false))]));
    assert!(told("RWD001LZ", vec![page(Some(true))]));
    assert!(told("RWD001L9", vec![page(Some(true)), log(1)]));
    assert!(told("RWD001L9", vec![page(Some(true)), lacks(), kind(0x80)]));
    assert!(told("RWD001L9", vec![page(None), log(1)]), "a drive without the page");
    assert!(told("RWD001LZ", vec![page(Some(false)), log(0), kind(0x80)]));
    assert!(!told("RWD001L9", vec![page(Some(true)), log(0), kind(0)]), "a page that always says yes");
    assert!(!told("RWD001L9", vec![page(Some(true)), lacks(), lacks()]));
    assert!(!told("RWD001LZ", vec![page(Some(false)), log(0), kind(0)]), "a label on the wrong cartridge");
    assert!(!told("RWD001LZ", vec![page(None), lacks(), check(0x03, 0x11, 0x12)]));
}

#[test]
fn an_access_order_is_whole_or_none() {
    let ranges = [5..7, 90..91, 40..45];
    let limits = |segments: u16| {
        let [high, low] = segments.to_be_bytes();
        Answer::Bytes(vec![0, 0, 0, 0, high, low, 0, 32])
    };
    let reply = |numbers: &[u64]| {
        let segment = |&number: &u64| {
            let mut name = [0; 10];
            name[..8].copy_from_slice(&number.to_be_bytes());
            rao::Segment { name, partition: 0, first: 0, last: 0 }
        };
        Answer::Bytes(rao::list(&numbers.iter().map(segment).collect::<Vec<_>>()))
    };
    let (mut drive, script) = rewound();
    let mut asked = |numbers: &[u64]| {
        script
            .expect(&[0xa3, 0x9d], limits(3))
            .expect(&[0xa4, 0x1d, 2], Answer::Good)
            .expect(&[0xa3, 0x1d], reply(numbers));
        let order = drive.access_order(&ranges).unwrap();
        script.done();
        order
    };
    assert_eq!(asked(&[2, 0, 1]), Some(vec![2, 0, 1]));
    for wrong in [&[2, 0][..], &[2, 0, 2], &[2, 0, 3], &[2, 0, u64::MAX]] {
        assert_eq!(asked(wrong), None, "{wrong:?}");
    }
    script.expect(&[0xa3, 0x9d], limits(2));
    assert_eq!(drive.access_order(&ranges).unwrap(), None, "too many for the drive");
    script.expect(&[0xa3, 0x9d], check(0x05, 0x20, 0x00));
    assert_eq!(drive.access_order(&ranges).unwrap(), None);
    script.expect(&[0xa3, 0x9d], limits(9)).expect(&[0xa4, 0x1d], check(0x05, 0x26, 0x00));
    assert_eq!(drive.access_order(&ranges).unwrap(), None);
    script.done();
    let list = &script.sent().into_iter().rfind(|(cdb, _)| cdb[0] == 0xa4).unwrap().1;
    let sent = rao::parse(list).unwrap();
    assert_eq!(sent.iter().map(|s| (s.first, s.last)).collect::<Vec<_>>(), [(5, 6), (90, 90), (40, 44)]);
}

#[test]
fn cartridge_memory_logs_and_alerts() {
    let (mut drive, script) = rewound();
    let number = |id: u16, value: u64| {
        let list = attribute::list(id, Format::Binary, &value.to_be_bytes());
        Answer::Bytes(list)
    };
    script.expect(&[0x8c], number(1, 17_166_137)).expect(&[0x8c], number(0, 100));
    let capacity = drive.capacity().unwrap().unwrap();
    assert_eq!((capacity.total, capacity.remaining), (17_166_137 << 20, 100 << 20));
    script.expect(&[0x8c], number(9, 42));
    assert_eq!(drive.volume_change_reference().unwrap(), Some(42));
    // The next attribute comes back where the one asked for is not there.
    script.expect(&[0x8c], number(0x0400, 1));
    assert_eq!(drive.read_attribute(0x0010).unwrap(), None);
    script.expect(&[0x8d, 1], Answer::Good);
    drive.write_attribute(attribute::BARCODE, Format::Ascii, b"RWD001L9").unwrap();
    // Page 2Eh clears what it tells: it is kept.
    let flags = |set: u8| Answer::Bytes(vec![0x2e, 0, 0, 5, 0, 20, 3, 1, set]);
    let missing = || check(0x05, 0x24, 0x00);
    script.expect(&[0x4d, 0, 0x52], missing()).expect(&[0x4d, 0, 0x6e], flags(1));
    script.expect(&[0x4d, 0, 0x52], missing()).expect(&[0x4d, 0, 0x6e], flags(0));
    for _ in 0..2 {
        assert_eq!(drive.tape_alerts().unwrap(), [crate::scsi::tape_alert::CLEAN_NOW]);
    }
    script.expect(&[0x19, 1], Answer::Good);
    drive.erase(true).unwrap();
    script.expect(&[0x04], Answer::Good).expect(&[0x00], Answer::Good).expect(&[0x01], Answer::Good);
    drive.format_medium().unwrap();
    script.done();
}

/// Answers anything to anything, except what would make the caller wait.
struct Noise {
    answers: std::vec::IntoIter<(u8, u8, Vec<u8>)>,
    sent: usize,
}

impl Transport for Noise {
    fn execute(
        &mut self,
        _: &[u8],
        data: crate::scsi::Data<'_>,
        _: Duration,
    ) -> Result<crate::scsi::Reply, crate::scsi::TransportError> {
        self.sent += 1;
        // The first answer is the INQUIRY that lets the drive be opened; after the last one the tape is at its end.
        let (status, moved, bytes) = match self.sent {
            1 => (0, 255, vec![1, 0, 6, 2, 31]),
            _ => {
                self.answers.next().unwrap_or((2, 255, vec![0x70, 0, 0x08, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 5]))
            }
        };
        let length = data.len();
        if let crate::scsi::Data::In(buffer) = data {
            let copied = bytes.len().min(buffer.len());
            buffer[..copied].copy_from_slice(&bytes[..copied]);
        }
        let status = match status % 4 {
            0 | 1 => Status::Good,
            2 => Status::CheckCondition,
            _ => Status::Other(0x40),
        };
        let waits = crate::scsi::Sense::parse(&bytes).is_some_and(|sense| sense.becoming_ready());
        let sense = if status == Status::CheckCondition && !waits { bytes } else { Vec::new() };
        Ok(crate::scsi::Reply { status, sense, transferred: length.min(moved.into()) })
    }

    fn max_transfer(&self) -> usize {
        1 << 16
    }

    fn name(&self) -> &str {
        "noise"
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(256))]
    #[test]
    fn no_answer_panics(
        protected: bool,
        answers in proptest::collection::vec(
            (proptest::prelude::any::<u8>(), proptest::prelude::any::<u8>(), proptest::prop_oneof![
                proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60),
                (0u8..16, 0u8..4, proptest::prelude::any::<[u8; 4]>(), 0u8..0x40, 0u8..8).prop_map(
                    |(key, flags, [a, b, c, d], asc, ascq)| vec![
                        0xf0, 0, key | flags << 6, a, b, c, d, 10, 0, 0, 0, 0, asc, ascq, 0, 0, 0, 0,
                    ],
                ),
            ]),
            0..60,
        ),
    ) {
        let noise = Noise { answers: answers.into_iter(), sent: 0 };
        if let Ok(mut drive) = Drive::open(Box::new(noise)) {
            let _ = drive.prepare_medium(MediumOptions { block_protection: true, ..Default::default() });
            drive.protected |= protected;
            for block in [0, 5, u64::MAX] {
                let _ = drive.rewind();
                let _ = (drive.write(b"record"), drive.flush(), drive.position());
                let _ = drive.rewind();
                let _ = (drive.read(&mut [0; 7]), drive.read(&mut []), drive.locate(BlockAddress(block.min(1 << 25))));
                let _ = (drive.space_filemarks(2), drive.space_filemarks(-2), drive.space_records(-1));
                let _ = (drive.capacity(), drive.tape_alerts(), drive.volume_change_reference());
            }
        }
    }
}
