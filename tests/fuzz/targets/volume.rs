#![no_main]
//! The first record of a tape, ours or foreign.

use libfuzzer_sys::fuzz_target;
use reelward::format::v1::volume;

fuzz_target!(|bytes: &[u8]| {
    let _ = volume::identify(bytes).to_string();
    if let Ok(found) = volume::decode(bytes) {
        if let Ok(record) = volume::encode(&found) {
            assert_eq!(volume::decode(&record).expect("what was written can be read"), found);
        }
    }
});
