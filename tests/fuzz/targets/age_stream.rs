#![no_main]
//! A sealed file that is changed and cut: what is read of it is the beginning of what was sealed, or nothing.

use std::io::Read;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use reelward::format::age::{DecryptReader, Encryptor, Identity};

struct Sealed {
    keys: [Identity; 1],
    plain: Vec<u8>,
    file: Vec<u8>,
}

static SEALED: LazyLock<Sealed> = LazyLock::new(|| {
    let keys = [Identity::generate().expect("random numbers")];
    let plain: Vec<u8> = (0..150_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let (mut file, mut encryptor) = Encryptor::new(&[keys[0].recipient()]).expect("a recipient");
    encryptor.encrypt_run(&plain, true, &mut file).expect("sealed");
    Sealed { keys, plain, file }
});

fuzz_target!(|bytes: &[u8]| {
    let Sealed { keys, plain, file } = &*SEALED;
    let mut changed = file.clone();
    let mut edits = bytes.chunks_exact(4);
    for edit in &mut edits {
        // Two bytes of place, a third chooses the stretch; the last is put there.
        let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) + usize::from(edit[2] % 3) * 60_000;
        match edit[2] {
            255 => changed.truncate(at),
            254 => changed.extend_from_slice(&edit[..2]),
            _ => changed.get_mut(at).into_iter().for_each(|byte| *byte ^= edit[3]),
        }
    }
    let Ok(mut reader) = DecryptReader::new(changed.as_slice(), keys) else { return };
    let mut read = Vec::new();
    let whole = reader.read_to_end(&mut read).is_ok();
    assert!(plain.starts_with(&read));
    assert!(!whole || read == *plain);
});
