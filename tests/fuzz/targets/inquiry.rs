#![no_main]
//! Standard INQUIRY data and vital product data.

use libfuzzer_sys::fuzz_target;
use reelward::scsi::inquiry::{self, Identity, Inquiry};

fuzz_target!(|bytes: &[u8]| {
    let serial = inquiry::serial(bytes);
    if let Some(found) = Inquiry::parse(bytes) {
        let _ = Identity::new(found, serial.unwrap_or_default()).is_virtual();
    }
    let _ = (inquiry::supported_pages(bytes), inquiry::sequential_capabilities(bytes));
    let _ = inquiry::tape_alert_flags(bytes);
    for designator in inquiry::identification(bytes).into_iter().chain(inquiry::designators(bytes)).flatten() {
        assert!(designator.value.len() <= bytes.len());
    }
});
