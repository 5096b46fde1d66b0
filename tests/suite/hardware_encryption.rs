//! The drive encrypts: what is on tape, who reads it, and that the drive keeps no key.

use std::sync::atomic::{AtomicBool, Ordering};

use reelward::drive::{KeyUse, ReadOutcome};
use reelward::engine::{BackupRequest, EngineError, VerifyRequest};
use reelward::format::age::Identity;
use reelward::format::v1::keys_file::{DataKey, KeysFile};
use reelward::pipeline::Progress;

use crate::support::bench::Bench;
use crate::support::reelward::Reelward;

const FIRST: &str = "RW0001L9";
const WORDS: &[u8] = b"in the clear for nobody but us";

fn text(error: &EngineError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

/// A tree whose contents are easily found, on small cartridges.
fn bench(cartridges: u16, capacity: u64) -> Bench {
    let bench = Bench::new().small_cartridges(cartridges, capacity).few_files();
    std::fs::write(bench.path("tree/words"), WORDS.repeat(1000)).unwrap();
    bench
}

fn encrypted(identity: &Identity) -> impl FnOnce(&mut BackupRequest) {
    let recipient = identity.recipient();
    move |request| (request.recipients, request.hardware_encryption) = (vec![recipient], true)
}

/// Whether the drive has a key, asked by somebody else.
fn keyed(bench: &Bench) -> bool {
    let status = bench.other_program().encryption_status().unwrap().unwrap();
    (status.encryption, status.decryption) != (0, 0)
}

fn everything_comes_back(bench: &Bench, identity: &Identity) {
    let _ = std::fs::remove_dir_all(bench.path("out"));
    let report = bench.restore(|request| request.identities = vec![identity.clone()]);
    assert!(report.faults.is_empty(), "{:?}", report.faults);
    assert_eq!(std::fs::read(bench.restored().join("words")).unwrap(), WORDS.repeat(1000));
    assert!(!keyed(bench), "restore left the key in the drive");
}

fn verified(bench: &Bench, identities: Vec<Identity>) -> reelward::engine::VerifyReport {
    let request = VerifyRequest { identities, ..VerifyRequest::default() };
    bench.open().verify(&request, &Progress::default(), &AtomicBool::new(false)).unwrap()
}

#[test]
fn what_is_on_the_cartridge_is_ciphertext_and_comes_back() {
    let bench = bench(2, 64 << 20);
    let identity = Identity::generate().unwrap();
    let report = bench.backup(encrypted(&identity));
    assert!(!keyed(&bench), "backup left the key in the drive");
    let found = |needle: &[u8]| memchr::memmem::find(&bench.cartridge(FIRST)[0], needle).is_some();
    assert!(!found(WORDS) && !found(b"file-1"), "contents or names are in the clear");
    assert!(found(b"reelward-keys") && found(b"set.json"), "what must be readable without a key is");
    // The key itself is nowhere, neither on tape nor in the state.
    let mut drive = bench.other_program();
    drive.rewind().unwrap();
    drive.space_filemarks(1).unwrap();
    let mut record = vec![0; 256 << 10];
    let ReadOutcome::Record(length) = drive.read(&mut record).unwrap() else { panic!("no keys file") };
    let key =
        KeysFile::decode(&record[..length]).unwrap().unwrap_key(std::slice::from_ref(&identity)).unwrap();
    drop(drive);
    assert!(!found(key.bytes()));
    let hex: String = key.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    for entry in walk(&bench.path("state")) {
        let bytes = std::fs::read(&entry).unwrap();
        assert!(memchr::memmem::find(&bytes, key.bytes()).is_none(), "{}", entry.display());
        assert!(memchr::memmem::find(&bytes, hex.as_bytes()).is_none(), "{}", entry.display());
    }
    everything_comes_back(&bench, &identity);
    let report_after = verified(&bench, vec![identity.clone()]);
    assert!(report_after.is_clean() && report_after.is_complete(), "{report_after:?}");
    assert!(report_after.files >= report.members - 5);
    assert!(!keyed(&bench));
    // Without the key what needs none is still looked at, and the rest is said to be left out.
    let without = verified(&bench, Vec::new());
    assert!(without.is_clean() && !without.is_complete(), "{without:?}");
    // A second set behind it, in the clear, and a third by the drive again: each by its own rule.
    bench.backup(|request| request.job = "plain".into());
    bench.backup(encrypted(&identity));
    everything_comes_back(&bench, &identity);
    assert!(verified(&bench, vec![identity]).is_complete());
}

fn walk(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() { files.extend(walk(&entry)) } else { files.push(entry) }
    }
    files
}

