//! What is restored equals what was described.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::process::Command;

use rustix::fs::{FileType, XattrFlags};

use crate::format::v1::entry::Extent;

use super::*;

/// `cap_net_raw+ep` as the kernel stores it.
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 4096];
    let length = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
    value.truncate(length);
    Some(value)
}

fn faithful(target: &Path) -> Extractor {
    let options = ExtractOptions {
        overwrite: Overwrite::Always,
        special: true,
        keep_setid: true,
        ..ExtractOptions::default()
    };
    Extractor::new(target, options).unwrap()
}

/// Describes everything below `root`, directories first, as a walker would.
fn describe(root: &Path) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut first_names: std::collections::HashMap<u64, Vec<u8>> = std::collections::HashMap::new();
    for name in listing(root) {
        let path = root.join(&name);
        let meta = fs::symlink_metadata(&path).unwrap();
        let kind = match FileType::from_raw_mode(meta.mode()) {
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Symlink,
            FileType::CharacterDevice => Kind::CharDevice,
            FileType::BlockDevice => Kind::BlockDevice,
            FileType::Fifo => Kind::Fifo,
            _ => Kind::Regular,
        };
        let mut found = Entry {
            mode: meta.mode() & 0o7777,
            uid: meta.uid(),
            gid: meta.gid(),
            mtime: time(&path),
            device: (rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev())),
            ..entry(kind, &name)
        };
        if kind == Kind::Symlink {
            found.link = fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec();
        }
        if kind == Kind::Regular {
            found.size = meta.len();
            if let Some(first) = first_names.get(&meta.ino()) {
                (found.kind, found.link) = (Kind::HardLink, first.clone());
            } else {
                first_names.insert(meta.ino(), name.clone().into_bytes());
            }
        }
        let mut names = [0u8; 1024];
        let length = rustix::fs::llistxattr(&path, &mut names[..]).unwrap_or(0);
        for name in names[..length].split(|b| *b == 0).filter(|n| !n.is_empty()) {
            let value = attribute(&path, std::str::from_utf8(name).unwrap()).unwrap();
            match name {
                b"system.posix_acl_access" => found.acl_access = Some(value),
                b"system.posix_acl_default" => found.acl_default = Some(value),
                _ => found.xattrs.push((name.to_vec(), value)),
            }
        }
        entries.push(found);
    }
    entries
}

/// A tree with one of everything that this user may make.
fn build(root: &Path) {
    let set = |name: &str, attribute: &str, value: &[u8]| {
        rustix::fs::lsetxattr(root.join(name), attribute, value, XattrFlags::empty()).unwrap();
    };
    for dir in ["closed", "closed/in", "acl", "acl/below", "group"] {
        fs::create_dir(root.join(dir)).unwrap();
    }
    for name in
        ["plain", "closed/in/deep", "acl/f", "acl/below/f", "setid", "readonly", "two\nlines", "-dash"]
    {
        fs::write(root.join(name), name.repeat(1000)).unwrap();
    }
    fs::hard_link(root.join("plain"), root.join("acl/plain-again")).unwrap();
    std::os::unix::fs::symlink("../nowhere/\n", root.join("dangling")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, root.join("pipe"), FileType::Fifo, 0o640.into(), 0).unwrap();
    set("readonly", "user.note", b"\0binary\xff");
    set("acl/f", "system.posix_acl_access", &acl_for_1234(0, 7));
    set("acl/below", "system.posix_acl_access", &acl_for_1234(5, 5));
    set("acl/below", "user.dir", b"value");
    // After the files were made, so that they did not inherit it.
    set("acl", "system.posix_acl_default", &acl_for_1234(5, 7));
    if is_root() {
        for (name, kind) in [("null", FileType::CharacterDevice), ("block", FileType::BlockDevice)] {
            let device = rustix::fs::makedev(1, 3);
            rustix::fs::mknodat(rustix::fs::CWD, root.join(name), kind, 0o600.into(), device).unwrap();
        }
        std::os::unix::fs::lchown(root.join("setid"), Some(1234), Some(4321)).unwrap();
        std::os::unix::fs::lchown(root.join("dangling"), Some(77), Some(78)).unwrap();
        std::os::unix::fs::lchown(root.join("group"), Some(1234), Some(4321)).unwrap();
        std::os::unix::fs::lchown(root.join("pipe"), Some(1), Some(2)).unwrap();
        set("-dash", "security.capability", &CAPABILITY);
        set("dangling", "trusted.link", b"on a link");
    }
    for (name, mode) in
        [("setid", 0o6751), ("readonly", 0o444), ("group", 0o3770), ("closed/in", 0o500), ("closed", 0o000)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// Restores `from` into `to` and compares with rsync, which we did not write.
pub(super) fn round_trip(from: &Path, to: &Path) {
    build(from);
    // A plain user cannot look into a closed directory: describe it while it is open.
    use std::os::unix::fs::PermissionsExt;
    let open =
        |at: &Path, mode| fs::set_permissions(at.join("closed"), fs::Permissions::from_mode(mode)).unwrap();
    open(from, 0o700);
    let mut entries = describe(from);
    for entry in &mut entries {
        if entry.path == b"closed" {
            entry.mode = 0;
        }
    }
    let extractor = faithful(to);
    for entry in &entries {
        let outcome = match entry.kind {
            Kind::Regular => {
                let data = fs::read(from.join(std::str::from_utf8(&entry.path).unwrap())).unwrap();
                extractor.write_small(entry, &entry.path, &data).unwrap()
            }
            _ => other(&extractor, entry).unwrap(),
        };
        assert_eq!(outcome, Outcome::Created, "{entry:?}");
    }
    finish(&extractor);
    assert_eq!(mode(&to.join("closed")), 0);
    open(to, 0o700);
    assert_eq!(describe(from), describe(to));
    if Command::new("rsync").arg("--version").output().is_err() {
        eprintln!("rsync is not installed: compared by our own eyes only");
        return;
    }
    let compared = Command::new("rsync")
        .args(["-aHAXn", "--delete", "--checksum", "--itemize-changes"])
        .arg(format!("{}/", from.display()))
        .arg(to)
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&compared.stdout),
        "",
        "{}",
        String::from_utf8_lossy(&compared.stderr)
    );
    assert!(compared.status.success());
}

