#![no_main]
//! The recommended access order and its limits; our own lists are read back.

use libfuzzer_sys::fuzz_target;
use reelward::scsi::rao;

fuzz_target!(|bytes: &[u8]| {
    let _ = rao::parse_limits(bytes);
    if let Some(segments) = rao::parse(bytes) {
        assert!(segments.len() <= bytes.len() / rao::SEGMENT_LENGTH + 1);
        assert_eq!(rao::parse(&rao::list(&segments)), Some(segments));
    }
});
