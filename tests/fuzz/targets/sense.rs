#![no_main]
//! Sense data, fixed and descriptor format.

use libfuzzer_sys::fuzz_target;
use reelward::scsi::Sense;

fuzz_target!(|bytes: &[u8]| {
    if let Some(sense) = Sense::parse(bytes) {
        let _ = sense.to_string();
    }
});