#[test]
fn a_wrong_or_missing_key_is_told_before_anything_is_read() {
    let bench = bench(2, 64 << 20);
    let identity = Identity::generate().unwrap();
    bench.backup(encrypted(&identity));
    let missing = bench.try_restore(|_| {}).expect_err("no key");
    assert!(text(&missing).contains("by the drive with the key reelward-"), "{missing}");
    assert!(text(&missing).contains("--identity"), "{missing}");
    let wrong = bench.try_restore(|request| request.identities = vec![Identity::generate().unwrap()]);
    let wrong = wrong.expect_err("another key");
    assert!(matches!(wrong, EngineError::KeyWrong { .. }), "{wrong}");
    assert!(text(&wrong).contains("reelward-") && text(&wrong).contains("nothing was read"), "{wrong}");
    assert!(!bench.path("out").exists());
    // Another key in the keys file: the block says which it needs, before it is read.
    let mut drive = bench.other_program();
    drive.rewind().unwrap();
    drive.space_filemarks(1).unwrap();
    let mut record = vec![0; 256 << 10];
    let ReadOutcome::Record(length) = drive.read(&mut record).unwrap() else { panic!("no keys file") };
    record.truncate(length);
    drop(drive);
    let right = KeysFile::decode(&record).unwrap().description;
    let forged =
        KeysFile::new(&right.set, right.part, &DataKey::generate().unwrap(), &[identity.recipient()]);
    let forged = forged.unwrap().encode(0).unwrap();
    assert_eq!(forged.len(), record.len());
    let path = bench.path("state/library/cartridges").join(FIRST).join("data");
    let mut data = std::fs::read(&path).unwrap();
    let at = memchr::memmem::find(&data, &record).unwrap();
    data[at..at + forged.len()].copy_from_slice(&forged);
    std::fs::write(&path, data).unwrap();
    let unfit = bench.try_restore(|request| request.identities = vec![identity.clone()]);
    let unfit = unfit.expect_err("the key does not fit");
    assert!(matches!(unfit, EngineError::KeyUnfit { .. }), "{unfit}");
    assert!(text(&unfit).contains(&right.name), "{unfit}");
    assert!(!keyed(&bench));
}

#[test]
fn a_drive_without_encryption_is_refused_with_the_way_out() {
    let bench = bench(2, 64 << 20);
    let identity = Identity::generate().unwrap();
    bench.backup(encrypted(&identity));
    let before = bench.cartridge(FIRST);
    let library = bench.library();
    library.faults().drive(0, |faults| faults.no_encryption = true);
    let error = bench.try_backup(encrypted(&identity)).expect_err("no encryption");
    assert!(text(&error).contains("--encrypt-to") && text(&error).contains("age"), "{error}");
    assert!(bench.cartridge(FIRST) == before, "something was written");
    let error = bench.try_restore(|request| request.identities = vec![identity.clone()]);
    let error = error.expect_err("the drive cannot decrypt");
    assert!(matches!(error, EngineError::NoHardwareDecryption { .. }), "{error}");
    // In software it goes.
    bench.backup(|request| request.recipients = vec![identity.recipient()]);
    library.faults().drive(0, |faults| faults.no_encryption = false);
    everything_comes_back(&bench, &identity);
    // And without anybody who could read it nothing begins.
    let error = bench.try_backup(|request| request.hardware_encryption = true).expect_err("no recipient");
    assert!(text(&error).contains("--encrypt-to"), "{error}");
}

