//! One suite for every drive and changer, whatever transport leads to them: over the virtual library always, over tgtd
//! through iSCSI where it is installed, and over nodes of this machine where a file permits it.
//!
//! `REELWARD_TEST_DEVICES` names that file. Each line that is not empty and no comment is one rig, as `key=value` words:
//!
//! ```text
//! drive=/dev/nst0 changer=/dev/sch0 cartridge=REEL01L5 megabytes=64 reset=sg_reset
//! ```
//! EVERYTHING ON THE CARTRIDGE NAMED IS DESTROYED. `drive` is needed; without `changer` the cartridge that lies in the drive is
//! taken. `megabytes` is the cartridge's size, where it is small enough to be filled. `reset` is a program that is called
//! with `-d NODE` to reset the drive. `record=DIR origin=WHAT_IT_IS` writes down what they say, for
//! `tests/data/transcripts`; `suite=no` does nothing else.

use std::path::Path;
use std::process::Command;

use reelward::changer::{Changer, ChangerError, Element, ElementAddress, ElementKind, Inventory};
use reelward::drive::{BlockAddress, Drive, DriveError, FileNumber, MediumOptions, ReadOutcome, Warning};
use reelward::scsi::Transport;
use reelward::scsi::iscsi::{Iscsi, Target};
use reelward::scsi::linux_sg::LinuxSg;
use reelward::virtual_library::VirtualLibrary;

use crate::support::bench::Bench;
use crate::support::random::Random;
use crate::support::tgt::Tgt;
use crate::transcripts;

type Open<'a> = Box<dyn Fn() -> Box<dyn Transport> + 'a>;
type Act<'a> = Box<dyn Fn() + 'a>;

/// A drive, perhaps with a changer, and what may be done to them.
struct Rig<'a> {
    /// Opens the drive.
    drive: Open<'a>,
    /// Opens the changer, and the barcode of the cartridge that may be destroyed.
    changer: Option<(Open<'a>, String)>,
    /// Size of the cartridge in MiB, where it can be filled.
    megabytes: Option<u64>,
    /// Resets the drive, or breaks the path to it.
    reset: Option<Act<'a>>,
    /// Has the drive say that its cartridge may have changed.
    attention: Option<Act<'a>>,
}

/// The suite over one rig.
fn run(rig: &Rig<'_>) {
    let mut changer = acquaintance(rig);
    let address = changer.as_mut().map(|changer| load(rig, changer));
    let mut drive = Drive::open((rig.drive)()).unwrap();
    ready(&mut drive);
    records(&mut drive);
    filemarks_and_spacing(&mut drive);
    places(&mut drive);
    overwriting(&mut drive);
    too_long(&mut drive);
    if let Some(attention) = &rig.attention {
        unit_attention(&mut drive, attention);
    }
    if let Some(reset) = &rig.reset {
        reset_in_mid_write(&mut drive, reset);
    }
    if let Some(megabytes) = rig.megabytes {
        early_warning(&mut drive, megabytes);
    }
    // The cartridge is left with one short file.
    drive.rewind().unwrap();
    drive.write(b"the device suite was here").unwrap();
    drive.write_filemarks(1, false).unwrap();
    if let (Some(mut changer), Some((at, home))) = (changer, address) {
        let barcode = &rig.changer.as_ref().unwrap().1;
        moves(&mut changer, &mut drive, at, home, barcode);
    }
}

/// Each device says what it is; a wrong one is refused by name.
fn acquaintance(rig: &Rig<'_>) -> Option<Changer> {
    let drive = Drive::open((rig.drive)()).unwrap();
    assert!(!drive.identity().vendor.is_empty() && !drive.identity().product.is_empty(), "{drive:?}");
    assert!(!drive.identity().serial.is_empty(), "{drive:?}");
    drop(drive);
    let wrong = Changer::open((rig.drive)()).unwrap_err();
    assert!(matches!(wrong, ChangerError::NotAChanger { .. }), "{wrong}");
    let (open, _) = rig.changer.as_ref()?;
    let wrong = Drive::open(open()).unwrap_err();
    assert!(matches!(wrong, DriveError::NotATapeDrive { .. }), "{wrong}");
    Some(Changer::open(open()).unwrap())
}

