//! The catalog is made again from what lies on tape.

use std::sync::atomic::AtomicBool;

use reelward::catalog::{CatalogError, FindQuery, Part, SetState};
use reelward::drive::BlockAddress;
use reelward::engine::{
    Appliance, Compression, DeviceChoice, EngineError, LabelRequest, RebuildReport, RebuildRequest, Settings,
    VerifyRequest,
};
use reelward::format::age::Identity;
use reelward::pipeline::Progress;

use crate::support::bench::Bench;
use crate::support::reelward::Reelward;
use crate::support::tree::{Awkward, assert_same};

fn awkward(bench: &Bench, large: u64) {
    Awkward { seed: 11, large, huge: false }.make(&bench.path("tree"));
}

fn export(bench: &Bench) -> Vec<String> {
    bench.open().catalog().export().unwrap().map(Result::unwrap).collect()
}

/// What the catalog says of members, where they are and what they contain; nothing of the set.
fn members(bench: &Bench) -> Vec<String> {
    export(bench)
        .into_iter()
        .filter(|line| line.starts_with("member ") || line.starts_with("archive "))
        .collect()
}

fn forget(bench: &Bench) {
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(bench.path(&format!("state/catalog.sqlite{suffix}")));
    }
}

fn try_rebuild(
    bench: &Bench,
    volumes: &[&str],
    identities: &[Identity],
) -> Result<RebuildReport, EngineError> {
    let request = RebuildRequest {
        volumes: volumes.iter().map(ToString::to_string).collect(),
        identities: identities.to_vec(),
    };
    bench.open().rebuild(&request, &Progress::default(), &AtomicBool::new(false))
}

fn rebuild(bench: &Bench, identities: &[Identity]) -> RebuildReport {
    let report = try_rebuild(bench, &[], identities).unwrap();
    assert_sound(bench, &report);
    report
}

fn assert_sound(bench: &Bench, report: &RebuildReport) {
    assert!(report.is_complete(), "{report:#?}");
    let check = bench.open().check_catalog().unwrap();
    assert!(check.is_sound(), "{:?}", check.problems);
}

fn assert_restores(bench: &Bench, set: Option<&str>, identities: &[Identity]) {
    let _ = std::fs::remove_dir_all(bench.path("out"));
    let report = bench.restore(|request| {
        request.set = set.map(str::to_owned);
        request.identities = identities.to_vec();
    });
    assert!(report.faults.is_empty(), "{:?}", report.faults);
    assert_same(&bench.path("tree"), &bench.restored());
}

fn assert_verified(bench: &Bench, identities: &[Identity]) {
    let request = VerifyRequest { identities: identities.to_vec(), ..VerifyRequest::default() };
    let report = bench.open().verify(&request, &Progress::default(), &AtomicBool::new(false)).unwrap();
    assert!(report.is_clean() && report.unchecked.is_empty(), "{report:#?}");
}

/// The only part in the catalog.
fn only_part(bench: &Bench) -> Part {
    let appliance = bench.open();
    let set = appliance.catalog().sets().unwrap().pop().unwrap();
    appliance.catalog().parts_of(set.id).unwrap().pop().unwrap()
}

/// Ends the data of the cartridge in the drive before `block`, as if nothing had been written from there on.
fn cut(bench: &Bench, block: u64) {
    let mut drive = bench.other_program();
    drive.locate(BlockAddress(block)).unwrap();
    drive.erase(false).unwrap();
}

#[test]
fn a_lost_catalog_comes_back_identical() {
    let bench = Bench::new();
    awkward(&bench, 9 << 20);
    let identity = Identity::generate().unwrap();
    bench.backup(|request| request.checkpoint_bytes = 1 << 20);
    bench.backup(|request| request.compression = Compression::Zstd(1));
    bench.backup(|request| {
        request.compression = Compression::Zstd(1);
        request.recipients = vec![identity.recipient()];
    });
    let before = export(&bench);
    forget(&bench);
    let report = rebuild(&bench, std::slice::from_ref(&identity));
    assert_eq!((report.sets, report.incomplete.len()), (3, 0), "{report:#?}");
    assert_eq!(export(&bench), before);
    assert_verified(&bench, std::slice::from_ref(&identity));
    // Again: nothing is new, nothing changes.
    let again = rebuild(&bench, std::slice::from_ref(&identity));
    assert_eq!((again.members, again.volumes[0].parts_known), (0, 3));
    assert_eq!(export(&bench), before);
    // The next set goes on behind the last.
    bench.backup(|_| {});
    assert_verified(&bench, &[identity]);
}

