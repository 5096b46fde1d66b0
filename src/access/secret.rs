//! Random secrets and their text.

use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{AccessError, Result};
use crate::format::age::base64;

/// Fills an array from the operating system.
pub(super) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>> {
    let mut bytes = Zeroizing::new([0; N]);
    SystemRandom::new().fill(bytes.as_mut()).map_err(|_| AccessError::Cipher)?;
    Ok(bytes)
}

/// Base64 for URLs, without padding (RFC 4648 clause 5).
pub(super) fn to_text(bytes: &[u8]) -> String {
    base64::encode(bytes).replace('+', "-").replace('/', "_")
}

/// The bytes of [`to_text`]'s text; none where it is not canonical.
pub(super) fn from_text(text: &str) -> Option<Vec<u8>> {
    if text.contains(['+', '/']) {
        return None;
    }
    base64::decode(text.replace('-', "+").replace('_', "/").as_bytes())
}

/// SHA-256 of a secret: what is kept of it.
pub(super) fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// Whether two secrets are the same, in a time that does not tell where they differ.
pub(super) fn same(left: &str, right: &str) -> bool {
    hash(left) == hash(right)
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for length in 0..70 {
            let bytes: Vec<u8> = (0..length).map(|at| (at * 37 + 251) as u8).collect();
            let text = to_text(&bytes);
            assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
            assert_eq!(from_text(&text).unwrap(), bytes);
        }
        assert_eq!(to_text(&[0xfb, 0xff]), "-_8");
        for wrong in ["+/8", "-_9", "-_8=", "a", "\u{e4}"] {
            assert_eq!(from_text(wrong), None, "{wrong}");
        }
        assert_ne!(*random::<32>().unwrap(), *random::<32>().unwrap());
        assert!(same("a", "a") && !same("a", "b"));
        assert_eq!(hex(&[0, 0xab]), "00ab");
    }
}
