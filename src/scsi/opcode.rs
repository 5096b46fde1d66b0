//! Operation codes (SPC-4 table 48 and annex E, SSC-4 table 19, SMC-3 table 9) and the service actions in use.

/// TEST UNIT READY.
pub const TEST_UNIT_READY: u8 = 0x00;
/// REWIND.
pub const REWIND: u8 = 0x01;
/// REQUEST SENSE.
pub const REQUEST_SENSE: u8 = 0x03;
/// FORMAT MEDIUM (SSC).
pub const FORMAT_MEDIUM: u8 = 0x04;
/// READ BLOCK LIMITS.
pub const READ_BLOCK_LIMITS: u8 = 0x05;
/// INITIALIZE ELEMENT STATUS (SMC).
pub const INITIALIZE_ELEMENT_STATUS: u8 = 0x07;
/// READ(6).
pub const READ_6: u8 = 0x08;
/// WRITE(6).
pub const WRITE_6: u8 = 0x0a;
/// SET CAPACITY (SSC).
pub const SET_CAPACITY: u8 = 0x0b;
/// WRITE FILEMARKS(6).
pub const WRITE_FILEMARKS_6: u8 = 0x10;
/// SPACE(6).
pub const SPACE_6: u8 = 0x11;
/// INQUIRY.
pub const INQUIRY: u8 = 0x12;
/// VERIFY(6) (SSC).
pub const VERIFY_6: u8 = 0x13;
/// MODE SELECT(6).
pub const MODE_SELECT_6: u8 = 0x15;
/// RESERVE(6).
pub const RESERVE_6: u8 = 0x16;
/// RELEASE(6).
pub const RELEASE_6: u8 = 0x17;
/// ERASE(6).
pub const ERASE_6: u8 = 0x19;
/// MODE SENSE(6).
pub const MODE_SENSE_6: u8 = 0x1a;
/// LOAD UNLOAD.
pub const LOAD_UNLOAD: u8 = 0x1b;
/// RECEIVE DIAGNOSTIC RESULTS.
pub const RECEIVE_DIAGNOSTIC_RESULTS: u8 = 0x1c;
/// SEND DIAGNOSTIC.
pub const SEND_DIAGNOSTIC: u8 = 0x1d;
/// PREVENT ALLOW MEDIUM REMOVAL.
pub const PREVENT_ALLOW_MEDIUM_REMOVAL: u8 = 0x1e;
/// LOCATE(10) on a tape, POSITION TO ELEMENT on a changer.
pub const LOCATE_10: u8 = 0x2b;
/// POSITION TO ELEMENT (SMC): the code of LOCATE(10).
pub const POSITION_TO_ELEMENT: u8 = 0x2b;
/// READ POSITION.
pub const READ_POSITION: u8 = 0x34;
/// INITIALIZE ELEMENT STATUS WITH RANGE (SMC).
pub const INITIALIZE_ELEMENT_STATUS_WITH_RANGE: u8 = 0x37;
/// WRITE BUFFER.
pub const WRITE_BUFFER: u8 = 0x3b;
/// READ BUFFER.
pub const READ_BUFFER: u8 = 0x3c;
/// REPORT DENSITY SUPPORT.
pub const REPORT_DENSITY_SUPPORT: u8 = 0x44;
/// LOG SELECT.
pub const LOG_SELECT: u8 = 0x4c;
/// LOG SENSE.
pub const LOG_SENSE: u8 = 0x4d;
/// MODE SELECT(10).
pub const MODE_SELECT_10: u8 = 0x55;
/// MODE SENSE(10).
pub const MODE_SENSE_10: u8 = 0x5a;
/// PERSISTENT RESERVE IN.
pub const PERSISTENT_RESERVE_IN: u8 = 0x5e;
/// PERSISTENT RESERVE OUT.
pub const PERSISTENT_RESERVE_OUT: u8 = 0x5f;
/// ALLOW OVERWRITE (SSC).
pub const ALLOW_OVERWRITE: u8 = 0x82;
/// READ ATTRIBUTE.
pub const READ_ATTRIBUTE: u8 = 0x8c;
/// WRITE ATTRIBUTE.
pub const WRITE_ATTRIBUTE: u8 = 0x8d;
/// SPACE(16).
pub const SPACE_16: u8 = 0x91;
/// LOCATE(16).
pub const LOCATE_16: u8 = 0x92;
/// REPORT LUNS.
pub const REPORT_LUNS: u8 = 0xa0;
/// SECURITY PROTOCOL IN.
pub const SECURITY_PROTOCOL_IN: u8 = 0xa2;
/// MAINTENANCE IN: the service action is in byte 1.
pub const MAINTENANCE_IN: u8 = 0xa3;
/// MAINTENANCE OUT: the service action is in byte 1.
pub const MAINTENANCE_OUT: u8 = 0xa4;
/// MOVE MEDIUM (SMC).
pub const MOVE_MEDIUM: u8 = 0xa5;
/// SECURITY PROTOCOL OUT.
pub const SECURITY_PROTOCOL_OUT: u8 = 0xb5;
/// READ ELEMENT STATUS (SMC).
pub const READ_ELEMENT_STATUS: u8 = 0xb8;

