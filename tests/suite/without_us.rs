//! The binary taken away: from exported cartridges, plain tools restore everything, following only the note on the tape.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use reelward::engine::Compression;
use reelward::format::age::Identity;

use crate::support::bench::Bench;
use crate::support::tree::{Awkward, assert_same};

/// What a person with a shell and the note has.
struct Person {
    folder: PathBuf,
    /// Chapter 3 of the note, as it stands.
    prepare: String,
}

impl Person {
    fn run(&self, script: &str) -> Output {
        Command::new("sh")
            .args(["-c", &format!("{}{script}", self.prepare)])
            .current_dir(&self.folder)
            .env("HOME", &self.folder)
            .env("LC_ALL", "C.UTF-8")
            .output()
            .unwrap()
    }

    fn ok(&self, script: &str) -> String {
        let output = self.run(script);
        assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// The indented lines of one chapter.
fn commands(note: &str, chapter: usize) -> String {
    let start = note.find(&format!("\n{chapter}. ")).unwrap();
    let end = note.find(&format!("\n{}. ", chapter + 1)).unwrap_or(note.len());
    note[start..end]
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// Archive files of the set on one exported tape, as its `set.json` names them.
fn archives(person: &Person, tape: &str) -> Vec<String> {
    let chapter = "for f in [0-9][0-9][0-9][0-9]; do head -c 8 $f | grep -q '^set.json' && echo $f; done";
    let index = person.ok(&format!("cd {tape}; {chapter}"));
    let json = person.ok(&format!("tar -xOf {tape}/{} set.json", index.trim()));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let list = json["archives"].as_array().unwrap();
    list.iter().map(|archive| format!("{tape}/{:04}", archive["file"].as_u64().unwrap())).collect()
}

fn restored_by_plain_tools(compression: Compression, encrypt: bool, capacity: u64, large: u64) {
    let bench = Bench::new().small_cartridges(16, capacity);
    Awkward { seed: 11, large, huge: false }.make(&bench.path("tree"));
    let identity = Identity::generate().unwrap();
    let stored = bench.backup(|request| {
        request.compression = compression;
        request.checkpoint_bytes = 7 << 20;
        request.recipients = if encrypt { vec![identity.recipient()] } else { Vec::new() };
    });
    let folder = bench.path("rescue");
    let library = bench.library();
    for (number, volume) in stored.volumes.iter().enumerate() {
        library.export(volume, &folder.join(format!("tape{number}"))).unwrap();
    }
    drop(library);
    std::fs::remove_dir_all(bench.path("state")).unwrap();
    std::fs::write(folder.join("age-key.txt"), identity.to_secret_text().as_bytes()).unwrap();

    let mut person = Person { folder: folder.clone(), prepare: String::new() };
    let note = person.ok("tar -xOf tape0/0000 README.txt");
    person.prepare = commands(&note, 3);
    let restore = "--numeric-owner --xattrs --xattrs-include='*' --acls -C restored";
    assert!(note.contains(restore), "the note says how");
    person.ok("mkdir restored");
    let all: Vec<String> =
        (0..stored.volumes.len()).flat_map(|number| archives(&person, &format!("tape{number}"))).collect();
    let folders = "--no-recursion --wildcards '*/'";
    assert!(note.contains(folders), "the note says how folders get their times");
    let mut second_pass = String::new();
    let mut split = 0;
    let mut at = 0;
    while at < all.len() {
        // Chapter 6; where tar says "Unexpected EOF in archive" chapter 8, with one more tape until it does not.
        let mut chain = vec![all[at].clone()];
        loop {
            let mut script = String::new();
            let mut files = String::new();
            for (number, file) in chain.iter().enumerate() {
                script += &format!("plain {file} > {number}.tar\n");
                files += &format!(" -f {number}.tar");
            }
            let many = if chain.len() > 1 { "M" } else { "" };
            let output = person.run(&format!("{script}tar -xp{many} {files} {restore} </dev/null"));
            if output.status.success() {
                second_pass +=
                    &format!("{script}tar -xp{many} {files} {restore} {folders} </dev/null || exit\n");
                break;
            }
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            let next = at + chain.len();
            assert!(next < all.len(), "{chain:?}: {told}");
            chain.push(all[next].clone());
            split += 1;
        }
        at += chain.len();
    }
    person.ok(&second_pass);
    if capacity < 1 << 30 {
        assert!(stored.volumes.len() >= 4 && split >= 3, "{} volumes, {split} splits", stored.volumes.len());
    }
    if std::env::var("KEEPIT").is_ok() {
        std::process::Command::new("cp")
            .args(["-a"])
            .arg(bench.directory())
            .arg("/tmp/kept")
            .status()
            .unwrap();
        std::fs::write("/tmp/kept.sh", &second_pass).unwrap();
    }
    let tree = bench.path("tree").canonicalize().unwrap();
    assert_same(&tree, &folder.join("restored").join(below_root(&tree)));
}

fn below_root(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap()
}

#[test]
fn plain() {
    restored_by_plain_tools(Compression::None, false, 4 << 30, 20 << 20);
}

#[test]
fn plain_over_small_volumes() {
    restored_by_plain_tools(Compression::None, false, 16 << 20, 64 << 20);
}

#[test]
fn compressed_over_small_volumes() {
    restored_by_plain_tools(Compression::Zstd(1), false, 16 << 20, 120 << 20);
}

#[test]
fn compressed_and_encrypted_over_small_volumes() {
    restored_by_plain_tools(Compression::Zstd(1), true, 16 << 20, 120 << 20);
}