/// Brings the cartridge into the drive; the drive's element and the one the cartridge came from.
fn load(rig: &Rig<'_>, changer: &mut Changer) -> (ElementAddress, ElementAddress) {
    let barcode = &rig.changer.as_ref().unwrap().1;
    let serial = Drive::open((rig.drive)()).unwrap().identity().serial.clone();
    let inventory = changer.inventory().unwrap();
    assert!(inventory.of(ElementKind::Storage).count() > 1, "{inventory:?}");
    let ours = |drive: &&Element| drive.drive_serial.as_deref().is_some_and(|s| s.trim() == serial.trim());
    let by_serial = inventory.of(ElementKind::Drive).find(ours);
    let at = by_serial.or(inventory.of(ElementKind::Drive).next()).unwrap();
    let holder = inventory.find(barcode).unwrap_or_else(|| panic!("{barcode} is not in {inventory:?}"));
    if holder.address != at.address {
        assert!(!at.full, "another cartridge is in the drive: {at:?}");
        changer.move_medium(holder.address, at.address).unwrap();
        let now = changer.inventory().unwrap();
        assert_eq!(now.find(barcode).unwrap().address, at.address);
        return (at.address, holder.address);
    }
    let free = |element: &&Element| !element.full && element.accessible;
    let home = at.source.or_else(|| inventory.of(ElementKind::Storage).find(free).map(|slot| slot.address));
    (at.address, home.unwrap())
}

fn ready(drive: &mut Drive) {
    if !drive.is_loaded().unwrap() {
        drive.load().unwrap();
    }
    drive.rewind().unwrap();
    let medium =
        drive.prepare_medium(MediumOptions { block_protection: true, ..Default::default() }).unwrap();
    assert!(medium.max_record >= 256 << 10 && !medium.write_protected, "{medium:?}");
    if let Some(capacity) = drive.capacity().unwrap() {
        assert!(capacity.total > 0 && capacity.remaining <= capacity.total, "{capacity:?}");
    }
    drive.tape_alerts().unwrap();
    drive.volume_change_reference().unwrap();
}

fn at(drive: &mut Drive) -> u64 {
    drive.position().unwrap().block.0
}

fn read(drive: &mut Drive, buffer: &mut [u8]) -> ReadOutcome {
    drive.read(buffer).unwrap()
}

/// Records of all lengths, as they were written; filemarks; the end of data.
fn records(drive: &mut Drive) {
    let mut random = Random::new(3);
    let mut buffer = vec![0; 512 << 10];
    let lengths = [1, 511, 512, 4096, 65_537, 256 << 10];
    let records: Vec<Vec<u8>> = lengths.iter().map(|&length| random.bytes(length)).collect();
    for record in &records {
        assert_eq!(drive.write(record).unwrap(), Warning::None);
    }
    assert_eq!(drive.flush().unwrap(), Warning::None);
    assert_eq!(at(drive), 6);
    drive.write_filemarks(1, true).unwrap();
    drive.write(&records[3]).unwrap();
    drive.write_filemarks(2, false).unwrap();
    assert_eq!(at(drive), 10);
    drive.rewind().unwrap();
    assert!(drive.position().unwrap().at_beginning);
    for record in &records {
        assert_eq!(read(drive, &mut buffer), ReadOutcome::Record(record.len()));
        assert_eq!(&buffer[..record.len()], record);
    }
    // Buffers that are a little longer than the record, as those of the restore are: some paths get the count wrong then.
    for shift in [4, 1] {
        drive.rewind().unwrap();
        for record in &records {
            buffer.fill(0);
            let room = record.len() + shift;
            assert_eq!(read(drive, &mut buffer[..room]), ReadOutcome::Record(record.len()));
            assert!(buffer[..record.len()] == *record, "{} bytes into {room}", record.len());
        }
    }
    assert_eq!(read(drive, &mut buffer), ReadOutcome::Filemark);
    let position = drive.position().unwrap();
    assert_eq!((position.block, position.file), (BlockAddress(7), Some(FileNumber(1))));
    assert_eq!(read(drive, &mut buffer), ReadOutcome::Record(4096));
    assert_eq!(read(drive, &mut buffer), ReadOutcome::Filemark);
    assert_eq!(read(drive, &mut buffer), ReadOutcome::Filemark);
    for _ in 0..2 {
        assert_eq!(read(drive, &mut buffer), ReadOutcome::EndOfData);
        assert_eq!(at(drive), 10);
    }
}

