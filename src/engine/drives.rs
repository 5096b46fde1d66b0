//! One drive as it stands: what is in it, where the tape is, what the drive complains of.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{Appliance, EngineError};
use crate::drive::{Drive, DriveError};
use crate::scsi::{Severity as AlertSeverity, TapeAlert};

/// What a drive says of itself and of its cartridge. Asking changes nothing and moves nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriveStatus {
    /// As it was named.
    pub name: String,
    /// Vendor.
    pub vendor: String,
    /// Product.
    pub product: String,
    /// Firmware revision.
    pub revision: String,
    /// Serial number.
    pub serial: String,
    /// Its cartridges are files and no tape.
    pub is_virtual: bool,
    /// Its address in the changer, where known.
    pub element: Option<u16>,
    /// Whether a cartridge is loaded and ready.
    pub loaded: bool,
    /// The cartridge, while one is loaded.
    pub cartridge: Option<CartridgeRow>,
    /// Where the tape stands; none where the drive does not tell.
    pub position: Option<PositionRow>,
    /// TapeAlert flags that are set.
    pub alerts: Vec<AlertRow>,
    /// What this drive cannot tell or do.
    pub lacks: Vec<Cow<'static, str>>,
}

/// The cartridge in a drive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CartridgeRow {
    /// Barcode, by its memory or by the changer.
    pub barcode: Option<String>,
    /// Label of the volume that it is, where the catalog knows its barcode.
    pub volume: Option<String>,
    /// Generation, as in `LTO-9`.
    pub generation: Option<String>,
    /// Density code.
    pub density: u8,
    /// Block length in bytes; 0 is variable.
    pub block_length: Option<u32>,
    /// Cartridge or drive forbid writing.
    pub write_protected: bool,
    /// Write-once.
    pub worm: bool,
    /// Native capacity in bytes, where known.
    pub capacity: Option<u64>,
    /// Native bytes behind the end of data, where known.
    pub remaining: Option<u64>,
}

/// Where a tape stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PositionRow {
    /// Partition.
    pub partition: u32,
    /// The next record or filemark.
    pub block: u64,
    /// Filemarks before it, where known.
    pub file: Option<u64>,
    /// At the beginning of the partition.
    pub at_beginning: bool,
    /// Between early warning and the end.
    pub at_end: bool,
}

/// One TapeAlert flag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertRow {
    /// 1 to 64.
    pub number: u8,
    /// `information`, `warning` or `critical`.
    pub severity: Cow<'static, str>,
    /// Short name.
    pub name: Cow<'static, str>,
    /// What it means.
    pub meaning: Cow<'static, str>,
}

impl From<TapeAlert> for AlertRow {
    fn from(alert: TapeAlert) -> AlertRow {
        AlertRow {
            number: alert.number(),
            severity: Cow::Borrowed(match alert.severity() {
                AlertSeverity::Information => "information",
                AlertSeverity::Warning => "warning",
                AlertSeverity::Critical => "critical",
            }),
            name: alert.name().into(),
            meaning: alert.meaning().into(),
        }
    }
}

impl Appliance {
    /// The drive in use as it stands.
    ///
    /// # Errors
    /// It cannot be opened or does not answer.
    pub fn drive_status(&mut self) -> Result<DriveStatus, EngineError> {
        let mut station = self.station()?;
        let (drive, loader) = station.split()?;
        let element = loader.element();
        let loaded = drive.is_loaded()?;
        let mut cartridge = if loaded { Some(cartridge(drive)?) } else { None };
        if let Some(cartridge) = &mut cartridge {
            if cartridge.barcode.is_none()
                && let (Some(inventory), Some(element)) = (loader.inventory()?, element)
            {
                cartridge.barcode = inventory.at(element).and_then(|element| element.barcode.clone());
            }
            if cartridge.barcode.is_some() {
                let volume = self.catalog().volumes()?.into_iter().find(|v| v.barcode == cartridge.barcode);
                cartridge.volume = volume.map(|volume| volume.label);
            }
        }
        let lacks = lacks(drive)?;
        let identity = drive.identity().clone();
        Ok(DriveStatus {
            name: drive.name().to_owned(),
            is_virtual: identity.is_virtual(),
            vendor: identity.vendor,
            product: identity.product,
            revision: identity.revision,
            serial: identity.serial,
            element: element.map(|address| address.0),
            loaded,
            cartridge,
            position: if loaded { position(drive)? } else { None },
            alerts: drive.tape_alerts()?.into_iter().map(AlertRow::from).collect(),
            lacks,
        })
    }
}

fn cartridge(drive: &mut Drive) -> Result<CartridgeRow, EngineError> {
    let state = drive.cartridge_state()?;
    let capacity = drive.capacity()?;
    Ok(CartridgeRow {
        barcode: state.barcode,
        volume: None,
        generation: state.generation.map(|generation| generation.to_string()),
        density: state.density,
        block_length: state.block_length,
        write_protected: state.write_protected,
        worm: state.worm,
        capacity: capacity.map(|capacity| capacity.total),
        remaining: capacity.map(|capacity| capacity.remaining),
    })
}

fn position(drive: &mut Drive) -> Result<Option<PositionRow>, EngineError> {
    match drive.position() {
        Ok(position) => Ok(Some(PositionRow {
            partition: position.partition,
            block: position.block.0,
            file: position.file.map(|file| file.0),
            at_beginning: position.at_beginning,
            at_end: position.at_end,
        })),
        Err(DriveError::PositionUnknown { .. } | DriveError::PositionLost { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What a drive cannot tell or do, in words.
pub(super) fn lacks(drive: &mut Drive) -> Result<Vec<Cow<'static, str>>, DriveError> {
    let able = drive.abilities()?;
    let all = [
        (
            able.locate == Some(false),
            "no LOCATE: a single file is reached by spacing over records, which takes longer",
        ),
        (!able.logs, "no log pages: wear, error counts and the need for cleaning cannot be known"),
        (able.logs && !able.tape_alert, "no TapeAlert page: its warnings cannot be read"),
        (
            able.cartridge_memory == Some(false),
            "no access to the cartridge memory: capacity, wear and writes by other programs cannot be known from it",
        ),
        (able.limits.is_none(), "no READ BLOCK LIMITS: its longest record is not known"),
    ];
    Ok(all.into_iter().filter(|(lacking, _)| *lacking).map(|(_, text)| text.into()).collect())
}
