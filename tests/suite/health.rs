//! Health of drives and cartridges, cleaning, and the cartridge memory: through the engine and the command line.

use reelward::catalog::{AlertSeverity, HealthEvent};
use reelward::drive::Drive;
use reelward::engine::{Advice, Appliance, CleanReport, DeviceChoice, EngineError, LabelRequest, Settings};
use reelward::scsi::attribute::{self, Format};
use reelward::virtual_library::{DriveFaults, VirtualLibrary};

use crate::support::bench::Bench;
use crate::support::reelward::Reelward;

/// The embedded library, its cleaning cartridge included, with a small tree.
fn bench() -> (Bench, VirtualLibrary) {
    let bench = Bench::new().few_files();
    let library = bench.library_of_default_size();
    (bench, library)
}

/// One volume, in the drive: a backup into an empty catalog looks at every cartridge first.
fn label(bench: &Bench) {
    let request = LabelRequest { barcode: Some("RW0001L9".into()), ..LabelRequest::default() };
    bench.open().label(&request).unwrap();
}

fn labelled() -> (Bench, VirtualLibrary) {
    let (bench, library) = bench();
    label(&bench);
    (bench, library)
}

fn faults(library: &VirtualLibrary, change: impl FnOnce(&mut DriveFaults)) {
    assert!(library.faults().drive(0, change));
}

fn serial(bench: &Bench) -> String {
    bench.open().drive_health().unwrap().serial
}

#[test]
fn every_flag_is_an_alert_until_it_is_over_and_stops_no_backup() {
    for (flag, severity, category) in [
        (3, AlertSeverity::Warning, "media"),
        (4, AlertSeverity::Critical, "media"),
        (19, AlertSeverity::Info, "media"),
        (21, AlertSeverity::Warning, "cleaning"),
        (26, AlertSeverity::Warning, "drive"),
        (38, AlertSeverity::Critical, "drive"),
        (43, AlertSeverity::Critical, "library"),
    ] {
        let (bench, library) = bench();
        bench.backup(|_| {});
        let drive = serial(&bench);
        faults(&library, |faults| faults.tape_alerts = 1 << (flag - 1));
        let told = bench.backup(|_| {}).alerts;
        assert!(told.len() == 1 && told[0].contains(&format!("TapeAlert {flag} ")), "{told:?}");
        assert!(bench.backup(|_| {}).alerts.is_empty(), "told once");
        let alerts = bench.open().drive_alerts(&drive).unwrap();
        assert_eq!(
            (alerts.len(), alerts[0].severity, alerts[0].resolved),
            (1, severity, false),
            "flag {flag}"
        );
        assert_eq!(
            (alerts[0].category.as_str(), alerts[0].cartridge.is_some()),
            (category, category == "media")
        );
        // The flag is gone when a cartridge is loaded the next time.
        faults(&library, |faults| faults.tape_alerts = 0);
        let mut drive0 = bench.other_program();
        drive0.log_page(reelward::scsi::log::TAPE_ALERT).unwrap();
        bench.backup(|_| {});
        let alerts = bench.open().drive_alerts(&drive).unwrap();
        assert!(alerts[0].resolved && alerts[0].resolved_at.is_some(), "flag {flag}: {alerts:?}");
        faults(&library, |faults| faults.tape_alerts = 1 << (flag - 1));
        assert_eq!(bench.backup(|_| {}).alerts.len(), 1, "told again");
        assert_eq!(bench.open().drive_alerts(&drive).unwrap().len(), 2);
    }
}

#[test]
fn alerts_of_a_cartridge_stay_with_it() {
    let (bench, library) = bench();
    let stored = bench.backup(|_| {});
    faults(&library, |faults| faults.tape_alerts = 1 << 3);
    assert_eq!(bench.backup(|_| {}).alerts.len(), 1);
    faults(&library, |faults| faults.tape_alerts = 0);
    // Another cartridge: the flag is not there, the alert is.
    bench.open().library_load("RW0005L9").unwrap();
    let drive = bench.open().drive_health().unwrap();
    assert_eq!(drive.cartridge.as_ref().unwrap().barcode.as_deref(), Some("RW0005L9"));
    assert_eq!(drive.cartridge.unwrap().judgement.advice, Advice::Fine);
    let info = bench.open().tape_info(&stored.volumes[0]).unwrap().health.unwrap();
    assert!(!info.live && info.alerts.len() == 1 && info.judgement.advice == Advice::Retire, "{info:?}");
    // It comes back without the flag.
    bench.open().library_load(info.barcode.as_deref().unwrap()).unwrap();
    let info = bench.open().tape_info(&stored.volumes[0]).unwrap().health.unwrap();
    assert!(info.live && info.alerts.is_empty() && info.judgement.advice == Advice::Fine, "{info:?}");
}

