//! A fault at every step: the drive is reset before its N-th command, for every N of a backup that spans volumes; then
//! everything that the catalog shows is on tape, and the next backup goes on.

use reelward::catalog::SetState;
use reelward::virtual_library::{Unit, VirtualLibrary};

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

#[test]
fn one_knob_after_the_other() {
    type Knob = fn(&mut reelward::virtual_library::DriveFaults);
    let knobs: [(&str, Knob, Knob); 7] = [
        ("deferred error", |f| f.deferred_error_after = Some(4), |f| f.deferred_error_after = None),
        ("becoming ready", |f| f.becoming_ready = 3, |f| f.becoming_ready = 0),
        ("unit attention", |f| f.unit_attention = Some((0x2a, 0x01)), |f| f.unit_attention = None),
        ("reservation", |f| f.unit_attention = Some((0x2a, 0x03)), |f| f.unit_attention = None),
        ("gone", |f| f.unresponsive = true, |f| f.unresponsive = false),
        ("write-protected", |f| f.write_protect = true, |f| f.write_protect = false),
        ("cleaning", |f| f.cleaning_required = true, |f| f.cleaning_required = false),
    ];
    for (step, (name, set, clear)) in (0..).zip(knobs) {
        let bench = bench();
        let library = bench.library();
        bench.backup(|_| {});
        library.faults().drive(0, set);
        if let Err(error) = bench.try_backup(|_| {}) {
            let told = format!("{error:?}");
            assert!(told.len() > 20, "{name}: {told}");
        }
        library.faults().drive(0, clear);
        all_shown_is_there(&bench, step);
        bench.backup(|_| {});
        all_shown_is_there(&bench, step);
    }
}
