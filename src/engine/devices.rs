//! Device names to transports.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::EngineError;
use crate::scsi::Transport;
use crate::scsi::generation::Generation;
use crate::virtual_library::{Layout, Unit, VirtualLibrary, parse_url};

/// Devices named for one command; what is not named is found.
#[derive(Debug, Clone, Default)]
pub struct DeviceChoice {
    /// `virtual://DIR#drive0`.
    pub drive: Option<String>,
    /// `virtual://DIR#changer`.
    pub changer: Option<String>,
}

/// Opens devices; units of one virtual library share it.
#[derive(Default)]
pub(super) struct Devices {
    libraries: HashMap<PathBuf, VirtualLibrary>,
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

    /// Opens one device by name.
    pub(super) fn open(&mut self, name: &str) -> Result<Box<dyn Transport>, EngineError> {
        match parse_url(name) {
            Some((directory, Unit::Drive(number))) => Ok(Box::new(self.library(&directory)?.drive(number)?)),
            Some((directory, Unit::Changer)) => Ok(Box::new(self.library(&directory)?.changer())),
            None => Err(EngineError::Device {
                name: name.to_owned(),
                reason:
                    "this version opens virtual libraries only: virtual://DIR#drive0, virtual://DIR#changer"
                        .into(),
            }),
        }
    }
}
