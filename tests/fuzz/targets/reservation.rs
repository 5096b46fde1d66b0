#![no_main]
//! PERSISTENT RESERVE IN.

use libfuzzer_sys::fuzz_target;
use reelward::scsi::reservation;

fuzz_target!(|bytes: &[u8]| {
    assert!(reservation::keys(bytes).is_none_or(|keys| keys.len() <= bytes.len() / 8));
    let _ = reservation::reservation(bytes);
});
