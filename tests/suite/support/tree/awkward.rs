//! A tree with everything in it that backup programs stumble over.

use std::ffi::OsStr;
use std::fs::{self, File, FileTimes, OpenOptions, Permissions};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, XattrFlags};

use crate::support::random::Random;

/// Longest path below the tree's root; with the root's own path it must stay under 4096.
const DEEP_PATH: usize = 4000;

/// How to make the tree.
#[derive(Debug, Clone, Copy)]
pub struct Awkward {
    /// The same seed gives the same tree.
    pub seed: u64,
    /// Bytes of `large.bin`, half compressible; 0 leaves it out.
    pub large: u64,
    /// Whether to make a sparse file of more than 8 GiB, which every comparison reads through.
    pub huge: bool,
}

impl Default for Awkward {
    fn default() -> Self {
        Awkward { seed: 1, large: 300 << 20, huge: false }
    }
}

/// Makes the whole tree, a large file of 300 MiB included, in `dir`, which may exist.
pub fn make_awkward(dir: &Path) {
    Awkward::default().make(dir);
}

impl Awkward {
    /// Makes the tree in `dir`. Without root there is no device node and no file that its owner cannot read.
    pub fn make(&self, dir: &Path) {
        fs::create_dir_all(dir).unwrap();
        let mut random = Random::new(self.seed);
        names(&dir.join("names"), &mut random);
        deep(dir);
        links(&dir.join("links"), &mut random);
        special(&dir.join("special"));
        sparse(&dir.join("sparse"), &mut random, self.huge);
        modes(&dir.join("modes"), &mut random);
        attributes(&dir.join("attributes"), &mut random);
        many(&dir.join("many"), &mut random);
        if self.large > 0 {
            large(&dir.join("large.bin"), self.large, &mut random);
        }
        // Last: making entries moves the times of their directories.
        times(&dir.join("times"));
        set_mtime(dir, SystemTime::UNIX_EPOCH + Duration::new(1_600_000_000, 987_654_321));
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn file(path: impl AsRef<Path>, content: &[u8]) {
    fs::write(path.as_ref(), content).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()));
}

fn random_file(path: impl AsRef<Path>, random: &mut Random, bound: u64) {
    let length = usize::try_from(random.below(bound)).unwrap();
    file(path, &random.bytes(length));
}

fn set_mtime(path: &Path, time: SystemTime) {
    File::open(path).unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
}

fn names(dir: &Path, random: &mut Random) {
    fs::create_dir_all(dir).unwrap();
    let long = "l".repeat(255);
    let long_utf8 = "ü".repeat(127);
    let names: [&[u8]; 22] = [
        b"new\nline",
        b"\nnewline first and last\n",
        b" spaces  inside and around ",
        b"-",
        b"--",
        b"-rf",
        b"--checkpoint-action=exec=false",
        b"tab\tand\rreturn",
        b"back\\slash \\n not a newline",
        b"*?[a-z]{x,y}$(false)`false`;&|<>",
        b"'single' and \"double\"",
        b"percent%sign%s%n",
        b"...",
        b"..hidden",
        b".dot",
        b"~",
        b"\x01\x1b[31mcontrol\x7f",
        b"latin1-\xe4\xf6\xfc",
        b"invalid-\xff\xfe\xc3\x28",
        "日本語-привет-😀".as_bytes(),
        long.as_bytes(),
        long_utf8.as_bytes(),
    ];
    for name in names {
        random_file(dir.join(OsStr::from_bytes(name)), random, 2000);
    }
    for name in [&b"dir\nnewline"[..], b"-dir", b"dir \xff", long.replace('l', "d").as_bytes()] {
        let inner = dir.join(OsStr::from_bytes(name));
        fs::create_dir(&inner).unwrap();
        random_file(inner.join(OsStr::from_bytes(name)), random, 2000);
    }
    // Around the limits of a ustar header: 100 bytes, 155 + 100.
    for length in [99, 100, 101, 154, 155, 156] {
        let inner = dir.join("u".repeat(length));
        fs::create_dir(&inner).unwrap();
        for length in [98, 99, 100, 101] {
            file(inner.join("v".repeat(length)), b"limit");
        }
    }
}

