//! The library: moves, doors, quirks and faults, and tasks that share one changer.

use std::sync::atomic::AtomicBool;

use reelward::changer::ElementKind;
use reelward::engine::{BackupRequest, ElementRow, EngineError, LabelRequest, RestoreRequest};
use reelward::pipeline::Progress;
use reelward::virtual_library::ChangerFaults;

use crate::support::bench::Bench;
use crate::support::reelward::Reelward;

const FIRST: &str = "RW0001L9";
const SECOND: &str = "RW0002L9";
/// Element addresses of the virtual library.
const DRIVE_0: u16 = 256;
const DRIVE_1: u16 = 257;
const DOOR: u16 = 768;
const SLOT_1: u16 = 1024;

fn elements(bench: &Bench) -> Vec<ElementRow> {
    bench.open().library_status().unwrap().elements
}

fn place_of(bench: &Bench, barcode: &str) -> u16 {
    let found = elements(bench);
    found.iter().find(|row| row.barcode.as_deref() == Some(barcode)).expect("it is somewhere").address
}

fn full(bench: &Bench) -> usize {
    elements(bench).iter().filter(|row| row.full).count()
}

#[test]
fn out_of_the_door_and_in_again() {
    let bench = Bench::new().small_cartridges(2, 64 << 20);
    let moved = bench.open().library_export(FIRST).unwrap();
    assert_eq!((moved.from, moved.to, moved.moved), (Some(SLOT_1), Some(DOOR), true));
    assert!(!bench.open().library_export(FIRST).unwrap().moved, "it is there already");
    let error = bench.open().library_export(SECOND).expect_err("one door slot");
    assert!(error.to_string().contains("every import/export slot is full"), "{error}");
    assert_eq!(place_of(&bench, SECOND), SLOT_1 + 1);
    let error = bench.open().library_import(&[SECOND.into()]).expect_err("not at the door");
    assert!(error.to_string().contains("not in an import/export slot"), "{error}");
    let moved = bench.open().library_import(&[]).unwrap();
    assert_eq!((moved.len(), moved[0].to), (1, Some(SLOT_1)));
    assert!(bench.open().library_import(&[]).unwrap().is_empty());
    // Out of the drive as well, which is unloaded first.
    bench.open().library_load(FIRST).unwrap();
    assert_eq!(bench.open().library_export(FIRST).unwrap().to, Some(DOOR));
}

#[test]
fn a_full_library_takes_nothing_in() {
    let bench = Bench::new().small_cartridges(2, 64 << 20);
    bench.open().library_export(FIRST).unwrap();
    // Two free slots besides its own: fill them by the daemon's numbers.
    bench.open().library_transfer_number(2, 1).unwrap();
    assert_eq!(place_of(&bench, SECOND), SLOT_1);
    let error = bench.open().library_transfer_number(2, 1).expect_err("empty");
    assert!(error.to_string().contains("is empty"), "{error}");
    assert!(bench.open().library_transfer_number(1, 99).is_err());
    assert_eq!(full(&bench), 2);
}

#[test]
fn drives_and_slots_by_number() {
    let bench = Bench::new().small_library(2, 2, 64 << 20);
    let slot = bench.open().library_slot(2).unwrap();
    assert_eq!(slot.0, SLOT_1 + 1);
    let moved = bench.open().library_load_number(&slot.to_string(), 1).unwrap();
    assert_eq!((moved.barcode.as_deref(), moved.to), (Some(SECOND), Some(DRIVE_1)));
    let rows = elements(&bench);
    let drive = rows.iter().find(|row| row.address == DRIVE_1).unwrap();
    assert_eq!((drive.number, drive.kind), (Some(1), ElementKind::Drive));
    // A cartridge that is in another drive is not taken out of it to be loaded.
    let error = bench.open().library_load(SECOND).expect_err("in another drive");
    assert!(matches!(error, EngineError::InAnotherDrive { .. }), "{error}");
    assert!(bench.open().library_load_number(FIRST, 2).is_err(), "there is no such drive");
    let error = bench.open().library_load_number(FIRST, 1).expect_err("the drive is full");
    assert!(error.to_string().contains("is full"), "{error}");
    let moved = bench.open().library_unload_number(1, Some(1)).expect_err("that slot is full");
    assert!(moved.to_string().contains("is full"), "{moved}");
    assert_eq!(bench.open().library_unload_number(1, None).unwrap().to, Some(SLOT_1 + 1));
    assert!(bench.open().library_unload_number(1, None).is_err(), "it is empty");
    bench.open().library_load_number(FIRST, 0).unwrap();
    assert_eq!(place_of(&bench, FIRST), DRIVE_0);
    assert_eq!(bench.open().library_unload_number(0, Some(4)).unwrap().to, Some(SLOT_1 + 3));
}

