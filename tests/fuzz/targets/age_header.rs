#![no_main]
//! The header of an age file, and key files.

use std::io::Read;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use reelward::format::age::{DecryptReader, Identity, Recipient};

static KEYS: LazyLock<Vec<Identity>> = LazyLock::new(|| vec![Identity::generate().expect("random numbers")]);

fuzz_target!(|bytes: &[u8]| {
    for input in [bytes.to_vec(), [b"age-encryption.org/v1\n-> X25519 ", bytes].concat()] {
        if let Ok(mut plain) = DecryptReader::new(input.as_slice(), &KEYS) {
            let _ = plain.read_to_end(&mut Vec::new());
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Identity::parse_file(text);
        if let Ok(recipient) = text.parse::<Recipient>() {
            assert!(recipient.to_string().eq_ignore_ascii_case(text));
        }
    }
});
