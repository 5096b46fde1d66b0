//! Copies of the catalog on tape, labels read back, many cartridges labelled, the tape that a job would take.

use std::sync::atomic::AtomicBool;

use reelward::catalog::{
    Catalog, CopyStatus, DatabaseCopy, NewLibrary, NewSlot, SlotKind, VolumeEdit, VolumeId, VolumeStatus,
};
use reelward::changer::ElementKind;
use reelward::engine::{
    Appliance, BatchLabelRequest, BatchTape, DATABASE_JOB, EngineError, LabelRequest, NewTape, enter_tape,
    recommend_tape,
};
use reelward::format::age::Identity;
use reelward::pipeline::Progress;

use crate::support::bench::Bench;

static GO: AtomicBool = AtomicBool::new(false);

fn bench() -> Bench {
    Bench::new().small_cartridges(4, 64 << 20).few_files()
}

fn copy_to_tape(appliance: &mut Appliance, keys: &[Identity]) -> Result<DatabaseCopy, EngineError> {
    let id = appliance.catalog().add_database_copy(Some(VolumeId(1)), "RW0001L9", 5).unwrap();
    let recipients = keys.iter().map(Identity::recipient).collect();
    appliance.back_up_catalog(id, recipients, &Progress::default(), &GO)
}

#[test]
fn a_lost_catalog_comes_back_from_its_copy() {
    let bench = bench();
    bench.backup(|_| {});
    let keys = [Identity::generate().unwrap()];
    let mut appliance = bench.open();
    let copy = copy_to_tape(&mut appliance, &keys).unwrap();
    assert_eq!((copy.status, copy.label.as_str()), (CopyStatus::Completed, "RW0001L9"));
    assert!(copy.size > 10_000);
    let sets = appliance.catalog().sets().unwrap();
    assert_eq!((sets[1].job.as_str(), sets[1].recipients.len()), (DATABASE_JOB, 1));
    let left = std::fs::read_dir(bench.path("state")).unwrap().flatten();
    assert!(!left.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().contains("copy")));
    drop(appliance);

    // The machine is gone; only the tape and the key are left.
    bench.forget_catalog();
    let mut appliance = bench.open();
    appliance.library_load("RW0001L9").unwrap();
    let unread = appliance.scan_database_copies(&[], &Progress::default(), &GO).unwrap();
    assert!(unread.is_empty(), "it is encrypted");
    let found = appliance.scan_database_copies(&keys, &Progress::default(), &GO).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0].set, &found[0].checksum, found[0].size), (&copy.set, &copy.checksum, copy.size));
    assert_eq!(
        appliance.scan_database_copies(&keys, &Progress::default(), &GO).unwrap(),
        found,
        "found once"
    );
    let to = bench.path("restored/here");
    let restore = |appliance: &mut Appliance, keys: &[Identity]| {
        appliance.restore_database_copy(found[0].id, &to, keys.to_vec(), &Progress::default(), &GO)
    };
    assert!(matches!(restore(&mut appliance, &[]), Err(EngineError::KeyMissing { .. })));
    let path = restore(&mut appliance, &keys).unwrap();
    assert_eq!(path, to.join("reelward-catalog.sqlite"));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
    assert_eq!(std::fs::read_dir(&to).unwrap().count(), 1, "nothing else is left there");
    let restored = Catalog::open(&path).unwrap();
    assert_eq!(restored.sets().unwrap().len(), 1, "as it was before the copy");
    assert!(restored.check().unwrap().is_sound());
    assert!(matches!(restore(&mut appliance, &keys), Err(EngineError::File { .. })), "no file is replaced");
}

#[test]
fn a_copy_that_failed_says_why() {
    let bench = bench();
    bench.backup(|_| {});
    let mut appliance = bench.open();
    let full = VolumeEdit { status: Some(VolumeStatus::Full), ..VolumeEdit::default() };
    appliance.catalog().edit_volume(VolumeId(1), &full, 1).unwrap();
    assert!(matches!(copy_to_tape(&mut appliance, &[]), Err(EngineError::Operator(_))));
    let copy = &appliance.catalog().database_copies().unwrap()[0];
    assert_eq!(copy.status, CopyStatus::Failed);
    assert!(copy.error.as_ref().unwrap().contains("full"), "{copy:?}");
    let restored =
        appliance.restore_database_copy(copy.id, &bench.path("x"), vec![], &Progress::default(), &GO);
    assert!(restored.unwrap_err().to_string().contains("not on a tape"));
}

#[test]
fn an_empty_drive_is_not_scanned() {
    let bench = bench();
    let error = bench.open().scan_database_copies(&[], &Progress::default(), &GO).unwrap_err();
    assert!(error.to_string().contains("no tape"), "{error}");
}

