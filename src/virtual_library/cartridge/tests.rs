use super::*;
use std::io::Write;

const KEEPING: Keeping = Keeping { sync: false, buffer: 1 << 20, keep: None };

fn fresh(directory: &Path) -> Cartridge {
    Cartridge::create(directory, &Memory::default()).unwrap();
    Cartridge::open(directory, KEEPING).unwrap()
}

fn contents(cartridge: &mut Cartridge) -> Vec<Option<Vec<u8>>> {
    let mut all = Vec::new();
    while let Some(entry) = cartridge.entry(all.len() as u64).unwrap() {
        all.push(match entry.object {
            Object::Filemark => None,
            Object::Record(record) => {
                let mut bytes = vec![0; record.stored as usize];
                cartridge.read(&entry, &mut bytes).unwrap();
                Some(bytes)
            }
        });
    }
    all
}

#[test]
fn what_is_not_flushed_is_gone_after_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("c");
    let mut cartridge = fresh(&path);
    cartridge.append(b"one", 3, None).unwrap();
    cartridge.append_filemark().unwrap();
    cartridge.flush().unwrap();
    cartridge.append(b"two", 3, None).unwrap();
    assert_eq!(cartridge.buffered(), (1, 3));
    drop(cartridge);
    let mut again = Cartridge::open(&path, KEEPING).unwrap();
    assert_eq!(contents(&mut again), vec![Some(b"one".to_vec()), None]);
    assert_eq!(fs::metadata(path.join("data")).unwrap().len(), 3);
}

#[test]
fn a_full_buffer_writes_the_oldest_records() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("c");
    let mut cartridge = fresh(&path);
    for n in 0..48u8 {
        cartridge.append(&[n; 32768], 32768, None).unwrap();
    }
    let (waiting, bytes) = cartridge.buffered();
    assert!(bytes <= 1 << 20 && waiting > 0);
    drop(cartridge);
    let mut again = Cartridge::open(&path, KEEPING).unwrap();
    let survivors = contents(&mut again);
    assert_eq!(survivors.len() as u64, 48 - waiting);
    for (n, record) in survivors.iter().enumerate() {
        assert_eq!(record.as_deref(), Some(&[n as u8; 32768][..]));
    }
}

#[test]
fn a_torn_tail_is_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("c");
    let mut cartridge = fresh(&path);
    for n in 0..5u8 {
        cartridge.append(&[n; 100], 100, None).unwrap();
    }
    cartridge.flush().unwrap();
    drop(cartridge);
    let mut index = OpenOptions::new().append(true).open(path.join("index")).unwrap();
    index.write_all(&[7; 45]).unwrap();
    let mut data = OpenOptions::new().append(true).open(path.join("data")).unwrap();
    data.write_all(&[7; 10]).unwrap();
    assert_eq!(Cartridge::open(&path, KEEPING).unwrap().count(), 5);
    assert_eq!(fs::metadata(path.join("index")).unwrap().len(), 160);
    assert_eq!(fs::metadata(path.join("data")).unwrap().len(), 500);
    // Entries without their data go as well.
    data.set_len(450).unwrap();
    let mut again = Cartridge::open(&path, KEEPING).unwrap();
    assert_eq!(contents(&mut again).len(), 4);
    assert_eq!(fs::metadata(path.join("data")).unwrap().len(), 400);
}

#[test]
fn overwriting_drops_what_follows() {
    let directory = tempfile::tempdir().unwrap();
    let mut cartridge = fresh(&directory.path().join("c"));
    for n in 0..4u8 {
        cartridge.append(&[n; 10], 10, None).unwrap();
        cartridge.append_filemark().unwrap();
    }
    cartridge.truncate(6).unwrap();
    cartridge.flush().unwrap();
    cartridge.append(b"lost", 4, None).unwrap();
    cartridge.truncate(3).unwrap();
    assert_eq!((cartridge.count(), cartridge.files(), cartridge.used()), (3, 1, 20));
    cartridge.append(b"new", 3, None).unwrap();
    let expected = vec![Some(vec![0; 10]), None, Some(vec![1; 10]), Some(b"new".to_vec())];
    assert_eq!(contents(&mut cartridge), expected);
}

#[test]
fn filemarks_are_found() {
    let directory = tempfile::tempdir().unwrap();
    let mut cartridge = fresh(&directory.path().join("c"));
    for records in [3u8, 0, 1, 200] {
        for n in 0..records {
            cartridge.append(&[n], 1, None).unwrap();
        }
        cartridge.append_filemark().unwrap();
        if records == 1 {
            cartridge.flush().unwrap();
        }
    }
    let marks: Vec<_> = (0..5).map(|n| cartridge.filemark(n).unwrap()).collect();
    assert_eq!(marks, vec![Some(3), Some(4), Some(6), Some(207), None]);
    assert_eq!(cartridge.next_filemark(4).unwrap(), Some(4));
    assert_eq!(cartridge.next_filemark(5).unwrap(), Some(6));
    assert_eq!(cartridge.next_filemark(208).unwrap(), None);
    assert_eq!(cartridge.previous_filemark(4).unwrap(), Some(3));
    assert_eq!(cartridge.previous_filemark(3).unwrap(), None);
    assert_eq!(cartridge.files_before(100).unwrap(), 3);
    assert_eq!(cartridge.bytes_before(7).unwrap(), 4);
}

#[test]
fn bulk_data_is_discarded_and_short_files_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("c");
    Cartridge::create(&path, &Memory::default()).unwrap();
    let keeping = Keeping { keep: Some(250), ..KEEPING };
    let mut cartridge = Cartridge::open(&path, keeping).unwrap();
    for file in 0..2u8 {
        for _ in 0..4 {
            cartridge.append(&[file; 100], 100, None).unwrap();
        }
        cartridge.append_filemark().unwrap();
    }
    cartridge.append(b"short", 5, None).unwrap();
    cartridge.flush().unwrap();
    drop(cartridge);
    let mut again = Cartridge::open(&path, keeping).unwrap();
    assert_eq!(again.count(), 11);
    for n in 0..11 {
        let entry = again.entry(n).unwrap().unwrap();
        let discarded = matches!(entry.object, Object::Record(record) if record.discarded);
        assert_eq!(discarded, matches!(n, 2 | 3 | 7 | 8), "{n}");
    }
    let last = again.entry(10).unwrap().unwrap();
    let mut bytes = [0; 5];
    again.read(&last, &mut bytes).unwrap();
    assert_eq!(&bytes, b"short");
}