#[test]
fn over_two_volumes_and_from_the_tapes_alone() {
    let bench = bench(3, 24 << 20);
    std::fs::write(bench.path("tree/large"), large()).unwrap();
    let identity = Identity::generate().unwrap();
    let report = bench.backup(encrypted(&identity));
    assert_eq!(report.volumes.len(), 2, "{report:?}");
    everything_comes_back(&bench, &identity);
    assert!(std::fs::read(bench.restored().join("large")).unwrap() == large());
    assert!(verified(&bench, vec![identity.clone()]).is_complete());
    let members = bench.members();
    // Rebuilt without a key: the sets are met, and named as encrypted. With it: all is as it was.
    bench.forget_catalog();
    let without = bench.rebuild();
    assert_eq!(without.encrypted.len(), 2, "{without:?}");
    assert!(without.volumes.iter().all(|volume| volume.problems.is_empty()), "{without:?}");
    assert!(!keyed(&bench), "rebuild left a key in the drive");
    let with = rebuilt(&bench, &identity);
    assert!(with.is_complete(), "{with:?}");
    assert_eq!(bench.members(), members);
    assert!(!keyed(&bench), "rebuild left a key in the drive");
    everything_comes_back(&bench, &identity);
    assert!(std::fs::read(bench.restored().join("large")).unwrap() == large());
}

