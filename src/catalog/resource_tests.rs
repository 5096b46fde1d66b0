//! Pools, sources, jobs, devices, keys, settings, copies, and the life of a volume.

use super::tests::{Rig, volume};
use super::*;

fn rig() -> (Rig, SourceId, PoolId) {
    let rig = Rig::new();
    let source = rig.catalog.add_source(&source("home")).unwrap();
    let pool = rig
        .catalog
        .add_pool(&NewPool {
            name: "DAILY".into(),
            retention_days: Some(7),
            created: 9,
            ..NewPool::default()
        })
        .unwrap();
    (rig, source, pool)
}

fn source(name: &str) -> NewSource {
    NewSource {
        name: name.into(),
        kind: SourceKind::Nfs,
        path: "/mnt/home".into(),
        include: vec!["*.doc".into()],
        exclude: vec!["cache/*".into(), "\"odd\"".into()],
        one_file_system: true,
        created: 3,
    }
}

fn job(name: &str, source: SourceId, pool: PoolId) -> NewJob {
    NewJob {
        name: name.into(),
        source,
        pool,
        backup_type: BackupType::Differential,
        schedule: Some("0 2 * * *".into()),
        time_zone: None,
        enabled: true,
        compression: "zstd".into(),
        encryption_key: None,
        retries: 2,
        created: 4,
    }
}

#[test]
fn the_number_of_what_is_gone_is_not_given_again() {
    let (rig, home, pool) = rig();
    let catalog = &rig.catalog;
    let first = catalog.add_job(&job("first", home, pool)).unwrap();
    catalog.remove_job(first).unwrap();
    assert!(catalog.add_job(&job("second", home, pool)).unwrap() > first);
    let other = catalog.add_source(&source("other")).unwrap();
    catalog.remove_source(other).unwrap();
    assert!(catalog.add_source(&source("third")).unwrap() > other);
}

#[test]
fn renaming_a_pool_renames_it_on_its_volumes() {
    let (rig, _, id) = rig();
    let catalog = &rig.catalog;
    catalog
        .edit_volume(rig.volume, &VolumeEdit { pool: Some(Some("DAILY".into())), ..Default::default() }, 5)
        .unwrap();
    assert_eq!(catalog.tape_count("DAILY").unwrap(), 1);
    let pool =
        Pool { name: "NIGHTLY".into(), retention_days: None, updated: 11, ..catalog.pool(id).unwrap() };
    catalog.update_pool(&pool).unwrap();
    assert_eq!(catalog.pool(id).unwrap(), pool);
    assert_eq!(catalog.volume(rig.volume).unwrap().pool.as_deref(), Some("NIGHTLY"));
    // Taken: neither the pool nor the volumes change.
    catalog.add_pool(&NewPool { name: "OTHER".into(), ..NewPool::default() }).unwrap();
    let error = catalog.update_pool(&Pool { name: "OTHER".into(), ..pool }).unwrap_err();
    assert!(matches!(error, CatalogError::Exists { what: "pool", .. }), "{error}");
    assert_eq!(catalog.volume(rig.volume).unwrap().pool.as_deref(), Some("NIGHTLY"));
}

#[test]
fn a_pool_with_tapes_or_jobs_stays() {
    let (rig, source, id) = rig();
    let catalog = &rig.catalog;
    let new = NewVolume { pool: Some("DAILY".into()), ..volume("second") };
    let second = catalog.add_volume(&new).unwrap();
    assert!(matches!(catalog.remove_pool(id), Err(CatalogError::InUse { .. })));
    catalog.delete_volume(second).unwrap();
    let job = catalog.add_job(&job("night", source, id)).unwrap();
    assert!(matches!(catalog.remove_pool(id), Err(CatalogError::InUse { .. })));
    assert!(matches!(catalog.remove_source(source), Err(CatalogError::InUse { .. })));
    catalog.remove_job(job).unwrap();
    catalog.remove_pool(id).unwrap();
    catalog.remove_source(source).unwrap();
    assert!(matches!(catalog.pool(id), Err(CatalogError::NotFound { .. })));
}

#[test]
fn a_pool_that_a_volume_names_has_a_row() {
    let (rig, ..) = rig();
    let catalog = &rig.catalog;
    catalog.add_volume(&NewVolume { pool: Some("WEEKLY".into()), ..volume("w") }).unwrap();
    assert_eq!(catalog.pool_by_name("WEEKLY").unwrap().unwrap().retention_days, None);
    let known = catalog.volume(rig.volume).unwrap();
    catalog.update_volume(&Volume { pool: Some("LATE".into()), ..known }).unwrap();
    assert!(catalog.pool_by_name("LATE").unwrap().is_some());
}