/// A chain of directories made one component at a time.
fn deep(dir: &Path) {
    let mut at: OwnedFd = rustix::fs::open(dir, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    let mut room = DEEP_PATH.min(4095 - 1 - dir.as_os_str().len());
    let mut first = true;
    while room > 1 {
        let length = (room - 1).min(255);
        let name = if first { format!("deep{}", "p".repeat(length - 4)) } else { "p".repeat(length) };
        room -= length + 1;
        if room <= 1 {
            let mode = Mode::RUSR | Mode::WUSR;
            let fd = rustix::fs::openat(&at, &name, OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC, mode);
            File::from(fd.unwrap()).write_all(b"at the bottom").unwrap();
            return;
        }
        rustix::fs::mkdirat(&at, &name, Mode::RWXU).unwrap();
        at = rustix::fs::openat(&at, &name, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        first = false;
    }
}

fn links(dir: &Path, random: &mut Random) {
    fs::create_dir_all(dir.join("elsewhere")).unwrap();
    random_file(dir.join("hard-1"), random, 100_000);
    fs::hard_link(dir.join("hard-1"), dir.join("hard-2")).unwrap();
    fs::hard_link(dir.join("hard-1"), dir.join("elsewhere/hard-3")).unwrap();
    file(dir.join("empty-1"), b"");
    fs::hard_link(dir.join("empty-1"), dir.join("empty-2")).unwrap();
    let target = "t".repeat(1500);
    let targets: [&[u8]; 8] = [
        b"hard-1",
        b"nowhere",
        b"/absolute/nowhere",
        b"../..",
        b".",
        b"loop\n\xff",
        b"-rf",
        target.as_bytes(),
    ];
    for (index, target) in targets.into_iter().enumerate() {
        symlink(OsStr::from_bytes(target), dir.join(format!("symlink-{index}"))).unwrap();
    }
    symlink("loop", dir.join("loop")).unwrap();
    symlink("elsewhere", dir.join("to-directory")).unwrap();
    fs::hard_link(dir.join("symlink-1"), dir.join("symlink-1-again")).unwrap();
}

fn special(dir: &Path) {
    fs::create_dir_all(dir.join("empty-directory/empty-inside")).unwrap();
    file(dir.join("empty"), b"");
    node(&dir.join("fifo"), FileType::Fifo, 0);
    if is_root() {
        node(&dir.join("null"), FileType::CharacterDevice, rustix::fs::makedev(1, 3));
        node(&dir.join("loop0"), FileType::BlockDevice, rustix::fs::makedev(7, 0));
    }
}

fn node(path: &Path, kind: FileType, device: u64) {
    rustix::fs::mknodat(CWD, path, kind, Mode::RUSR | Mode::WUSR, device).unwrap();
}

fn sparse(dir: &Path, random: &mut Random, huge: bool) {
    fs::create_dir_all(dir).unwrap();
    let make = |name: &str, length: u64, extents: &[(u64, &[u8])]| {
        let made = File::create(dir.join(name)).unwrap();
        extents.iter().for_each(|(offset, data)| made.write_all_at(data, *offset).unwrap());
        made.set_len(length).unwrap();
        made.sync_all().unwrap();
    };
    let data = random.bytes(70_000);
    make("hole-only", 64 << 20, &[]);
    make("hole-first", 16 << 20, &[((16 << 20) - 4096, &data[..4096])]);
    make("hole-last", (16 << 20) + 17, &[(0, &data[..5000])]);
    make(
        "several",
        100 << 20,
        &[(0, &data[..1]), (1 << 20, &data), (50 << 20, &data[..3]), (99 << 20, &data[..9999])],
    );
    let islands: Vec<(u64, &[u8])> = (0..64).map(|n| (n * 65_536 + 4096, &data[..4096])).collect();
    make("islands", 64 * 65_536, &islands);
    if huge {
        make("beyond-8-gib", (8 << 30) + (1 << 20), &[(8 << 30, &data[..100])]);
    }
}

fn modes(dir: &Path, random: &mut Random) {
    fs::create_dir_all(dir).unwrap();
    let readable = if is_root() { 0 } else { 0o400 };
    for mode in
        [0o000, 0o001, 0o111, 0o200, 0o400, 0o444, 0o600, 0o640, 0o755, 0o777, 0o1644, 0o2755, 0o4755, 0o6711]
    {
        let path = dir.join(format!("{mode:04o}"));
        random_file(&path, random, 3000);
        if is_root() && mode % 2 == 1 {
            std::os::unix::fs::lchown(&path, Some(1000), Some(4_000_000)).unwrap();
        }
        fs::set_permissions(&path, Permissions::from_mode(mode | readable)).unwrap();
    }
    for mode in [0o000, 0o555, 0o700, 0o1777, 0o2775] {
        let path = dir.join(format!("d{mode:04o}"));
        fs::create_dir(&path).unwrap();
        random_file(path.join("inside"), random, 3000);
        // A directory that its owner cannot write could not be removed afterwards.
        let usable = if is_root() { 0 } else { 0o700 };
        fs::set_permissions(&path, Permissions::from_mode(mode | usable)).unwrap();
    }
}

fn attributes(dir: &Path, random: &mut Random) {
    fs::create_dir_all(dir).unwrap();
    let large = random.bytes(2000);
    for name in ["file", "directory"] {
        let path = dir.join(name);
        if name == "file" {
            file(&path, b"attributes")
        } else {
            fs::create_dir(&path).unwrap()
        }
        set_xattr(&path, "user.plain", b"value");
        set_xattr(&path, "user.empty", b"");
        set_xattr(&path, "user.binary=\n", b"\0\n=\xff\0");
        set_xattr(&path, "user.large", &large);
    }
    setfacl(&["-m", "u:12345:rwx,g:54321:r-x,m::rx"], &dir.join("file"));
    setfacl(&["-m", "u:12345:r,d:u:12345:rwx,d:g:54321:-,d:o::-"], &dir.join("directory"));
    file(dir.join("directory/inherits"), b"an ACL");
}

fn set_xattr(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::setxattr(path, name, value, XattrFlags::empty()).unwrap_or_else(|error| {
        panic!("{}: {name}: {error}: does the file system hold user xattrs?", path.display())
    });
}

fn setfacl(args: &[&str], path: &Path) {
    let status =
        Command::new("setfacl").args(args).arg("--").arg(path).status().expect("setfacl (Debian: acl)");
    assert!(status.success(), "setfacl {args:?} {}: {status}", path.display());
}

fn many(dir: &Path, random: &mut Random) {
    for directory in 0..10 {
        let inner: PathBuf = dir.join(format!("{directory:02}"));
        fs::create_dir_all(&inner).unwrap();
        for index in 0..100 {
            random_file(inner.join(format!("file-{index:03}.dat")), random, 9000);
        }
    }
    // Lengths around one tar block and one record.
    for length in [1, 511, 512, 513, 65_535, 65_536, 65_537, 262_143, 262_144, 262_145] {
        file(dir.join(format!("length-{length}")), &random.bytes(length));
    }
}

fn large(path: &Path, length: u64, random: &mut Random) {
    let mut out = OpenOptions::new().write(true).create(true).truncate(true).open(path).unwrap();
    let mut buffer = vec![0; 1 << 20];
    let mut left = length;
    while left > 0 {
        let piece = usize::try_from(left.min(1 << 20)).unwrap();
        random.fill_half_compressible(&mut buffer[..piece]);
        out.write_all(&buffer[..piece]).unwrap();
        left -= piece as u64;
    }
}

fn times(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    let epoch = SystemTime::UNIX_EPOCH;
    let stamps = [
        ("nanoseconds", epoch + Duration::new(1_700_000_000, 123_456_789)),
        ("one-nanosecond", epoch + Duration::new(1_700_000_000, 1)),
        ("almost-a-second", epoch + Duration::new(1_700_000_000, 999_999_999)),
        ("epoch", epoch),
        ("before-1970", epoch - Duration::from_secs(86_400 * 365)),
        ("before-1970-fraction", epoch - Duration::new(86_400, 250_000_000)),
        ("just-before-1970", epoch - Duration::from_nanos(1)),
        ("after-2038", epoch + Duration::new(1 << 32, 5)),
    ];
    for (name, time) in stamps {
        file(dir.join(name), name.as_bytes());
        set_mtime(&dir.join(name), time);
    }
    symlink("nanoseconds", dir.join("symlink")).unwrap();
    let stamp = Timespec { tv_sec: 1_500_000_000, tv_nsec: 42 };
    let stamps = Timestamps { last_access: stamp, last_modification: stamp };
    rustix::fs::utimensat(CWD, dir.join("symlink"), &stamps, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    set_mtime(dir, epoch - Duration::new(3600, 5));
}