fn large() -> Vec<u8> {
    (0u32..8 << 20).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

fn rebuilt(bench: &Bench, identity: &Identity) -> reelward::engine::RebuildReport {
    let request = reelward::engine::RebuildRequest {
        identities: vec![identity.clone()],
        ..reelward::engine::RebuildRequest::default()
    };
    bench.open().rebuild(&request, &Progress::default(), &AtomicBool::new(false)).unwrap()
}

/// Killed between two checkpoints: what was committed comes back from the tape's headers, with the key.
#[test]
fn an_encrypted_part_without_an_index() {
    let bench = bench(2, 64 << 20);
    for number in 0..20 {
        std::fs::write(bench.path(&format!("tree/sub/more-{number}")), &large()[..1 << 20]).unwrap();
    }
    let identity = Identity::generate().unwrap();
    let library = bench.library_of_default_size();
    // The drive dies in the middle, archives of 4 MiB behind it.
    library.faults().drive(0, |faults| faults.write_error_at = Some(60));
    let error = bench.try_backup(|request| {
        encrypted(&identity)(request);
        request.checkpoint_bytes = 4 << 20;
    });
    assert!(error.is_err());
    assert!(!keyed(&bench), "a failed backup left the key in the drive");
    library.faults().drive(0, |faults| faults.write_error_at = None);
    bench.forget_catalog();
    let without = bench.rebuild();
    let problems: Vec<_> = without.volumes.iter().flat_map(|volume| &volume.problems).collect();
    assert!(problems.iter().any(|problem| problem.contains("key reelward-")), "{problems:?}");
    let with = rebuilt(&bench, &identity);
    let salvaged: u64 = with.volumes.iter().map(|volume| volume.salvaged).sum();
    assert!(salvaged > 10, "{with:?}");
    assert!(!keyed(&bench));
    let report = bench.restore(|request| request.identities = vec![identity.clone()]);
    assert!(report.faults.is_empty() && report.files > 10, "{report:?}");
    // The volume goes on.
    bench.backup(encrypted(&identity));
    everything_comes_back(&bench, &identity);
}

/// An error at every command of a backup, one after the other: the drive has no key afterwards, and the next task works.
#[test]
fn no_key_stays_behind_after_a_fault_at_any_command() {
    let identity = Identity::generate().unwrap();
    let bench = bench(2, 64 << 20);
    bench.without_sync();
    let library = bench.library_of_default_size();
    bench.backup(encrypted(&identity));
    let mut ended = 0;
    for number in 1.. {
        library.faults().drive(0, |faults| faults.fail_at = Some(number));
        let result = bench.try_backup(encrypted(&identity));
        let mut struck = false;
        library.faults().drive(0, |faults| struck = faults.fail_at.take().is_none());
        assert!(!keyed(&bench), "command {number}: the key stayed");
        if !struck {
            result.unwrap();
            break;
        }
        ended += u32::from(result.is_err());
        assert!(number < 500, "the backup takes more and more commands");
    }
    assert!(ended > 20, "only {ended} commands mattered");
    everything_comes_back(&bench, &identity);
    // The same for restoring.
    for number in 1.. {
        library.faults().drive(0, |faults| faults.fail_at = Some(number));
        let _ = std::fs::remove_dir_all(bench.path("out"));
        let _ = bench.try_restore(|request| request.identities = vec![identity.clone()]);
        let mut struck = false;
        library.faults().drive(0, |faults| struck = faults.fail_at.take().is_none());
        assert!(!keyed(&bench), "command {number} of a restore: the key stayed");
        if !struck {
            break;
        }
        assert!(number < 500);
    }
    everything_comes_back(&bench, &identity);
}

#[test]
fn no_key_stays_behind_after_a_cancel() {
    let bench = bench(2, 64 << 20);
    std::fs::write(bench.path("tree/large"), large()).unwrap();
    let identity = Identity::generate().unwrap();
    let cancel = AtomicBool::new(false);
    let progress = Progress::default();
    let mut request = BackupRequest { paths: vec![bench.path("tree")], ..BackupRequest::default() };
    encrypted(&identity)(&mut request);
    let report = std::thread::scope(|scope| {
        scope.spawn(|| {
            while progress.snapshot().tape_bytes == 0 {
                std::thread::yield_now();
            }
            cancel.store(true, Ordering::Relaxed);
        });
        bench.open().backup(&request, &progress, &cancel).unwrap()
    });
    assert!(!keyed(&bench));
    if report.cancelled {
        // What is stored is sound, and the set goes on, by the drive again.
        request.resume = Some(report.set);
        let report = bench.open().backup(&request, &Progress::default(), &AtomicBool::new(false)).unwrap();
        assert!(report.resumed_behind.is_some());
    }
    everything_comes_back(&bench, &identity);
    assert!(memchr::memmem::find(&bench.cartridge(FIRST)[0], WORDS).is_none());
}

/// What kill -9 leaves in a drive is cleared by the next task, before it writes anything.
#[test]
fn a_left_over_key_is_cleared_by_the_next_task() {
    let bench = bench(2, 64 << 20);
    bench.backup(|_| {});
    let mut killed = bench.other_program();
    killed.set_key(KeyUse::Write, &[9; 32], "left over").unwrap();
    std::mem::forget(killed);
    assert!(keyed(&bench));
    bench.backup(|request| request.job = "plain".into());
    assert!(!keyed(&bench));
    assert!(
        memchr::memmem::find(&bench.cartridge(FIRST)[0], WORDS).is_some(),
        "it is in the clear, as asked"
    );
    assert!(bench.restore(|_| {}).faults.is_empty());
}

/// A reset takes the key away: nothing is written in the clear behind it.
#[test]
fn a_reset_in_the_middle_never_leads_to_plain_records() {
    let identity = Identity::generate().unwrap();
    for at in [40, 60, 80] {
        let bench = bench(2, 64 << 20);
        let library = bench.library_of_default_size();
        std::fs::write(bench.path("tree/large"), large()).unwrap();
        library.faults().drive(0, |faults| faults.reset_at = Some(at));
        let _ = bench.try_backup(encrypted(&identity));
        assert!(!keyed(&bench));
        assert!(memchr::memmem::find(&bench.cartridge(FIRST)[0], WORDS).is_none(), "reset at {at}");
        bench.backup(encrypted(&identity));
        assert!(memchr::memmem::find(&bench.cartridge(FIRST)[0], WORDS).is_none(), "reset at {at}");
        everything_comes_back(&bench, &identity);
    }
}

#[test]
fn by_the_command_line() {
    let bench = bench(2, 64 << 20);
    let reelward = Reelward::new(bench.path("state"));
    let key = bench.path("key");
    reelward.ok(["key", "create", "--output", key.to_str().unwrap()]);
    let identity = Identity::parse_file(&std::fs::read_to_string(&key).unwrap()).unwrap().remove(0);
    let tree = bench.path("tree");
    reelward.exits(2, ["backup", "--hardware-encryption", tree.to_str().unwrap()]);
    let recipient = identity.recipient().to_string();
    let args = ["backup", "--hardware-encryption", "--encrypt-to", &recipient, tree.to_str().unwrap()];
    reelward.ok(args);
    let out = bench.path("out");
    let (_, told) = reelward.exits(1, ["restore", "--to", out.to_str().unwrap()]);
    assert!(told.contains("key reelward-"), "{told}");
    reelward.ok(["restore", "--to", out.to_str().unwrap(), "--identity", key.to_str().unwrap()]);
    assert_eq!(std::fs::read(bench.restored().join("words")).unwrap(), WORDS.repeat(1000));
}