#[test]
fn sources_and_jobs_keep_what_they_are_given() {
    let (rig, source_id, pool) = rig();
    let catalog = &rig.catalog;
    let known = catalog.source(source_id).unwrap();
    assert_eq!((known.kind, known.one_file_system), (SourceKind::Nfs, true));
    assert_eq!(known.exclude, ["cache/*", "\"odd\""]);
    let changed = Source { kind: SourceKind::Smb, include: vec![], updated: 8, ..known };
    catalog.update_source(&changed).unwrap();
    assert_eq!(catalog.source_by_name("home").unwrap(), Some(changed));
    assert!(matches!(catalog.add_source(&source("home")), Err(CatalogError::Exists { .. })));

    let id = catalog.add_job(&job("night", source_id, pool)).unwrap();
    let missing = catalog.add_job(&job("x", SourceId(99), pool)).unwrap_err();
    assert!(matches!(missing, CatalogError::NotFound { what: "source", .. }), "{missing}");
    let mut known = catalog.job(id).unwrap();
    assert_eq!(known.backup_type, BackupType::Differential);
    catalog.set_job_last_run(id, 77).unwrap();
    known.schedule = None;
    known.updated = 9;
    catalog.update_job(&known).unwrap();
    known.last_run = Some(77);
    assert_eq!(catalog.jobs().unwrap(), [known]);
}

#[test]
fn renaming_a_job_renames_it_on_its_sets() {
    let (rig, source, pool) = rig();
    let catalog = &rig.catalog;
    let set = rig.set("s");
    let id = catalog.add_job(&job("job \"x\"", source, pool)).unwrap();
    let renamed = Job { name: "new".into(), ..catalog.job(id).unwrap() };
    catalog.update_job(&renamed).unwrap();
    assert_eq!(catalog.set(set).unwrap().job, "new");
}

#[test]
fn an_inventory_replaces_slots_and_keeps_their_ids() {
    let (rig, ..) = rig();
    let catalog = &rig.catalog;
    let library = catalog
        .add_library(&NewLibrary { name: "lib".into(), device: "/dev/sch0".into(), ..NewLibrary::default() })
        .unwrap();
    let drive = catalog
        .add_drive(&NewDrive {
            device: "/dev/nst0".into(),
            library: Some(library),
            element: Some(256),
            ..NewDrive::default()
        })
        .unwrap();
    let slot = |number, element, kind, barcode: Option<&str>| NewSlot {
        number,
        element,
        kind,
        barcode: barcode.map(str::to_owned),
        full: barcode.is_some(),
    };
    let first = [
        slot(0, 256, SlotKind::Drive, None),
        slot(1, 4096, SlotKind::Storage, Some("volL9")),
        slot(2, 4097, SlotKind::Storage, None),
        slot(3, 16, SlotKind::ImportExport, None),
    ];
    catalog.replace_slots(library, &first, 50).unwrap();
    let before = catalog.slots_of(library).unwrap();
    let seen: Vec<_> = before.iter().map(|slot| (slot.number, slot.volume, slot.drive)).collect();
    assert_eq!(seen, [(1, Some(rig.volume), None), (2, None, None), (3, None, None), (0, None, Some(drive))]);
    let row = catalog.library(library).unwrap();
    assert_eq!((row.slots, row.drives, row.import_export, row.last_inventory), (2, 1, 1, Some(50)));

    let second = [slot(0, 256, SlotKind::Drive, Some("volL9")), slot(1, 4096, SlotKind::Storage, None)];
    catalog.replace_slots(library, &second, 60).unwrap();
    let after = catalog.slots_of(library).unwrap();
    assert_eq!(after.iter().map(|slot| slot.id).collect::<Vec<_>>(), [before[0].id, before[3].id]);
    assert_eq!(after[1].volume, Some(rig.volume));

    catalog.remove_library(library).unwrap();
    assert_eq!(catalog.drive(drive).unwrap().library, None);
    assert_eq!(catalog.slots_of(library).unwrap(), []);
}

