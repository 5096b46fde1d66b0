//! age against the `age` tool, both ways, and against damage.

use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;

fn encrypt(plain: &[u8], recipients: &[Recipient]) -> Vec<u8> {
    let (mut file, mut encryptor) = Encryptor::new(recipients).unwrap();
    encryptor.encrypt_run(plain, true, &mut file).unwrap();
    file
}

fn decrypt(file: &[u8], identities: &[Identity]) -> Result<Vec<u8>, AgeError> {
    let mut plain = Vec::new();
    let result = DecryptReader::new(file, identities).and_then(|mut reader| reader.read_to_end(&mut plain));
    result.map(|_| plain).map_err(|error| *error.into_inner().unwrap().downcast::<AgeError>().unwrap())
}

/// Runs the `age` tool.
fn age(arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, String> {
    let mut child = Command::new("age")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the age tool is needed for this test");
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into())
    }
}

fn data(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n * 31 % 251) as u8).collect()
}

const LENGTHS: [usize; 8] = [0, 1, 65_535, 65_536, 65_537, 131_072, 131_073, 300_000];

#[test]
fn the_age_tool_reads_what_we_write_and_we_what_it_writes() {
    let folder = tempfile::tempdir().unwrap();
    let identities: Vec<Identity> = (0..3).map(|_| Identity::generate().unwrap()).collect();
    let recipients: Vec<Recipient> = identities.iter().map(Identity::recipient).collect();
    for (at, length) in LENGTHS.into_iter().enumerate() {
        let plain = data(length);
        let identity = &identities[at % 3];
        let key = folder.path().join("key");
        fs::write(&key, format!("{}\n", *identity.to_secret_text())).unwrap();
        let file = encrypt(&plain, &recipients);
        assert!(age(&["-d", "-i", key.to_str().unwrap()], &file).unwrap() == plain, "{length}");

        let theirs: Vec<String> = recipients.iter().flat_map(|r| ["-r".to_string(), r.to_string()]).collect();
        let theirs: Vec<&str> = theirs.iter().map(String::as_str).collect();
        let file = age(&theirs, &plain).unwrap();
        assert!(decrypt(&file, std::slice::from_ref(identity)).unwrap() == plain, "{length}");
        let (_, header) = Decryptor::new(&file, &identities).unwrap();
        let sealed = file.len() - header - NONCE;
        assert_eq!(sealed as u64, sealed_length(length as u64));
        assert_eq!(plain_length(sealed as u64), Some(length as u64));
    }
}

#[test]
fn chunks_open_in_any_order_and_are_sealed_by_any_thread() {
    let identity = Identity::generate().unwrap();
    let plain = data(5 * CHUNK + 77);
    let (mut file, encryptor) = Encryptor::new(&[identity.recipient()]).unwrap();
    let key = encryptor.into_key();
    let parts: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let ends = [(0, 2), (2, 4), (4, 6)];
        let threads = ends.map(|(from, to)| {
            let part = &plain[from * CHUNK..plain.len().min(to * CHUNK)];
            let key = &key;
            scope.spawn(move || {
                let mut out = Vec::new();
                key.seal_run(from as u64, to == 6, part, &mut out).unwrap();
                out
            })
        });
        threads.map(|t| t.join().unwrap()).into()
    });
    parts.iter().for_each(|part| file.extend_from_slice(part));
    assert!(decrypt(&file, std::slice::from_ref(&identity)).unwrap() == plain);

    let (decryptor, header) = Decryptor::new(&file, &[identity]).unwrap();
    for chunk in [5usize, 0, 3, 3, 1] {
        let start = header + NONCE + chunk * SEALED_CHUNK;
        let end = file.len().min(start + SEALED_CHUNK);
        let opened =
            decryptor.open(chunk as u64, chunk == 5, &mut file[start..end].to_vec()).unwrap().to_vec();
        assert!(opened == plain[chunk * CHUNK..plain.len().min((chunk + 1) * CHUNK)]);
    }
    let mut first = file[header + NONCE..][..SEALED_CHUNK].to_vec();
    assert!(matches!(decryptor.open(1, false, &mut first), Err(AgeError::Tampered { chunk: 1 })));
    assert!(matches!(decryptor.open(2, false, &mut [0; 40]), Err(AgeError::Truncated { chunk: 2 })));
}

#[test]
fn encrypting_chunk_by_chunk_is_the_same_as_a_run() {
    let identity = Identity::generate().unwrap();
    let (mut file, mut encryptor) = Encryptor::new(&[identity.recipient()]).unwrap();
    let plain = data(2 * CHUNK + 5);
    for (at, part) in plain.chunks(CHUNK).enumerate() {
        let mut chunk = part.to_vec();
        encryptor.encrypt_chunk(&mut chunk, at == 2).unwrap();
        file.extend_from_slice(&chunk);
    }
    assert!(decrypt(&file, &[identity]).unwrap() == plain);
}