#[test]
fn a_batch_labels_blank_cartridges_one_after_the_other() {
    let bench = bench();
    bench
        .open()
        .label(&LabelRequest { barcode: Some("RW0001L9".into()), ..LabelRequest::default() })
        .unwrap();
    let names = ["W-001", "RW0001L9", "W-002"].map(|name| BatchTape::Named(name.into()));
    let entered = enter_tape(
        bench.open().catalog(),
        &NewTape { label: "W-OWN".into(), barcode: Some("RW0004L9".into()), ..NewTape::default() },
    )
    .unwrap();
    let mut tapes = names.to_vec();
    tapes.push(BatchTape::Entered(entered.id));
    let request = BatchLabelRequest { tapes, pool: Some("W".into()) };
    let told = std::cell::RefCell::new(Vec::new());
    let note = |status: &reelward::engine::BatchLabelStatus| told.borrow_mut().push(status.clone());
    let done = bench.open().batch_label(&request, &note, &GO).unwrap();
    assert_eq!((done.total, done.completed, done.failed), (4, 3, 1), "{done:?}");
    assert!(done.errors[0].contains("in use"), "{done:?}");
    let volumes = bench.open().catalog().volumes().unwrap();
    let of = |label: &str| volumes.iter().find(|volume| volume.label == label).unwrap();
    assert_eq!(of("W-001").barcode.as_deref(), Some("RW0002L9"));
    assert_eq!(of("W-002").pool.as_deref(), Some("W"));
    assert!(of("W-OWN").is_labelled() && of("W-OWN").barcode.as_deref() == Some("RW0004L9"));
    let seen: Vec<usize> = told.borrow().iter().map(|status| status.completed).collect();
    assert_eq!(seen, [0, 1, 1, 1, 1, 2, 2, 3, 3]);
    // None is left.
    let more = BatchLabelRequest { tapes: vec![BatchTape::Named("W-003".into())], pool: None };
    assert!(matches!(bench.open().batch_label(&more, &|_| {}, &GO), Err(EngineError::Operator(_))));
    let stopped = bench.open().batch_label(&more, &|_| {}, &AtomicBool::new(true)).unwrap();
    assert!(stopped.cancelled && stopped.completed == 0);
}

#[test]
fn a_label_is_read_from_tape() {
    let bench = bench();
    bench.backup(|request| request.pool = None);
    let edit = VolumeEdit { label: Some("RENAMED".into()), ..VolumeEdit::default() };
    bench.open().catalog().edit_volume(VolumeId(1), &edit, 1).unwrap();
    let label = bench.open().read_tape_label(VolumeId(1)).unwrap();
    assert_eq!(label.label.as_deref(), Some("RW0001L9"), "the tape keeps its first name");
    assert_eq!(label.uuid, Some(bench.open().catalog().volume(VolumeId(1)).unwrap().uuid));
    let new = NewTape { label: "NEW".into(), barcode: Some("RW0002L9".into()), ..NewTape::default() };
    let entered = enter_tape(bench.open().catalog(), &new).unwrap();
    let label = bench.open().read_tape_label(entered.id).unwrap();
    assert_eq!((label.label, label.found.as_str()), (None, "a blank cartridge"));
    assert!(enter_tape(bench.open().catalog(), &new).is_err());
}

/// Says in the catalog what the library holds now.
fn take_inventory(bench: &Bench) {
    let mut appliance = bench.open();
    let status = appliance.library_status().unwrap();
    let catalog = appliance.catalog();
    let library = match catalog.libraries().unwrap().first() {
        Some(known) => known.id,
        None => catalog
            .add_library(&NewLibrary {
                name: "l".into(),
                device: "d".into(),
                enabled: true,
                ..NewLibrary::default()
            })
            .unwrap(),
    };
    let slots: Vec<NewSlot> = (0..)
        .zip(status.elements)
        .filter(|(_, element)| element.kind != ElementKind::Transport)
        .map(|(number, element)| NewSlot {
            number,
            element: element.address,
            kind: if element.kind == ElementKind::Drive { SlotKind::Drive } else { SlotKind::Storage },
            barcode: element.barcode,
            full: element.full,
        })
        .collect();
    catalog.replace_slots(library, &slots, 7).unwrap();
}

#[test]
fn the_tape_recommended_is_the_one_that_is_written() {
    let bench = bench();
    let recommended = || {
        take_inventory(&bench);
        let appliance = bench.open();
        recommend_tape(appliance.catalog(), "W", appliance.volumes_in_use()).unwrap()
    };
    assert_eq!(recommended(), None);
    for (label, barcode) in [("AWAY", "XX0001L9"), ("W-1", "RW0003L9"), ("W-2", "RW0002L9")] {
        let new = NewTape {
            label: label.into(),
            barcode: Some(barcode.into()),
            pool: Some("W".into()),
            ..NewTape::default()
        };
        enter_tape(bench.open().catalog(), &new).unwrap();
    }
    let mut written = Vec::new();
    for _ in 0..3 {
        let tape = recommended().unwrap();
        assert!(!tape.reason.is_empty());
        let report = bench.backup(|request| request.pool = Some("W".into()));
        assert_eq!(report.volumes, std::slice::from_ref(&tape.volume.label));
        written.push(tape.volume.label);
        if written.len() == 2 {
            let full = VolumeEdit { status: Some(VolumeStatus::Full), ..VolumeEdit::default() };
            bench.open().catalog().edit_volume(tape.volume.id, &full, 1).unwrap();
        }
    }
    assert_eq!(written, ["W-1", "W-1", "W-2"]);
}