#[test]
fn one_drive_is_selected() {
    let (rig, ..) = rig();
    let catalog = &rig.catalog;
    let add = |device: &str| catalog.add_drive(&NewDrive { device: device.into(), ..NewDrive::default() });
    let (a, b) = (add("/dev/nst0").unwrap(), add("/dev/nst1").unwrap());
    assert!(matches!(add("/dev/nst1"), Err(CatalogError::Exists { .. })));
    catalog.select_drive(a).unwrap();
    catalog.select_drive(b).unwrap();
    assert!(matches!(catalog.select_drive(DriveId(99)), Err(CatalogError::NotFound { .. })));
    let selected: Vec<_> = catalog.drives().unwrap().iter().map(|drive| (drive.id, drive.selected)).collect();
    assert_eq!(selected, [(a, false), (b, true)]);
}

#[test]
fn a_key_that_a_set_needs_stays() {
    let (rig, ..) = rig();
    let catalog = &rig.catalog;
    let new = |name: &str, recipient: &str| NewKey {
        name: name.into(),
        recipient: recipient.into(),
        fingerprint: "SHA256:x".into(),
        sealed: vec![1, 2, 3],
        created: 1,
    };
    let id = catalog.add_key(&new("default", "age1x")).unwrap();
    for (name, recipient) in [("default", "age1y"), ("other", "age1x")] {
        let error = catalog.add_key(&new(name, recipient)).unwrap_err();
        assert!(matches!(error, CatalogError::Exists { ref name, .. } if name == "default"), "{error}");
    }
    let set = rig.set("encrypted for age1x");
    assert!(matches!(catalog.remove_key(id), Err(CatalogError::InUse { .. })));
    catalog.retire_key(id, 6).unwrap();
    catalog.retire_key(id, 7).unwrap();
    assert_eq!(catalog.key(id).unwrap().retired, Some(6));
    let text = format!("{:?}{:?}", catalog.key(id).unwrap(), new("n", "r"));
    assert!(!text.contains('['), "{text}");
    catalog.delete_set(set).unwrap();
    catalog.remove_key(id).unwrap();
    assert!(catalog.keys().unwrap().is_empty());
}

#[test]
fn settings_are_set_all_or_none() {
    let (rig, ..) = rig();
    let catalog = &rig.catalog;
    let plain = |value: serde_json::Value| Some(SettingValue::Plain(value));
    let set = |changes: &[(&str, Option<SettingValue>)]| {
        let changes: Vec<_> = changes.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        catalog.set_settings(&changes, 5)
    };
    set(&[
        ("a", plain(true.into())),
        ("b", plain("text".into())),
        ("c", Some(SettingValue::Sealed(vec![9]))),
    ])
    .unwrap();
    set(&[("a", None), ("b", Some(SettingValue::Sealed(vec![7]))), ("c", plain(serde_json::Value::Null))])
        .unwrap();
    assert_eq!(catalog.setting("a").unwrap(), None);
    let all = catalog.settings().unwrap();
    assert_eq!(
        all,
        [
            ("b".to_owned(), SettingValue::Sealed(vec![7])),
            ("c".to_owned(), SettingValue::Plain(serde_json::Value::Null))
        ]
    );
    assert!(!format!("{all:?}").contains('7'));
}

#[test]
fn a_snapshot_is_a_catalog_of_its_own() {
    let (rig, ..) = rig();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("snapshot.sqlite");
    let id = rig.catalog.add_database_copy(Some(rig.volume), "vol", 12).unwrap();
    rig.catalog.snapshot_to(&path).unwrap();
    assert!(rig.catalog.snapshot_to(&path).is_err(), "never over an existing file");
    let mut copy = rig.catalog.database_copy(id).unwrap();
    copy.status = CopyStatus::Completed;
    copy.checksum = Some("00".into());
    rig.catalog.update_database_copy(&copy).unwrap();
    rig.catalog.delete_volume(rig.volume).unwrap();
    assert_eq!(rig.catalog.database_copies().unwrap(), [DatabaseCopy { volume: None, ..copy }]);
    // The snapshot is as things were.
    let taken = Catalog::open(&path).unwrap();
    assert_eq!(taken.volumes().unwrap().len(), 1);
    assert_eq!(taken.database_copy(id).unwrap().status, CopyStatus::Running);
}

