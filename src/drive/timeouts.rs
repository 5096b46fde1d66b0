//! How long a command may take: what the drive recommends, else what drives of the slowest generation need.

use std::time::Duration;

use crate::scsi::opcode;
use crate::scsi::opcodes_report::Timeouts;

/// The time-out for `opcode`. A recommendation counts where it is not below the floor that practice has shown.
pub(super) fn of(timeouts: &Timeouts, opcode: u8) -> Duration {
    timeouts.get(opcode).unwrap_or_else(|| fallback(opcode)).max(floor(opcode))
}

/// LTO-9's recommended values, in use where the drive does not say.
fn fallback(opcode: u8) -> Duration {
    Duration::from_secs(match opcode {
        opcode::LOCATE_10 | opcode::LOCATE_16 | opcode::SPACE_6 | opcode::SPACE_16 => 2940,
        opcode::READ_6 | opcode::VERIFY_6 => 2340,
        opcode::WRITE_6 => 1500,
        opcode::WRITE_FILEMARKS_6 => 1620,
        opcode::REWIND => 600,
        opcode::ERASE_6 => 74_341,
        opcode::FORMAT_MEDIUM | opcode::SET_CAPACITY => 7_920,
        opcode::TEST_UNIT_READY | opcode::INQUIRY | opcode::REQUEST_SENSE => 60,
        _ => 300,
    })
}

/// LOAD may optimise a new cartridge for two hours; cartridge memory and logs answer late while the tape moves.
fn floor(opcode: u8) -> Duration {
    Duration::from_secs(match opcode {
        opcode::LOAD_UNLOAD => 7_920,
        opcode::LOG_SENSE | opcode::READ_ATTRIBUTE | opcode::WRITE_ATTRIBUTE => 132,
        _ => 10,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scsi::opcodes_report::SupportedCommand;

    fn command(opcode: u8, seconds: u64) -> SupportedCommand {
        let recommended = Some(Duration::from_secs(seconds));
        SupportedCommand { opcode, service_action: None, cdb_length: 6, nominal: None, recommended }
    }

    #[test]
    fn the_drive_rules_above_the_floor() {
        let timeouts = Timeouts::from_report(&[
            command(opcode::REWIND, 480),
            command(opcode::LOG_SENSE, 20),
            command(opcode::MAINTENANCE_IN, 60),
            command(opcode::MAINTENANCE_IN, 90),
        ]);
        assert_eq!(of(&timeouts, opcode::REWIND).as_secs(), 480);
        assert_eq!(of(&timeouts, opcode::LOG_SENSE).as_secs(), 132);
        assert_eq!(of(&timeouts, opcode::MAINTENANCE_IN).as_secs(), 90);
        assert_eq!(of(&timeouts, opcode::LOCATE_16).as_secs(), 2940);
        assert_eq!(of(&timeouts, opcode::LOAD_UNLOAD).as_secs(), 7920);
    }
}