#[test]
fn the_newest_version_stays_the_newest() {
    let bench = Bench::new().few_files();
    let file = bench.path("tree/sub/file-3");
    for (volume, content) in [("RW0001L9", "old"), ("RW0002L9", "new")] {
        std::fs::write(&file, content).unwrap();
        let label = LabelRequest { barcode: Some(volume.into()), ..LabelRequest::default() };
        bench.open().label(&label).unwrap();
        bench.backup(|request| request.volume = Some(volume.into()));
    }
    forget(&bench);
    // The cartridge in the drive, which has the newest set, is read first.
    rebuild(&bench, &[]);
    let appliance = bench.open();
    let sets = appliance.catalog().sets().unwrap();
    assert!(sets[0].started < sets[1].started && sets[0].id > sets[1].id, "{sets:?}");
    let stored = file.canonicalize().unwrap();
    let stored = stored.to_str().unwrap().trim_start_matches('/').as_bytes();
    let (directory, name) = stored.split_at(stored.len() - "/file-3".len());
    let listing = appliance.catalog().browse(None, directory, 100, 0).unwrap();
    let entry = listing.entries.iter().find(|entry| entry.name == name[1..]).unwrap();
    assert_eq!(entry.set, sets[1].id);
    let found = appliance.catalog().find(&FindQuery::new(b"file-3")).unwrap();
    assert_eq!(found.rows.iter().map(|row| row.set).collect::<Vec<_>>(), [sets[1].id, sets[0].id]);
}

#[test]
fn a_set_spread_over_volumes_comes_back_in_any_order() {
    let bench = Bench::new().small_cartridges(6, 12 << 20);
    awkward(&bench, 30 << 20);
    let stored = bench.backup(|_| {});
    assert!(stored.volumes.len() >= 3, "{:?}", stored.volumes);
    let before = export(&bench);
    forget(&bench);
    let late = try_rebuild(&bench, &[&stored.volumes[1]], &[]).unwrap();
    let told = format!("{:?}", late.incomplete);
    assert!(told.contains("part 1 is missing") && told.contains("part 3 is missing"), "{told}");
    assert!(told.contains(&format!("written after {}", stored.volumes[1])), "{told}");
    // Its end came, its beginning did not: not complete, whatever the last part says.
    try_rebuild(&bench, &stored.volumes[1..].iter().map(String::as_str).collect::<Vec<_>>(), &[]).unwrap();
    let check = bench.open().check_catalog().unwrap();
    assert!(!check.is_sound() && !check.is_damaged(), "{check:?}");
    assert!(check.missing.len() == 1 && check.missing[0].contains("set 1 lacks part 1"), "{check:?}");
    assert_eq!(bench.open().catalog().sets().unwrap()[0].state, SetState::Incomplete);
    let reelward = Reelward::new(bench.path("state"));
    let listed = reelward.json(["ls"]);
    assert_eq!(listed["sets"][0]["state"], "incomplete", "{listed}");
    assert_eq!(
        (listed["sets"][0]["is_complete"].as_bool(), &listed["sets"][0]["missing_parts"][0]),
        (Some(false), &1.into())
    );
    // The volume that was missing is enough.
    try_rebuild(&bench, &[&stored.volumes[0]], &[]).unwrap();
    assert_eq!(bench.open().catalog().sets().unwrap()[0].state, SetState::Complete);
    let report = rebuild(&bench, &[]);
    assert_eq!(report.incomplete, Vec::<String>::new());
    assert_eq!(export(&bench), before);
    assert_restores(&bench, None, &[]);
    assert_verified(&bench, &[]);
}

#[test]
fn an_encrypted_set_waits_for_its_key() {
    let bench = Bench::new().few_files();
    let identity = Identity::generate().unwrap();
    bench.backup(|request| request.recipients = vec![identity.recipient()]);
    bench.backup(|_| {});
    let before = export(&bench);
    forget(&bench);
    for keys in [vec![], vec![Identity::generate().unwrap()]] {
        let report = try_rebuild(&bench, &[], &keys).unwrap();
        assert!(!report.is_complete());
        assert_eq!(report.encrypted.len(), 1);
        assert_eq!(report.encrypted[0].recipients, [identity.recipient().to_string()]);
        assert_eq!(bench.open().catalog().sets().unwrap().len(), 1);
    }
    rebuild(&bench, std::slice::from_ref(&identity));
    assert_eq!(export(&bench), before);
    assert_restores(&bench, Some("latest"), &[identity]);
}