/// Over what [`records`] left: six records, a filemark, a record, two filemarks.
fn filemarks_and_spacing(drive: &mut Drive) {
    let mut buffer = vec![0; 512 << 10];
    drive.rewind().unwrap();
    drive.space_filemarks(1).unwrap();
    assert_eq!(at(drive), 7);
    drive.space_filemarks(2).unwrap();
    assert_eq!(at(drive), 10);
    let behind = drive.space_filemarks(1);
    assert!(matches!(behind, Err(DriveError::Blank { .. })), "{behind:?}");
    drive.rewind().unwrap();
    drive.space_records(3).unwrap();
    assert_eq!(at(drive), 3);
    drive.space_records(-2).unwrap();
    assert_eq!(at(drive), 1);
    assert_eq!(read(drive, &mut buffer), ReadOutcome::Record(511));
    drive.rewind().unwrap();
    drive.space_to_end_of_data().unwrap();
    assert_eq!(at(drive), 10);
    assert_eq!(read(drive, &mut buffer), ReadOutcome::EndOfData);
    // Backwards over a filemark the tape stands before it. A drive that does not tell its place may have lost ours: that is said.
    drive.space_filemarks(-1).unwrap();
    match drive.position() {
        Ok(position) => assert_eq!(position.block, BlockAddress(9)),
        Err(error) => assert!(matches!(error, DriveError::PositionUnknown { .. }), "{error}"),
    }
    // (tgtd goes back one too far from the end of data: to another filemark here.)
    let marks = (0..4).take_while(|_| read(drive, &mut buffer) == ReadOutcome::Filemark).count();
    assert!(marks == 1 || marks == 2, "{marks}");
    assert_eq!(read(drive, &mut buffer), ReadOutcome::EndOfData);
}

/// LOCATE, or what stands for it, in both directions, over filemarks, and beyond the end.
fn places(drive: &mut Drive) {
    let mut buffer = vec![0; 512 << 10];
    drive.rewind().unwrap();
    for (block, length) in [(3, 4096), (7, 4096), (0, 1), (5, 256 << 10), (4, 65_537)] {
        drive.locate(BlockAddress(block)).unwrap();
        assert_eq!(at(drive), block);
        assert_eq!(read(drive, &mut buffer), ReadOutcome::Record(length));
    }
    drive.locate(BlockAddress(6)).unwrap();
    assert_eq!(read(drive, &mut buffer), ReadOutcome::Filemark);
    drive.locate(BlockAddress(10)).unwrap();
    assert_eq!(read(drive, &mut buffer), ReadOutcome::EndOfData);
    assert!(drive.locate(BlockAddress(50)).is_err());
    drive.rewind().unwrap();
    assert_eq!(at(drive), 0);
}

/// Writing in the middle ends the data there, and leaves what lies before.
fn overwriting(drive: &mut Drive) {
    let mut buffer = vec![0; 512 << 10];
    drive.locate(BlockAddress(2)).unwrap();
    drive.write(b"new").unwrap();
    drive.write_filemarks(1, false).unwrap();
    assert_eq!(at(drive), 4);
    drive.rewind().unwrap();
    assert_eq!(read(drive, &mut buffer), ReadOutcome::Record(1));
    assert_eq!(read(drive, &mut buffer), ReadOutcome::Record(511));
    assert_eq!(read(drive, &mut buffer), ReadOutcome::Record(3));
    assert_eq!(&buffer[..3], b"new");
    assert_eq!(read(drive, &mut buffer), ReadOutcome::Filemark);
    assert_eq!(read(drive, &mut buffer), ReadOutcome::EndOfData);
    // Appending goes on behind it.
    drive.write(b"appended").unwrap();
    drive.write_filemarks(1, false).unwrap();
    assert_eq!(at(drive), 6);
    drive.rewind().unwrap();
    drive.space_to_end_of_data().unwrap();
    assert_eq!(at(drive), 6);
}