#[test]
fn a_tree_with_one_of_everything() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    round_trip(from.path(), to.path());
}

#[test]
fn a_directory_that_bequeaths_an_acl_does_not_change_what_is_restored_in_it() {
    let root = tempfile::tempdir().unwrap();
    let set = |value: &[u8]| {
        rustix::fs::setxattr(root.path(), "system.posix_acl_default", value, XattrFlags::empty()).unwrap();
    };
    set(&acl_for_1234(5, 7));
    let extractor = faithful(root.path());
    file(&extractor, "f", b"x").unwrap();
    directory(&extractor, "d").unwrap();
    other(&extractor, &entry(Kind::Fifo, "p")).unwrap();
    finish(&extractor);
    for name in ["f", "d", "p"] {
        let path = root.path().join(name);
        assert_eq!(attribute(&path, "system.posix_acl_access"), None, "{name}");
        assert_eq!(attribute(&path, "system.posix_acl_default"), None, "{name}");
        assert_eq!(mode(&path), if name == "d" { 0o755 } else { 0o644 });
    }
}

#[test]
fn holes_stay_holes() {
    const MIB: u64 = 1 << 20;
    let root = tempfile::tempdir().unwrap();
    let extractor = faithful(root.path());
    let extents = vec![
        Extent { offset: MIB, length: 4096 },
        Extent { offset: 5 * MIB, length: 8192 },
        Extent { offset: 9 * MIB, length: 0 },
    ];
    let sparse = Entry { size: 20 * MIB, sparse: Some(extents), ..entry(Kind::Regular, "s") };
    let data: Vec<u8> = (0..12_288u32).map(|n| n as u8 | 1).collect();
    let Begun::File(mut sink) = extractor.begin(&sparse, b"s").unwrap() else { panic!() };
    for piece in data.chunks(1000) {
        sink.write(piece).unwrap();
    }
    assert_eq!(sink.finish().unwrap(), Outcome::Created);
    let mut wanted = vec![0u8; 20 * MIB as usize];
    wanted[MIB as usize..][..4096].copy_from_slice(&data[..4096]);
    wanted[5 * MIB as usize..][..8192].copy_from_slice(&data[4096..]);
    assert!(fs::read(root.path().join("s")).unwrap() == wanted);
    assert!(fs::metadata(root.path().join("s")).unwrap().blocks() * 512 <= 64 * 1024);
    // Nothing but a hole.
    let hole = Entry { size: MIB, sparse: Some(Vec::new()), ..entry(Kind::Regular, "h") };
    extractor.write_small(&hole, b"h", b"").unwrap();
    let meta = fs::metadata(root.path().join("h")).unwrap();
    assert_eq!((meta.len(), meta.blocks()), (MIB, 0));
    assert_eq!(time(&root.path().join("h")), hole.mtime);
}