/// Every way a move can fail leaves the cartridge where the error and the library say it is, and a retry works.
#[test]
fn a_failed_move_says_where_the_cartridge_is() {
    let bench = Bench::new().small_cartridges(2, 64 << 20);
    let library = bench.library_of_default_size();
    for sense in [(4, 0x15, 0x01), (5, 0x3b, 0x0d), (5, 0x3b, 0x0e), (2, 0x04, 0x03), (5, 0x53, 0x02)] {
        library.faults().changer(|faults| faults.refuse_move = Some(sense));
        let error = bench.open().library_load(FIRST).expect_err("the move fails");
        let EngineError::MoveFailed { now, from, .. } = &error else { panic!("{sense:x?}: {error}") };
        assert_eq!((now.unwrap().0, from.0), (SLOT_1, SLOT_1), "{sense:x?}");
        assert!(error.to_string().contains("the library says it is at 1024"), "{error}");
        assert_eq!(place_of(&bench, FIRST), SLOT_1);
    }
    // Becoming ready is waited for, and is no failure.
    library.faults().changer(|faults| faults.refuse_move = Some((2, 0x04, 0x01)));
    assert_eq!(bench.open().library_load(FIRST).unwrap().to, Some(DRIVE_0));
    bench.open().library_unload().unwrap();
    // A failure that was none: the cartridge arrived.
    library.faults().changer(|faults| faults.false_alarm = true);
    assert_eq!(bench.open().library_load(FIRST).unwrap().to, Some(DRIVE_0));
    assert_eq!(place_of(&bench, FIRST), DRIVE_0);
    // A jam in the middle of an exchange: the first cartridge stays in the drive, nothing is lost.
    library.faults().changer(|faults| faults.jam = true);
    let error = bench.open().library_load(SECOND).expect_err("jammed");
    assert!(matches!(&error, EngineError::MoveFailed { now: Some(now), .. } if now.0 == DRIVE_0), "{error}");
    library.faults().changer(|faults| faults.jam = false);
    assert_eq!((place_of(&bench, FIRST), place_of(&bench, SECOND)), (DRIVE_0, SLOT_1 + 1));
    bench.open().library_load(SECOND).unwrap();
    assert_eq!((place_of(&bench, FIRST), place_of(&bench, SECOND)), (SLOT_1, DRIVE_0));
}

/// The same circle on libraries with every quirk known.
#[test]
fn quirks() {
    type Quirk = fn(&mut ChangerFaults);
    let quirks: [(&str, Quirk); 5] = [
        ("no serial numbers", |faults| faults.no_serials = true),
        ("tags or numbers", |faults| faults.one_at_a_time = true),
        ("no robot", |faults| faults.no_transport = true),
        ("cut", |faults| faults.cut_replies = true),
        ("trailing bytes", |faults| faults.trailing_bytes = true),
    ];
    for (name, quirk) in quirks {
        let bench = Bench::new().small_cartridges(2, 64 << 20).few_files();
        bench.library_of_default_size();
        let library = bench.library();
        library.faults().changer(quirk);
        let volumes = bench.backup(|_| {}).volumes;
        assert_eq!(volumes, [FIRST], "{name}");
        bench.open().library_load(SECOND).unwrap();
        assert!(bench.restore(|_| {}).faults.is_empty(), "{name}");
        assert_eq!(place_of(&bench, FIRST), DRIVE_0, "{name}");
        assert_eq!(bench.open().library_unload().unwrap().to, Some(SLOT_1), "{name}");
    }
}

#[test]
fn two_drives_whose_numbers_the_library_keeps_to_itself() {
    let bench = Bench::new().small_library(2, 2, 64 << 20).few_files();
    let library = bench.library_of_default_size();
    library.faults().changer(|faults| faults.no_serials = true);
    // Which of them is ours cannot be known: nothing is loaded by guess.
    let error = bench.open().library_load(FIRST).expect_err("place unknown");
    assert!(error.to_string().contains("its place in the changer is not known"), "{error}");
    assert_eq!(place_of(&bench, FIRST), SLOT_1);
}

