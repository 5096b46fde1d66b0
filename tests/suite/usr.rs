//! The machine's own `/usr`, whole, on one volume and spread over several.

use std::path::Path;
use std::process::Command;

use crate::support::bench::Bench;

/// Bytes of `/usr` that a run takes at most; a machine with more gets its largest directories left out, and says so.
const MOST: u64 = 3 << 30;

fn size_of(path: &Path) -> u64 {
    let output = Command::new("du").args(["-sbx"]).arg(path).output().unwrap();
    String::from_utf8_lossy(&output.stdout)
        .split_whitespace()
        .next()
        .and_then(|n| n.parse().ok())
        .unwrap_or(0)
}

/// Directories two levels below `/usr` to leave out, the largest first, so that the rest is below [`MOST`].
fn too_large() -> (u64, Vec<String>) {
    let mut total = size_of(Path::new("/usr"));
    let mut found: Vec<(u64, String)> = Vec::new();
    for above in ["/usr/lib", "/usr/share", "/usr/local", "/usr/local/lib", "/usr/lib/x86_64-linux-gnu"] {
        let Ok(entries) = std::fs::read_dir(above) else { continue };
        for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            found.push((size_of(&entry.path()), entry.path().display().to_string()));
        }
    }
    found.sort_unstable_by(|a, b| b.cmp(a));
    let mut left_out: Vec<String> = Vec::new();
    for (size, path) in found {
        let nested = left_out
            .iter()
            .any(|out| path.starts_with(&format!("{out}/")) || out.starts_with(&format!("{path}/")));
        if total > MOST && !nested {
            total -= size;
            left_out.push(path);
        }
    }
    if !left_out.is_empty() {
        eprintln!("left out of /usr for its size: {left_out:?}; {total} bytes remain");
    }
    (total, left_out)
}

/// `rsync` sees no difference between `/usr` and what was restored, names on either side included.
fn assert_restored(restored: &Path, left_out: &[String]) {
    let mut command = Command::new("rsync");
    command.args(["-aHAXn", "--checksum", "--itemize-changes", "--delete", "--modify-window=-1"]);
    for path in left_out {
        command.arg(format!("--exclude={}", path.trim_start_matches("/usr")));
    }
    let output = command.arg("/usr/").arg(format!("{}/", restored.display())).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
}

fn there_and_back(bench: &Bench, left_out: &[String]) -> Vec<String> {
    let stored = bench.backup(|request| {
        request.paths = vec!["/usr".into()];
        request.exclude = left_out.to_vec();
    });
    assert_eq!(stored.problems, Vec::<String>::new());
    let report = bench.restore(|_| {});
    assert!(report.faults.is_empty(), "{:?}", report.faults);
    assert_restored(&bench.path("out/usr"), left_out);
    stored.volumes
}

#[test]
fn usr_comes_back_the_same() {
    let (total, left_out) = too_large();
    assert_eq!(there_and_back(&Bench::new(), &left_out).len(), 1);
    // And over at least four volumes, members split.
    let volumes = there_and_back(&Bench::new().small_cartridges(8, total / 4), &left_out);
    assert!(volumes.len() >= 4, "{volumes:?}");
}
