use super::*;

fn faulty(change: impl FnOnce(&mut DriveFaults)) -> (Rig, Unit0) {
    let (rig, drive) = Rig::loaded(&layout());
    assert!(rig.library.faults().drive(0, change));
    (rig, drive)
}

#[test]
fn no_answer() {
    let (rig, mut drive) = faulty(|faults| faults.hung = true);
    let reply = drive.0.execute(&[0; 6], Data::None, LIMIT);
    assert!(matches!(reply, Err(TransportError::TimedOut { opcode: 0, timeout: LIMIT, .. })));
    rig.library
        .faults()
        .drive(0, |faults| *faults = DriveFaults { unresponsive: true, ..Default::default() });
    assert!(matches!(drive.0.execute(&[0; 6], Data::None, LIMIT), Err(TransportError::Gone { .. })));
    rig.library.faults().drive(0, |faults| *faults = DriveFaults::default());
    drive.good(&[0; 6]);
    assert!(!rig.library.faults().drive(9, |_| ()));
}

#[test]
fn resets_and_power_cuts_lose_the_buffer_and_the_position() {
    let (rig, mut drive) = faulty(|faults| faults.reset_at = Some(4));
    drive.wrote(b"one");
    drive.marks(0);
    drive.wrote(b"two");
    assert_eq!(key(&drive.write(b"three")), (6, 0x29, 0));
    assert_eq!(drive.block(), 0);
    drive.good(&space(3, 0));
    assert_eq!(drive.block(), 1);
    drive.wrote(b"two");
    rig.library.faults().drive(0, |faults| faults.drop_unflushed = true);
    assert_eq!(key(&drive.none(&[0; 6])), (6, 0x29, 0));
    drive.good(&space(3, 0));
    assert_eq!(drive.block(), 1);
}

#[test]
fn errors_of_the_medium() {
    let (rig, mut drive) = faulty(|faults| faults.write_error_at = Some(2));
    drive.wrote(b"one");
    drive.wrote(b"two");
    assert_eq!(key(&drive.write(b"bad")), (3, 0x0c, 0));
    assert_eq!(drive.block(), 2);
    rig.library.faults().drive(0, |faults| {
        *faults = DriveFaults { read_error_at: Some(1), ..Default::default() };
    });
    drive.rewind();
    assert_eq!(drive.read(3).1, b"one");
    assert_eq!(sense(&drive.read(3).0), (3, 0x11, 0, 0, 3));
    assert_eq!(drive.block(), 1);
    let alerts = drive.get(&[0x4d, 0, 0x52, 0, 0, 0, 0, 0, 255, 0]);
    assert_eq!(alerts[8], 0x0c, "flags 5 and 6");
}

#[test]
fn deferred_errors_lose_what_waited() {
    let (_rig, mut drive) = faulty(|faults| faults.deferred_error_after = Some(3));
    drive.wrote(b"one");
    drive.marks(0);
    drive.wrote(b"two");
    let reply = drive.write(b"three");
    assert_eq!((reply.sense[0] & 0x7f, key(&reply)), (0x71, (3, 0x0c, 0)));
    assert_eq!(drive.block(), 1);
    drive.wrote(b"again");
}

#[test]
fn the_others() {
    let (rig, mut drive) = faulty(|faults| faults.early_warning_at = Some(2));
    drive.wrote(b"one");
    assert_eq!(key(&drive.write(b"two")), (0, 0, 2));
    let set = |change: fn(&mut DriveFaults)| {
        rig.library.faults().drive(0, |faults| {
            *faults = DriveFaults::default();
            change(faults);
        });
    };
    set(|faults| faults.short_transfer = Some(2));
    drive.rewind();
    assert_eq!(drive.read(3), (Reply::good(2), b"on".to_vec()));
    assert_eq!(drive.read(3).1, b"two");
    set(|faults| faults.write_protect = true);
    assert_eq!(key(&drive.write(b"x")), (7, 0x27, 0));
    set(|faults| faults.unit_attention = Some((0x2a, 1)));
    assert_eq!(key(&drive.none(&[0; 6])), (6, 0x2a, 1));
    drive.good(&[0; 6]);
    set(|faults| faults.becoming_ready = 2);
    drive.get(&[0x12, 0, 0, 0, 96, 0]);
    assert_eq!(key(&drive.none(&[0; 6])), (2, 4, 1));
    assert_eq!(key(&drive.none(&space(3, 0))), (2, 4, 1));
    drive.good(&[0; 6]);
    set(|faults| faults.lost_end = true);
    assert_eq!(key(&drive.none(&space(3, 0))), (8, 0x14, 3));
    assert_eq!(drive.read(1).0.status, Status::CheckCondition);
    drive.rewind();
    drive.wrote(b"fresh");
    drive.good(&space(3, 0));
    assert_eq!(drive.block(), 1);
}

#[test]
fn a_file_sets_faults_for_a_process() {
    let rig = Rig::new(&layout());
    let text = r#"{"drives": {"0": {"write_error_at": 1}}, "changer": {"jam": true}}"#;
    fs::write(rig.path().join("faults.json"), text).unwrap();
    let rig = rig.killed();
    assert_eq!(key(&rig.changer().none(&mv(1024, 256))), (4, 0x15, 1));
    rig.library.faults().changer(|faults| faults.jam = false);
    rig.changer().good(&mv(1024, 256));
    let mut drive = rig.drive0();
    drive.wrote(b"one");
    assert_eq!(key(&drive.write(b"two")), (3, 0x0c, 0));
}