/// MAINTENANCE IN service action: REPORT SUPPORTED OPERATION CODES (SPC-4 clause 6.35).
pub const SA_REPORT_SUPPORTED_OPCODES: u8 = 0x0c;
/// MAINTENANCE IN service action: RECEIVE RECOMMENDED ACCESS ORDER (SSC-5).
pub const SA_RECEIVE_RAO: u8 = 0x1d;
/// MAINTENANCE OUT service action: GENERATE RECOMMENDED ACCESS ORDER (SSC-5).
pub const SA_GENERATE_RAO: u8 = 0x1d;

/// The CDB length in bytes that the group code (bits 7-5) of an operation code stands for (SPC-4 clause 4.2.5.1);
/// `None` for the variable-length and vendor groups.
pub const fn cdb_length(opcode: u8) -> Option<usize> {
    match opcode >> 5 {
        0 => Some(6),
        1 | 2 => Some(10),
        4 => Some(16),
        5 => Some(12),
        _ => None,
    }
}

/// The command's name, for messages. Where tape and changer share a code, the tape's name.
pub const fn name(opcode: u8) -> &'static str {
    match opcode {
        TEST_UNIT_READY => "TEST UNIT READY",
        REWIND => "REWIND",
        REQUEST_SENSE => "REQUEST SENSE",
        FORMAT_MEDIUM => "FORMAT MEDIUM",
        READ_BLOCK_LIMITS => "READ BLOCK LIMITS",
        INITIALIZE_ELEMENT_STATUS => "INITIALIZE ELEMENT STATUS",
        READ_6 => "READ",
        WRITE_6 => "WRITE",
        SET_CAPACITY => "SET CAPACITY",
        WRITE_FILEMARKS_6 => "WRITE FILEMARKS",
        SPACE_6 | SPACE_16 => "SPACE",
        INQUIRY => "INQUIRY",
        VERIFY_6 => "VERIFY",
        MODE_SELECT_6 | MODE_SELECT_10 => "MODE SELECT",
        RESERVE_6 => "RESERVE",
        RELEASE_6 => "RELEASE",
        ERASE_6 => "ERASE",
        MODE_SENSE_6 | MODE_SENSE_10 => "MODE SENSE",
        LOAD_UNLOAD => "LOAD UNLOAD",
        RECEIVE_DIAGNOSTIC_RESULTS => "RECEIVE DIAGNOSTIC RESULTS",
        SEND_DIAGNOSTIC => "SEND DIAGNOSTIC",
        PREVENT_ALLOW_MEDIUM_REMOVAL => "PREVENT ALLOW MEDIUM REMOVAL",
        LOCATE_10 | LOCATE_16 => "LOCATE",
        READ_POSITION => "READ POSITION",
        INITIALIZE_ELEMENT_STATUS_WITH_RANGE => "INITIALIZE ELEMENT STATUS WITH RANGE",
        WRITE_BUFFER => "WRITE BUFFER",
        READ_BUFFER => "READ BUFFER",
        REPORT_DENSITY_SUPPORT => "REPORT DENSITY SUPPORT",
        LOG_SELECT => "LOG SELECT",
        LOG_SENSE => "LOG SENSE",
        PERSISTENT_RESERVE_IN => "PERSISTENT RESERVE IN",
        PERSISTENT_RESERVE_OUT => "PERSISTENT RESERVE OUT",
        ALLOW_OVERWRITE => "ALLOW OVERWRITE",
        READ_ATTRIBUTE => "READ ATTRIBUTE",
        WRITE_ATTRIBUTE => "WRITE ATTRIBUTE",
        REPORT_LUNS => "REPORT LUNS",
        SECURITY_PROTOCOL_IN => "SECURITY PROTOCOL IN",
        MAINTENANCE_IN => "MAINTENANCE IN",
        MAINTENANCE_OUT => "MAINTENANCE OUT",
        MOVE_MEDIUM => "MOVE MEDIUM",
        SECURITY_PROTOCOL_OUT => "SECURITY PROTOCOL OUT",
        READ_ELEMENT_STATUS => "READ ELEMENT STATUS",
        _ => "an unknown command",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_codes_give_the_length() {
        for (opcode, length) in
            [(READ_6, 6), (LOG_SENSE, 10), (READ_POSITION, 10), (LOCATE_16, 16), (MOVE_MEDIUM, 12)]
        {
            assert_eq!(cdb_length(opcode), Some(length));
        }
        assert_eq!(cdb_length(0x7f), None);
        assert_eq!(cdb_length(0xc0), None);
    }
}