#[test]
fn tasks_leave_a_history() {
    let (bench, library) = labelled();
    faults(&library, |faults| faults.recovered_errors = 7);
    std::fs::write(bench.path("tree/large"), vec![5; 20 << 20]).unwrap();
    bench.backup(|_| {});
    bench.restore(|_| {});
    bench.open().library_unload().unwrap();
    let drive = serial(&bench);
    let samples = bench.open().catalog().samples(&drive, 0).unwrap();
    let events: Vec<_> = samples.iter().map(|sample| sample.sample.event).collect();
    use HealthEvent::*;
    let wanted = [Mount, Found, Backup, Found, Restore, Dismount];
    assert!(wanted.iter().all(|event| events.contains(event)), "{events:?}");
    let totals = bench.open().drive_statistics(&drive).unwrap();
    assert!(totals.total_bytes_written > 20 << 20 && totals.total_bytes_read > 20 << 20, "{totals:?}");
    assert_eq!((totals.total_load_count, totals.temperature_c), (1, Some(27)));
    let pairs = bench.open().catalog().pair_trends(0).unwrap();
    assert_eq!((pairs.len(), pairs[0].happened.mounts), (1, 1), "{pairs:?}");
    assert!(pairs[0].happened.write_corrected > 7 * 80, "{pairs:?}");
}

#[test]
fn a_drive_that_tells_nothing_works_as_ever() {
    let (bench, library) = bench();
    faults(&library, |faults| {
        faults.missing_pages = u64::MAX;
        faults.no_cartridge_memory = true;
    });
    label(&bench);
    let stored = bench.backup(|_| {});
    assert!(stored.alerts.is_empty() && stored.problems.is_empty());
    assert!(bench.restore(|_| {}).faults.is_empty());
    let health = bench.open().drive_health().unwrap();
    assert!(health.memory.is_none() && health.alerts.is_empty() && health.judgement.advice == Advice::Fine);
    assert_eq!((health.statistics.temperature_c, health.statistics.total_load_count), (None, 1));
    let info = bench.open().tape_info(&stored.volumes[0]).unwrap().health.unwrap();
    assert_eq!((info.life_left, info.drives[0].happened.mounts), (None, 1));
}

#[test]
fn wear_leads_to_advice() {
    let (bench, library) = labelled();
    let label = bench.backup(|_| {}).volumes[0].clone();
    for (left, wanted) in [(60, Advice::Fine), (15, Advice::Watch), (3, Advice::Retire)] {
        library.set_life_left(&label, left).unwrap();
        let info = bench.open().tape_info(&label).unwrap().health.unwrap();
        assert_eq!((info.judgement.advice, info.life_left, info.live), (wanted, Some(u64::from(left)), true));
    }
    // From history, when it is not in the drive.
    bench.open().library_unload().unwrap();
    let info = bench.open().tape_info(&label).unwrap().health.unwrap();
    assert_eq!((info.judgement.advice, info.live), (Advice::Retire, false));
    assert!(info.loads == Some(1) && info.last_drives == [serial(&bench)] && info.written.is_some());
}

fn clean(bench: &Bench) -> Result<CleanReport, EngineError> {
    bench.open().clean()
}

#[test]
fn the_library_cleans_the_drive() {
    for keeps in [false, true] {
        let (bench, library) = bench();
        let label = bench.backup(|_| {}).volumes[0].clone();
        faults(&library, |faults| {
            faults.cleaning_required = true;
            faults.keeps_cleaning_cartridge = keeps;
        });
        assert!(bench.backup(|_| {}).alerts[0].contains("Clean now"));
        let health = bench.open().drive_health().unwrap();
        assert_eq!((health.cleaning.as_str(), health.judgement.advice), ("required", Advice::Clean));
        let before = bench.open().library_status().unwrap().elements;
        let home = before.iter().find(|element| element.cleaning).unwrap().address;
        let report = clean(&bench).unwrap();
        assert_eq!((report.uses, report.resolved, report.already), (Some(1), 1, false), "{report:?}");
        assert!(report.warnings.is_empty(), "{report:?}");
        let health = bench.open().drive_health().unwrap();
        assert_eq!((health.cleaning.as_str(), health.judgement.advice), ("not_needed", Advice::Fine));
        assert_eq!(health.statistics.cleanings, Some(1));
        let after = bench.open().library_status().unwrap().elements;
        let of = |barcode: &str| {
            after.iter().find(|element| element.barcode.as_deref() == Some(barcode)).unwrap().address
        };
        assert_eq!(of(&report.barcode.unwrap()), home, "the cleaning cartridge is back");
        assert!(after.iter().all(|element| element.drive_serial.is_none() || !element.full));
        assert_eq!(clean(&bench).unwrap().uses, Some(2));
        // And the drive goes on.
        assert_eq!(bench.backup(|_| {}).volumes, [label]);
    }
}

