#![no_main]
//! `members.bin`: the input is a list of sections (kind, two bytes of length, payload), whose checksums are made right.

use libfuzzer_sys::fuzz_target;
use reelward::format::v1::block::BlockReader;
use reelward::format::v1::index::{IndexReader, MAGIC, Section, directory_rows};

fuzz_target!(|bytes: &[u8]| {
    let _ = IndexReader::new(bytes).map(|mut sections| while let Ok(Some(_)) = sections.next_section() {});
    let (mut file, mut rest) = (MAGIC.to_vec(), bytes);
    while let [kind, low, high, after @ ..] = rest {
        let (payload, after) =
            after.split_at(usize::from(u16::from_le_bytes([*low, *high])).min(after.len()));
        rest = after;
        let mut payload = payload.to_vec();
        if *kind == b'M' {
            payload.extend(crc32c::crc32c(&payload).to_le_bytes());
        }
        let start = file.len();
        file.push(*kind);
        file.extend((payload.len() as u64).to_le_bytes());
        file.extend(payload);
        file.extend(crc32c::crc32c(&file[start..]).to_le_bytes());
    }
    let Ok(mut sections) = IndexReader::new(file.as_slice()) else { return };
    while let Ok(Some(section)) = sections.next_section() {
        match section {
            Section::Directories(rows) => {
                let _ = directory_rows(&rows).count();
            }
            Section::Block(block) => {
                let _ = BlockReader::new(&block).map(|reader| reader.members().count());
            }
            Section::Frames(archive, table) => {
                assert_eq!(table.sections(archive).is_empty(), table.is_empty());
            }
            _ => {}
        }
    }
});
