#![no_main]
//! Element status.

use libfuzzer_sys::fuzz_target;
use reelward::scsi::element;

fuzz_target!(|bytes: &[u8]| {
    let _ = element::parse(bytes);
});