#[test]
fn cleaning_cartridges_come_to_their_end() {
    let (bench, library) = bench();
    let barcode = library.barcodes().into_iter().find(|barcode| barcode.starts_with("CLN")).unwrap();
    assert_eq!(clean(&bench).unwrap().uses, Some(1));
    let cleaner = bench.open().catalog().cartridges().unwrap().last().unwrap().id;
    for _ in 2..44 {
        bench.open().catalog().count_cleaning(cleaner).unwrap();
    }
    for uses in 44..=45 {
        let report = clean(&bench).unwrap();
        assert_eq!(report.uses, Some(uses));
        assert_eq!(report.warnings.is_empty(), uses < 45, "{report:?}");
    }
    library.set_cleanings_left(&barcode, 0).unwrap();
    faults(&library, |faults| faults.cleaning_required = true);
    let Err(error @ EngineError::Operator(_)) = clean(&bench) else { panic!("it is used up") };
    assert!(error.to_string().contains("those in the library are used up"), "{error}");
    let drive = serial(&bench);
    let alerts = bench.open().drive_alerts(&drive).unwrap();
    assert!(alerts.iter().any(|alert| alert.message.contains(&barcode) && !alert.resolved), "{alerts:?}");
    // It lies in its slot, and is not tried again.
    let moves =
        || bench.open().catalog().cartridges().unwrap().iter().filter(|c| c.expired.is_some()).count();
    assert_eq!(moves(), 1);
    assert!(clean(&bench).is_err());
    let elements = bench.open().library_status().unwrap().elements;
    assert!(elements.iter().any(|e| e.cleaning && e.kind == reelward::changer::ElementKind::Storage));
}

/// The embedded library's first drive alone.
fn alone(bench: &Bench) -> Appliance {
    let drive = format!("virtual://{}#drive0", bench.path("state/library").display());
    let devices = DeviceChoice { drive: Some(drive), changer: None };
    Appliance::open(Settings { state: bench.path("state"), devices }).unwrap()
}

#[test]
fn without_a_changer_an_operator_cleans() {
    let (bench, library) = bench();
    faults(&library, |faults| faults.cleaning_requested = true);
    let Err(error @ EngineError::Operator(_)) = alone(&bench).clean() else { panic!("nobody has cleaned") };
    assert!(error.to_string().contains("put a cleaning cartridge in"), "{error}");
    // The operator puts it in, and the command is run while the drive is at work.
    let barcode = library.barcodes().into_iter().find(|barcode| barcode.starts_with("CLN")).unwrap();
    let load = || {
        let mut station = bench.open();
        let status = station.library_status().unwrap();
        let cleaner =
            status.elements.iter().find(|e| e.barcode.as_deref() == Some(&barcode)).unwrap().address;
        station.library_transfer(&cleaner.to_string(), "256").unwrap();
    };
    let unload = || {
        let status = bench.open().library_status().unwrap();
        let free = status
            .elements
            .iter()
            .find(|e| !e.full && e.address > 1030 && e.kind == reelward::changer::ElementKind::Storage);
        bench.open().library_transfer(&barcode, &free.unwrap().address.to_string()).unwrap();
    };
    load();
    let report = alone(&bench).clean().unwrap();
    assert!(!report.already && report.barcode.is_none() && report.warnings.is_empty(), "{report:?}");
    unload();
    assert!(alone(&bench).clean().is_err());
    // The operator puts it in and takes it out, and runs the command then.
    load();
    let mut drive = Drive::open(Box::new(library.drive(0).unwrap())).unwrap();
    while drive.holds_cleaning_cartridge().unwrap() {}
    unload();
    assert!(alone(&bench).clean().unwrap().already);
    assert!(alone(&bench).clean().is_err(), "once");
}

fn memory(bench: &Bench, id: u16) -> Option<String> {
    let bytes = bench.other_program().read_attribute(id).unwrap()?;
    Some(String::from_utf8(bytes).unwrap().trim_end_matches([' ', '\0']).to_owned())
        .filter(|text| !text.is_empty())
}

