//! REPORT SUPPORTED OPERATION CODES (SPC-4 clause 6.35), with recommended time-outs.

use super::super::outcome::{INVALID_FIELD, Outcome};
use super::super::wire::{Cdb, send};
use super::Drive;
use crate::scsi::generation::Generation;
use crate::scsi::{Data, opcode};

/// Operation code, service action, recommended time-out in seconds.
type Command = (u8, Option<u8>, u32);

/// What a drive answers; time-outs are those of LTO-9 drives.
const COMMANDS: [Command; 43] = [
    (opcode::TEST_UNIT_READY, None, 60),
    (opcode::REWIND, None, 600),
    (opcode::REQUEST_SENSE, None, 60),
    (opcode::FORMAT_MEDIUM, None, 3000),
    (opcode::READ_BLOCK_LIMITS, None, 60),
    (opcode::READ_6, None, 2340),
    (opcode::WRITE_6, None, 1500),
    (opcode::SET_CAPACITY, None, 960),
    (opcode::WRITE_FILEMARKS_6, None, 1620),
    (opcode::SPACE_6, None, 2940),
    (opcode::INQUIRY, None, 60),
    (opcode::VERIFY_6, None, 2340),
    (opcode::MODE_SELECT_6, None, 60),
    (opcode::RESERVE_6, None, 60),
    (opcode::RELEASE_6, None, 60),
    (opcode::ERASE_6, None, 74_341),
    (opcode::MODE_SENSE_6, None, 60),
    (opcode::LOAD_UNLOAD, None, 960),
    (opcode::SEND_DIAGNOSTIC, None, 2100),
    (opcode::PREVENT_ALLOW_MEDIUM_REMOVAL, None, 60),
    (opcode::LOCATE_10, None, 2940),
    (opcode::READ_POSITION, None, 60),
    (opcode::REPORT_DENSITY_SUPPORT, None, 60),
    (opcode::LOG_SELECT, None, 60),
    (opcode::LOG_SENSE, None, 132),
    (opcode::MODE_SELECT_10, None, 60),
    (opcode::MODE_SENSE_10, None, 60),
    (opcode::PERSISTENT_RESERVE_IN, Some(0), 60),
    (opcode::PERSISTENT_RESERVE_IN, Some(1), 60),
    (opcode::PERSISTENT_RESERVE_OUT, Some(0), 60),
    (opcode::PERSISTENT_RESERVE_OUT, Some(1), 60),
    (opcode::PERSISTENT_RESERVE_OUT, Some(2), 60),
    (opcode::PERSISTENT_RESERVE_OUT, Some(6), 60),
    (opcode::ALLOW_OVERWRITE, None, 60),
    (opcode::READ_ATTRIBUTE, None, 132),
    (opcode::WRITE_ATTRIBUTE, None, 132),
    (opcode::SPACE_16, None, 2940),
    (opcode::LOCATE_16, None, 2940),
    (opcode::REPORT_LUNS, None, 60),
    (opcode::SECURITY_PROTOCOL_IN, None, 60),
    (opcode::SECURITY_PROTOCOL_OUT, None, 60),
    (opcode::MAINTENANCE_IN, Some(opcode::SA_REPORT_SUPPORTED_OPCODES), 60),
    (opcode::MAINTENANCE_IN, Some(opcode::SA_RECEIVE_RAO), 60),
];

const GENERATE: Command = (opcode::MAINTENANCE_OUT, Some(opcode::SA_GENERATE_RAO), 60);

impl Drive {
    /// All commands (reporting option 0) or one of them (1, 2, 3), with time-outs when RCTD is set.
    pub(super) fn supported_opcodes(&mut self, cdb: &Cdb, data: Data<'_>) -> Outcome {
        let with_timeouts = cdb.bit(2, 0x80);
        let ordered = self.generation >= Generation::Lto9;
        let commands = || {
            let order = |command: &&Command| ordered || command.1 != Some(opcode::SA_RECEIVE_RAO);
            COMMANDS.iter().filter(order).chain(ordered.then_some(&GENERATE))
        };
        let reply = match cdb.u8(2) & 0x07 {
            0 => {
                let mut body = Vec::new();
                for command in commands() {
                    body.extend([command.0, 0, 0, command.1.unwrap_or(0), 0]);
                    body.push(u8::from(command.1.is_some()) | if with_timeouts { 0x02 } else { 0 });
                    body.extend((opcode::cdb_length(command.0).unwrap_or(0) as u16).to_be_bytes());
                    if with_timeouts {
                        body.extend(timeouts(command.2));
                    }
                }
                let mut reply = (body.len() as u32).to_be_bytes().to_vec();
                reply.extend(body);
                reply
            }
            option @ 1..=3 => {
                let (code, action) = (cdb.u8(3), cdb.u16(4));
                let found = commands().find(|command| {
                    command.0 == code
                        && (option == 1 || command.1.is_none_or(|wanted| u16::from(wanted) == action))
                });
                match found {
                    Some(command) => {
                        let length = opcode::cdb_length(code).unwrap_or(0);
                        let mut reply = vec![0, 0x03 | if with_timeouts { 0x80 } else { 0 }];
                        reply.extend((length as u16).to_be_bytes());
                        reply.push(code);
                        reply.resize(4 + length, 0xff);
                        if with_timeouts {
                            reply.extend(timeouts(command.2));
                        }
                        reply
                    }
                    None => vec![0, 0x01, 0, 0], // not supported
                }
            }
            _ => return Err(INVALID_FIELD.into()),
        };
        Ok(send(data, &reply, cdb.u32(6) as usize))
    }
}

/// The command time-outs descriptor: nominal and recommended, in seconds.
fn timeouts(recommended: u32) -> Vec<u8> {
    let mut bytes = vec![0, 0x0a, 0, 0];
    bytes.extend(0u32.to_be_bytes());
    bytes.extend(recommended.to_be_bytes());
    bytes
}
