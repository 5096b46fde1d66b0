#![no_main]
//! iSCSI URLs: nothing that was understood shows the secret.

use libfuzzer_sys::fuzz_target;
use reelward::scsi::iscsi::Target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for url in [text.to_owned(), format!("iscsi://{text}"), format!("iscsi://me%hidden-secret@{text}")] {
        if let Ok(target) = Target::parse(&url, None) {
            let shown = format!("{target} {target:?}");
            assert!(!url.starts_with("iscsi://me%hidden-secret@") || !shown.contains("hidden-secret"));
        }
    }
});