/// A record longer than the buffer is told with both lengths, and the tape stands behind it; longer than a command can say is
/// refused before anything moves.
fn too_long(drive: &mut Drive) {
    let record = Random::new(4).bytes(100_000);
    drive.rewind().unwrap();
    drive.write(&record).unwrap();
    drive.write(b"next").unwrap();
    drive.write_filemarks(1, false).unwrap();
    drive.rewind().unwrap();
    let mut buffer = vec![0; 1000];
    let long = drive.read(&mut buffer);
    assert!(matches!(long, Err(DriveError::RecordTooLong { asked: 1000, found: 100_000, .. })), "{long:?}");
    assert_eq!(at(drive), 1);
    assert_eq!(read(drive, &mut buffer), ReadOutcome::Record(4));
    let refused = drive.write(&vec![0; 1 << 24]);
    assert!(matches!(refused, Err(DriveError::RecordRefused { .. })), "{refused:?}");
    assert_eq!(at(drive), 2);
}

/// Nothing is read or written where the cartridge may be another one.
fn unit_attention(drive: &mut Drive, attention: &Act<'_>) {
    let mut buffer = [0; 100];
    drive.rewind().unwrap();
    drive.write(b"kept").unwrap();
    drive.write_filemarks(1, false).unwrap();
    attention();
    let told = drive.write(b"not written");
    assert!(matches!(told, Err(DriveError::PositionLost { .. })), "{told:?}");
    assert!(matches!(drive.read(&mut buffer), Err(DriveError::PositionLost { .. })));
    assert!(matches!(drive.position(), Err(DriveError::PositionLost { .. })));
    drive.rewind().unwrap();
    assert_eq!(read(drive, &mut buffer), ReadOutcome::Record(4));
    assert_eq!(read(drive, &mut buffer), ReadOutcome::Filemark);
    assert_eq!(read(drive, &mut buffer), ReadOutcome::EndOfData);
}

/// What was flushed is there; of the rest a beginning is, or nothing; no write goes to a place that is not known.
fn reset_in_mid_write(drive: &mut Drive, reset: &Act<'_>) {
    let mut buffer = [0; 100];
    drive.rewind().unwrap();
    drive.prepare_medium(MediumOptions::default()).unwrap();
    drive.write(b"first").unwrap();
    drive.write_filemarks(1, false).unwrap();
    drive.write(b"second").unwrap();
    reset();
    let lost = drive.write(b"third");
    assert!(matches!(lost, Err(DriveError::PositionLost { .. } | DriveError::Transport { .. })), "{lost:?}");
    assert!(matches!(drive.write(b"fourth"), Err(DriveError::PositionLost { .. })));
    drive.rewind().unwrap();
    drive.prepare_medium(MediumOptions::default()).unwrap();
    assert_eq!(read(drive, &mut buffer), ReadOutcome::Record(5));
    assert_eq!(&buffer[..5], b"first");
    assert_eq!(read(drive, &mut buffer), ReadOutcome::Filemark);
    match read(drive, &mut buffer) {
        ReadOutcome::EndOfData => {}
        ReadOutcome::Record(6) => {
            assert_eq!(&buffer[..6], b"second");
            assert_eq!(read(drive, &mut buffer), ReadOutcome::EndOfData);
        }
        other => panic!("{other:?}"),
    }
}