#[test]
fn set_id_bits_and_capabilities_by_policy() {
    let root = tempfile::tempdir().unwrap();
    let setid = Entry { mode: 0o6755, ..entry(Kind::Regular, "s") };
    let dropped = |extractor: &Extractor| {
        let warnings = extractor.take_warnings();
        warnings.iter().filter(|w| matches!(w, ExtractError::PrivilegeDropped { .. })).count()
    };
    let plain = extractor(root.path(), Overwrite::Always);
    plain.write_small(&setid, b"s", b"").unwrap();
    assert_eq!((mode(&root.path().join("s")), dropped(&plain)), (0o755, 2));
    faithful(root.path()).write_small(&setid, b"s", b"").unwrap();
    assert_eq!(mode(&root.path().join("s")), 0o6755);
    // Another's set-id file that becomes ours must not run as us.
    let options = ExtractOptions {
        owners: Owners::Never,
        keep_setid: true,
        overwrite: Overwrite::Always,
        ..ExtractOptions::default()
    };
    let ours = Extractor::new(root.path(), options).unwrap();
    let foreign = Entry { uid: 1234, gid: 4321, ..setid };
    ours.write_small(&foreign, b"s", b"").unwrap();
    assert_eq!((mode(&root.path().join("s")), dropped(&ours)), (0o755, 2));
    // Directories keep theirs: there they are no privilege.
    other(&plain, &Entry { mode: 0o2755, ..entry(Kind::Directory, "d") }).unwrap();
    finish(&plain);
    assert_eq!(mode(&root.path().join("d")), 0o2755);
    if is_root() {
        let xattrs = vec![(b"security.capability".to_vec(), CAPABILITY.to_vec())];
        let capable = Entry { uid: 1234, xattrs, ..entry(Kind::Regular, "c") };
        plain.write_small(&capable, b"c", b"").unwrap();
        assert_eq!(attribute(&root.path().join("c"), "security.capability"), None);
        assert_eq!(dropped(&plain), 1);
        faithful(root.path()).write_small(&capable, b"c", b"").unwrap();
        assert_eq!(attribute(&root.path().join("c"), "security.capability"), Some(CAPABILITY.to_vec()));
    }
}

#[test]
fn attributes_that_cannot_be_set_are_warnings() {
    let root = tempfile::tempdir().unwrap();
    let extractor = faithful(root.path());
    let odd = Entry {
        mode: 0o070,
        uid: u32::MAX,
        xattrs: vec![(b"nonsense".to_vec(), b"x".to_vec()), (b"user.good".to_vec(), b"x".to_vec())],
        acl_access: Some([&[9, 0, 0, 0][..], &acl_for_1234(0, 7)[4..]].concat()),
        ..entry(Kind::Regular, "f")
    };
    assert_eq!(extractor.write_small(&odd, b"f", b"").unwrap(), Outcome::Created);
    let warnings = extractor.take_warnings();
    let owners = usize::from(is_root());
    assert_eq!(warnings.len(), 2 + owners, "{warnings:?}");
    assert!(extractor.take_warnings().is_empty());
    // The mask of the lost ACL does not become the group's right.
    let path = root.path().join("f");
    assert_eq!(mode(&path), 0);
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(attribute(&path, "user.good"), Some(b"x".to_vec()));
}

#[test]
fn parents_that_the_archive_lacks_and_parents_that_come_late() {
    let root = tempfile::tempdir().unwrap();
    let extractor = faithful(root.path());
    file(&extractor, "a/b/f", b"x").unwrap();
    assert_eq!(mode(&root.path().join("a")) & 0o755, 0o755 & mode(&root.path().join("a")));
    let late = Entry { mode: 0o501, ..entry(Kind::Directory, "a/b") };
    assert_eq!(other(&extractor, &late).unwrap(), Outcome::Created);
    assert_eq!(mode(&root.path().join("a/b")), 0o700);
    file(&extractor, "a/b/g", b"x").unwrap();
    finish(&extractor);
    assert_eq!((mode(&root.path().join("a/b")), time(&root.path().join("a/b"))), (0o501, late.mtime));
}

#[test]
fn times_before_the_epoch_and_pipes_that_do_not_block() {
    let root = tempfile::tempdir().unwrap();
    let extractor = faithful(root.path());
    let mtime = Timestamp { seconds: -5, nanoseconds: 999_999_999 };
    other(&extractor, &Entry { mtime, mode: 0o620, ..entry(Kind::Fifo, "p") }).unwrap();
    finish(&extractor);
    let path = root.path().join("p");
    assert!(fs::symlink_metadata(&path).unwrap().file_type().is_fifo());
    assert_eq!((time(&path), mode(&path)), (mtime, 0o620));
}

/// Where there are no unnamed files, no extended attributes or no openat2, the result is the same.
#[test]
fn without_unnamed_files_and_openat2() {
    let root = tempfile::tempdir().unwrap();
    let extractor = faithful(root.path());
    extractor.inner.unnamed.store(false, Ordering::Relaxed);
    extractor.inner.resolver.without_openat2();
    for _ in 0..2 {
        file(&extractor, "a/b/f", b"content").unwrap();
    }
    let refused = extractor.write_small(&Entry { size: 9, ..entry(Kind::Regular, "g") }, b"g", b"short");
    assert!(refused.is_err());
    std::os::unix::fs::symlink("/", root.path().join("out")).unwrap();
    assert!(matches!(file(&extractor, "out/tmp/x", b""), Err(ExtractError::Blocked { .. })));
    finish(&extractor);
    assert_eq!(listing(root.path()), ["a", "a/b", "a/b/f", "out"]);
    assert_eq!(mode(&root.path().join("a/b/f")), 0o644);
}
