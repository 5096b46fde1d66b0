//! A fault at every step: the drive is reset before its N-th command, for every N of a backup that spans volumes; then
//! everything that the catalog shows is on tape, and the next backup goes on.

use std::collections::BTreeSet;
use std::path::Path;

use reelward::catalog::SetState;
use reelward::engine::EngineError;
use reelward::virtual_library::{ChangerFaults, DriveFaults, Unit, VirtualLibrary};
use serde_json::{Value, json};

use crate::support::bench::Bench;
use crate::support::tree::assert_same;

/// A small tree that needs three volumes, one member split.
fn bench() -> Bench {
    let bench = Bench::new().small_cartridges(10, 8 << 20).few_files();
    std::fs::write(bench.path("tree/large"), vec![5; 17 << 20]).unwrap();
    bench.without_sync();
    bench
}

fn commands(library: &VirtualLibrary) -> u64 {
    (0..=255).map(|opcode| library.statistics().count(Unit::Drive(0), opcode)).sum()
}

/// What is shown is there: every member of every set reads back as the catalog says.
fn all_shown_is_there(bench: &Bench, step: u64) {
    let appliance = bench.open();
    let report = appliance.catalog().check().unwrap();
    assert!(report.is_sound(), "step {step}: {:?}", report.problems);
    let sets = appliance.catalog().sets().unwrap();
    drop(appliance);
    for set in sets.into_iter().filter(|set| set.members > 0) {
        let report = bench.restore(|request| {
            request.set = Some(set.uuid.clone());
            request.target = bench.path("shown");
        });
        assert!(report.faults.is_empty(), "step {step}: {:?}", report.faults);
        if set.state == SetState::Complete {
            let tree = bench.path("tree").canonicalize().unwrap();
            assert_same(&tree, &bench.path("shown").join(tree.strip_prefix("/").unwrap()));
        }
        std::fs::remove_dir_all(bench.path("shown")).unwrap();
    }
}

#[test]
fn a_reset_before_every_command_of_a_backup() {
    let rehearsal = bench();
    let library = rehearsal.library();
    let volumes = rehearsal.backup(|request| request.checkpoint_bytes = 3 << 20).volumes;
    assert!(volumes.len() >= 3, "{volumes:?}");
    let total = commands(&library);
    drop((library, rehearsal));
    let mut failed = 0;
    for step in (1..=total).step_by(3) {
        let bench = bench();
        let library = bench.library();
        library.faults().drive(0, |faults| faults.reset_at = Some(step));
        let outcome = bench.try_backup(|request| request.checkpoint_bytes = 3 << 20);
        library.faults().drive(0, |faults| faults.reset_at = None);
        if let Err(error) = outcome {
            failed += 1;
            assert!(!error.to_string().is_empty());
        }
        all_shown_is_there(&bench, step);
        // The fault is over: a whole backup behind what there is.
        bench.backup(|request| request.checkpoint_bytes = 3 << 20);
        all_shown_is_there(&bench, step);
    }
    eprintln!("{total} commands, {failed} resets ended a backup");
    assert!(failed > 5, "a reset in mid-write must end the task: {failed}");
}

#[test]
fn a_bad_spot_at_every_block() {
    for block in (0..40).step_by(3) {
        let bench = bench();
        let library = bench.library();
        library.faults().drive(0, |faults| faults.write_error_at = Some(block));
        let _ = bench.try_backup(|request| request.checkpoint_bytes = 3 << 20);
        library.faults().drive(0, |faults| faults.write_error_at = None);
        all_shown_is_there(&bench, block);
        bench.backup(|request| request.checkpoint_bytes = 3 << 20);
        all_shown_is_there(&bench, block);
    }
}

#[test]
fn power_is_cut_before_and_after_checkpoints() {
    for step in (2..60).step_by(5) {
        let bench = bench();
        let library = bench.library();
        library.faults().drive(0, |faults| faults.reset_at = Some(step));
        let _ = bench.try_backup(|request| request.checkpoint_bytes = 2 << 20);
        library.faults().drive(0, |faults| {
            faults.reset_at = None;
            faults.drop_unflushed = true;
        });
        library.kill();
        drop(library);
        all_shown_is_there(&bench, step);
        bench.backup(|_| {});
        all_shown_is_there(&bench, step);
    }
}

