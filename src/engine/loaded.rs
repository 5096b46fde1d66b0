//! The cartridge that is in the drive now.

use serde::Serialize;

use super::fence::{self, Identity};
use super::{Appliance, EngineError};
use crate::format::v1::volume::Found;

/// Who a cartridge is, by its first tape file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoadedTape {
    /// `volume`: one of ours; `blank`; `foreign`: something else.
    pub kind: &'static str,
    /// For people.
    pub message: String,
    /// Label.
    pub label: Option<String>,
    /// Barcode.
    pub barcode: Option<String>,
    /// Identity.
    pub uuid: Option<String>,
    /// Pool.
    pub pool: Option<String>,
    /// When it was labelled, RFC 3339, UTC.
    pub written: Option<String>,
    /// Bytes of a record.
    pub record_size: Option<u32>,
}

impl Appliance {
    /// Rewinds the drive in use.
    ///
    /// # Errors
    /// The drive is empty or failed.
    pub fn rewind(&mut self) -> Result<(), EngineError> {
        Ok(self.station()?.drive()?.rewind()?)
    }

    /// Reads who the cartridge in the drive is, and leaves the tape at its beginning.
    ///
    /// # Errors
    /// The drive is empty or failed.
    pub fn identify_loaded(&mut self) -> Result<LoadedTape, EngineError> {
        let mut station = self.station()?;
        let drive = station.drive()?;
        fence::prepare(drive)?;
        let identity = fence::identity(drive)?;
        drive.rewind()?;
        let message = identity.describe();
        let kind = match &identity {
            Identity::Blank => "blank",
            Identity::Found(found) if matches!(**found, Found::Reelward(_)) => "volume",
            Identity::Found(_) => "foreign",
        };
        let file = match identity {
            Identity::Found(found) => match *found {
                Found::Reelward(file) => Some(*file),
                _ => None,
            },
            Identity::Blank => None,
        };
        let file = file.as_ref();
        Ok(LoadedTape {
            kind,
            message,
            label: file.map(|file| file.label.clone()),
            barcode: file.and_then(|file| file.barcode.clone()),
            uuid: file.map(|file| file.uuid.clone()),
            pool: file.and_then(|file| file.pool.clone()),
            written: file.map(|file| file.created.clone()),
            record_size: file.map(|file| file.record_size),
        })
    }
}