#[test]
fn a_damaged_catalog_is_moved_aside() {
    let bench = Bench::new().few_files();
    bench.backup(|_| {});
    let before = export(&bench);
    forget(&bench);
    std::fs::write(bench.path("state/catalog.sqlite"), vec![7; 100_000]).unwrap();
    let settings = Settings { state: bench.path("state"), devices: DeviceChoice::embedded() };
    let refused = Appliance::open(settings.clone()).err();
    assert!(matches!(refused, Some(EngineError::Catalog(CatalogError::Corrupt { .. }))), "{refused:?}");
    let (mut appliance, moved) = Appliance::open_for_rebuild(settings).unwrap();
    assert_eq!(std::fs::read(moved.unwrap()).unwrap(), vec![7; 100_000]);
    let report = appliance.rebuild(&RebuildRequest::default(), &Progress::default(), &AtomicBool::new(false));
    assert!(report.unwrap().is_complete());
    drop(appliance);
    assert_eq!(export(&bench), before);
}

#[test]
fn a_damaged_block_in_the_catalog_is_made_anew() {
    let bench = Bench::new().few_files();
    bench.backup(|_| {});
    let before = export(&bench);
    let path = bench.path("state/catalog.sqlite");
    let damage = || {
        let connection = rusqlite::Connection::open(&path).unwrap();
        let body: Vec<u8> =
            connection.query_row("SELECT body FROM member_block", [], |row| row.get(0)).unwrap();
        let mut body = body;
        let middle = body.len() / 2;
        body[middle] ^= 1;
        connection.execute("UPDATE member_block SET body = ?1", [body]).unwrap();
    };
    damage();
    let reelward = Reelward::new(bench.path("state"));
    let (stdout, _) = reelward.exits(1, ["catalog", "check"]);
    assert!(stdout.contains("DAMAGED: `reelward catalog rebuild`"), "{stdout}");
    // While another task runs, its catalog is not taken from under it.
    let mut busy = bench.open();
    busy.claim().unwrap();
    let settings = Settings { state: bench.path("state"), devices: DeviceChoice::embedded() };
    assert!(matches!(Appliance::open_for_rebuild(settings).err(), Some(EngineError::Busy { .. })));
    drop(busy);
    let answer = reelward.json(["catalog", "rebuild", "RW0001L9"]);
    let moved = answer["moved_aside"].as_str().expect("where it is now");
    assert!(std::path::Path::new(moved).exists(), "{moved}");
    assert!(reelward.ok(["catalog", "check"]).contains("sound"));
    assert_eq!(export(&bench), before);
    let again = reelward.json(["catalog", "rebuild"]);
    assert!(again["moved_aside"].is_null(), "{again}");
    damage();
    let out = reelward.run(["catalog", "rebuild"]);
    assert!(String::from_utf8_lossy(&out.stderr).contains("was damaged and is moved to"));
}

#[test]
fn a_lost_catalog_is_not_taken_for_a_new_one() {
    for delete in [true, false] {
        let bench = Bench::new().few_files();
        let label = LabelRequest {
            barcode: Some("RW0003L9".into()),
            label: Some("Week 1".into()),
            ..LabelRequest::default()
        };
        bench.open().label(&label).unwrap();
        bench.backup(|_| {});
        let before = export(&bench);
        forget(&bench);
        if !delete {
            std::fs::write(bench.path("state/catalog.sqlite"), b"").unwrap();
        }
        let reelward = Reelward::new(bench.path("state"));
        for command in [&["ls"][..], &["catalog", "check"]] {
            let output = reelward.run(command);
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(told.contains("reelward catalog rebuild"), "{told}");
            assert_eq!(output.status.success(), !delete);
        }
        let refused = bench.try_backup(|_| {}).unwrap_err();
        assert!(matches!(refused, EngineError::UnknownVolumes { .. }), "{refused}");
        let told = refused.to_string();
        assert!(told.contains("Week 1 (RW0003L9)") && told.contains("catalog rebuild"), "{told}");
        assert!(bench.open().tapes().unwrap().is_empty(), "nothing was labelled");
        rebuild(&bench, &[]);
        assert_eq!(export(&bench), before);
        bench.backup(|_| {});
        // Whoever says so can go on beside them.
        forget(&bench);
        let stored = bench.backup(|request| request.auto_label = true);
        assert_eq!(stored.volumes, ["RW0001L9"]);
    }
}