#[test]
fn the_cartridge_memory_says_what_the_volume_is() {
    let (bench, _library) = bench();
    let request = LabelRequest {
        barcode: Some("RW0002L9".into()),
        label: Some("weekly 2".into()),
        pool: Some("weekly".into()),
        ..LabelRequest::default()
    };
    let report = bench.open().label(&request).unwrap();
    assert!(report.warnings.is_empty());
    assert_eq!(memory(&bench, attribute::APPLICATION_VENDOR).as_deref(), Some("REELWARD"));
    assert_eq!(memory(&bench, attribute::USER_LABEL).as_deref(), Some("weekly 2"));
    assert_eq!(memory(&bench, attribute::MEDIA_POOL).as_deref(), Some("weekly"));
    assert_eq!(memory(&bench, attribute::BARCODE).as_deref(), Some("RW0002L9"));
    let shown = |bench: &Bench| bench.open().drive_health().unwrap().memory.unwrap();
    assert_eq!((shown(&bench).label.as_deref(), shown(&bench).unchanged), (Some("weekly 2"), Some(true)));
    bench.backup(|request| request.pool = Some("weekly".into()));
    assert_eq!(shown(&bench).unchanged, Some(true), "the note is of the last backup");

    // Ours and out of date: put right without a word.
    let write = |id, format, text: &str| {
        bench.other_program().write_attribute(id, format, text.as_bytes()).unwrap();
    };
    write(attribute::MEDIA_POOL, Format::Text, "an old pool");
    assert!(bench.backup(|request| request.pool = Some("weekly".into())).alerts.is_empty());
    assert_eq!(memory(&bench, attribute::MEDIA_POOL).as_deref(), Some("weekly"));

    // Another program's: told each time, and left.
    write(attribute::APPLICATION_VENDOR, Format::Ascii, "OTHER");
    write(attribute::USER_LABEL, Format::Text, "their 7");
    for _ in 0..2 {
        let told = bench.backup(|request| request.pool = Some("weekly".into())).alerts;
        assert!(told.len() == 1 && told[0].contains("OTHER") && told[0].contains("their 7"), "{told:?}");
    }
    assert_eq!(memory(&bench, attribute::USER_LABEL).as_deref(), Some("their 7"));
    // Labelled anew, all of it is ours again.
    let again = LabelRequest { overwrite: true, destroy_sets: true, ..request };
    bench.open().label(&again).unwrap();
    assert_eq!(memory(&bench, attribute::APPLICATION_VENDOR).as_deref(), Some("REELWARD"));
}

#[test]
fn a_reset_at_any_command_of_cleaning_or_asking_breaks_nothing() {
    for step in (1..26).step_by(4) {
        let (bench, library) = labelled();
        bench.backup(|_| {});
        faults(&library, |faults| faults.reset_at = Some(step));
        let _ = bench.open().drive_health();
        faults(&library, |faults| faults.reset_at = Some(step));
        let _ = clean(&bench);
        faults(&library, |faults| faults.reset_at = None);
        clean(&bench).unwrap();
        assert!(bench.backup(|_| {}).problems.is_empty());
        assert!(bench.open().check_catalog().unwrap().is_sound());
    }
}

#[test]
fn on_the_command_line() {
    let (bench, library) = labelled();
    bench.backup(|_| {});
    drop(library);
    let reelward = Reelward::new(bench.path("state"));
    let health = reelward.json(["drive", "health"]);
    assert_eq!((&health["cleaning"], &health["advice"]), (&"not_needed".into(), &"fine".into()));
    assert_eq!(
        health["statistics"]["total_load_count"], 1,
        "the drive's life goes on from process to process"
    );
    assert_eq!(health["cartridge"]["life_left"], 100);
    assert_eq!(health["memory"]["application"].as_str().unwrap().split(' ').next(), Some("REELWARD"));
    let text = reelward.ok(["drive", "health"]);
    assert!(text.contains("Advice") && text.contains("fine") && text.contains("virtual library"), "{text}");
    let label = reelward.json(["tape", "list"])["volumes"][0]["label"].as_str().unwrap().to_owned();
    let text = reelward.ok(["tape", "info", label.as_str()]);
    assert!(text.contains("Life left") && text.contains("With drive"), "{text}");
    let report = reelward.json(["drive", "retension"]);
    assert_eq!(report["by"], "pass");
    let faults = r#"{"drives": {"0": {"cleaning_required": true}}}"#;
    std::fs::write(bench.path("state/library/faults.json"), faults).unwrap();
    assert!(reelward.ok(["drive", "health"]).contains("clean: the drive must be cleaned"));
    let cleaned = reelward.json(["drive", "clean"]);
    assert_eq!((&cleaned["uses"], &cleaned["resolved"]), (&1.into(), &1.into()));
    assert!(reelward.ok(["drive", "clean"]).contains("which has cleaned 2 times"));
}