#[test]
fn a_drive_that_is_silent_and_a_changer_that_jams_are_told() {
    let bench = bench();
    let library = bench.library();
    library.faults().drive(0, |faults| faults.hung = true);
    let error = bench.try_backup(|_| {}).expect_err("the drive is silent");
    assert!(format!("{error:?}").contains("TimedOut"), "{error:?}");
    library.faults().drive(0, |faults| faults.hung = false);
    library.faults().changer(|faults| faults.jam = true);
    let error = bench.try_backup(|_| {}).expect_err("the changer is jammed");
    assert!(format!("{error:?}").contains("Jammed"), "{error:?}");
    library.faults().changer(|faults| faults.jam = false);
    bench.backup(|_| {});
    all_shown_is_there(&bench, 0);
}

#[test]
fn early_warning_long_before_the_capacity_says_so() {
    for block in [2, 9, 30] {
        let bench = Bench::new().few_files();
        std::fs::write(bench.path("tree/large"), vec![5; 17 << 20]).unwrap();
        let library = bench.library_of_default_size();
        library.faults().drive(0, |faults| faults.early_warning_at = Some(block));
        let outcome = bench.try_backup(|_| {});
        library.faults().drive(0, |faults| faults.early_warning_at = None);
        // Each volume takes a little; there are eight of them.
        match outcome {
            Ok(stored) => {
                assert!(stored.volumes.len() > 1 || block == 30, "block {block}: {:?}", stored.volumes)
            }
            Err(error) => assert!(error.to_string().contains("operator"), "block {block}: {error}"),
        }
        all_shown_is_there(&bench, block);
        bench.backup(|_| {});
        all_shown_is_there(&bench, block);
    }
}

