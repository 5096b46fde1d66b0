//! A machine for tests: small `/sys`, `/dev` and `/proc` as a kernel with SCSI tape devices shows them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::sysfs::Roots;

/// The trees; they go with this value.
pub struct Fake(tempfile::TempDir);

/// One logical unit as sysfs shows it.
#[derive(Debug, Clone)]
pub struct FakeUnit {
    /// Peripheral device type.
    pub kind: u8,
    /// `H:C:T:L`.
    pub address: String,
    /// N of `sgN`.
    pub generic: Option<u32>,
    /// N of `stN`.
    pub tape: Option<u32>,
    /// N of `schN`.
    pub changer: Option<u32>,
    /// VPD page 80h.
    pub serial: Option<String>,
    /// Vendor, product, revision.
    pub words: [&'static str; 3],
}

impl FakeUnit {
    /// A drive with `sgN` and `stM`.
    pub fn drive(address: &str, generic: u32, tape: u32, serial: &str) -> FakeUnit {
        FakeUnit {
            kind: 1,
            address: address.into(),
            generic: Some(generic),
            tape: Some(tape),
            changer: None,
            serial: Some(serial.into()),
            words: ["IBM     ", "ULTRIUM-HH8     ", "N9M1"],
        }
    }

    /// A changer with `sgN` and `schM`.
    pub fn changer(address: &str, generic: u32, changer: u32, serial: &str) -> FakeUnit {
        FakeUnit {
            kind: 8,
            tape: None,
            changer: Some(changer),
            words: ["IBM     ", "3573-TL         ", "F.11"],
            ..FakeUnit::drive(address, generic, 0, serial)
        }
    }
}

impl Fake {
    /// A machine without SCSI.
    pub fn new() -> Fake {
        let root = tempfile::tempdir().unwrap();
        for directory in ["sys", "dev", "proc"] {
            fs::create_dir(root.path().join(directory)).unwrap();
        }
        Fake(root)
    }

    /// Where the trees stand.
    pub fn roots(&self) -> Roots {
        Roots { sys: self.path("sys"), dev: self.path("dev"), proc: self.path("proc") }
    }

    /// A path below the root, without links in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().canonicalize().unwrap().join(name)
    }

    /// The path as it would stand below `/`, without the slash.
    pub fn relative(&self, path: &Path) -> String {
        path.strip_prefix(self.path("")).unwrap().display().to_string()
    }

    /// Writes a file and the directories above it.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// A host adapter.
    pub fn host(&self, number: u32, driver: &str, sg_tablesize: u32) {
        let class = format!("sys/class/scsi_host/host{number}");
        self.write(&format!("{class}/proc_name"), format!("{driver}\n"));
        self.write(&format!("{class}/sg_tablesize"), format!("{sg_tablesize}\n"));
    }

    /// A logical unit with its nodes.
    pub fn unit(&self, unit: &FakeUnit) {
        let device = format!("sys/devices/pci0/{}", unit.address);
        let file = |name: &str, content: &[u8]| self.write(&format!("{device}/{name}"), content);
        file("type", format!("{}\n", unit.kind).as_bytes());
        for (name, word) in ["vendor", "model", "rev"].into_iter().zip(unit.words) {
            file(name, format!("{word}\n").as_bytes());
        }
        file("state", b"running\n");
        if let Some(serial) = &unit.serial {
            let length = u8::try_from(serial.len()).unwrap();
            file("vpd_pg80", &[&[unit.kind, 0x80, 0, length], serial.as_bytes()].concat());
            // The logical unit by NAA, and a port that differs on every path.
            let mut name = [0x50, 0, 0xe1, 0x11, 0, 0, 0, unit.kind];
            name[4..7].copy_from_slice(&crc(serial));
            let port = unit.address.bytes().fold(0u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
            let unit_name = [&[0x01, 0x03, 0, 8][..], &name].concat();
            let port_name = [0x01, 0x13, 0, 8, 0x50, 0, 0xe1, 0x11, 9, 9, 9, port];
            let list = [&unit_name[..], &port_name].concat();
            let header = [unit.kind, 0x83, 0, u8::try_from(list.len()).unwrap()];
            file("vpd_pg83", &[&header[..], &list].concat());
        }
        let nodes = [
            ("scsi_generic", unit.generic.map(|number| vec![format!("sg{number}")])),
            (
                "scsi_tape",
                unit.tape.map(|n| {
                    vec![format!("nst{n}a"), format!("nst{n}"), format!("st{n}"), format!("st{n}l")]
                }),
            ),
            ("scsi_changer", unit.changer.map(|number| vec![format!("sch{number}")])),
        ];
        for (class, names) in nodes {
            for name in names.into_iter().flatten() {
                fs::create_dir_all(self.path(&format!("{device}/{class}/{name}"))).unwrap();
                let shown = self.path(&format!("sys/class/{class}/{name}"));
                fs::create_dir_all(&shown).unwrap();
                symlink(self.path(&device), shown.join("device")).unwrap();
                self.write(&format!("dev/{name}"), "");
            }
        }
        let bus = self.path("sys/bus/scsi/devices");
        fs::create_dir_all(&bus).unwrap();
        symlink(self.path(&device), bus.join(&unit.address)).unwrap();
    }

    /// A link below `/dev/tape/by-id`.
    pub fn link(&self, name: &str, node: &str) {
        fs::create_dir_all(self.path("dev/tape/by-id")).unwrap();
        symlink(format!("../../{node}"), self.path("dev/tape/by-id").join(name)).unwrap();
    }

    /// A process with files open.
    pub fn process(&self, pid: u32, program: &str, open: &[&str]) {
        self.write(&format!("proc/{pid}/comm"), format!("{program}\n"));
        fs::create_dir_all(self.path(&format!("proc/{pid}/fd"))).unwrap();
        for (number, name) in open.iter().enumerate() {
            symlink(self.path(name), self.path(&format!("proc/{pid}/fd/{number}"))).unwrap();
        }
    }
}

/// Three bytes that differ with the text.
fn crc(text: &str) -> [u8; 3] {
    let [_, a, b, c] = crc32c::crc32c(text.as_bytes()).to_be_bytes();
    [a, b, c]
}
