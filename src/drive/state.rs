//! What a drive can do and what lies in it, asked without changing anything.

use super::{Drive, DriveError};
use crate::scsi::opcodes_report;
use crate::scsi::tape::{self, BlockLimits};
use crate::scsi::{Generation, attribute, log, mode, opcode};

/// What a drive can do. `None` where it does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Abilities {
    /// LOCATE, (16) or (10): without it a place is reached by spacing over records.
    pub locate: Option<bool>,
    /// LOG SENSE with at least one page: without it wear, errors and TapeAlert flags cannot be known.
    pub logs: bool,
    /// One of the TapeAlert pages.
    pub tape_alert: bool,
    /// READ ATTRIBUTE: without it the cartridge memory cannot be read.
    pub cartridge_memory: Option<bool>,
    /// Shortest and longest record.
    pub limits: Option<BlockLimits>,
}

/// The cartridge in a drive as the drive stands now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CartridgeState {
    /// Generation by density code, else by barcode.
    pub generation: Option<Generation>,
    /// Density code; 0 where the drive does not say.
    pub density: u8,
    /// Block length in bytes; 0 is variable, `None` where the drive does not say.
    pub block_length: Option<u32>,
    /// Cartridge or drive forbid writing.
    pub write_protected: bool,
    /// Write-once.
    pub worm: bool,
    /// Barcode in the cartridge memory.
    pub barcode: Option<String>,
}

impl Drive {
    /// What the drive can do; needs no cartridge.
    ///
    /// # Errors
    /// Any error but a missing feature.
    pub fn abilities(&mut self) -> Result<Abilities, DriveError> {
        let length = opcodes_report::ALLOCATION;
        let report = self.ask(&opcodes_report::report(length), length as usize)?;
        let commands = report.and_then(|bytes| opcodes_report::parse(&bytes)).filter(|list| !list.is_empty());
        let has = |codes: &[u8]| {
            commands.as_ref().map(|list| list.iter().any(|command| codes.contains(&command.opcode)))
        };
        let pages = self.log_page(log::SUPPORTED)?;
        let pages =
            pages.as_deref().and_then(log::LogPage::parse).map(|page| page.supported()).unwrap_or_default();
        Ok(Abilities {
            locate: has(&[opcode::LOCATE_16, opcode::LOCATE_10]),
            logs: pages.iter().any(|&page| page != log::SUPPORTED),
            tape_alert: pages.contains(&log::TAPE_ALERT) || pages.contains(&log::TAPE_ALERT_RESPONSE),
            cartridge_memory: has(&[opcode::READ_ATTRIBUTE]),
            limits: self.ask(&tape::read_block_limits(), 6)?.and_then(|bytes| BlockLimits::parse(&bytes)),
        })
    }

    /// What lies in the drive; a cartridge must be loaded.
    ///
    /// # Errors
    /// Any error but a missing feature.
    pub fn cartridge_state(&mut self) -> Result<CartridgeState, DriveError> {
        let mode = self.mode(mode::NO_PAGE)?.unwrap_or_default();
        let density = mode.block.map_or(0, |block| block.density);
        let worm = self.page(mode::MEDIUM_CONFIGURATION)?.and_then(|page| mode::worm(&page));
        let barcode = self.text_attribute(attribute::BARCODE)?;
        let by_barcode = barcode.as_deref().and_then(Generation::by_barcode);
        Ok(CartridgeState {
            generation: Generation::by_density(density).or(by_barcode),
            density,
            block_length: mode.block.map(|block| block.block_length),
            write_protected: mode.write_protected,
            worm: worm.unwrap_or(false),
            barcode,
        })
    }
}
