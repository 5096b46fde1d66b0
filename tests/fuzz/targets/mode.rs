#![no_main]
//! Mode pages.

use libfuzzer_sys::fuzz_target;
use reelward::scsi::mode::{self, Mode};

fuzz_target!(|bytes: &[u8]| {
    for parsed in [Mode::parse_6(bytes), Mode::parse_10(bytes)].into_iter().flatten() {
        for page in [mode::DATA_COMPRESSION, mode::DATA_PROTECTION, mode::CONFIGURATION_EXTENSION] {
            let _ = parsed.page(page).map(|page| {
                (mode::compression(page), mode::protection(page), mode::early_warning_zone(page))
            });
        }
        let _ = parsed
            .page(mode::ELEMENT_ADDRESSES)
            .map(|page| (mode::element_assignment(page), mode::worm(page)));
    }
});
