//! The recovery note, followed to the letter: its own lines are run by a shell.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::tar_header::*;
use super::volume::{VolumeFile, encode, recovery_note};
use super::zstd_frames::{FrameEncoder, PIECE};
use super::*;
use crate::format::age::{Encryptor, Identity};

fn file(path: &str, size: u64) -> Entry {
    Entry {
        path: path.as_bytes().to_vec(),
        kind: Kind::Regular,
        mode: 0o640,
        uid: 0,
        gid: 0,
        mtime: Timestamp { seconds: 1_700_000_000, nanoseconds: 5 },
        size,
        link: Vec::new(),
        device: (0, 0),
        xattrs: vec![(b"user.k".to_vec(), b"v".to_vec())],
        acl_access: None,
        acl_default: None,
        sparse: None,
    }
}

fn add(archive: &mut Vec<u8>, path: &str, data: &[u8]) {
    encode_entry(&file(path, data.len() as u64), archive);
    archive.extend_from_slice(data);
    archive.resize(archive.len() + padding(data.len() as u64), 0);
}

fn stored(stream: &[u8], zstd: bool, identity: Option<&Identity>) -> Vec<u8> {
    let mut packed = Vec::new();
    if zstd {
        let mut encoder = FrameEncoder::new(1).unwrap();
        stream.chunks(PIECE).for_each(|piece| encoder.encode(piece, &mut packed).unwrap());
    } else {
        packed.extend_from_slice(stream);
    }
    let Some(identity) = identity else { return packed };
    let (mut out, mut encryptor) = Encryptor::new(&[identity.recipient()]).unwrap();
    encryptor.encrypt_run(&packed, true, &mut out).unwrap();
    out
}

/// The command lines of one chapter.
fn commands(note: &str, chapter: usize) -> String {
    let start = note.find(&format!("\n{chapter}. ")).unwrap();
    let end = note.find(&format!("\n{}. ", chapter + 1)).unwrap_or(note.len());
    let lines = note[start..end].lines().filter_map(|line| line.strip_prefix("    "));
    lines.map(|line| format!("{line}\n")).collect()
}

fn shell(folder: &Path, home: &Path, script: &str) -> String {
    let mut command = Command::new("sh");
    command.args(["-c", script]).current_dir(folder).env("HOME", home).env("LC_ALL", "C.UTF-8");
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}\n{errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_note_works_as_it_stands() {
    let volume = VolumeFile::new("u".into(), "Label".into(), 262_144, "2026-01-02T03:04:05Z".into());
    let identity = Identity::generate().unwrap();
    let big: Vec<u8> = (0..700_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    for (zstd, encrypted) in [(false, false), (true, false), (false, true), (true, true)] {
        let identity = encrypted.then_some(&identity);
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        if let Some(identity) = identity {
            fs::write(root.join("age-key.txt"), format!("# key\n{}\n", *identity.to_secret_text())).unwrap();
        }
        let mut archive = Vec::new();
        encode_global("reelward v1 set=s part=1 archive=1", None, &mut archive);
        add(&mut archive, "path/of/the/file", b"one file");
        add(&mut archive, "path/of/NAME/000001", b"first ");
        add(&mut archive, "path/of/NAME/000002", b"second");
        add(&mut archive, "other", b"more");
        archive.extend_from_slice(&END_OF_ARCHIVE);
        let mut index = Vec::new();
        index_file::encode_start(b"{\"final\":true}\n", 100, encrypted, 0, &mut index);
        index.extend_from_slice(&[1; 100]);
        index_file::encode_end(100, &mut index);
        fs::write(root.join("0000"), encode(&volume).unwrap()).unwrap();
        fs::write(root.join("0001"), stored(&archive, zstd, identity)).unwrap();
        fs::write(root.join("0002"), index).unwrap();

        let note = shell(root, root, "tar -xOf 0000 README.txt");
        assert_eq!(note, recovery_note(&volume));
        assert!(note.is_ascii() && note.lines().all(|line| line.len() <= 120));
        let prepare = commands(&note, 3);
        let run = |chapter: usize| shell(root, root, &format!("{prepare}{}true", commands(&note, chapter)));
        assert_eq!(run(4), "0002\n{\"final\":true}\n");
        assert!(run(5).contains("path/of/the/file"));
        run(6);
        assert_eq!(fs::read(root.join("restored/path/of/the/file")).unwrap(), b"one file");
        assert_eq!(fs::read(root.join("restored/other")).unwrap(), b"more");
        fs::remove_dir_all(root.join("restored")).unwrap();
        fs::create_dir(root.join("restored")).unwrap();
        run(7);
        assert_eq!(fs::read(root.join("restored/path/of/the/file")).unwrap(), b"one file");
        assert!(!root.join("restored/other").exists());
        run(9);
        assert_eq!(fs::read(root.join("stream")).unwrap(), b"first second");

        // A member over two tapes.
        let (entry, cut) = (file("path/big", big.len() as u64), 1_024_000);
        let rest = (big.len() - cut) as u64;
        let mut first = Vec::new();
        encode_global("reelward v1 set=s part=1 archive=7", None, &mut first);
        add(&mut first, "before", b"b");
        encode_entry(&entry, &mut first);
        first.extend_from_slice(&big[..cut]);
        let mut second = Vec::new();
        let offset = volume_offset(&entry, rest);
        encode_global("reelward v1 set=s part=2 archive=8", Some((&entry.path, rest, offset)), &mut second);
        encode_fragment(&entry, 2, rest, offset, &mut second);
        second.extend_from_slice(&big[cut..]);
        second.resize(second.len() + padding(rest), 0);
        add(&mut second, "after", b"a");
        second.extend_from_slice(&END_OF_ARCHIVE);
        for (tape, number, archive) in [("tape1", "0007", first), ("tape2", "0001", second)] {
            fs::create_dir(root.join(tape)).unwrap();
            fs::write(root.join(tape).join(number), stored(&archive, zstd, identity)).unwrap();
        }
        run(8);
        assert!(fs::read(root.join("restored/path/big")).unwrap() == big);
        assert_eq!(fs::read(root.join("restored/after")).unwrap(), b"a");
    }
}
