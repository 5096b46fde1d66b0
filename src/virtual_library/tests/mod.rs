//! Tests at the seam: CDBs in, status and sense out.

mod changer;
mod data;
mod faults;
mod pages;
mod random;
mod security;
mod store;

use std::time::Duration;

use super::*;
use crate::scsi::generation::Generation;
use crate::scsi::{Data, Reply, Status, Transport, TransportError};

const LIMIT: Duration = Duration::from_secs(1);
const MIB: usize = 1 << 20;

fn layout() -> Layout {
    Layout {
        drives: 2,
        slots: 6,
        import_export: 2,
        cartridges: 4,
        generation: Generation::Lto9,
        capacity: Some(8 << 20),
        cleaning_cartridge: true,
        discard: false,
    }
}

/// A library in a directory of its own; without flushes to the disk, the tests need none.
struct Rig {
    directory: tempfile::TempDir,
    library: VirtualLibrary,
}

impl Rig {
    fn new(layout: &Layout) -> Rig {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("library");
        drop(VirtualLibrary::create(&path, layout).unwrap());
        let text = fs::read_to_string(path.join("library.json")).unwrap();
        fs::write(path.join("library.json"), text.replace("\"sync\": true", "\"sync\": false")).unwrap();
        let library = VirtualLibrary::open(&path).unwrap();
        Rig { directory, library }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("library")
    }

    /// Drive 0 with the first cartridge, unit attentions taken.
    fn loaded(layout: &Layout) -> (Rig, Unit0) {
        let rig = Rig::new(layout);
        let mut changer = rig.changer();
        changer.good(&mv(1024, 256));
        let drive = rig.drive0();
        (rig, drive)
    }

    fn changer(&self) -> Unit0 {
        let mut unit = Unit0(Box::new(self.library.changer()));
        unit.quiet();
        unit
    }

    fn drive0(&self) -> Unit0 {
        let mut unit = Unit0(Box::new(self.library.drive(0).unwrap()));
        unit.quiet();
        unit
    }

    /// Kills the "process" and opens the library again.
    fn killed(self) -> Rig {
        self.library.kill();
        let library = VirtualLibrary::open(&self.path()).unwrap();
        Rig { directory: self.directory, library }
    }
}

/// One unit, with the phases of a command as functions.
struct Unit0(Box<dyn Transport>);

/// Sense key, ASC, ASCQ, the FM/EOM/ILI bits, and INFORMATION.
type Sense = (u8, u8, u8, u8, i32);

fn sense(reply: &Reply) -> Sense {
    assert_eq!(reply.status, Status::CheckCondition, "{reply:?}");
    let s = &reply.sense;
    (s[2] & 0x0f, s[12], s[13], s[2] & 0xe0, i32::from_be_bytes([s[3], s[4], s[5], s[6]]))
}

fn key(reply: &Reply) -> (u8, u8, u8) {
    let sense = sense(reply);
    (sense.0, sense.1, sense.2)
}

impl Unit0 {
    fn run(&mut self, cdb: &[u8], data: Data<'_>) -> Reply {
        self.0.execute(cdb, data, LIMIT).unwrap()
    }

    fn quiet(&mut self) {
        while self.run(&[0; 6], Data::None).sense.get(2) == Some(&6) {}
    }

    fn none(&mut self, cdb: &[u8]) -> Reply {
        self.run(cdb, Data::None)
    }

    fn good(&mut self, cdb: &[u8]) {
        let reply = self.none(cdb);
        assert_eq!(reply.status, Status::Good, "{cdb:02x?}: {:02x?}", reply.sense);
    }

    fn get(&mut self, cdb: &[u8]) -> Vec<u8> {
        let mut buffer = vec![0xee; 65536];
        let reply = self.run(cdb, Data::In(&mut buffer));
        assert_eq!(reply.status, Status::Good, "{cdb:02x?}: {:02x?}", reply.sense);
        buffer.truncate(reply.transferred);
        buffer
    }

    fn put(&mut self, cdb: &[u8], bytes: &[u8]) -> Reply {
        self.run(cdb, Data::Out(bytes))
    }

    fn write(&mut self, bytes: &[u8]) -> Reply {
        self.put(&write6(bytes.len(), 0), bytes)
    }

    fn wrote(&mut self, bytes: &[u8]) {
        let reply = self.write(bytes);
        assert_eq!(reply.status, Status::Good, "{:02x?}", reply.sense);
        assert_eq!(reply.transferred, bytes.len());
    }

    fn read(&mut self, length: usize) -> (Reply, Vec<u8>) {
        let mut buffer = vec![0; length];
        let reply = self.run(&read6(length, 0), Data::In(&mut buffer));
        buffer.truncate(reply.transferred);
        (reply, buffer)
    }

    fn marks(&mut self, count: u8) {
        self.good(&[0x10, 0, 0, 0, count, 0]);
    }

    fn rewind(&mut self) {
        self.good(&[0x01, 0, 0, 0, 0, 0]);
    }

    fn locate(&mut self, block: u64) -> Reply {
        self.none(&locate(block))
    }

    /// Block and file number, and the flags.
    fn position(&mut self) -> (u64, u64, u8) {
        let reply = self.get(&[0x34, 6, 0, 0, 0, 0, 0, 0, 32, 0]);
        let number = |at: usize| u64::from_be_bytes(reply[at..at + 8].try_into().unwrap());
        (number(8), number(16), reply[0])
    }

    fn block(&mut self) -> u64 {
        self.position().0
    }
}

fn read6(length: usize, flags: u8) -> [u8; 6] {
    let [_, a, b, c] = (length as u32).to_be_bytes();
    [0x08, flags, a, b, c, 0]
}

fn write6(length: usize, flags: u8) -> [u8; 6] {
    let mut cdb = read6(length, flags);
    cdb[0] = 0x0a;
    cdb
}

fn space(what: u8, count: i32) -> [u8; 6] {
    let [_, a, b, c] = count.to_be_bytes();
    [0x11, what, a, b, c, 0]
}

fn locate(block: u64) -> [u8; 16] {
    let mut cdb = [0u8; 16];
    cdb[0] = 0x92;
    cdb[4..12].copy_from_slice(&block.to_be_bytes());
    cdb
}

fn mv(from: u16, to: u16) -> [u8; 12] {
    let ([a, b], [c, d]) = (from.to_be_bytes(), to.to_be_bytes());
    [0xa5, 0, 0, 1, a, b, c, d, 0, 0, 0, 0]
}

/// MODE SELECT(10) with variable block descriptor and one page.
fn select(drive: &mut Unit0, block_length: u32, page: &[u8]) -> Reply {
    let mut list = vec![0, 0, 0, 0x10, 0, 0, 0, 8, 0, 0, 0, 0];
    list.extend(block_length.to_be_bytes());
    list.extend(page);
    drive.put(&[0x55, 0x10, 0, 0, 0, 0, 0, 0, list.len() as u8, 0], &list)
}
