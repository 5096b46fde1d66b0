//! What a drive can do and what lies in it, asked without changing anything.

use std::time::Duration;

use super::{Drive, DriveError};
use crate::scsi::tape::{self, BlockLimits};
use crate::scsi::{Data, Generation, TransportError, attribute, log, luns, mode, opcode, opcodes_report};

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

/// What the probe tries, longest first: adapters were seen to break beyond 256 KiB, 512 KiB and 1 MiB.
const TRANSFERS: [usize; 5] = [1 << 20, 512 << 10, 256 << 10, 128 << 10, 64 << 10];
const PROBE_TIMEOUT: Duration = Duration::from_secs(60);

impl Drive {
    /// Bytes that one command can carry: the longest of 1 MiB, 512, 256, 128 and 64 KiB for which the adapter takes a
    /// buffer, within what the kernel grants and READ BLOCK LIMITS allows. REPORT LUNS with room for so much shows it:
    /// every device has it, it moves nothing and takes no unit attention away.
    ///
    /// # Errors
    /// The drive does not answer, whatever the length.
    pub fn probe_transfer(&mut self) -> Result<usize, DriveError> {
        let granted = self.transport.max_transfer();
        let mut buffer = vec![0; TRANSFERS[0].min(granted)];
        let mut tried = TRANSFERS.into_iter().filter(|&length| length <= granted).peekable();
        while let Some(length) = tried.next() {
            let cdb = luns::report(u32::try_from(length).unwrap_or(u32::MAX));
            let room = buffer.get_mut(..length).unwrap_or_default();
            match self.transport.execute(&cdb, Data::In(room), PROBE_TIMEOUT) {
                Ok(_) => {
                    let limits = self.ask(&tape::read_block_limits(), 6)?;
                    let longest = limits.and_then(|bytes| BlockLimits::parse(&bytes)?.maximum);
                    let longest = longest.and_then(|longest| usize::try_from(longest).ok());
                    return Ok(length.min(longest.unwrap_or(length)));
                }
                // The adapter's driver refused or failed; whatever it reset comes as a unit attention.
                Err(TransportError::Io { .. }) if tried.peek().is_some() => {}
                Err(source) => return Err(DriveError::Transport { drive: self.drive(), source }),
            }
        }
        Ok(granted)
    }

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
        let barcode = self.text_attribute(attribute::BARCODE)?;
        let by_barcode = barcode.as_deref().and_then(Generation::by_barcode);
        Ok(CartridgeState {
            generation: Generation::by_density(density).or(by_barcode),
            density,
            block_length: mode.block.map(|block| block.block_length),
            write_protected: mode.write_protected,
            worm: self.write_once(barcode.as_deref())?,
            barcode,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scsi::{Reply, Status, Transport};

    /// A drive behind an adapter that fails beyond a length, with a limit of its own.
    struct Narrow {
        adapter: usize,
        granted: usize,
        block_limit: u32,
    }

    impl Transport for Narrow {
        fn execute(&mut self, cdb: &[u8], data: Data<'_>, _: Duration) -> Result<Reply, TransportError> {
            if data.len() > self.adapter {
                let source = std::io::Error::from_raw_os_error(22);
                return Err(TransportError::Io { device: "/dev/nst0".into(), opcode: cdb[0], source });
            }
            let limit = self.block_limit.to_be_bytes();
            let bytes: &[u8] = match cdb[0] {
                opcode::INQUIRY if cdb[1] == 0 => b"\x01\x80\x06\x02\x5b\0\0\0HPE     Ultrium 9-SCSI  S2S1",
                opcode::READ_BLOCK_LIMITS => &[0, limit[1], limit[2], limit[3], 0, 1],
                opcode::TEST_UNIT_READY | opcode::REPORT_LUNS => &[],
                _ => {
                    let sense = vec![0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0];
                    return Ok(Reply { status: Status::CheckCondition, sense, transferred: 0 });
                }
            };
            if let Data::In(buffer) = data {
                buffer[..bytes.len()].copy_from_slice(bytes);
            }
            Ok(Reply::good(bytes.len()))
        }

        fn max_transfer(&self) -> usize {
            self.granted
        }

        fn name(&self) -> &str {
            "/dev/nst0"
        }
    }

    fn probed(adapter: usize, granted: usize, block_limit: u32) -> Result<usize, DriveError> {
        Drive::open(Box::new(Narrow { adapter, granted, block_limit })).unwrap().probe_transfer()
    }

    #[test]
    fn the_longest_transfer_that_works_is_found() {
        assert_eq!(probed(8 << 20, 8 << 20, 0xff_ffff).unwrap(), 1 << 20, "no more is asked for");
        assert_eq!(probed(512 << 10, 1 << 20, 0xff_ffff).unwrap(), 512 << 10);
        assert_eq!(probed((256 << 10) - 1, 1 << 20, 0xff_ffff).unwrap(), 128 << 10);
        assert_eq!(probed(8 << 20, 300 << 10, 0xff_ffff).unwrap(), 256 << 10, "what the kernel grants");
        assert_eq!(probed(8 << 20, 1 << 20, 0x04_0000).unwrap(), 256 << 10, "what the drive takes");
        assert_eq!(probed(8 << 20, 32 << 10, 0).unwrap(), 32 << 10);
        let error = probed(32 << 10, 1 << 20, 0).unwrap_err();
        assert!(matches!(error, DriveError::Transport { .. }), "{error:?}");
    }

    #[test]
    fn a_plain_drive_lacks_what_it_lacks() {
        let mut drive =
            Drive::open(Box::new(Narrow { adapter: 1 << 20, granted: 1 << 20, block_limit: 9 })).unwrap();
        let able = drive.abilities().unwrap();
        assert_eq!(
            (able.locate, able.logs, able.tape_alert, able.cartridge_memory),
            (None, false, false, None)
        );
        assert_eq!(able.limits.unwrap().maximum, Some(9));
    }
}
