//! Volumes that were entered before their cartridge was labelled, and cartridges that are formatted.

use reelward::catalog::{NewVolume, Volume, VolumeEdit, VolumeId, VolumeStatus};
use reelward::engine::{EngineError, LabelRequest};

use crate::support::bench::Bench;

const FIRST: &str = "RW0001L9";
const SECOND: &str = "RW0002L9";
const THIRD: &str = "RW0003L9";

fn enter(bench: &Bench, barcode: Option<&str>, label: &str, pool: &str) -> VolumeId {
    let new = NewVolume {
        uuid: format!("00000000-0000-4000-8000-{:012}", label.len()),
        label: label.into(),
        barcode: barcode.map(str::to_owned),
        pool: Some(pool.into()),
        generation: None,
        record_size: 128 << 10,
        capacity: 1 << 30,
        end_block: 0,
        end_file: 0,
        change_reference: None,
        created: 5,
    };
    bench.open().catalog().add_volume(&new).unwrap()
}

fn volume(bench: &Bench, id: VolumeId) -> Volume {
    bench.open().catalog().volume(id).unwrap()
}

fn by_id(id: VolumeId) -> LabelRequest {
    LabelRequest { volume: Some(id), ..LabelRequest::default() }
}

fn format(id: VolumeId) -> LabelRequest {
    LabelRequest { overwrite: true, destroy_sets: true, ..by_id(id) }
}

fn bench() -> Bench {
    Bench::new().small_cartridges(3, 64 << 20).few_files()
}

#[test]
fn an_entered_volume_is_labelled_when_it_is_needed() {
    let bench = bench();
    let id = enter(&bench, Some(SECOND), "WEEKLY-001", "WEEKLY");
    let other = enter(&bench, Some(THIRD), "MONTHLY-0001", "MONTHLY");
    let before = volume(&bench, id);
    let stored = bench.backup(|request| request.pool = Some("WEEKLY".into()));
    assert_eq!(stored.volumes, ["WEEKLY-001"]);
    let after = volume(&bench, id);
    assert_eq!((after.uuid.as_str(), after.record_size), (before.uuid.as_str(), 128 << 10));
    assert_eq!(
        (after.pool.as_deref(), after.status, after.write_count),
        (Some("WEEKLY"), VolumeStatus::Active, 1)
    );
    assert!(after.is_labelled() && !volume(&bench, other).is_labelled());
    // What the tape says is what the catalog says: a rebuild finds the same volume.
    bench.forget_catalog();
    bench.rebuild();
    let found = bench.open().catalog().volume_by_uuid(&before.uuid).unwrap().unwrap();
    assert_eq!((found.label.as_str(), found.pool.as_deref()), ("WEEKLY-001", Some("WEEKLY")));
}

#[test]
fn an_entered_volume_whose_cartridge_is_not_blank_is_left_alone() {
    let bench = bench();
    bench.backup(|_| {});
    bench
        .open()
        .catalog()
        .edit_volume(VolumeId(1), &VolumeEdit { pool: Some(Some("OLD".into())), ..VolumeEdit::default() }, 1)
        .unwrap();
    // The same cartridge, known under a barcode that a reader misread before.
    let mut first = volume(&bench, VolumeId(1));
    first.barcode = None;
    bench.open().catalog().update_volume(&first).unwrap();
    enter(&bench, Some(FIRST), "NEW-1", "NEW");
    let before = bench.cartridge(FIRST);
    let error = bench.try_backup(|request| {
        request.pool = Some("NEW".into());
        request.volume = Some("NEW-1".into());
    });
    assert!(matches!(error, Err(EngineError::Operator(_))), "{error:?}");
    assert!(bench.cartridge(FIRST) == before, "something was written");
}

#[test]
fn a_cartridge_that_left_the_library_is_not_waited_for() {
    let bench = bench();
    let id = enter(&bench, Some("RW9999L9"), "AWAY", "WEEKLY");
    assert!(bench.try_backup(|request| request.volume = Some("AWAY".into())).is_err());
    assert!(!volume(&bench, id).is_labelled());
    let error = bench.open().label(&by_id(id)).unwrap_err();
    assert!(error.to_string().contains("AWAY"), "{error}");
}

#[test]
fn formatting_keeps_the_row_and_gives_up_the_sets() {
    let bench = bench();
    let id = enter(&bench, Some(FIRST), "WEEKLY-001", "WEEKLY");
    let label = bench.open().label(&by_id(id)).unwrap();
    assert_eq!((label.label.as_str(), label.before.as_str()), ("WEEKLY-001", "a blank cartridge"));
    assert!(matches!(bench.open().label(&by_id(id)), Err(EngineError::NotBlank { .. })));
    bench.backup(|_| {});
    let before = volume(&bench, id);
    let overwrite = LabelRequest { overwrite: true, ..by_id(id) };
    assert!(matches!(bench.open().label(&overwrite), Err(EngineError::HoldsSets { sets: 1, .. })));
    bench.open().label(&format(id)).unwrap();
    let after = volume(&bench, id);
    assert_ne!(after.uuid, before.uuid, "what was written before belongs to another volume");
    assert_eq!((after.label, after.pool, after.status), (before.label, before.pool, VolumeStatus::Blank));
    assert_eq!((after.used, after.end_file, after.write_count, after.last_written), (0, 1, 1, None));
    assert!(bench.open().catalog().sets().unwrap().is_empty());
    assert_eq!(bench.backup(|_| {}).volumes, ["WEEKLY-001"]);
}

#[test]
fn formatting_destroys_no_other_volume() {
    let bench = bench();
    bench.backup(|_| {});
    // Without a barcode it is the cartridge in the drive that is taken, and that is another volume.
    let id = enter(&bench, None, "HAND", "P");
    let before = bench.cartridge(FIRST);
    let error = bench.open().label(&format(id)).unwrap_err();
    assert!(matches!(error, EngineError::WrongVolume { .. }), "{error}");
    assert!(bench.cartridge(FIRST) == before, "something was written");
    assert_eq!(bench.open().catalog().sets().unwrap().len(), 1);
}

#[test]
fn retired_and_exported_cartridges_are_not_labelled() {
    let bench = bench();
    bench.backup(|_| {});
    for status in [VolumeStatus::Retired, VolumeStatus::Exported] {
        let edit = VolumeEdit { status: Some(status), ..VolumeEdit::default() };
        bench.open().catalog().edit_volume(VolumeId(1), &edit, 1).unwrap();
        let before = bench.cartridge(FIRST);
        let request = LabelRequest { volume: None, barcode: Some(FIRST.into()), ..format(VolumeId(1)) };
        for request in [request, format(VolumeId(1))] {
            let error = bench.open().label(&request).unwrap_err();
            assert!(error.to_string().contains(status.as_str()), "{error}");
        }
        assert!(bench.cartridge(FIRST) == before, "something was written");
    }
}

#[test]
fn a_label_that_the_catalog_did_not_hear_of_is_written_again() {
    let bench = bench();
    let id = enter(&bench, Some(FIRST), "WEEKLY-001", "WEEKLY");
    bench.open().label(&by_id(id)).unwrap();
    // As after a crash between tape and catalog.
    bench.open().catalog().unlabel_volume(id).unwrap();
    assert_eq!(bench.backup(|_| {}).volumes, ["WEEKLY-001"]);
    assert!(volume(&bench, id).is_labelled());
}
