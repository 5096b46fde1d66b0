//! An appliance in a temporary directory, driven through the engine.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use reelward::drive::Drive;
use reelward::engine::{
    Appliance, BackupReport, BackupRequest, DeviceChoice, EngineError, RebuildReport, RebuildRequest,
    RestoreReport, RestoreRequest, Settings,
};
use reelward::pipeline::Progress;
use reelward::scsi::Generation;
use reelward::sources::extract::ExtractOptions;
use reelward::virtual_library::{Layout, VirtualLibrary};

/// A state directory `state`, a tree `tree`, a restore target `out`.
pub struct Bench {
    directory: tempfile::TempDir,
    devices: DeviceChoice,
}

impl Bench {
    pub fn new() -> Bench {
        Bench { directory: tempfile::tempdir().unwrap(), devices: DeviceChoice::embedded() }
    }

    /// A library of small cartridges.
    pub fn small_cartridges(self, count: u16, capacity: u64) -> Bench {
        self.small_library(1, count, capacity)
    }

    /// The same with several drives.
    pub fn small_library(self, drives: u16, count: u16, capacity: u64) -> Bench {
        let layout = Layout {
            drives,
            slots: count + 2,
            import_export: 1,
            cartridges: count,
            generation: Generation::Lto9,
            capacity: Some(capacity),
            cleaning_cartridge: false,
            discard: false,
        };
        std::fs::create_dir_all(self.path("state")).unwrap();
        VirtualLibrary::create(&self.path("state/library"), &layout).unwrap();
        self
    }

    /// Named devices instead of the embedded library.
    pub fn devices(mut self, drive: &str, changer: &str) -> Bench {
        self.devices = DeviceChoice { drive: Some(drive.into()), changer: Some(changer.into()) };
        self
    }

    /// What the catalog says of members and where they are.
    pub fn members(&self) -> Vec<String> {
        let lines: Vec<String> = self.open().catalog().export().unwrap().map(Result::unwrap).collect();
        let wanted = |line: &String| line.starts_with("member ") || line.starts_with("archive ");
        lines.into_iter().filter(wanted).collect()
    }

    /// Removes the catalog.
    pub fn forget_catalog(&self) {
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(self.path(&format!("state/catalog.sqlite{suffix}")));
        }
    }

    pub fn rebuild(&self) -> RebuildReport {
        self.open()
            .rebuild(&RebuildRequest::default(), &Progress::default(), &AtomicBool::new(false))
            .unwrap()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The URL of a drive of the library.
    pub fn drive_url(&self, index: u16) -> String {
        format!("virtual://{}#drive{index}", self.path("state/library").display())
    }

    /// The devices of one task: a drive of the library, and its changer.
    pub fn choice(&self, index: u16) -> DeviceChoice {
        let changer = format!("virtual://{}#changer", self.path("state/library").display());
        DeviceChoice { drive: Some(self.drive_url(index)), changer: Some(changer) }
    }

    pub fn open(&self) -> Appliance {
        Appliance::open(Settings { state: self.path("state"), devices: self.devices.clone() }).unwrap()
    }

    pub fn backup(&self, change: impl FnOnce(&mut BackupRequest)) -> BackupReport {
        self.try_backup(change).unwrap()
    }

    pub fn try_backup(&self, change: impl FnOnce(&mut BackupRequest)) -> Result<BackupReport, EngineError> {
        let mut request = BackupRequest { paths: vec![self.path("tree")], ..BackupRequest::default() };
        change(&mut request);
        self.open().backup(&request, &Progress::default(), &AtomicBool::new(false))
    }

    pub fn restore(&self, change: impl FnOnce(&mut RestoreRequest)) -> RestoreReport {
        self.try_restore(change).unwrap()
    }

    pub fn try_restore(
        &self,
        change: impl FnOnce(&mut RestoreRequest),
    ) -> Result<RestoreReport, EngineError> {
        let mut request = RestoreRequest {
            target: self.path("out"),
            options: ExtractOptions { keep_setid: true, special: true, ..ExtractOptions::default() },
            ..RestoreRequest::default()
        };
        change(&mut request);
        self.open().restore(&request, &Progress::default(), &AtomicBool::new(false))
    }

    pub fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// Leaves fdatasync out: for tests of a killed process, whose written pages the kernel keeps.
    pub fn without_sync(&self) {
        let path = self.path("state/library/library.json");
        let mut library: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(library["sync"], true, "the knob is where it was");
        library["sync"] = false.into();
        std::fs::write(&path, serde_json::to_vec(&library).unwrap()).unwrap();
    }

    /// Where the tree stands below the restore target.
    pub fn restored(&self) -> PathBuf {
        let tree = self.path("tree").canonicalize().unwrap();
        self.path("out").join(tree.strip_prefix("/").unwrap())
    }

    /// The library beneath the engine.
    pub fn library(&self) -> VirtualLibrary {
        VirtualLibrary::open(&self.path("state/library")).unwrap()
    }

    /// The library that the engine makes by itself, made now.
    pub fn library_of_default_size(&self) -> VirtualLibrary {
        self.open().library_status().unwrap();
        self.library()
    }

    /// Drive 0 without the engine: what another program could do.
    pub fn other_program(&self) -> Drive {
        Drive::open(Box::new(self.library().drive(0).unwrap())).unwrap()
    }

    /// Bytes of the cartridge's own files, to show that nothing was written.
    pub fn cartridge(&self, barcode: &str) -> Vec<Vec<u8>> {
        ["data", "index"]
            .iter()
            .map(|name| {
                std::fs::read(self.path("state/library/cartridges").join(barcode).join(name)).unwrap()
            })
            .collect()
    }

    /// Files of a few kinds, quickly made.
    pub fn few_files(self) -> Bench {
        std::fs::create_dir_all(self.path("tree/sub")).unwrap();
        for number in 0..20 {
            std::fs::write(self.path(&format!("tree/sub/file-{number}")), vec![number; 5000]).unwrap();
        }
        std::os::unix::fs::symlink("sub/file-1", self.path("tree/link")).unwrap();
        self
    }
}
