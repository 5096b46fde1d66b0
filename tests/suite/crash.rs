//! kill -9 at random moments of a backup, by the real binary.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use reelward::catalog::FindQuery;
use reelward::format::v1::Kind;
use reelward::sources::extract::Overwrite;
use sha2::{Digest, Sha256};

use crate::support::bench::Bench;
use crate::support::random::Random;
use crate::support::reelward::Reelward;

/// Moments at which the backup dies.
const KILLS: usize = 200;

/// Content hashes of all regular files, by stored path.
fn hashes(tree: &Path) -> BTreeMap<Vec<u8>, [u8; 32]> {
    let mut found = BTreeMap::new();
    let mut folders = vec![tree.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                let stored = entry.path().strip_prefix("/").unwrap().as_os_str().as_bytes().to_vec();
                found.insert(stored, Sha256::digest(std::fs::read(entry.path()).unwrap()).into());
            }
        }
    }
    found
}

fn make_tree(tree: &Path, random: &mut Random) {
    for folder in 0..12 {
        let folder = tree.join(format!("d{folder:02}"));
        std::fs::create_dir_all(&folder).unwrap();
        for file in 0..16 {
            let length = if file == 7 { 1_500_000 } else { 1 + random.below(40_000) as usize };
            std::fs::write(folder.join(format!("f{file:02}")), random.bytes(length)).unwrap();
        }
    }
}

#[test]
fn kill_9_at_200_moments() {
    let bench = Bench::new();
    let tree = bench.directory().join("tree");
    let mut random = Random::new(0x6b69_6c6c);
    make_tree(&tree, &mut random);
    let tree = tree.canonicalize().unwrap();
    let original = hashes(&tree);
    let reelward = Reelward::new(bench.path("state"));
    let backup = |checkpoint: &str| {
        reelward.command(["backup", "--quiet", "--checkpoint-bytes", checkpoint, &tree.display().to_string()])
    };
    // A kill survives in the page cache; what fdatasync adds is for power cuts, and would take most of the time here.
    assert!(backup("1M").output().unwrap().status.success());
    bench.without_sync();
    let started = Instant::now();
    assert!(backup("1M").output().unwrap().status.success());
    let length = started.elapsed();

    let (mut cut_short, mut with_members, mut shown) = (0, 0, 0);
    for _ in 0..KILLS {
        let mut child = backup("1M")
            .stderr(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(random.below(length.as_micros() as u64 * 11 / 10)));
        let _ = child.kill(); // SIGKILL
        cut_short += usize::from(child.wait().unwrap().code().is_none());
        let appliance = bench.open();
        let Some(set) = appliance.catalog().sets().unwrap().into_iter().next_back() else { continue };
        drop(appliance);
        if set.members == 0 {
            continue;
        }
        with_members += 1;
        // Everything that is shown restores bit for bit, and nothing else is there.
        let out = bench.path("out");
        let report = bench.restore(|request| {
            request.set = Some(set.uuid.clone());
            request.target = out.clone();
            request.options.overwrite = Overwrite::Always;
        });
        assert!(report.faults.is_empty(), "{:?}", report.faults);
        let catalog = bench.open();
        let query = FindQuery { sets: vec![set.id], limit: u64::MAX, ..FindQuery::new(b"*") };
        let files: Vec<_> = catalog.catalog().find(&query).unwrap().rows;
        let restored = hashes(&out);
        let regular = files.iter().filter(|found| found.member.kind == Kind::Regular);
        assert_eq!(restored.len(), regular.clone().count());
        let below = out.strip_prefix("/").unwrap().as_os_str().as_bytes().len() + 1;
        for (path, sha256) in &restored {
            assert_eq!(original.get(&path[below..]), Some(sha256), "{}", String::from_utf8_lossy(path));
        }
        shown += restored.len();
        std::fs::remove_dir_all(&out).unwrap();
    }
    eprintln!(
        "{KILLS} kills: {cut_short} in mid-run, {with_members} sets with members, {shown} files shown and compared"
    );
    assert!(cut_short > KILLS / 2, "{cut_short} of {KILLS} kills met a running backup");

    // The next backup appends after the last checkpoint, and the volume is readable from end to end.
    assert!(backup("1M").output().unwrap().status.success());
    let verified: serde_json::Value = reelward.json(["verify"]);
    assert_eq!(
        verified["faults"].as_array().map(Vec::len).or(verified["faults"].as_u64().map(|n| n as usize)),
        Some(0),
        "{verified}"
    );
    let volume = bench.open().catalog().volumes().unwrap().remove(0);
    let tapes = bench.path("exported");
    let files = bench.library().export(volume.barcode.as_deref().unwrap(), &tapes).unwrap();
    assert!(files > 100, "{files} tape files");
    for number in 0..files {
        let file = tapes.join(format!("{number:04}"));
        let listed = std::process::Command::new("tar").arg("-tf").arg(&file).output().unwrap();
        assert!(listed.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&listed.stderr));
    }
}