#[test]
fn a_library_without_barcodes() {
    let bench = Bench::new().small_cartridges(2, 64 << 20).few_files();
    let library = bench.library_of_default_size();
    library.faults().changer(|faults| faults.blank_tags = true);
    let label = |bench: &Bench, slot: u16, name: &str| {
        bench.open().library_load(&slot.to_string()).unwrap();
        let request = LabelRequest { label: Some(name.into()), ..LabelRequest::default() };
        bench.open().label(&request)
    };
    // The cartridge memory has a barcode all the same; it does not lead to a slot.
    library.faults().drive(0, |faults| faults.no_cartridge_memory = true);
    label(&bench, SLOT_1, "ONE").unwrap();
    label(&bench, SLOT_1 + 1, "TWO").unwrap();
    // Where each was last seen is remembered.
    assert_eq!(bench.backup(|request| request.volume = Some("ONE".into())).volumes, ["ONE"]);
    assert!(bench.restore(|_| {}).faults.is_empty());
    // Somebody exchanged the two: the volume file tells, and nothing is written.
    let inside = |from: u16, to: u16| {
        bench.open().library_transfer(&from.to_string(), &to.to_string()).unwrap();
    };
    bench.open().library_unload().unwrap();
    std::fs::remove_file(
        std::fs::read_dir(bench.path("state"))
            .unwrap()
            .flatten()
            .map(|e| e.path())
            .find(|p| p.to_string_lossy().contains("cartridges-"))
            .unwrap(),
    )
    .unwrap();
    inside(SLOT_1, SLOT_1 + 2);
    inside(SLOT_1 + 1, SLOT_1);
    bench.open().library_load(&SLOT_1.to_string()).unwrap();
    let error = bench.try_backup(|request| request.volume = Some("ONE".into())).expect_err("TWO is loaded");
    assert!(matches!(error, EngineError::WrongVolume { .. }), "{error}");
    // Reading the labels puts it right.
    let found = bench.open().library_inventory(true, true).unwrap();
    let mut read: Vec<_> = found.labels.iter().map(|row| (row.label.clone().unwrap(), row.known)).collect();
    read.sort();
    assert_eq!(read, [("ONE".to_owned(), true), ("TWO".to_owned(), true)]);
    assert_eq!(bench.backup(|request| request.volume = Some("ONE".into())).volumes, ["ONE"]);
}

#[test]
fn labels_of_unknown_cartridges_are_read() {
    let bench = Bench::new().small_cartridges(3, 64 << 20).few_files();
    bench.backup(|_| {});
    bench.open().label(&LabelRequest { barcode: Some(SECOND.into()), ..LabelRequest::default() }).unwrap();
    bench.forget_catalog();
    let found = bench.open().library_inventory(false, true).unwrap();
    let told: Vec<_> =
        found.labels.iter().map(|row| (row.barcode.clone().unwrap(), row.label.clone(), row.known)).collect();
    assert_eq!(told.len(), 3);
    assert!(told.contains(&(FIRST.into(), Some(FIRST.into()), false)));
    assert!(told.contains(&("RW0003L9".into(), None, false)));
    assert!(found.labels.iter().any(|row| row.found.contains("blank")));
    // Everything is back in its slot.
    assert!(found.status.elements.iter().all(|row| row.kind != ElementKind::Drive || !row.full));
    // By the command line, with what the catalog knows left alone.
    bench.rebuild();
    let reelward = Reelward::new(bench.path("state"));
    let answer = reelward.json(["library", "inventory", "--read-labels"]);
    assert_eq!(answer["labels"].as_array().unwrap().len(), 1, "{answer}");
    reelward.ok(["library", "export", SECOND]);
    assert!(reelward.ok(["library", "import"]).contains(SECOND));
    reelward.ok(["library", "load", FIRST, "--into", "0"]);
    reelward.ok(["library", "unload", "--from", "0"]);
}

/// Two tasks of one process, a drive each, one robot: every cartridge ends where it belongs and both tasks succeed.
#[test]
fn two_tasks_share_one_changer() {
    let bench = Bench::new().small_library(2, 6, 24 << 20).few_files();
    std::fs::write(bench.path("tree/large"), vec![7; 50 << 20]).unwrap();
    let mut first = bench.open();
    first.claim().unwrap();
    let mut tasks: Vec<_> = (0..2).map(|index| first.sibling(bench.choice(index))).collect();
    let tree = bench.path("tree");
    let volumes: Vec<Vec<String>> = std::thread::scope(|scope| {
        let running: Vec<_> = tasks
            .iter_mut()
            .enumerate()
            .map(|(index, task)| {
                let request = BackupRequest {
                    job: format!("job {index}"),
                    paths: vec![tree.clone()],
                    ..BackupRequest::default()
                };
                scope.spawn(move || {
                    task.backup(&request, &Progress::default(), &AtomicBool::new(false)).unwrap().volumes
                })
            })
            .collect();
        running.into_iter().map(|task| task.join().unwrap()).collect()
    });
    assert!(volumes.iter().all(|volumes| volumes.len() > 1), "{volumes:?}");
    assert!(volumes[0].iter().all(|volume| !volumes[1].contains(volume)), "{volumes:?}");
    drop(tasks);
    for set in first.catalog().sets().unwrap() {
        let out = bench.path(&format!("out{}", set.id.0));
        let request =
            RestoreRequest { set: Some(set.id.to_string()), target: out, ..RestoreRequest::default() };
        let report = first.restore(&request, &Progress::default(), &AtomicBool::new(false)).unwrap();
        assert!(report.faults.is_empty(), "{:?}", report.faults);
    }
    assert_eq!(full(&bench), 6);
}
