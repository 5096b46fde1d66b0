#![no_main]
//! Cartridge memory.

use libfuzzer_sys::fuzz_target;
use reelward::scsi::attribute;

fuzz_target!(|bytes: &[u8]| {
    for attribute in attribute::parse(bytes) {
        let _ = (attribute.number(), attribute.text());
    }
    let _ = attribute::parse_list(bytes);
});
