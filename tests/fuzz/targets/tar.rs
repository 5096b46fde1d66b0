#![no_main]
//! The tar reader, and an archive of which no index tells how it is stored.

use std::io::Read;

use libfuzzer_sys::fuzz_target;
use reelward::format::v1::archive_stream::ArchiveStream;
use reelward::format::v1::tar_header::encode_entry;
use reelward::format::v1::tar_reader::{Sequential, TarReader};

fuzz_target!(|bytes: &[u8]| {
    let mut tar = TarReader::new(bytes);
    let mut data = [0; 700];
    while let Ok(Some(item)) = tar.next() {
        let _ = tar.read_data(&mut data);
        encode_entry(&item.entry, &mut Vec::new());
    }
    if let Ok(stream) = ArchiveStream::open(bytes, &[]) {
        let mut tar = TarReader::new(Sequential(stream));
        while let Ok(Some(_)) = tar.next() {
            let _ = tar.data().read_to_end(&mut Vec::new());
        }
    }
});
