//! Device names to transports.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::EngineError;
use super::robot::{SharedRobot, WeakRobot};
use crate::scsi::Transport;
use crate::scsi::generation::Generation;
use crate::scsi::iscsi::{self, Iscsi};
use crate::scsi::linux_sg::LinuxSg;
use crate::virtual_library::{Layout, Unit, VirtualLibrary, parse_url};

/// Devices named for one command; what is not named is found.
#[derive(Debug, Clone, Default)]
pub struct DeviceChoice {
    /// `/dev/nst0`, `/dev/sg3`, `/dev/tape/by-id/NAME`, `iscsi://HOST/TARGET/LUN`, `virtual://DIR#drive0`; or `virtual`, the
    /// library of the state directory whatever the machine has.
    pub drive: Option<String>,
    /// `/dev/sch0`, `/dev/sg4`, `iscsi://HOST/TARGET/LUN`, `virtual://DIR#changer`.
    pub changer: Option<String>,
}

impl DeviceChoice {
    /// The library of the state directory, made where it is missing; never a device of the machine.
    pub fn embedded() -> DeviceChoice {
        DeviceChoice { drive: Some(EMBEDDED.to_owned()), changer: None }
    }

    /// Whether it is [`DeviceChoice::embedded`].
    pub fn is_embedded(&self) -> bool {
        self.drive.as_deref() == Some(EMBEDDED) && self.changer.is_none()
    }
}

/// The name of the state directory's own library.
pub(super) const EMBEDDED: &str = "virtual";

/// Opens devices; units of one virtual library share it.
#[derive(Default)]
pub(super) struct Devices {
    libraries: HashMap<PathBuf, VirtualLibrary>,
    /// Changers by name, as long as some task has them open.
    changers: HashMap<String, WeakRobot>,
    /// The machine's own drives with their changers, as found when a task first named none: while a task has a changer
    /// nobody else can ask it.
    pub(super) machine: Vec<DeviceChoice>,
}

/// A device's name as it may be shown: an iSCSI URL may hold a secret.
pub(super) fn without_secret(name: &str) -> String {
    match name.strip_prefix(iscsi::SCHEME) {
        Some(rest) => format!("{}{}", iscsi::SCHEME, rest.rsplit_once('@').map_or(rest, |(_, rest)| rest)),
        None => name.to_owned(),
    }
}

impl Devices {
    /// Where the library under a state directory lies.
    pub(super) fn embedded_directory(state: &Path) -> PathBuf {
        state.join("library")
    }

    /// The library under a state directory, made at first use.
    pub(super) fn embedded(&mut self, state: &Path) -> Result<VirtualLibrary, EngineError> {
        let directory = Devices::embedded_directory(state);
        if !directory.join("library.json").exists() {
            let layout = Layout {
                drives: 2,
                slots: 12,
                import_export: 2,
                cartridges: 8,
                generation: Generation::Lto9,
                capacity: None,
                cleaning_cartridge: true,
                discard: false,
            };
            let library = VirtualLibrary::create(&directory, &layout)?;
            self.libraries.insert(directory, library.clone());
            return Ok(library);
        }
        self.library(&directory)
    }

    fn library(&mut self, directory: &Path) -> Result<VirtualLibrary, EngineError> {
        if let Some(library) = self.libraries.get(directory) {
            return Ok(library.clone());
        }
        let library = VirtualLibrary::open(directory)?;
        self.libraries.insert(directory.into(), library.clone());
        Ok(library)
    }

    /// A changer by name; tasks share one that is open.
    pub(super) fn changer(&mut self, name: &str, state: &Path) -> Result<SharedRobot, EngineError> {
        self.shared(name, state, |devices| devices.open(name))
    }

    /// The changer of the library under a state directory.
    pub(super) fn embedded_changer(
        &mut self,
        library: &VirtualLibrary,
        state: &Path,
    ) -> Result<SharedRobot, EngineError> {
        let changer = library.changer();
        let name = changer.name().to_owned();
        self.shared(&name, state, |_| Ok(Box::new(changer)))
    }

    fn shared(
        &mut self,
        name: &str,
        state: &Path,
        open: impl FnOnce(&mut Self) -> Result<Box<dyn Transport>, EngineError>,
    ) -> Result<SharedRobot, EngineError> {
        self.changers.retain(|_, robot| robot.upgrade().is_some());
        if let Some(robot) = self.changers.get(name).and_then(WeakRobot::upgrade) {
            return Ok(robot);
        }
        let robot = SharedRobot::open(open(self)?, state)?;
        self.changers.insert(name.to_owned(), robot.downgrade());
        Ok(robot)
    }

    /// Opens one device by name.
    pub(super) fn open(&mut self, name: &str) -> Result<Box<dyn Transport>, EngineError> {
        if let Some((directory, unit)) = parse_url(name) {
            let library = self.library(&directory)?;
            return Ok(match unit {
                Unit::Drive(number) => Box::new(library.drive(number)?),
                Unit::Changer => Box::new(library.changer()),
            });
        }
        if name.starts_with(iscsi::SCHEME) {
            let secret = std::env::var(iscsi::SECRET_VARIABLE).ok();
            // The name may hold a secret: it is told only as far as it was understood.
            let wrong = |error: iscsi::UrlError| EngineError::Device {
                name: iscsi::SCHEME.to_owned(),
                reason: error.to_string(),
            };
            let target = iscsi::Target::parse(name, secret.as_deref()).map_err(wrong)?;
            return Ok(Box::new(Iscsi::open(target)?));
        }
        if name.starts_with('/') {
            return Ok(Box::new(LinuxSg::open(name)?));
        }
        Err(EngineError::Device {
            name: name.to_owned(),
            reason: "no device name. Devices are /dev/nst0, /dev/sg3, /dev/sch0, /dev/tape/by-id/NAME, \
                     iscsi://HOST/TARGET/LUN, virtual://DIR#drive0 and virtual://DIR#changer"
                .into(),
        })
    }
}
