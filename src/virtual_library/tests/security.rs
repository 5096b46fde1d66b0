use super::*;

fn set_key(drive: &mut Unit0, encryption: u8, decryption: u8, key: u8, data: &[u8]) -> Reply {
    let mut list = vec![0u8; 20];
    (list[1], list[4], list[5], list[6], list[7], list[8]) = (0x10, 0x40, 0x04, encryption, decryption, 1);
    if encryption != 0 || decryption != 0 {
        list[19] = 32;
        list.extend([key; 32]);
        list.extend([0, 0, 0, data.len() as u8]);
        list.extend(data);
    }
    let length = list.len() - 4;
    list[3] = length as u8;
    list[0] = 0;
    let mut cdb = [0u8; 12];
    (cdb[0], cdb[1], cdb[3], cdb[9]) = (0xb5, 0x20, 0x10, list.len() as u8);
    drive.put(&cdb, &list)
}

fn page(drive: &mut Unit0, page: u8) -> Vec<u8> {
    drive.get(&[0xa2, 0x20, 0, page, 0, 0, 0, 0, 2, 0, 0, 0])
}

#[test]
fn what_is_stored_is_really_encrypted() {
    let (rig, mut drive) = Rig::loaded(&layout());
    drive.wrote(b"in the clear, for all");
    assert_eq!(set_key(&mut drive, 2, 2, 7, b"key one").status, Status::Good);
    let secret = b"the secret text".repeat(100);
    drive.wrote(&secret);
    drive.wrote(&secret);
    drive.marks(1);
    let stored = fs::read(rig.path().join("cartridges/RW0001L9/data")).unwrap();
    assert!(memchr::memmem::find(&stored, b"secret text").is_none());
    assert_eq!(stored.len(), 21 + 2 * (secret.len() + 28));
    let memory = fs::read(rig.path().join("cartridges/RW0001L9/memory.json")).unwrap();
    assert!(memchr::memmem::find(&memory, &[7; 32]).is_none());

    drive.rewind();
    assert_eq!(page(&mut drive, 0x21)[12] & 0x0f, 3);
    assert_eq!(key(&drive.read(21).0), (7, 0x74, 2));
    assert_eq!(set_key(&mut drive, 2, 3, 7, b"key one").status, Status::Good);
    assert_eq!(drive.read(21).0.status, Status::Good);
    let next = page(&mut drive, 0x21);
    assert_eq!((next[11], next[12] & 0x0f, &next[20..27]), (1, 5, &b"key one"[..]));
    assert_eq!(drive.read(secret.len()), (Reply::good(secret.len()), secret.clone()));

    assert_eq!(set_key(&mut drive, 2, 2, 8, b"").status, Status::Good);
    assert_eq!(page(&mut drive, 0x21)[12] & 0x0f, 6);
    assert_eq!(key(&drive.read(secret.len()).0), (7, 0x74, 3));
    assert_eq!(drive.block(), 2);
    assert_eq!(set_key(&mut drive, 0, 0, 0, b"").status, Status::Good);
    assert_eq!(key(&drive.read(secret.len()).0), (7, 0x74, 1));
    let out = rig.directory.path().join("out");
    assert!(matches!(rig.library.export("RW0001L9", &out), Err(VirtualError::Unreadable { block: 1, .. })));
}

#[test]
fn capabilities_and_status_are_told() {
    let (rig, mut drive) = Rig::loaded(&layout());
    let pages = drive.get(&[0xa2, 0x20, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0]);
    assert_eq!(&pages[..4], &[0, 0, 0, 14]);
    let able = page(&mut drive, 0x10);
    assert_eq!((able.len(), able[20], &able[40..44]), (44, 1, &[0, 1, 0, 0x14][..]));
    assert_eq!(page(&mut drive, 0x20)[5..8], [0, 0, 0]);
    set_key(&mut drive, 2, 3, 1, b"name");
    let status = page(&mut drive, 0x20);
    assert_eq!((status[5], status[6], status[7], &status[28..]), (2, 3, 1, &b"name"[..]));
    // The key goes with the cartridge, as asked.
    let mut changer = rig.changer();
    changer.good(&mv(256, 1024));
    changer.good(&mv(1024, 256));
    drive.quiet();
    assert_eq!(page(&mut drive, 0x20)[5..8], [0, 0, 0]);
    assert_eq!(key(&set_key(&mut drive, 9, 0, 1, b"")), (5, 0x26, 0));
    assert_eq!(key(&set_key(&mut drive, 2, 2, 1, &[0; 33])), (5, 0x26, 0));
}
