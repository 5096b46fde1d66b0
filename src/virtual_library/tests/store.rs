use super::*;

#[test]
fn a_killed_process_loses_what_was_not_flushed() {
    let (rig, mut drive) = Rig::loaded(&layout());
    drive.wrote(b"flushed");
    drive.marks(1);
    drive.wrote(b"waiting");
    drive.good(&[0x10, 1, 0, 0, 1, 0]); // immediate: not flushed
    assert_eq!(drive.block(), 4);
    let rig = rig.killed();
    assert!(matches!(drive.0.execute(&[0; 6], Data::None, LIMIT), Err(TransportError::Gone { .. })));
    let mut drive = Unit0(Box::new(rig.library.drive(0).unwrap()));
    assert_eq!(key(&drive.none(&[0; 6])), (6, 0x29, 0));
    assert_eq!(drive.position(), (0, 0, 0x80));
    drive.good(&space(3, 0));
    assert_eq!(drive.position(), (2, 1, 0));
    drive.rewind();
    assert_eq!(drive.read(7).1, b"flushed");
}

#[test]
fn every_synchronising_command_flushes() {
    let commands: [&[u8]; 6] = [
        &[0x10, 0, 0, 0, 0, 0],
        &[0x01, 0, 0, 0, 0, 0],
        &locate(0),
        &space(1, -1),
        &[0x1b, 0, 0, 0, 0, 0],
        &read6(1, 0),
    ];
    for cdb in commands {
        let (rig, mut drive) = Rig::loaded(&layout());
        drive.wrote(b"x");
        drive.none(cdb);
        let rig = rig.killed();
        let mut drive = rig.drive0();
        assert_eq!(drive.read(1).1, b"x", "{cdb:02x?}");
    }
}

#[test]
fn an_orderly_end_writes_the_buffer_and_the_statistics() {
    let (rig, mut drive) = Rig::loaded(&layout());
    drive.wrote(b"kept");
    drop(drive);
    let (directory, path) = (rig.directory, rig.library.directory().to_path_buf());
    drop(rig.library);
    let statistics: Statistics = crate::virtual_library::store::read(&path.join("statistics.json")).unwrap();
    assert_eq!(statistics.count(Unit::Drive(0), 0x0a), 1);
    assert_eq!(statistics.count(Unit::Drive(0), 0x08), 0);
    assert_eq!(statistics.count(Unit::Changer, 0xa5), 1);
    let rig = Rig { library: VirtualLibrary::open(&path).unwrap(), directory };
    assert_eq!(rig.drive0().read(4).1, b"kept");
    assert_eq!(rig.library.statistics().count(Unit::Drive(0), 0x08), 1);
}

#[test]
fn directories_that_are_something_else_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let library = VirtualLibrary::create(directory.path(), &layout()).unwrap();
    assert_eq!(library.barcodes(), ["RW0001L9", "RW0002L9", "RW0003L9", "RW0004L9", "CLN001CU"]);
    assert!(matches!(library.drive(2), Err(VirtualError::NoDrive { index: 2, .. })));
    let again = VirtualLibrary::create(directory.path(), &layout());
    assert!(matches!(again, Err(VirtualError::Exists(_))));
    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("thesis.tex"), b"x").unwrap();
    assert!(matches!(VirtualLibrary::create(other.path(), &layout()), Err(VirtualError::NotEmpty(_))));
    assert!(matches!(VirtualLibrary::open(other.path()), Err(VirtualError::Missing(_))));
    fs::write(other.path().join("library.json"), b"{").unwrap();
    assert!(matches!(VirtualLibrary::open(other.path()), Err(VirtualError::Damaged { .. })));
    let many = Layout { cartridges: 6, ..layout() };
    assert!(matches!(VirtualLibrary::create(other.path(), &many), Err(VirtualError::Layout(_))));
}

#[test]
fn one_process_at_a_time() {
    let rig = Rig::new(&layout());
    let path = rig.path();
    let waiting = std::thread::spawn(move || acquire(&path).map(drop));
    std::thread::sleep(Duration::from_millis(100));
    rig.library.kill();
    waiting.join().unwrap().unwrap();
    let held = acquire(&rig.path()).unwrap();
    let error = acquire(&rig.path()).unwrap_err();
    assert!(matches!(error, VirtualError::InUse(_)) && error.to_string().contains("library"));
    drop(held);
}

