//! What we write, read by the `tar` crate, which shares no line with ours.

use std::io::Read;

use proptest::prelude::*;

use super::*;

/// What the crate says of one member: path, kind, mode, owners, link, size, seconds, content.
type Seen = (Vec<u8>, u8, u32, (u64, u64), Vec<u8>, u64, u64, Vec<u8>);

fn seen(archive: &[u8]) -> Vec<Seen> {
    let mut archive = ::tar::Archive::new(archive);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut records = std::collections::HashMap::new();
        for record in entry.pax_extensions().unwrap().into_iter().flatten() {
            let record = record.unwrap();
            records.insert(record.key_bytes().to_vec(), record.value_bytes().to_vec());
        }
        let number = |key: &[u8]| -> Option<u64> {
            std::str::from_utf8(records.get(key)?).unwrap().split('.').next().unwrap().parse().ok()
        };
        let header = entry.header().clone();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (
            entry.path_bytes().into_owned(),
            header.entry_type().as_byte(),
            header.mode().unwrap(),
            (
                number(b"uid").unwrap_or_else(|| header.uid().unwrap()),
                number(b"gid").unwrap_or_else(|| header.gid().unwrap()),
            ),
            entry.link_name_bytes().map_or_else(Vec::new, |link| link.into_owned()),
            entry.size(),
            number(b"mtime").unwrap_or_else(|| header.mtime().unwrap()),
            content,
        )
    });
    entries.collect()
}

fn type_flag(kind: Kind) -> u8 {
    match kind {
        Kind::Regular => b'0',
        Kind::HardLink => b'1',
        Kind::Symlink => b'2',
        Kind::CharDevice => b'3',
        Kind::BlockDevice => b'4',
        Kind::Directory => b'5',
        Kind::Fifo => b'6',
    }
}

fn expected(entry: &Entry, data: &[u8]) -> Seen {
    let mut path = entry.path.clone();
    if entry.kind == Kind::Directory {
        path.push(b'/');
    }
    (
        path,
        type_flag(entry.kind),
        entry.mode,
        (u64::from(entry.uid), u64::from(entry.gid)),
        entry.link.clone(),
        data.len() as u64,
        entry.mtime.seconds as u64,
        data.to_vec(),
    )
}

#[test]
fn the_tar_crate_reads_what_we_write() {
    let (_, members) = variety();
    // It knows no sparse maps in pax records and no time before 1970, and ends a record at the first newline.
    let plain = |e: &Entry| e.sparse.is_none() && e.mtime.seconds >= 0 && e.xattrs.is_empty();
    let members: Vec<_> = members.into_iter().filter(|(entry, _)| plain(entry)).collect();
    assert!(members.len() > 20);
    let mut archive = Vec::new();
    members.iter().for_each(|(entry, data)| add(&mut archive, entry, data));
    archive.extend_from_slice(&END_OF_ARCHIVE);
    let expected: Vec<Seen> = members.iter().map(|(entry, data)| expected(entry, data)).collect();
    assert_eq!(seen(&archive), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_entry_is_the_same_to_the_tar_crate(entry in properties::any_entry(), length in 0usize..1500) {
        let data = if entry.kind == Kind::Regular { patterned(length) } else { Vec::new() };
        let one_line = |bytes: &[u8]| -> Vec<u8> {
            bytes.iter().map(|byte| if *byte == b'\n' { b'n' } else { *byte }).collect()
        };
        let xattrs = entry.xattrs.iter().map(|(name, value)| (one_line(name), one_line(value))).collect();
        let entry = Entry {
            path: one_line(&entry.path),
            link: one_line(&entry.link),
            xattrs,
            sparse: None,
            size: data.len() as u64,
            mtime: Timestamp { seconds: entry.mtime.seconds.saturating_abs(), ..entry.mtime },
            ..entry
        };
        let mut archive = Vec::new();
        add(&mut archive, &entry, &data);
        archive.extend_from_slice(&END_OF_ARCHIVE);
        prop_assert_eq!(seen(&archive), [expected(&entry, &data)]);
    }
}
