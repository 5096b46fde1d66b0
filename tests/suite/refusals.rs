//! What must be refused before anything is written or read, with an error that names what was found and what to do.

use reelward::engine::{EngineError, LabelRequest};
use reelward::format::age::Identity;

use crate::support::bench::Bench;

const FIRST: &str = "RW0001L9";
const SECOND: &str = "RW0002L9";

fn text(error: &EngineError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

/// Runs a backup that must be refused, and shows that the cartridge is untouched.
fn refused(bench: &Bench, barcode: &str, words: &[&str]) {
    let before = bench.cartridge(barcode);
    let error = bench.try_backup(|_| {}).expect_err("must be refused");
    let told = text(&error);
    for word in words {
        assert!(told.contains(word), "{told:?} does not say {word:?}");
    }
    assert!(bench.cartridge(barcode) == before, "something was written");
}

fn backed_up() -> Bench {
    let bench = Bench::new().small_cartridges(3, 64 << 20).few_files();
    assert_eq!(bench.backup(|_| {}).volumes, [FIRST]);
    bench
}

/// Exchanges what two cartridges hold: the barcode says one thing, the tape another.
fn swap(bench: &Bench, one: &str, other: &str) {
    let cartridges = bench.path("state/library/cartridges");
    for name in ["data", "index"] {
        std::fs::rename(cartridges.join(one).join(name), bench.path("spare")).unwrap();
        std::fs::rename(cartridges.join(other).join(name), cartridges.join(one).join(name)).unwrap();
        std::fs::rename(bench.path("spare"), cartridges.join(other).join(name)).unwrap();
    }
}

#[test]
fn another_volume_behind_the_right_barcode() {
    let bench = backed_up();
    bench.open().label(&LabelRequest { barcode: Some(SECOND.into()), ..LabelRequest::default() }).unwrap();
    swap(&bench, FIRST, SECOND);
    refused(&bench, FIRST, &["wrong volume", FIRST, SECOND, "nothing was written"]);
    let error = bench.try_restore(|_| {}).expect_err("must be refused");
    assert!(text(&error).contains("wrong volume"), "{error}");
    assert!(!bench.restored().exists());
}

#[test]
fn a_foreign_tape_behind_the_right_barcode() {
    let bench = backed_up();
    let mut drive = bench.other_program();
    drive.rewind().unwrap();
    let mut foreign = vec![0; 512];
    foreign[..24].copy_from_slice(b"TAPEBACKARR|OLD|1234|P|1");
    drive.write(&foreign).unwrap();
    drive.write_filemarks(1, false).unwrap();
    drop(drive);
    refused(&bench, FIRST, &["wrong volume", "expected RW0001L9", "found", "nothing was written"]);
}

#[test]
fn a_moved_end_of_data() {
    let bench = backed_up();
    let mut drive = bench.other_program();
    drive.rewind().unwrap();
    drive.space_to_end_of_data().unwrap();
    drive.write(&[1; 1000]).unwrap();
    drive.write_filemarks(1, false).unwrap();
    drop(drive);
    // The cartridge memory tells first, where there is one.
    refused(&bench, FIRST, &["change reference", "another program wrote to it", "nothing was written"]);
    // Where there is no such memory, the position tells.
    forget_change_reference(&bench);
    refused(
        &bench,
        FIRST,
        &["the catalog ends at block", "the tape at block", "nothing was written", "catalog rebuild"],
    );
}

/// As if the drive had no cartridge memory when the volume was last written.
fn forget_change_reference(bench: &Bench) {
    let appliance = bench.open();
    for volume in appliance.catalog().volumes().unwrap() {
        let without = reelward::catalog::Volume { change_reference: None, ..volume };
        appliance.catalog().update_volume(&without).unwrap();
    }
}

#[test]
fn data_that_is_gone() {
    let bench = backed_up();
    let mut drive = bench.other_program();
    drive.rewind().unwrap();
    drive.space_filemarks(1).unwrap();
    drive.erase(false).unwrap();
    drop(drive);
    refused(&bench, FIRST, &[FIRST, "nothing was written"]);
    forget_change_reference(&bench);
    refused(&bench, FIRST, &["the catalog ends at block", "is gone", "nothing was written"]);
}

#[test]
fn a_write_protected_volume() {
    let bench = backed_up();
    bench.library().set_write_protect(FIRST, true).unwrap();
    refused(&bench, FIRST, &["write-protected", FIRST, "tab"]);
    // It is still read.
    assert!(bench.restore(|_| {}).faults.is_empty());
}

#[test]
fn a_full_library_waits_for_an_operator() {
    let bench = Bench::new().small_cartridges(1, 16 << 20);
    std::fs::create_dir(bench.path("tree")).unwrap();
    std::fs::write(bench.path("tree/large"), vec![1; 40 << 20]).unwrap();
    let error = bench.try_backup(|_| {}).expect_err("it does not fit");
    assert!(matches!(error, EngineError::Operator(_)), "{error}");
    assert!(text(&error).contains("reelward tape label"), "{error}");
}

#[test]
fn a_cartridge_that_holds_something_is_not_labelled() {
    let bench = backed_up();
    let label = |change: fn(&mut LabelRequest)| {
        let mut request = LabelRequest { barcode: Some(FIRST.into()), ..LabelRequest::default() };
        change(&mut request);
        bench.open().label(&request)
    };
    let before = bench.cartridge(FIRST);
    let error = label(|_| {}).expect_err("not blank");
    assert!(text(&error).contains("--overwrite") && text(&error).contains(FIRST), "{error}");
    let error = label(|request| request.overwrite = true).expect_err("holds a set");
    assert!(text(&error).contains("--destroy-sets"), "{error}");
    assert!(bench.cartridge(FIRST) == before);
    label(|request| (request.overwrite, request.destroy_sets) = (true, true)).unwrap();
    assert!(bench.try_restore(|_| {}).is_err(), "the set is gone with the tape");
}

#[test]
fn a_wrong_or_missing_key() {
    let bench = Bench::new().few_files();
    let identity = Identity::generate().unwrap();
    bench.backup(|request| request.recipients = vec![identity.recipient()]);
    let missing = bench.try_restore(|_| {}).expect_err("no key");
    assert!(
        text(&missing).contains("--identity") && text(&missing).contains(&identity.recipient().to_string())
    );
    let wrong = bench
        .try_restore(|request| request.identities = vec![Identity::generate().unwrap()])
        .expect_err("another key");
    assert!(text(&wrong).contains("none of the given identities fits"), "{wrong}");
    assert!(!bench.path("out").exists(), "nothing was made");
    assert!(bench.restore(|request| request.identities = vec![identity]).faults.is_empty());
}
