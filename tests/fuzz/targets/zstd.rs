#![no_main]
//! zstd frames: foreign bytes, and our own back.

use std::io::Read;

use libfuzzer_sys::fuzz_target;
use reelward::format::v1::archive_stream::ArchiveStream;
use reelward::format::v1::zstd_frames::{FrameEncoder, decode};

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

fuzz_target!(|bytes: &[u8]| {
    let Some((length, bytes)) = bytes.split_first_chunk::<2>() else { return };
    let length = usize::from(u16::from_le_bytes(*length));
    let mut out = Vec::new();
    for frame in [bytes.to_vec(), [&MAGIC, bytes].concat()] {
        out.clear();
        if decode(&frame, length, &mut out).is_ok() {
            assert_eq!(out.len(), length);
        }
        if let Ok(mut stream) = ArchiveStream::open(frame.as_slice(), &[]) {
            let _ = stream.by_ref().take(64 << 20).read_to_end(&mut Vec::new());
            let _ = stream.finish();
        }
    }
    let mut packed = Vec::new();
    FrameEncoder::new(1).expect("memory").encode(bytes, &mut packed).expect("packed");
    out.clear();
    decode(&packed, bytes.len(), &mut out).expect("unpacked");
    assert_eq!(out, bytes);
});
