use super::*;
use proptest::prelude::*;

fn any_member() -> impl Strategy<Value = Member> {
    let name = proptest::collection::vec(1u8..=255, 0..12);
    let numbers =
        (1u8..=7, 0u32..4, 0u32..3, any::<u64>(), any::<i64>(), 0u64..1 << 40, 0u32..3, any::<bool>());
    (name.clone(), name, numbers, 0u8..8).prop_map(|(name, link, n, notes)| {
        let kind = Kind::from_number(n.0).unwrap();
        Member {
            name,
            kind,
            mode: n.1 * 0o111,
            uid: n.2,
            gid: u32::MAX - n.2,
            size: n.3,
            mtime: if n.7 { n.4 } else { n.4 / SECOND * SECOND },
            sha256: if kind == Kind::Regular { [n.3 as u8; 32] } else { [0; 32] },
            archive: n.6,
            offset: n.5 * 512,
            link: if matches!(kind, Kind::Symlink | Kind::HardLink) { link } else { Vec::new() },
            notes: Notes(if notes < 4 { 0 } else { notes }),
        }
    })
}

fn build(first: u64, rows: &[(u64, Member)]) -> Block {
    let mut builder = BlockBuilder::new(first);
    rows.iter().for_each(|(directory, member)| builder.push(*directory, member));
    builder.finish().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn members_come_back(
        rows in proptest::collection::vec((0u64..4, any_member()), 1..100),
        first in 0u64..1 << 40,
        at in any::<proptest::sample::Index>(),
        flip in 0u8..8,
    ) {
        let block = build(first, &rows);
        let reader = BlockReader::new(&block.bytes).unwrap();
        prop_assert_eq!((reader.first_ordinal(), reader.count()), (first, rows.len() as u32));
        prop_assert_eq!(reader.members().collect::<Vec<_>>(), rows.clone());
        let i = at.index(rows.len());
        prop_assert_eq!(reader.member(i).unwrap(), rows[i].clone());
        prop_assert_eq!(reader.directory(i).unwrap(), rows[i].0);
        prop_assert_eq!(reader.names(), block.names());
        let moved = reader.with_directories(|id| Some(id + 1000)).unwrap();
        let there = BlockReader::from_parts(&moved.bytes[..moved.names_at], &moved.bytes[moved.names_at..]).unwrap();
        prop_assert!(there.members().zip(&rows).all(|(a, b)| a.0 == b.0 + 1000 && a.1 == b.1));
        prop_assert_eq!(there.with_directories(|id| Some(id - 1000)).unwrap(), block.clone());
        prop_assert!(reader.with_directories(|_| None).is_err());
        // Any damage is noticed, and a wrong column behind a right checksum never panics.
        let mut damaged = block.bytes.clone();
        let byte = at.index(damaged.len());
        damaged[byte] ^= 1 << flip;
        prop_assert!(BlockReader::new(&damaged).is_err());
        let end = damaged.len() - 4;
        let crc = crc32c::crc32c(&damaged[..end]);
        damaged[end..].copy_from_slice(&crc.to_le_bytes());
        if let Ok(reader) = BlockReader::new(&damaged) {
            prop_assert_eq!(reader.members().count(), reader.count() as usize);
        }
        prop_assert!(BlockReader::new(&block.bytes[..byte]).is_err());
    }

    #[test]
    fn any_bytes_are_refused_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(BlockReader::new(&bytes).is_err());
        let _ = names_of(&bytes);
    }
}

#[test]
fn a_block_is_full_in_time() {
    let mut builder = BlockBuilder::new(7);
    assert!(builder.finish().is_none());
    let mut member = frozen_members().remove(0).1;
    for i in 0..256 {
        assert!(!builder.is_full());
        member.uid = i;
        builder.push(1, &member);
    }
    assert!(builder.is_full());
    assert_eq!(builder.finish().unwrap().first_ordinal, 7);
    for _ in 0..1024 {
        assert!(!builder.is_full());
        builder.push(1, &member);
    }
    assert!(builder.is_full());
    let block = builder.finish().unwrap();
    assert_eq!((block.first_ordinal, block.count, builder.count()), (263, 1024, 0));
}

fn frozen_members() -> Vec<(u64, Member)> {
    let file = Member {
        name: b"docs".to_vec(),
        kind: Kind::Directory,
        mode: 0o755,
        uid: 1000,
        gid: 100,
        size: 0,
        mtime: 1_700_000_000_000_000_000,
        sha256: [0; 32],
        archive: 1,
        offset: 1024,
        link: Vec::new(),
        notes: Notes::default(),
    };
    let text = Member {
        name: b"a.txt".to_vec(),
        kind: Kind::Regular,
        mode: 0o644,
        size: 300,
        sha256: [0xab; 32],
        offset: 1536,
        notes: Notes::CHANGED,
        ..file.clone()
    };
    let link = Member {
        name: b"l".to_vec(),
        kind: Kind::Symlink,
        mode: 0o777,
        link: b"a.txt".to_vec(),
        mtime: -1_000_000_000,
        archive: 2,
        offset: 512,
        ..file.clone()
    };
    vec![(5, file), (5, text), (9, link)]
}

/// Version 1 may never change: if this fails, the code is wrong.
#[test]
fn frozen_bytes() {
    let block = build(300, &frozen_members());
    let mut expected = vec![1, 1, 3, 0xac, 2];
    expected.extend([5, 2, 5, 2, 9, 1]);
    expected.extend([5, 2, 1, 2, 2, 1]);
    expected.extend([
        22, 3, 2, 0xed, 3, 0xe8, 7, 100, 1, 0xa4, 3, 0xe8, 7, 100, 3, 0xff, 3, 0xe8, 7, 100, 0, 1, 2,
    ]);
    expected.extend([4, 0, 0xac, 2, 0]);
    expected.extend([11, 0x80, 0xc4, 0x9f, 0xd5, 0x0c, 0, 0x81, 0xc4, 0x9f, 0xd5, 0x0c]);
    expected.extend([3, 4, 2, 3]);
    expected.push(32);
    expected.extend([0xab; 32]);
    expected.extend(b"\x06a.txt\0\x03\x01\x01\x01\x0ddocs\0a.txt\0l\0");
    let crc = crc32c::crc32c(&expected);
    expected.extend(crc.to_le_bytes());
    assert_eq!(block.bytes, expected);
    assert_eq!(crc, FROZEN_CRC, "{crc:#x}");
}

const FROZEN_CRC: u32 = 0x0d3a_bcb1;
