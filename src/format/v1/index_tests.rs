use super::*;
use proptest::prelude::*;

fn information() -> Information {
    Information {
        job: "j".into(),
        host: "h".into(),
        roots: vec!["/r".into()],
        warnings: 2,
        exclude: Vec::new(),
        one_file_system: false,
        kind: None,
        bases: Vec::new(),
    }
}

fn sections(bytes: &[u8]) -> Result<Vec<String>, IndexError> {
    let mut reader = IndexReader::new(bytes)?;
    let mut all = Vec::new();
    while let Some(section) = reader.next_section()? {
        if let Section::Directories(rows) = &section {
            for row in directory_rows(rows) {
                all.push(format!("{:?}", row?));
            }
        }
        all.push(format!("{section:?}"));
    }
    Ok(all)
}

fn example() -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = IndexWriter::new(&mut out).unwrap();
    writer.information(&information()).unwrap();
    let mut rows = Vec::new();
    let row = DirectoryRow { id: 3, parent: 0, first: 0, own: true, direct: 2, subtree: 300, name: b"home" };
    row.write(&mut rows);
    assert_eq!(rows.len(), row.length());
    writer.directories(&rows).unwrap();
    writer.block(3, &[b"bl", b"ock"]).unwrap();
    let table: PackedFrames = [(1000u32, 4 << 20), (5, 6)].into_iter().collect();
    writer.frames(1, &table).unwrap();
    let mut rows = Vec::new();
    FragmentRow { ordinal: 2, archive: 1, stream_offset: 512, data_offset: 0, data_length: 1000 }
        .write(&mut rows);
    writer.fragments(&rows).unwrap();
    let length = writer.finish().unwrap();
    assert_eq!(length, out.len() as u64);
    out
}

/// Version 1 may never change: if this fails, the code is wrong.
#[test]
fn frozen_bytes() {
    let mut expected = MAGIC.to_vec();
    let mut section = |kind: u8, payload: &[u8]| {
        let mut bytes = vec![kind];
        bytes.extend((payload.len() as u64).to_le_bytes());
        bytes.extend(payload);
        let crc = crc32c::crc32c(&bytes);
        expected.extend(bytes);
        expected.extend(crc.to_le_bytes());
    };
    section(b'I', br#"{"job":"j","host":"h","roots":["/r"],"warnings":2}"#);
    section(b'D', b"\x03\x00\x00\x01\x02\xac\x02home\0");
    section(b'M', b"block");
    section(b'F', b"\x01\x02\xe8\x07\x80\x80\x80\x02\x05\x06");
    section(b'S', b"\x02\x01\x80\x04\x00\xe8\x07");
    section(b'E', b"\x01\x03");
    assert_eq!(example(), expected);
    assert_eq!(crc32c::crc32c(&expected), FROZEN_CRC, "{:#x}", crc32c::crc32c(&expected));
    assert_eq!(sections(&expected).unwrap().len(), 7);
}

const FROZEN_CRC: u32 = 0xc462_6c86;

#[test]
fn long_frame_tables_are_cut_and_join() {
    let table: PackedFrames = (0..1_000_000u32).map(|i| (i, 4 << 20)).collect();
    let cut = table.sections(9);
    assert!(cut.len() > 3 && cut.iter().all(|s| s.len() < SECTION_TARGET + 32));
    let mut joined = PackedFrames::default();
    for payload in cut {
        let Some(Section::Frames(9, piece)) = frames(&payload) else { panic!("not a frame table") };
        joined.append(piece);
    }
    assert_eq!(joined, table);
}

#[test]
fn set_json_says_what_it_says() {
    let description = SetDescription {
        format: SetDescription::FORMAT.into(),
        version: 1,
        set: "u".into(),
        part: 1,
        last: true,
        state: PartState::Interrupted,
        started: "s".into(),
        written: "w".into(),
        first_ordinal: 0,
        members: 1,
        bytes: 2,
        record_size: 3,
        compression: "none".into(),
        recipients: Vec::new(),
        volume: "v".into(),
        previous: None,
        archives: Vec::new(),
    };
    let json = description.to_json().unwrap();
    let text = String::from_utf8(json.clone()).unwrap();
    assert!(text.contains(r#""final": true"#) && text.contains(r#""state": "interrupted""#));
    assert_eq!(SetDescription::from_json(&json).unwrap(), description);
    let more = text.replacen('{', r#"{"new": [1], "#, 1);
    assert_eq!(SetDescription::from_json(more.as_bytes()).unwrap(), description);
    let later = text.replace(r#""version": 1"#, r#""version": 2"#);
    assert!(SetDescription::from_json(later.as_bytes()).is_err());
}

proptest! {
    #[test]
    fn damage_is_noticed(at in any::<proptest::sample::Index>(), bit in 0u8..8) {
        let mut bytes = example();
        let at = at.index(bytes.len());
        prop_assert!(sections(&bytes[..at]).is_err());
        bytes[at] ^= 1 << bit;
        prop_assert!(sections(&bytes).is_err());
    }

    #[test]
    fn any_payload_is_read_without_panic(kind in any::<u8>(), payload in proptest::collection::vec(any::<u8>(), 0..60)) {
        let mut bytes = MAGIC.to_vec();
        let mut section = vec![kind];
        section.extend((payload.len() as u64).to_le_bytes());
        section.extend(&payload);
        let crc = crc32c::crc32c(&section);
        bytes.extend(section);
        bytes.extend(crc.to_le_bytes());
        let _ = sections(&bytes);
        let _ = sections(&payload);
        let _ = SetDescription::from_json(&payload);
    }
}
