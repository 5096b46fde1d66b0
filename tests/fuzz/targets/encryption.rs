#![no_main]
//! SECURITY PROTOCOL IN: capabilities, status, next block.

use libfuzzer_sys::fuzz_target;
use reelward::scsi::encryption;

fuzz_target!(|bytes: &[u8]| {
    let _ = encryption::capabilities(bytes);
    let data = encryption::status(bytes).map(|status| status.key_data);
    let next = encryption::next_block(bytes).map(|next| next.key_data);
    for descriptor in data.into_iter().chain(next).flatten() {
        assert!(descriptor.value.len() <= bytes.len());
    }
});