#[test]
fn one_process_shares_what_it_has_open() {
    let (rig, mut drive) = Rig::loaded(&layout());
    drive.wrote(b"shared");
    let again = VirtualLibrary::open(&rig.path().join("../library")).unwrap();
    let mut other = Unit0(Box::new(again.drive(0).unwrap()));
    assert_eq!(other.block(), 1);
    rig.library.kill();
    let fresh = VirtualLibrary::open(&rig.path()).unwrap();
    let mut fresh = Unit0(Box::new(fresh.drive(0).unwrap()));
    assert_eq!(key(&fresh.none(&[0; 6])), (6, 0x29, 0));
    assert!(matches!(other.0.execute(&[0; 6], Data::None, LIMIT), Err(TransportError::Gone { .. })));
}

#[test]
fn export_writes_tape_files() {
    let (rig, mut drive) = Rig::loaded(&layout());
    drive.wrote(b"volume");
    drive.marks(1);
    drive.wrote(b"one ");
    drive.wrote(b"two");
    drive.marks(2);
    drive.wrote(b"tail");
    let out = rig.directory.path().join("out");
    assert_eq!(rig.library.export("RW0001L9", &out).unwrap(), 4);
    let contents: Vec<_> = (0..4).map(|n| fs::read(out.join(format!("{n:04}"))).unwrap()).collect();
    assert_eq!(contents, [&b"volume"[..], b"one two", b"", b"tail"]);
    assert_eq!(rig.library.export("RW0002L9", &out.join("none")).unwrap(), 0);
    assert!(matches!(rig.library.export("X", &out), Err(VirtualError::NoCartridge { .. })));
}

#[test]
fn discarding_cartridges_keep_beginnings() {
    let (rig, mut drive) = Rig::loaded(&Layout { discard: true, capacity: None, ..layout() });
    let record = vec![3u8; 4 * MIB];
    for _ in 0..6 {
        drive.wrote(&record);
    }
    drive.marks(1);
    drive.wrote(b"index");
    drive.marks(1);
    let rig = rig.killed();
    let mut drive = rig.drive0();
    for _ in 0..4 {
        assert_eq!(drive.read(record.len()).1, record);
    }
    assert_eq!(key(&drive.read(record.len()).0), (3, 0x11, 0));
    assert_eq!(drive.block(), 4);
    drive.locate(7);
    assert_eq!(drive.read(5).1, b"index");
}

#[test]
fn the_speed_model_runs_on_simulated_time() {
    let (rig, mut drive) = Rig::loaded(&Layout { capacity: None, discard: true, ..layout() });
    let clock: Arc<dyn Clock> = Arc::new(SimulatedClock::default());
    let model = SpeedModel { buffer: 1 << 20, rate: 1 << 20, ..SpeedModel::of(Generation::Lto9) };
    rig.library.set_speed(Some(model), &clock);
    let record = vec![0u8; MIB];
    for _ in 0..8 {
        drive.wrote(&record);
    }
    drive.marks(1);
    assert_eq!(clock.now(), Duration::from_secs(8));
    clock.sleep(Duration::from_secs(60));
    drive.wrote(&record);
    drive.marks(1);
    assert_eq!(clock.now(), Duration::from_secs(8 + 60 + 3 + 1));
    let statistics = rig.library.statistics();
    assert_eq!(statistics.units["drive0"].stop_and_go, 1);
    assert!(statistics.units["drive0"].odometer_metres > 0.0);
}

#[test]
fn a_killed_creation_can_be_repeated() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("cartridges/RW0001L9")).unwrap();
    fs::write(directory.path().join("cartridges/RW0001L9/data"), b"").unwrap();
    let refused = VirtualLibrary::create(directory.path(), &layout());
    assert!(matches!(refused, Err(VirtualError::NotEmpty(_))));
    fs::write(directory.path().join(UNFINISHED), b"").unwrap();
    let library = VirtualLibrary::create(directory.path(), &layout()).unwrap();
    assert_eq!(library.barcodes().len(), 5);
    assert!(!directory.path().join(UNFINISHED).exists());
}
