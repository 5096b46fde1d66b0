//! Any entry survives, and no bytes make the reader panic.

use proptest::prelude::*;

use super::*;

fn kind() -> impl Strategy<Value = Kind> {
    (1u8..=7).prop_map(|n| Kind::from_number(n).unwrap())
}

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(1u8..=255, 1..most)
}

prop_compose! {
    pub(super) fn any_entry()(
        kind in kind(),
        path in prop_oneof![bytes(20), bytes(300), "[a-zé/]{1,300}".prop_map(String::into_bytes)],
        mode in 0u32..=0o7777,
        (uid, gid, device) in any::<(u32, u32, (u32, u32))>(),
        seconds in prop_oneof![any::<i32>().prop_map(i64::from), -(1i64 << 60)..(1i64 << 60)],
        nanoseconds in prop_oneof![Just(0), 0u32..1_000_000_000],
        size in prop_oneof![0u64..2000, any::<u64>().prop_map(|n| n >> 3)],
        link in prop_oneof![bytes(20), bytes(300)],
        xattrs in proptest::collection::vec((bytes(20), proptest::collection::vec(any::<u8>(), 0..50)), 0..3),
        acl in any::<bool>(),
        gaps in proptest::option::of(proptest::collection::vec((1u64..100, 1u64..100), 0..40)),
    ) -> Entry {
        let mut path = path;
        while path.ends_with(b"/") || path == b"." {
            path.push(b'x');
        }
        let regular = kind == Kind::Regular;
        let is_link = matches!(kind, Kind::Symlink | Kind::HardLink);
        let sparse = gaps.filter(|_| regular).map(|gaps| {
            let mut at = 0;
            gaps.into_iter().map(|(hole, data)| {
                let extent = Extent { offset: at + hole * 512, length: data * 512 };
                at = extent.offset + extent.length;
                extent
            }).collect::<Vec<_>>()
        });
        let size = match &sparse {
            Some(extents) => extents.last().map_or(0, |e| e.offset + e.length) + size % 4096,
            None if regular => size,
            None => 0,
        };
        let acl = acl.then(|| acl::from_text(b"u::rwx,u:5:r--,g::---,m::r--,o::---").unwrap());
        Entry {
            path, kind, mode, uid, gid,
            mtime: Timestamp { seconds, nanoseconds },
            size,
            link: if is_link { link } else { Vec::new() },
            device: if matches!(kind, Kind::CharDevice | Kind::BlockDevice) { device } else { (0, 0) },
            xattrs, acl_access: acl.clone(), acl_default: acl, sparse,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_entry_survives(entry in any_entry(), before in 0usize..3) {
        let mut archive = Vec::new();
        for _ in 0..before {
            add(&mut archive, &file(b"x", 1), b"x");
        }
        let start = archive.len() as u64;
        encode_entry(&entry, &mut archive);
        prop_assert_eq!(archive.len() % 512, 0);
        let mut tar = TarReader::new(archive.as_slice());
        for _ in 0..before {
            tar.next().unwrap().unwrap();
        }
        let item = tar.next().unwrap().unwrap();
        prop_assert_eq!(item.offset, start);
        prop_assert_eq!(item.data_offset, archive.len() as u64);
        prop_assert_eq!(item.data_length, entry.stored_size());
        prop_assert_eq!(item.entry, entry);
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
        let mut tar = TarReader::new(bytes.as_slice());
        while let Ok(Some(_)) = tar.next() {}
    }

    #[test]
    fn any_header_fields_are_read_without_panic(
        changes in proptest::collection::vec((0usize..20, 0usize..512, any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut archive = small_variety();
        for (block, at, byte) in changes {
            let start = block * 512;
            let block = &mut archive[start..start + 512];
            let was_header = &block[257..262] == b"ustar";
            block[at] = byte;
            if was_header {
                block[148..156].fill(b' ');
                let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
                block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
            }
        }
        archive.truncate(cut.index(archive.len() + 1));
        let mut tar = TarReader::new(archive.as_slice());
        let mut buffer = [0; 100];
        while let Ok(Some(_)) = tar.next() {
            let _ = tar.read_data(&mut buffer);
        }
    }
}

/// Twenty blocks and more with every kind of header.
fn small_variety() -> Vec<u8> {
    let mut archive = Vec::new();
    encode_global("c", Some((b"name", 512, 1024)), &mut archive);
    encode_fragment(&file(b"name", 1536), 2, 512, 1024, &mut archive);
    archive.extend_from_slice(&[1; 512]);
    add(&mut archive, &file(b"a", 700), &[2; 700]);
    let extents = vec![Extent { offset: 512, length: 512 }];
    let sparse = Entry {
        sparse: Some(extents),
        xattrs: vec![(b"user.x".to_vec(), b"y".to_vec())],
        ..file(b"s", 2048)
    };
    add(&mut archive, &sparse, &[1; 512]);
    add(&mut archive, &file(&[b'l'; 300], 3), b"abc");
    add(&mut archive, &Entry { link: b"l".repeat(150), ..entry(b"h", Kind::HardLink) }, b"");
    archive.extend_from_slice(&END_OF_ARCHIVE);
    assert!(archive.len() >= 20 * 512);
    archive
}
