//! X25519 identities (secret) and recipients (public).

use std::fmt;
use std::str::FromStr;

use ring::rand::{SecureRandom, SystemRandom};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::{AgeError, bech32};

const RECIPIENT_PREFIX: &str = "age";
const IDENTITY_PREFIX: &str = "age-secret-key-";

/// Fills an array from the operating system.
pub(super) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, AgeError> {
    let mut bytes = Zeroizing::new([0; N]);
    SystemRandom::new().fill(bytes.as_mut()).map_err(|_| AgeError::Random)?;
    Ok(bytes)
}

/// Whom to encrypt for: an X25519 public key, in text `age1...`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Recipient(pub(super) [u8; 32]);

impl FromStr for Recipient {
    type Err = AgeError;

    fn from_str(text: &str) -> Result<Self, AgeError> {
        bech32::decode(RECIPIENT_PREFIX, text.trim())
            .map(|key| Recipient(*key))
            .map_err(|reason| AgeError::Key { what: "recipient", reason })
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bech32::encode(RECIPIENT_PREFIX, &self.0))
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipient({self})")
    }
}

/// A secret key, in text `AGE-SECRET-KEY-1...`. Wiped from memory when dropped; never printed.
#[derive(Clone)]
pub struct Identity {
    pub(super) secret: StaticSecret,
    recipient: Recipient,
}

impl Identity {
    /// A new random identity.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn generate() -> Result<Self, AgeError> {
        Ok(Identity::from_bytes(&*random()?))
    }

    fn from_bytes(bytes: &[u8; 32]) -> Self {
        let secret = StaticSecret::from(*bytes);
        let recipient = Recipient(PublicKey::from(&secret).to_bytes());
        Identity { secret, recipient }
    }

    /// The public half.
    pub fn recipient(&self) -> Recipient {
        self.recipient
    }

    /// The secret as text, for a key file or a key sheet; wiped when dropped.
    pub fn to_secret_text(&self) -> Zeroizing<String> {
        let mut text = bech32::encode(IDENTITY_PREFIX, self.secret.as_bytes());
        text.make_ascii_uppercase();
        text
    }

    /// All identities in the text of a key file: one a line; empty lines and lines that begin with `#` say nothing.
    ///
    /// # Errors
    /// On the first line that is not an identity.
    pub fn parse_file(text: &str) -> Result<Vec<Self>, AgeError> {
        let lines = text.lines().map(str::trim);
        lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::parse).collect()
    }
}

impl FromStr for Identity {
    type Err = AgeError;

    fn from_str(text: &str) -> Result<Self, AgeError> {
        let key = bech32::decode(IDENTITY_PREFIX, text.trim())
            .map_err(|reason| AgeError::Key { what: "identity", reason })?;
        Ok(Identity::from_bytes(&key))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity(secret of {})", self.recipient)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let identity = Identity::generate().unwrap();
        let text = identity.to_secret_text();
        assert!(text.starts_with("AGE-SECRET-KEY-1"));
        let again: Identity = text.parse().unwrap();
        assert_eq!(again.recipient(), identity.recipient());
        let recipient: Recipient = identity.recipient().to_string().parse().unwrap();
        assert_eq!(recipient, identity.recipient());
        assert!(!format!("{identity:?}").to_uppercase().contains(&text[16..40]));
        assert!(identity.recipient().to_string().parse::<Identity>().is_err());
        assert!(text.parse::<Recipient>().is_err());
    }

    #[test]
    fn key_files() {
        let identity = Identity::generate().unwrap();
        let file = format!("# created: today\n# public key: x\n\n{}\n", *identity.to_secret_text());
        assert_eq!(Identity::parse_file(&file).unwrap().len(), 1);
        assert!(Identity::parse_file("nonsense").is_err());
    }
}
