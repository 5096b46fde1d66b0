#![no_main]
//! READ POSITION in its three forms, READ BLOCK LIMITS, capacities.

use libfuzzer_sys::fuzz_target;
use reelward::scsi::tape::BlockLimits;
use reelward::scsi::{log, position};

fuzz_target!(|bytes: &[u8]| {
    let _ = (position::parse_short(bytes), position::parse_long(bytes), position::parse_extended(bytes));
    let _ = (position::buffered_blocks(bytes), BlockLimits::parse(bytes));
    for record in log::partition_records(bytes) {
        let _ = record.value;
    }
    if let Some(page) = log::LogPage::parse(bytes) {
        let _ = (log::tape_capacity(&page), log::performance(&page), log::compression_ratios(&page));
    }
});
