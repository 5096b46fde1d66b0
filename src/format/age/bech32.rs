//! Bech32 (BIP 173) without its length limit, for keys of 32 bytes.

use zeroize::Zeroizing;

const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];

fn step(check: u32, value: u8) -> u32 {
    let top = check >> 25;
    let check = (check & 0x01ff_ffff) << 5 ^ u32::from(value);
    GENERATOR.iter().enumerate().filter(|&(bit, _)| top >> bit & 1 == 1).fold(check, |c, (_, g)| c ^ g)
}

fn checksum_start(prefix: &str) -> u32 {
    let high = prefix.bytes().map(|b| b >> 5);
    let low = prefix.bytes().map(|b| b & 31);
    high.chain([0]).chain(low).fold(1, step)
}

/// The lower-case text of `key` under `prefix` (lower case too).
pub(super) fn encode(prefix: &str, key: &[u8; 32]) -> Zeroizing<String> {
    let mut values = Zeroizing::new(Vec::with_capacity(58));
    let (mut word, mut bits) = (0u32, 0);
    for &byte in key {
        word = word << 8 | u32::from(byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            values.push((word >> bits & 31) as u8);
        }
        word &= 31;
    }
    values.push((word << (5 - bits) & 31) as u8);
    let check = values.iter().copied().chain([0; 6]).fold(checksum_start(prefix), step) ^ 1;
    values.extend((0..6).map(|at| (check >> (25 - 5 * at) & 31) as u8));

    let mut text = Zeroizing::new(String::with_capacity(prefix.len() + 1 + values.len()));
    text.push_str(prefix);
    text.push('1');
    text.extend(values.iter().map(|&v| char::from(ALPHABET[usize::from(v & 31)])));
    text
}

/// The key in `text` under `prefix` (lower case), or what is wrong. The text is all lower or all upper case.
pub(super) fn decode(prefix: &str, text: &str) -> Result<Zeroizing<[u8; 32]>, &'static str> {
    if text.bytes().any(|b| b.is_ascii_lowercase()) && text.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err("it mixes upper and lower case");
    }
    let text = Zeroizing::new(text.to_ascii_lowercase());
    let data = text
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('1'))
        .ok_or("it does not begin as one does")?;
    if data.len() != 52 + 6 {
        return Err("it has the wrong length");
    }
    let mut check = checksum_start(prefix);
    let mut key = Zeroizing::new([0u8; 32]);
    let mut bytes = key.iter_mut();
    let (mut word, mut bits) = (0u32, 0);
    for (at, letter) in data.bytes().enumerate() {
        let value = memchr::memchr(letter, ALPHABET).ok_or("it holds a letter that none has")? as u8;
        check = step(check, value);
        if at >= 52 {
            continue;
        }
        word = word << 5 | u32::from(value);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            if let Some(byte) = bytes.next() {
                *byte = (word >> bits) as u8;
            }
            word &= (1 << bits) - 1;
        }
    }
    if check != 1 {
        return Err("its check sum does not fit (a typing error?)");
    }
    if word != 0 {
        return Err("it is not canonical");
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_known_pair() {
        // From the age project's documentation.
        let text = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
        let key = decode("age", text).unwrap();
        assert_eq!(*encode("age", &key), text);
        assert_eq!(decode("age", &text.to_uppercase()).unwrap(), key);
        assert!(decode("age", &text.replace("ql3", "qL3")).is_err());
        assert!(decode("age", &text.replace("ql3", "q3l")).is_err());
        assert!(decode("age", &text[..61]).is_err());
        assert!(decode("age-secret-key-", text).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn keys_survive(key: [u8; 32]) {
            prop_assert_eq!(*decode("age", &encode("age", &key)).unwrap(), key);
        }

        #[test]
        fn any_text(text in "age1[a-z0-9]{50,60}|\\PC{0,70}") {
            if let Ok(key) = decode("age", &text) {
                prop_assert_eq!(encode("age", &key).to_string(), text.to_lowercase());
            }
        }
    }
}
