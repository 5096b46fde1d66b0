#![no_main]
//! A block of members. Its checksum is made right, or nothing would get past it.

use libfuzzer_sys::fuzz_target;
use reelward::format::v1::block::{BlockReader, names_of};

fuzz_target!(|bytes: &[u8]| {
    let block = [bytes, &crc32c::crc32c(bytes).to_le_bytes()].concat();
    let _ = names_of(&block);
    let Ok(reader) = BlockReader::new(&block) else { return };
    let count = reader.members().count();
    assert!(count <= reader.count() as usize);
    for index in 0..count.min(100) {
        let _ = (reader.member(index), reader.kind(index), reader.directory(index));
    }
    let _ = (reader.sizes().count(), reader.runs().count(), reader.archives().count());
    if let Ok(other) = reader.with_directories(|id| id.checked_add(7)) {
        assert!(BlockReader::new(&other.bytes).is_ok());
    }
});