#[test]
fn archives_without_an_index_are_read_themselves() {
    for (compression, encrypt) in [(Compression::None, false), (Compression::Zstd(1), true)] {
        let bench = Bench::new();
        awkward(&bench, 9 << 20);
        let identity = Identity::generate().unwrap();
        bench.backup(|request| {
            request.checkpoint_bytes = 2 << 20;
            request.compression = compression;
            request.recipients = if encrypt { vec![identity.recipient()] } else { Vec::new() };
        });
        let before = members(&bench);
        cut(&bench, only_part(&bench).index_block.unwrap());
        forget(&bench);
        if encrypt {
            let report = try_rebuild(&bench, &[], &[]).unwrap();
            assert!(!report.is_complete() && report.members == 0, "{report:#?}");
        }
        let keys = std::slice::from_ref(&identity);
        let report = rebuild(&bench, keys);
        assert!(report.volumes[0].salvaged > 50, "{report:#?}");
        assert_eq!(members(&bench), before);
        assert_eq!(try_rebuild(&bench, &[], keys).unwrap().members, 0);
        // The next task writes the index that is missing and goes on.
        bench.backup(|_| {});
        assert!(export(&bench).iter().all(|line| !line.starts_with("part ") || !line.contains("index=None")));
        assert_restores(&bench, Some("1"), keys);
        assert_verified(&bench, keys);
    }
}

#[test]
fn a_member_whose_end_has_no_index_is_put_together() {
    for (compression, encrypt) in [(Compression::None, false), (Compression::Zstd(1), true)] {
        let bench = Bench::new().small_cartridges(6, 12 << 20);
        awkward(&bench, 30 << 20);
        let identity = Identity::generate().unwrap();
        bench.backup(|request| {
            request.compression = compression;
            request.recipients = if encrypt { vec![identity.recipient()] } else { Vec::new() };
        });
        let before = export(&bench);
        assert!(before.iter().any(|line| line.starts_with("fragment ")));
        let wanted =
            |line: &&String| ["member ", "archive ", "fragment "].iter().any(|kind| line.starts_with(kind));
        cut(&bench, only_part(&bench).index_block.unwrap());
        forget(&bench);
        rebuild(&bench, std::slice::from_ref(&identity));
        let after = export(&bench);
        for (now, then) in after.iter().filter(wanted).zip(before.iter().filter(wanted)) {
            // A directory that goes on in a part without an index has two stretches.
            assert_eq!(without_counts(now), without_counts(then));
        }
        // What was seen stands in the index only.
        let counted = |lines: &[String]| lines.iter().filter(|line| !line.starts_with("seen ")).count();
        assert_eq!(counted(&after), counted(&before));
        assert_verified(&bench, std::slice::from_ref(&identity));
        assert_restores(&bench, None, &[identity]);
    }
}

#[test]
fn what_was_never_finished_is_left_out_and_overwritten() {
    // In the second archive of the set, and in the first.
    for archive in [1, 0] {
        let bench = Bench::new();
        awkward(&bench, 9 << 20);
        bench.backup(|request| request.checkpoint_bytes = 2 << 20);
        let before = members(&bench);
        let part = only_part(&bench);
        let archives = bench.open().catalog().archives_of(part.set).unwrap();
        cut(&bench, archives[archive].block + 1);
        forget(&bench);
        let report = rebuild(&bench, &[]);
        assert_eq!(report.incomplete.len(), 1, "{report:#?}");
        let first = format!("archive={archive} ");
        let now: Vec<String> =
            members(&bench).into_iter().filter(|line| line.starts_with("member")).collect();
        let kept: Vec<String> = before
            .into_iter()
            .filter(|line| archive > 0 && line.starts_with("member") && line.contains(&first))
            .map(|line| without_counts(&line))
            .collect();
        assert_eq!(now.iter().map(|line| without_counts(line)).collect::<Vec<_>>(), kept);
        bench.backup(|_| {});
        assert_verified(&bench, &[]);
        assert_restores(&bench, Some("latest"), &[]);
    }
}

/// A directory holds less when not all of it came; frames that were found by themselves may be joined otherwise.
fn without_counts(line: &str) -> String {
    line.split(" direct=").next().unwrap().split(" frames=").next().unwrap().to_owned()
}

#[test]
fn blank_and_foreign_cartridges_are_told_and_left_alone() {
    let bench = Bench::new().few_files();
    bench.open().library_load("RW0003L9").unwrap();
    let mut drive = bench.other_program();
    drive.write(b"TAPEBACKARR|Week 1|1234|pool|17").unwrap();
    drive.write_filemarks(1, false).unwrap();
    drop(drive);
    let before = bench.cartridge("RW0003L9");
    bench.open().library_unload().unwrap();
    bench.backup(|_| {});
    forget(&bench);
    let report = rebuild(&bench, &[]);
    let found = |barcode: &str| report.volumes.iter().find(|v| v.cartridge == barcode).unwrap().found.clone();
    assert_eq!(found("RW0003L9"), "a TapeBackarr tape with the label Week 1 (1234)");
    assert_eq!(found("RW0004L9"), "a blank cartridge");
    assert_eq!(bench.cartridge("RW0003L9"), before);
    assert_eq!(bench.open().tapes().unwrap().len(), 1);
}