#[test]
fn the_life_of_a_volume() {
    use VolumeStatus::{Active, Blank, Expired, Exported, Full, Retired};
    // From, to, allowed while it holds no set, allowed while it holds one.
    let table = [
        (Blank, [true, true, true, false, true, true], [true, true, true, false, true, true]),
        (Active, [false, true, true, true, true, true], [false, true, true, true, true, true]),
        (Full, [false, true, true, true, true, true], [false, true, true, true, true, true]),
        (Expired, [true, true, true, true, true, true], [false, true, true, true, true, true]),
        (Retired, [false, false, false, false, true, true], [false, false, false, false, true, true]),
        (Exported, [false, false, false, false, false, true], [false, false, false, false, false, true]),
    ];
    for (from, without, with) in table {
        for (number, to) in [Blank, Active, Full, Expired, Retired, Exported].into_iter().enumerate() {
            assert_eq!(from.may_become(to, false).is_ok(), without[number], "{from:?} to {to:?}, no sets");
            assert_eq!(from.may_become(to, true).is_ok(), with[number], "{from:?} to {to:?}, sets");
        }
    }
    for status in VolumeStatus::ALL {
        assert_eq!(VolumeStatus::parse(status.as_str()), Some(status));
    }
}

#[test]
fn an_exported_volume_comes_back_as_what_it_was() {
    let (rig, ..) = rig();
    let catalog = &rig.catalog;
    let status = |status| VolumeEdit { status: Some(status), ..VolumeEdit::default() };
    let id = rig.volume;
    catalog.edit_volume(id, &status(VolumeStatus::Retired), 5).unwrap();
    assert!(matches!(catalog.import_volume(id, 6), Err(CatalogError::Status { .. })));
    let export =
        VolumeEdit { offsite_location: Some(Some("vault".into())), ..status(VolumeStatus::Exported) };
    catalog.edit_volume(id, &export, 7).unwrap();
    assert!(matches!(
        catalog.edit_volume(id, &status(VolumeStatus::Active), 8),
        Err(CatalogError::Status { .. })
    ));
    // What people write about it, they may.
    catalog.edit_volume(id, &VolumeEdit { notes: Some("box 3".into()), ..VolumeEdit::default() }, 8).unwrap();
    assert_eq!(catalog.volume(id).unwrap().exported_from, Some(VolumeStatus::Retired));
    catalog.import_volume(id, 9).unwrap();
    let back = catalog.volume(id).unwrap();
    assert_eq!((back.status, back.offsite_location, back.updated), (VolumeStatus::Retired, None, 9));
    assert_eq!(back.notes, "box 3");
}

#[test]
fn an_edit_leaves_alone_what_a_task_writes() {
    let (rig, ..) = rig();
    let catalog = &rig.catalog;
    let set = rig.set("s");
    let before = catalog.volume(rig.volume).unwrap();
    assert_eq!(before.write_count, 1);
    let edit = VolumeEdit { label: Some("NEW".into()), capacity: Some(5), ..VolumeEdit::default() };
    catalog.edit_volume(rig.volume, &edit, 20).unwrap();
    let after = catalog.volume(rig.volume).unwrap();
    assert_eq!(after, Volume { label: "NEW".into(), capacity: 5, updated: 20, ..before });
    // Its barcode is on tape.
    let edit = VolumeEdit { barcode: Some("OTHER1L9".into()), ..VolumeEdit::default() };
    assert!(matches!(catalog.edit_volume(rig.volume, &edit, 21), Err(CatalogError::InUse { .. })));
    // Names are one volume's.
    let entered = NewVolume { end_block: 0, end_file: 0, ..volume("entered") };
    let entered = catalog.add_volume(&entered).unwrap();
    assert!(!catalog.volume(entered).unwrap().is_labelled());
    catalog.edit_volume(entered, &edit, 22).unwrap();
    let edit = VolumeEdit { label: Some("NEW".into()), ..VolumeEdit::default() };
    assert!(matches!(catalog.edit_volume(entered, &edit, 23), Err(CatalogError::Exists { .. })));
    assert!(matches!(catalog.check_volume_names("x", Some("OTHER1L9")), Err(CatalogError::Exists { .. })));
    // A volume with sets stays.
    assert!(matches!(catalog.delete_volume(rig.volume), Err(CatalogError::InUse { .. })));
    assert_eq!(catalog.expire_volumes(&[rig.volume, entered], 30).unwrap(), 0, "neither is active");
    catalog.delete_set(set).unwrap();
    catalog.delete_volume(rig.volume).unwrap();
}