/// Early warning is a return value, a filemark still fits, and all that was taken is there.
fn early_warning(drive: &mut Drive, megabytes: u64) {
    let mut record = Random::new(5).bytes(256 << 10);
    drive.rewind().unwrap();
    drive.prepare_medium(MediumOptions::default()).unwrap();
    let (mut written, mut warned) = (0u64, None);
    while warned.is_none() && written < megabytes * 5 {
        record[..8].copy_from_slice(&written.to_le_bytes());
        if drive.write(&record).unwrap() != Warning::None {
            warned = Some(written);
        }
        written += 1;
    }
    assert!(warned.is_some_and(|at| at > megabytes * 2), "{megabytes} MiB, {written} records: {warned:?}");
    assert_eq!(drive.write_filemarks(1, false).unwrap(), Warning::EarlyWarning);
    assert!(drive.position().unwrap().at_end);
    drive.locate(BlockAddress(written - 1)).unwrap();
    let mut buffer = vec![0; 256 << 10];
    assert_eq!(read(drive, &mut buffer), ReadOutcome::Record(256 << 10));
    assert_eq!(buffer[..8], (written - 1).to_le_bytes());
    assert_eq!(buffer[8..], record[8..]);
    assert_eq!(read(drive, &mut buffer), ReadOutcome::Filemark);
    assert_eq!(read(drive, &mut buffer), ReadOutcome::EndOfData);
}

/// Moves there and back; what cannot be is refused by name, and nothing moved.
fn moves(changer: &mut Changer, drive: &mut Drive, at: ElementAddress, home: ElementAddress, barcode: &str) {
    drive.unload().unwrap();
    changer.move_medium(at, home).unwrap();
    assert!(!drive.is_loaded().unwrap());
    let before = changer.inventory().unwrap();
    assert_eq!(before.find(barcode).unwrap().address, home);
    assert!(!before.at(at).unwrap().full);
    let slots = || before.of(ElementKind::Storage).filter(|slot| slot.accessible);
    if let Some(free) = slots().find(|slot| !slot.full && slot.address != home).map(|slot| slot.address) {
        let empty = changer.move_medium(free, at);
        assert!(matches!(empty, Err(ChangerError::SourceEmpty { .. })), "{empty:?}");
        changer.move_medium(home, free).unwrap();
        assert_eq!(changer.inventory().unwrap().find(barcode).unwrap().address, free);
        changer.move_medium(free, home).unwrap();
    }
    if let Some(other) = slots().find(|slot| slot.full && slot.address != home) {
        let occupied = changer.move_medium(home, other.address);
        assert!(matches!(occupied, Err(ChangerError::DestinationFull { .. })), "{occupied:?}");
    }
    let nowhere = changer.move_medium(home, ElementAddress(65_000));
    // (tgtd says 5/24/00.)
    assert!(
        matches!(nowhere, Err(ChangerError::NoSuchElement { .. } | ChangerError::Failed { .. })),
        "{nowhere:?}"
    );
    let after = changer.inventory().unwrap();
    let held = |inventory: &Inventory| -> Vec<(ElementAddress, Option<String>)> {
        inventory.elements.iter().map(|element| (element.address, element.barcode.clone())).collect()
    };
    assert_eq!(held(&after), held(&before));
    // A cartridge that comes back is read from its beginning.
    changer.move_medium(home, at).unwrap();
    drive.load().unwrap();
    drive.prepare_medium(MediumOptions::default()).unwrap();
    let mut buffer = [0; 100];
    assert_eq!(read(drive, &mut buffer), ReadOutcome::Record(25));
    drive.unload().unwrap();
    changer.move_medium(at, home).unwrap();
}

#[test]
fn the_virtual_library() {
    let bench = Bench::new().small_cartridges(3, 64 << 20);
    bench.without_sync();
    let library: VirtualLibrary = bench.library();
    let faults = |change: fn(&mut reelward::virtual_library::DriveFaults)| {
        assert!(library.faults().drive(0, change));
    };
    run(&Rig {
        drive: Box::new(|| Box::new(library.drive(0).unwrap())),
        changer: Some((Box::new(|| Box::new(library.changer())), library.barcodes()[0].clone())),
        megabytes: Some(64),
        reset: Some(Box::new(move || faults(|faults| faults.reset_at = Some(1)))),
        attention: Some(Box::new(move || faults(|faults| faults.unit_attention = Some((0x28, 0x00))))),
    });
}

