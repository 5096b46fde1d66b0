use proptest::prelude::*;

use super::*;
use crate::format::v1::zstd_frames::FrameEncoder;

/// One tape file in memory, its records at `start`; counts what is asked of it.
#[derive(Debug)]
struct Tape {
    data: Vec<u8>,
    record_size: usize,
    start: u64,
    next: u64,
    reads: usize,
    seeks: usize,
}

impl RecordSource for &mut Tape {
    fn seek(&mut self, block: u64) -> io::Result<()> {
        self.seeks += 1;
        self.next = block;
        Ok(())
    }

    fn next_record(&mut self, record: &mut Vec<u8>) -> io::Result<bool> {
        self.reads += 1;
        let number = (self.next - self.start) as usize;
        let Some(data) = self.data.chunks(self.record_size).nth(number) else { return Ok(false) };
        record.clear();
        record.extend_from_slice(data);
        self.next += 1;
        Ok(true)
    }
}

fn stream(length: usize) -> Vec<u8> {
    // Half of it compresses.
    let mut state = 1u32;
    (0..length)
        .map(|at| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if at / 300_000 % 2 == 0 { (state >> 24) as u8 } else { b"the tape goes round "[at % 20] }
        })
        .collect()
}

fn tape(stream: &[u8], record_size: u32, zstd: bool, identity: Option<&Identity>) -> (Tape, ArchiveLayout) {
    let mut table = FrameTable::default();
    let mut packed = Vec::new();
    if zstd {
        let mut encoder = FrameEncoder::new(1).unwrap();
        for piece in stream.chunks(PIECE) {
            let start = packed.len();
            encoder.encode(piece, &mut packed).unwrap();
            table.push((packed.len() - start) as u32, piece.len() as u32);
        }
    } else {
        packed.extend_from_slice(stream);
    }
    let (data, header) = match identity {
        None => (packed, 0),
        Some(identity) => {
            let (mut data, mut encryptor) = age::Encryptor::new(&[identity.recipient()]).unwrap();
            let header = data.len() - age::NONCE;
            encryptor.encrypt_run(&packed, true, &mut data).unwrap();
            (data, header as u32)
        }
    };
    let layout = ArchiveLayout {
        start_block: 1000,
        record_size,
        header_bytes: header,
        stream_bytes: stream.len() as u64,
        stored_bytes: data.len() as u64,
        frames: zstd.then(|| Arc::new(table)),
    };
    (Tape { data, record_size: record_size as usize, start: 1000, next: 0, reads: 0, seeks: 0 }, layout)
}

const KINDS: [(bool, bool); 4] = [(false, false), (true, false), (false, true), (true, true)];

#[test]
fn every_layering_reads_from_everywhere() {
    let stream = stream(PIECE + 1_000_001);
    let identity = Identity::generate().unwrap();
    for (zstd, encrypted) in KINDS {
        let (mut tape, layout) = tape(&stream, 65_536, zstd, encrypted.then_some(&identity));
        let mut reader = ArchiveReader::open(&mut tape, &layout, std::slice::from_ref(&identity)).unwrap();
        let mut whole = Vec::new();
        reader.read_to_end(&mut whole).unwrap();
        assert!(whole == stream, "{zstd} {encrypted}");
        for offset in [0, 1, 65_535, 65_536, 1_000_000, PIECE - 1, PIECE, stream.len() - 1] {
            reader.seek(offset as u64);
            let mut part = vec![0; 1000.min(stream.len() - offset)];
            reader.read_exact(&mut part).unwrap();
            assert!(part == stream[offset..offset + part.len()], "{zstd} {encrypted} {offset}");
        }
        reader.seek(stream.len() as u64);
        assert_eq!(reader.read(&mut [0; 10]).unwrap(), 0);
        assert!(layout.locate(stream.len() as u64).is_none());
    }
}

#[test]
fn a_small_read_costs_few_records() {
    let stream = stream(3 * PIECE);
    let identity = Identity::generate().unwrap();
    for ((zstd, encrypted), most) in KINDS.into_iter().zip([1, 50, 3, 51]) {
        let (mut tape, layout) = tape(&stream, 65_536, zstd, encrypted.then_some(&identity));
        let mut reader = ArchiveReader::open(&mut tape, &layout, std::slice::from_ref(&identity)).unwrap();
        reader.seek(2 * PIECE as u64 + 1000);
        reader.read_exact(&mut [0; 100]).unwrap();
        let place = layout.locate(2 * PIECE as u64 + 1000).unwrap();
        drop(reader);
        assert!(tape.reads <= most, "{zstd} {encrypted}: {} records", tape.reads);
        assert!(tape.seeks <= 2);
        assert!(place.block >= 1000 && place.block <= tape.next);
    }
}

#[test]
fn a_short_gap_is_read_through_and_a_long_one_crossed() {
    let stream = stream(100 * 1024);
    let (mut tape, layout) = tape(&stream, 1024, false, None);
    let mut reader = ArchiveReader::open(&mut tape, &layout, &[]).unwrap();
    reader.read_exact(&mut [0; 10]).unwrap();
    reader.skip(5 * 1024).unwrap();
    reader.read_exact(&mut [0; 10]).unwrap();
    reader.skip(50 * 1024).unwrap();
    reader.read_exact(&mut [0; 10]).unwrap();
    assert_eq!(reader.skip(1 << 40).unwrap(), 100 * 1024 - 55 * 1024 - 30);
    drop(reader);
    assert_eq!((tape.seeks, tape.reads), (2, 1 + 5 + 1));
}

#[test]
fn a_wrong_key_and_a_cut_file_are_told() {
    let stream = stream(300_000);
    let (identity, other) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    let (mut tape, layout) = tape(&stream, 65_536, false, Some(&identity));
    let error = ArchiveReader::open(&mut tape, &layout, &[other]).unwrap_err();
    assert!(matches!(
        error.into_inner().unwrap().downcast_ref::<FormatError>(),
        Some(FormatError::Age(age::AgeError::NoMatchingIdentity { recipients: 1 }))
    ));
    assert_eq!(tape.reads, 1);
    let length = tape.data.len();
    tape.data.truncate(length - 1);
    let mut reader = ArchiveReader::open(&mut tape, &layout, &[identity]).unwrap();
    assert!(reader.read_to_end(&mut Vec::new()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_walk(
        kind in 0usize..4,
        record_size in prop_oneof![Just(512u32), Just(4096), Just(262_144)],
        steps in proptest::collection::vec((0u64..400_000, 1usize..9000), 1..10),
    ) {
        let stream = stream(400_000);
        let identity = Identity::generate().unwrap();
        let (zstd, encrypted) = KINDS[kind];
        let (mut tape, layout) = tape(&stream, record_size, zstd, encrypted.then_some(&identity));
        let mut reader = ArchiveReader::open(&mut tape, &layout, &[identity]).unwrap();
        for (offset, length) in steps {
            reader.seek(offset);
            let end = stream.len().min(offset as usize + length);
            let mut part = vec![0; end - offset as usize];
            reader.read_exact(&mut part).unwrap();
            prop_assert!(part == stream[offset as usize..end]);
        }
    }
}
