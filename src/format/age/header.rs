//! The textual header: one stanza per recipient, then the authentication code.

use ring::{aead, hkdf, hmac};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::keys::{Identity, Recipient, random};
use super::{AgeError, base64};

const VERSION_LINE: &[u8] = b"age-encryption.org/v1\n";
const X25519_LABEL: &[u8] = b"age-encryption.org/v1/X25519";
/// Columns of a stanza's body; a shorter line ends it.
const COLUMNS: usize = 64;
/// A header is at most this long, in bytes: some 500 recipients.
pub const MAX_HEADER: usize = 64 * 1024;

/// The key from which all keys of one file are derived.
pub(super) type FileKey = Zeroizing<[u8; 16]>;

/// HKDF-SHA-256 (RFC 5869), 32 bytes out.
pub(super) fn derive(secret: &[u8], salt: &[u8], info: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    let filled = hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(secret)
        .expand(&[info], hkdf::HKDF_SHA256)
        .and_then(|material| material.fill(key.as_mut()));
    debug_assert!(filled.is_ok(), "32 bytes are one block of the hash");
    key
}

/// ChaCha20-Poly1305 under a key of 32 bytes.
pub(super) fn chacha(key: &[u8; 32]) -> Result<aead::LessSafeKey, AgeError> {
    let unbound = aead::UnboundKey::new(&aead::CHACHA20_POLY1305, key).map_err(|_| AgeError::Random)?;
    Ok(aead::LessSafeKey::new(unbound))
}

fn zero_nonce() -> aead::Nonce {
    aead::Nonce::assume_unique_for_key([0; 12]) // each wrap key wraps one file key
}

fn mac_key(file_key: &FileKey) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, derive(file_key.as_ref(), b"", b"header").as_ref())
}

fn wrap_key(
    shared: &[u8; 32],
    share: &[u8; 32],
    recipient: &Recipient,
) -> Result<aead::LessSafeKey, AgeError> {
    let mut salt = [0; 64];
    salt[..32].copy_from_slice(share);
    salt[32..].copy_from_slice(&recipient.0);
    chacha(&derive(shared, &salt, X25519_LABEL))
}

/// A header that wraps `file_key` for every recipient, its last line included.
pub(super) fn encode(file_key: &FileKey, recipients: &[Recipient]) -> Result<Vec<u8>, AgeError> {
    if recipients.is_empty() {
        return Err(AgeError::NoRecipient);
    }
    let mut header = VERSION_LINE.to_vec();
    for recipient in recipients {
        let ephemeral = StaticSecret::from(*random::<32>()?);
        let share = PublicKey::from(&ephemeral).to_bytes();
        let shared = ephemeral.diffie_hellman(&PublicKey::from(recipient.0));
        if !shared.was_contributory() {
            return Err(AgeError::WeakRecipient(recipient.to_string()));
        }
        let mut body = file_key.to_vec();
        wrap_key(shared.as_bytes(), &share, recipient)?
            .seal_in_place_append_tag(zero_nonce(), aead::Aad::empty(), &mut body)
            .map_err(|_| AgeError::Random)?;
        let (share, body) = (base64::encode(&share), base64::encode(&body));
        header.extend_from_slice(format!("-> X25519 {share}\n{body}\n").as_bytes());
    }
    header.extend_from_slice(b"---");
    let mac = hmac::sign(&mac_key(file_key), &header);
    header.extend_from_slice(format!(" {}\n", base64::encode(mac.as_ref())).as_bytes());
    Ok(header)
}

/// Reads the header at the beginning of `bytes`, finds the identity that opens it and checks the authentication
/// code. Returns the file key and the header's length.
pub(super) fn open(bytes: &[u8], identities: &[Identity]) -> Result<(FileKey, usize), AgeError> {
    let mut lines = Lines { bytes, at: 0 };
    if !bytes.starts_with(VERSION_LINE) {
        return Err(AgeError::NotAge);
    }
    lines.at = VERSION_LINE.len();
    let (mut found, mut recipients) = (None, 0);
    loop {
        let start = lines.at;
        let line = lines.next()?;
        if let Some(mac) = line.strip_prefix(b"---") {
            let mac = mac.strip_prefix(b" ").and_then(base64::decode_array::<32>);
            let mac = mac.ok_or(AgeError::Header("its last line is not an authentication code"))?;
            if recipients == 0 {
                return Err(AgeError::Header("it names no recipient"));
            }
            let file_key: FileKey = found.ok_or(AgeError::NoMatchingIdentity { recipients })?;
            let signed = bytes.get(..start + 3).unwrap_or_default();
            hmac::verify(&mac_key(&file_key), signed, &mac).map_err(|_| AgeError::HeaderTampered)?;
            return Ok((file_key, lines.at));
        }
        let stanza = line.strip_prefix(b"-> ").ok_or(AgeError::Header("a line begins no stanza"))?;
        let body = lines.body()?;
        recipients += 1;
        let mut arguments = stanza.split(|&b| b == b' ');
        if stanza.split(|&b| b == b' ').any(|a| a.is_empty() || a.iter().any(|b| !(33..=126).contains(b))) {
            return Err(AgeError::Header("a stanza has an impossible argument"));
        }
        if arguments.next() == Some(b"X25519") {
            let share = arguments.next().and_then(base64::decode_array::<32>);
            let (Some(share), None) = (share, arguments.next()) else {
                return Err(AgeError::Header("an X25519 stanza has no key share"));
            };
            if body.len() != 32 {
                return Err(AgeError::Header("an X25519 stanza has a body of the wrong length"));
            }
            for identity in identities {
                if found.is_none() {
                    found = unwrap(identity, &share, &body)?;
                }
            }
        }
    }
}

/// Tries one identity on one stanza.
fn unwrap(identity: &Identity, share: &[u8; 32], body: &[u8]) -> Result<Option<FileKey>, AgeError> {
    let shared = identity.secret.diffie_hellman(&PublicKey::from(*share));
    if !shared.was_contributory() {
        return Err(AgeError::Header("a key share is not a usable point"));
    }
    let mut body = Zeroizing::new(body.to_vec());
    let opened = wrap_key(shared.as_bytes(), share, &identity.recipient())?
        .open_in_place(zero_nonce(), aead::Aad::empty(), &mut body)
        .ok()
        .and_then(|key| <[u8; 16]>::try_from(&*key).ok());
    Ok(opened.map(Zeroizing::new))
}

struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Result<&'a [u8], AgeError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = memchr::memchr(b'\n', rest).ok_or(AgeError::Header("it does not end"))?;
        self.at += end + 1;
        Ok(rest.get(..end).unwrap_or_default())
    }

    fn body(&mut self) -> Result<Vec<u8>, AgeError> {
        let mut body = Vec::new();
        loop {
            let line = self.next()?;
            if line.len() > COLUMNS {
                return Err(AgeError::Header("a line is too long"));
            }
            let part = base64::decode(line).ok_or(AgeError::Header("a stanza's body is not base64"))?;
            body.extend_from_slice(&part);
            if line.len() < COLUMNS {
                return Ok(body);
            }
        }
    }
}

/// Length of the header that `bytes` begin with, or `None` when its end is not among them.
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    let last = memchr::memmem::find(bytes, b"\n---")? + 1;
    Some(last + memchr::memchr(b'\n', bytes.get(last..)?)? + 1)
}

/// Whether `bytes` could be the beginning of an age file.
pub(super) fn begins(bytes: &[u8]) -> bool {
    let shared = bytes.len().min(VERSION_LINE.len());
    bytes.get(..shared) == VERSION_LINE.get(..shared)
}