#[test]
fn tgtd_over_iscsi() {
    let Some(tgt) = Tgt::start(64) else { return };
    let open = |lun: u32| -> Box<dyn Transport> {
        Box::new(Iscsi::open(Target::parse(&tgt.url(lun), None).unwrap()).unwrap())
    };
    run(&Rig {
        drive: Box::new(|| open(1)),
        changer: Some((Box::new(|| open(3)), "REEL01L5".into())),
        megabytes: Some(64),
        reset: Some(Box::new(|| tgt.drop_sessions())),
        attention: None, // it reports none after a change of cartridge
    });
}

/// The words of one line of the file.
fn word<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

fn named(name: &str) -> Box<dyn Transport> {
    if name.starts_with("iscsi://") {
        return Box::new(Iscsi::open(Target::parse(name, None).unwrap()).unwrap());
    }
    Box::new(LinuxSg::open(name).unwrap())
}

/// Records what the rig's devices say, with the cartridge in the drive.
fn recorded(line: &str, drive: &str, directory: &str, origin: &str) {
    let rig = |changer: &str, cartridge: &str| Rig {
        drive: Box::new(|| named(drive)),
        changer: Some((
            {
                let changer = changer.to_owned();
                Box::new(move || named(&changer))
            },
            cartridge.to_owned(),
        )),
        megabytes: None,
        reset: None,
        attention: None,
    };
    let pair = word(line, "changer").zip(word(line, "cartridge"));
    let home = pair.map(|(changer, cartridge)| {
        load(&rig(changer, cartridge), &mut Changer::open(named(changer)).unwrap())
    });
    let mut loaded = Drive::open(named(drive)).unwrap();
    if !loaded.is_loaded().unwrap() {
        loaded.load().unwrap();
    }
    drop(loaded);
    transcripts::record(
        Path::new(directory),
        origin,
        &|| named(drive),
        pair.map(|(changer, _)| || named(changer)),
    );
    if let (Some((changer, _)), Some((at, home))) = (pair, home) {
        Drive::open(named(drive)).unwrap().unload().unwrap();
        Changer::open(named(changer)).unwrap().move_medium(at, home).unwrap();
    }
}

#[test]
fn devices_of_this_machine() {
    let Some(file) = std::env::var_os("REELWARD_TEST_DEVICES") else {
        eprintln!("SKIPPED: REELWARD_TEST_DEVICES names no file of devices that may be destroyed");
        return;
    };
    let text = std::fs::read_to_string(&file).unwrap();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut rigs = 0;
    for line in lines {
        eprintln!("{line}");
        let drive = word(line, "drive").expect("a line names a drive");
        let changer = word(line, "changer");
        let cartridge = word(line, "cartridge");
        assert_eq!(changer.is_some(), cartridge.is_some(), "a changer and a cartridge, or none: {line}");
        let reset = word(line, "reset").map(|program| {
            let reset = move || {
                let status = Command::new(program).args(["-d", drive]).status().unwrap();
                assert!(status.success(), "{program} -d {drive}: {status}");
            };
            Box::new(reset) as Act<'_>
        });
        let rig = Rig {
            drive: Box::new(move || named(drive)),
            changer: changer.zip(cartridge).map(|(changer, cartridge)| {
                (Box::new(move || named(changer)) as Open<'_>, cartridge.to_owned())
            }),
            megabytes: word(line, "megabytes").map(|megabytes| megabytes.parse().unwrap()),
            reset,
            attention: None,
        };
        if word(line, "suite") != Some("no") {
            run(&rig);
        }
        if let Some(directory) = word(line, "record") {
            let origin = word(line, "origin").expect("a recording needs origin=WHAT_IT_IS").replace('_', " ");
            recorded(line, drive, directory, &origin);
        }
        rigs += 1;
    }
    assert!(rigs > 0, "{} names no device", file.display());
}
