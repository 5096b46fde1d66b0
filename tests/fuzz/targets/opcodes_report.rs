#![no_main]
//! REPORT SUPPORTED OPERATION CODES, and the time-outs made of it.

use libfuzzer_sys::fuzz_target;
use reelward::scsi::opcodes_report::{self, Timeouts};

fuzz_target!(|bytes: &[u8]| {
    let Some(commands) = opcodes_report::parse(bytes) else { return };
    assert!(commands.len() <= bytes.len() / 8 + 1);
    let timeouts = Timeouts::from_report(&commands);
    for command in &commands {
        let _ = timeouts.get(command.opcode);
    }
});
