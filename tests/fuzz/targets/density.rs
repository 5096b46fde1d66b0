#![no_main]
//! REPORT DENSITY SUPPORT, and the generation of a density code.

use libfuzzer_sys::fuzz_target;
use reelward::scsi::{Generation, density};

fuzz_target!(|bytes: &[u8]| {
    for found in density::parse(bytes).into_iter().flatten() {
        let _ = Generation::by_density(found.code);
    }
});