#[test]
fn a_wrong_key_is_told_from_the_header() {
    let (ours, other) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    let file = encrypt(&data(100), &[ours.recipient(), Identity::generate().unwrap().recipient()]);
    let header = file.len() - sealed_length(100) as usize - NONCE;
    let error = Decryptor::new(&file[..header], std::slice::from_ref(&other)).unwrap_err();
    assert!(matches!(error, AgeError::NoMatchingIdentity { recipients: 2 }), "{error}");
    assert!(matches!(decrypt(&file, &[other]), Err(AgeError::NoMatchingIdentity { recipients: 2 })));
    assert!(matches!(decrypt(&file, &[]), Err(AgeError::NoMatchingIdentity { recipients: 2 })));
    assert!(matches!(decrypt(b"reelward", &[]), Err(AgeError::NotAge)));
    assert!(matches!(decrypt(b"", &[]), Err(AgeError::Header(_) | AgeError::NotAge)));
    assert!(matches!(Encryptor::new(&[]), Err(AgeError::NoRecipient)));
    assert!(matches!(Encryptor::new(&[Recipient([0; 32])]), Err(AgeError::WeakRecipient(_))));
}

#[test]
fn every_cut_is_noticed() {
    let identity = [Identity::generate().unwrap()];
    let plain = data(2 * CHUNK + 100);
    let file = encrypt(&plain, &[identity[0].recipient()]);
    let (_, header) = Decryptor::new(&file, &identity).unwrap();
    let start = header + NONCE;
    let cuts = [
        10,
        header - 1,
        header,
        start - 1,
        start,
        start + 1,
        start + TAG,
        start + CHUNK,
        start + SEALED_CHUNK - 1,
        start + SEALED_CHUNK,
        start + SEALED_CHUNK + 1,
        start + SEALED_CHUNK + TAG,
        start + 2 * SEALED_CHUNK,
        start + 2 * SEALED_CHUNK + TAG,
        file.len() - 1,
    ];
    for cut in cuts {
        let error = decrypt(&file[..cut], &identity).unwrap_err();
        match cut < header {
            true => assert!(matches!(error, AgeError::Header(_) | AgeError::NotAge), "{cut}: {error}"),
            false => assert!(matches!(error, AgeError::Truncated { .. }), "{cut}: {error}"),
        }
    }
    let mut long = file.clone();
    long.push(0);
    assert!(decrypt(&long, &identity).is_err());
}

#[test]
fn every_change_is_noticed() {
    let identity = [Identity::generate().unwrap()];
    let file = encrypt(&data(CHUNK + 10), &[identity[0].recipient()]);
    let (_, header) = Decryptor::new(&file, &identity).unwrap();
    for at in (0..header + NONCE + 40).chain((header + NONCE + 40..file.len()).step_by(997)) {
        let mut changed = file.clone();
        changed[at] ^= 1;
        assert!(decrypt(&changed, &identity).is_err(), "byte {at}");
    }
}

#[test]
fn headers_of_the_public_test_suite() {
    // Facts from the age test suite (C2SP CCTV, as kept in FiloSottile/age under testdata/testkit).
    let odd = "-> !\"#$%&' ()*+,-./ 01234567 89:;<=>? @ABCDEFG HIJKLMNO\n\n-> PQRSTUVW XYZ[\\]^_ `abcdefg hijklmno pqrstuvw xyz{|}~\n\n";
    let stanza = "-> X25519 TEiF0ypqr+bpvcqXNyCVJpL7OuwPdVwPL7KQEbFDOCc\nhjabGXwSLQ9c3S6Lw2i+S2Tu2fiwQHHslbBN6B41FLE\n";
    let stanza = format!("{odd}{stanza}");
    let identity: Identity =
        "AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM0".parse().unwrap();
    let mac = "--- qcNy6mAn80JKuXPUW7ANJdOhzbOtVSsIGM12i5B4vx4\n";
    let good = format!("age-encryption.org/v1\n{stanza}{mac}{}", "\0".repeat(16));
    assert!(Decryptor::new(good.as_bytes(), std::slice::from_ref(&identity)).is_ok());
    for (from, to) in [
        ("age-encryption.org/v1", "age-encryption.org/v1234"),
        ("v1\n", "v1\r\n"),
        ("-> X25519 TEiF", "-> x25519 TEiF"),
        ("-> X25519 TEiF", "->  X25519 TEiF"),
        ("-> X25519 ", "-> X25519"),
        ("OCc\n", "OCd\n"),
        ("OCc\n", "OCc 1234\n"),
        ("OCc\n", "OCc=\n"),
        ("FLE\n", "FLF\n"),
        ("FLE\n", "FLE=\n"),
        ("FLE\n", "FLE\n\n"),
        ("--- qc", "---qc"),
        ("--- qc", "---  qc"),
        ("vx4\n", "vx5\n"),
        ("vx4\n", "vx4 \n"),
        ("--- qc", "--- qd"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good);
        assert!(
            Decryptor::new(bad.as_bytes(), std::slice::from_ref(&identity)).is_err(),
            "{from:?} -> {to:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300), begin: bool) {
        let mut file = if begin { b"age-encryption.org/v1\n-> X25519 ".to_vec() } else { Vec::new() };
        file.extend_from_slice(&bytes);
        prop_assert!(decrypt(&file, &[]).is_err());
    }

    #[test]
    fn lengths(sealed in 0u64..1_000_000_000) {
        if let Some(plain) = plain_length(sealed) {
            prop_assert_eq!(sealed_length(plain), sealed);
        }
        prop_assert_eq!(plain_length(sealed_length(sealed)), Some(sealed));
    }
}
