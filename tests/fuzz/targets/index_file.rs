#![no_main]
//! The index file, and `set.json` in it.

use std::io::Read;

use libfuzzer_sys::fuzz_target;
use reelward::format::v1::index::SetDescription;
use reelward::format::v1::index_file::{IndexFileReader, encode_end, encode_start};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(mut file) = IndexFileReader::open(bytes) {
        let _ = SetDescription::from_json(file.set_json());
        let _ = file.read_to_end(&mut Vec::new());
    }
    if let Ok(description) = SetDescription::from_json(bytes) {
        let json = description.to_json().expect("what was read can be written");
        assert_eq!(SetDescription::from_json(&json).expect("and read again"), description);
    }
    let mut written = Vec::new();
    encode_start(bytes, 5, false, 7, &mut written);
    written.extend_from_slice(b"hello");
    encode_end(5, &mut written);
    let mut file = IndexFileReader::open(written.as_slice()).expect("what was written can be read");
    assert_eq!(file.set_json(), bytes);
    let mut members = Vec::new();
    file.read_to_end(&mut members).expect("to its end");
    assert_eq!(members, b"hello");
});
