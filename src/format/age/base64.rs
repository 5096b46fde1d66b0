//! Base64 without padding (RFC 4648 clause 4), canonical only, as age headers use it.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The text of `bytes`.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut word = 0u32;
        for (at, &byte) in group.iter().enumerate() {
            word |= u32::from(byte) << (16 - 8 * at);
        }
        for at in 0..=group.len() {
            text.push(char::from(ALPHABET[(word >> (18 - 6 * at) & 63) as usize]));
        }
    }
    text
}

/// The bytes of `text`; `None` when it is not canonical.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    for group in text.chunks(4) {
        let mut word = 0u32;
        for (at, &letter) in group.iter().enumerate() {
            word |= value(letter)? << (18 - 6 * at);
        }
        let count = group.len().checked_sub(1).filter(|&count| count > 0)?;
        let [_, bytes_of_word @ ..] = word.to_be_bytes();
        let (used, rest) = bytes_of_word.split_at(count);
        if rest.iter().any(|&b| b != 0) {
            return None; // bits beyond the last byte
        }
        bytes.extend_from_slice(used);
    }
    Some(bytes)
}

/// Exactly `N` bytes.
pub(super) fn decode_array<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    decode(text)?.try_into().ok()
}

fn value(letter: u8) -> Option<u32> {
    Some(u32::from(match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_rfc_4648() {
        for (bytes, text) in
            [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("fooba", "Zm9vYmE")]
        {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text.as_bytes()).unwrap(), bytes.as_bytes());
        }
        for wrong in ["Z", "Zh", "Zg==", "Zm9vY", "Zm 8", "Zm9"] {
            assert_eq!(decode(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