/// What a user is told of a fault that is there during a backup, or during a restore of what was stored before.
enum Told {
    /// The task does its work all the same.
    Nothing,
    /// It ends with an error of which this is a part; `docs/errors.md` has the way out under the same words.
    Says(&'static str),
}
use Told::{Nothing, Says};

/// A knob, a value for it, and what backup and restore tell. Without a row here a new knob fails the test.
type Row = (&'static str, Value, Told, Told);

fn drive_rows() -> Vec<Row> {
    vec![
        ("unresponsive", json!(true), Says("no reply from the drive"), Says("no reply from the drive")),
        ("hung", json!(true), Says("no reply from the drive"), Says("no reply from the drive")),
        ("reset_at", json!(60), Says("position lost"), Says("position lost")),
        ("unit_attention", json!([0x28, 0]), Nothing, Nothing),
        ("read_error_at", json!(0), Says("medium error"), Says("medium error")),
        ("write_error_at", json!(3), Says("medium error at block"), Nothing),
        ("early_warning_at", json!(20), Nothing, Nothing),
        ("short_transfer", json!(10), Nothing, Nothing),
        ("becoming_ready", json!(3), Nothing, Nothing),
        ("write_protect", json!(true), Says("write-protected"), Nothing),
        ("cleaning_required", json!(true), Nothing, Nothing),
        ("cleaning_requested", json!(true), Nothing, Nothing),
        ("keeps_cleaning_cartridge", json!(true), Nothing, Nothing),
        ("tape_alerts", json!(4), Nothing, Nothing),
        ("recovered_errors", json!(2), Nothing, Nothing),
        ("temperature", json!(71), Nothing, Nothing),
        ("missing_pages", json!(u64::MAX), Nothing, Nothing),
        ("no_cartridge_memory", json!(true), Nothing, Nothing),
        ("deferred_error_after", json!(4), Says("an earlier write failed"), Nothing),
        ("lost_end", json!(true), Says("end of data was not found"), Nothing),
        ("drop_unflushed", json!(true), Nothing, Nothing),
        ("fail_at", json!(60), Says("hardware error"), Says("hardware error")),
        ("no_encryption", json!(true), Nothing, Nothing),
        ("no_reservations", json!(true), Nothing, Nothing),
        ("no_access_order", json!(true), Nothing, Nothing),
        ("access_order_seed", json!(7), Nothing, Nothing),
    ]
}

fn changer_rows() -> Vec<Row> {
    vec![
        ("unresponsive", json!(true), Says("no reply from the changer"), Says("no reply from the changer")),
        ("hung", json!(true), Says("no reply from the changer"), Says("no reply from the changer")),
        ("unit_attention", json!([0x28, 1]), Nothing, Nothing),
        ("jam", json!(true), Says("the mechanism failed"), Says("the mechanism failed")),
        ("refuse_move", json!([4, 0x15, 1]), Says("the mechanism failed"), Says("the mechanism failed")),
        ("false_alarm", json!(true), Nothing, Nothing),
        ("blank_tags", json!(true), Says("waiting for an operator"), Says("waiting for an operator")),
        ("no_serials", json!(true), Nothing, Nothing),
        ("one_at_a_time", json!(true), Nothing, Nothing),
        ("no_transport", json!(true), Nothing, Nothing),
        ("cut_replies", json!(true), Nothing, Nothing),
        ("trailing_bytes", json!(true), Nothing, Nothing),
    ]
}

/// The knobs of a structure, by its serialised form.
fn knobs(faults: &impl serde::Serialize) -> BTreeSet<String> {
    serde_json::to_value(faults).unwrap().as_object().unwrap().keys().cloned().collect()
}

fn named(rows: &[Row]) -> BTreeSet<String> {
    rows.iter().map(|row| row.0.to_owned()).collect()
}

/// The error with all its causes, as the command line shows it.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn as_told<T>(what: &str, unit: &str, told: &Told, outcome: Result<T, EngineError>) -> Option<String> {
    match (told, outcome) {
        (Nothing, Ok(_)) => None,
        (Nothing, Err(error)) => Some(format!("{what}: it should work: {}", chain(&error))),
        (Says(text), Ok(_)) => Some(format!("{what}: nobody was told: {text}")),
        (Says(text), Err(error)) => {
            let said = chain(&error);
            // The thing is the unit, or the volume in it.
            let right = said.contains(text) && (said.contains(unit) || said.contains("volume"));
            (!right).then(|| format!("{what}: {said:?} does not say {text:?} of {unit}"))
        }
    }
}

/// One knob: set during a backup and during a restore; then nothing that was stored is gone, and the next backup goes on.
fn one_knob(unit: Unit, (knob, value, in_backup, in_restore): &Row) -> Vec<String> {
    let bench = Bench::new().small_cartridges(10, 8 << 20).few_files();
    std::fs::write(bench.path("tree/large"), vec![5; 9 << 20]).unwrap(); // two volumes
    bench.without_sync();
    let library = bench.library();
    bench.backup(|_| {});
    let set = |value: Value| match unit {
        Unit::Drive(number) => {
            let faults: DriveFaults = serde_json::from_value(value).unwrap();
            assert!(library.faults().drive(number, |now| *now = faults));
        }
        Unit::Changer => {
            let faults: ChangerFaults = serde_json::from_value(value).unwrap();
            library.faults().changer(|now| *now = faults);
        }
    };
    let unit = if unit == Unit::Changer { "#changer" } else { "#drive0" };
    let on = || Value::Object([((*knob).to_owned(), value.clone())].into_iter().collect());
    set(on());
    let backup = as_told(&format!("{knob} in a backup"), unit, in_backup, bench.try_backup(|_| {}));
    set(on());
    let restore = bench.try_restore(|request| {
        request.set = Some("1".into());
        request.target = bench.path("during");
    });
    let restore = restore.and_then(|report| match report.faults.is_empty() {
        true => Ok(()),
        false => Err(EngineError::Device { name: unit.into(), reason: format!("{:?}", report.faults) }),
    });
    let restore = as_told(&format!("{knob} in a restore"), unit, in_restore, restore);
    set(json!({}));
    // A lost end of data stays with its cartridge until it is labelled anew.
    let after = bench.try_backup(|_| {});
    assert_eq!(after.is_err(), *knob == "lost_end", "{knob}: {:?}", after.err());
    all_shown_is_there(&bench, 0);
    backup.into_iter().chain(restore).collect()
}

fn every_knob(unit: Unit, rows: Vec<Row>) {
    let said: Vec<String> = rows.iter().flat_map(|row| one_knob(unit, row)).collect();
    assert!(said.is_empty(), "{}", said.join("\n"));
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md")).unwrap();
    let missing: Vec<_> = rows
        .iter()
        .flat_map(|row| [&row.2, &row.3])
        .filter_map(|told| match told {
            Says(text) if !page.contains(text) => Some(*text),
            _ => None,
        })
        .collect();
    assert!(missing.is_empty(), "docs/errors.md does not have the way out of: {missing:?}");
}

#[test]
fn every_knob_of_a_drive_is_told_and_loses_nothing() {
    assert_eq!(knobs(&DriveFaults::default()), named(&drive_rows()), "a row for each knob");
    every_knob(Unit::Drive(0), drive_rows());
}

#[test]
fn every_knob_of_the_changer_is_told_and_loses_nothing() {
    assert_eq!(knobs(&ChangerFaults::default()), named(&changer_rows()), "a row for each knob");
    every_knob(Unit::Changer, changer_rows());
}
