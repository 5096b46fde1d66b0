//! Volumes as the catalog has them, and cartridges as the library has them.

use reelward::changer::ElementKind;
use reelward::engine::{Appliance, DeviceChoice, EngineError, LabelRequest, Settings};

use crate::support::bench::Bench;

fn refusal<T: std::fmt::Debug>(result: Result<T, EngineError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn a_volume_and_where_it_is() {
    let bench = Bench::new().few_files();
    let stored = bench.backup(|request| request.job = "nightly".into());
    let tapes = bench.open().tapes().unwrap();
    assert_eq!(tapes.len(), 1);
    assert_eq!(
        (tapes[0].label.as_str(), tapes[0].status, tapes[0].sets),
        (stored.volumes[0].as_str(), "active", 1)
    );
    assert!(tapes[0].used > 100_000 && tapes[0].capacity > tapes[0].used && tapes[0].last_written.is_some());
    let info = bench.open().tape_info(&stored.volumes[0]).unwrap();
    assert_eq!(info.row, tapes[0]);
    assert_eq!(info.place.unwrap().kind, ElementKind::Drive);
    assert_eq!(
        (info.parts.len(), info.parts[0].job.as_str(), info.parts[0].members),
        (1, "nightly", stored.members)
    );
    assert!(refusal(bench.open().tape_info("nothing")).contains("no such volume"));
    assert!(bench.open().check_catalog().unwrap().is_sound());
}

#[test]
fn labelling_anew_says_what_else_would_be_lost() {
    let bench = Bench::new().small_cartridges(4, 12 << 20);
    std::fs::create_dir(bench.path("tree")).unwrap();
    std::fs::write(bench.path("tree/large"), vec![5; 25 << 20]).unwrap();
    let stored = bench.backup(|_| {});
    let [first, others @ ..] = stored.volumes.as_slice() else { panic!("no volume") };
    assert!(!others.is_empty());
    let request = LabelRequest { barcode: Some(first.clone()), overwrite: true, ..LabelRequest::default() };
    let refused = refusal(bench.open().label(&request));
    assert!(refused.contains(&format!("volume {first} holds 1 backup set(s)")), "{refused}");
    assert!(refused.contains(&others.join(", ")) && refused.contains("lost too"), "{refused}");
}

#[test]
fn cartridges_move_and_mistakes_move_nothing() {
    let bench = Bench::new();
    let status = bench.open().library_status().unwrap();
    assert_eq!(status.devices.len(), 2);
    assert!(status.devices.iter().all(|device| device.is_virtual));
    let of = |barcode: &str| {
        let elements = bench.open().library_status().unwrap().elements;
        elements.into_iter().find(|element| element.barcode.as_deref() == Some(barcode)).unwrap()
    };
    let home = of("RW0002L9").address;
    let cleaning = status.elements.iter().find(|element| element.cleaning).unwrap().clone();
    let free =
        status.elements.iter().find(|e| e.kind == ElementKind::ImportExport && !e.full).unwrap().address;

    let moved = bench.open().library_load("RW0002L9").unwrap();
    assert!(moved.moved && moved.from == Some(home));
    assert_eq!(of("RW0002L9").kind, ElementKind::Drive);
    assert!(!bench.open().library_load("RW0002L9").unwrap().moved);
    // By the address of a slot; the one in the drive goes home.
    let other = of("RW0001L9").address;
    bench.open().library_load(&other.to_string()).unwrap();
    assert_eq!((of("RW0002L9").address, of("RW0001L9").kind), (home, ElementKind::Drive));
    let back = bench.open().library_unload().unwrap();
    assert_eq!((back.to, back.barcode.as_deref()), (Some(other), Some("RW0001L9")));
    bench.open().library_transfer("RW0001L9", &free.to_string()).unwrap();
    assert!(of("RW0001L9").import_export);

    let mut appliance = bench.open();
    assert!(refusal(appliance.library_unload()).contains("nothing to unload"));
    assert!(refusal(appliance.library_load("NOPE01L9")).contains("no cartridge with this barcode"));
    assert!(refusal(appliance.library_load(&cleaning.barcode.unwrap())).contains("a cleaning cartridge"));
    assert!(refusal(appliance.library_load(&other.to_string())).contains("is empty"));
    assert!(refusal(appliance.library_load("60000")).contains("no such element"));
    assert!(
        refusal(appliance.library_transfer("RW0002L9", &free.to_string()))
            .contains("is full: it holds RW0001L9")
    );
    assert!(refusal(appliance.library_transfer("RW0002L9", "60000")).contains("no such element"));
    assert!(refusal(appliance.library_transfer(&other.to_string(), &home.to_string())).contains("is empty"));
    assert_eq!(of("RW0002L9").address, home);

    let drive = format!("virtual://{}#drive0", bench.path("state/library").display());
    let devices = DeviceChoice { drive: Some(drive), changer: None };
    drop(appliance);
    let mut alone = Appliance::open(Settings { state: bench.path("state"), devices }).unwrap();
    assert!(refusal(alone.library_load("RW0002L9")).contains("--changer"));
    assert!(refusal(alone.library_transfer("RW0002L9", &other.to_string())).contains("--changer"));
    assert!(alone.library_status().unwrap().elements.is_empty());
}
