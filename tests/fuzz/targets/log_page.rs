#![no_main]
//! Log pages, generic and typed.

use libfuzzer_sys::fuzz_target;
use reelward::scsi::log::{self, DeviceStatistics, LogPage, VolumeStatistics};

fuzz_target!(|bytes: &[u8]| {
    let Some(page) = LogPage::parse(bytes) else { return };
    let _ = (page.parameters().count(), page.supported());
    let _ = (VolumeStatistics::from_page(&page), DeviceStatistics::from_page(&page));
    let _ = (log::device_status(&page), log::temperature(&page), log::tape_capacity(&page));
    let _ = (log::tape_alert_response(&page), log::tape_alert_flags(&page));
});
