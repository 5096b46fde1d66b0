//! X25519 identities (secret) and recipients (public).

use std::fmt;
use std::str::FromStr;

use ring::rand::{SecureRandom, SystemRandom};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::{AgeError, base64, bech32};

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

impl Recipient {
    /// `SHA256:` and the hash of its text in Base64: short enough to compare by eye.
    pub fn fingerprint(&self) -> String {
        use sha2::Digest;
        format!("SHA256:{}", base64::encode(&sha2::Sha256::digest(self.to_string().as_bytes())))
    }
}

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

    /// One identity as an interface takes it: its text, the Base64 of that text or of a key file, or the Base64 of 32 secret
    /// bytes. Padding and surrounding blanks may be there or not.
    ///
    /// # Errors
    /// It is none of these, or a file with several; what was given is not repeated.
    pub fn parse_key_data(text: &str) -> Result<Self, AgeError> {
        let wrong = |reason| AgeError::Key { what: "identity", reason };
        let text = text.trim();
        if let Ok(identity) = text.parse() {
            return Ok(identity);
        }
        let bytes = base64::decode(text.trim_end_matches('=').as_bytes()).map(Zeroizing::new);
        let bytes = bytes.ok_or_else(|| wrong("neither AGE-SECRET-KEY-1... nor Base64"))?;
        if let Ok(secret) = <[u8; 32]>::try_from(bytes.as_slice()) {
            return Ok(Identity::from_bytes(&Zeroizing::new(secret)));
        }
        let file = std::str::from_utf8(&bytes)
            .map_err(|_| wrong("the Base64 holds neither 32 bytes nor a key file"))?;
        let mut identities = Identity::parse_file(file)?;
        match (identities.pop(), identities.is_empty()) {
            (Some(identity), true) => Ok(identity),
            (None, _) => Err(wrong("the key file holds no key")),
            (Some(_), false) => Err(wrong("the key file holds several keys: import one at a time")),
        }
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
    fn key_data_in_all_its_forms() {
        let identity = Identity::generate().unwrap();
        let text = identity.to_secret_text();
        let file = format!("# created: today\n{}\n", *text);
        let padded = |bytes: &[u8]| {
            let text = base64::encode(bytes);
            format!("{text}{}", &"==="[..(4 - text.len() % 4) % 4])
        };
        let raw = padded(identity.secret.as_bytes());
        assert!(raw.ends_with('='));
        for form in [
            text.to_string(),
            format!("  {}\n", *text),
            padded(text.as_bytes()),
            padded(file.as_bytes()),
            raw.clone(),
            raw.trim_end_matches('=').to_owned(),
        ] {
            assert_eq!(Identity::parse_key_data(&form).unwrap().recipient(), identity.recipient(), "{form}");
        }
        let two = padded(format!("{}{}", file, file).as_bytes());
        for wrong in ["", "secret", "????", &two, &padded(b"# nothing\n"), &padded(&[0xff; 31])] {
            let error = Identity::parse_key_data(wrong).unwrap_err();
            assert!(wrong.is_empty() || !error.to_string().contains(wrong), "{error}");
        }
    }

    #[test]
    fn fingerprints_tell_keys_apart() {
        // printf %s RECIPIENT | openssl dgst -sha256 -binary | base64
        let known: Recipient =
            "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p".parse().unwrap();
        assert_eq!(known.fingerprint(), "SHA256:z35WgjExUGhb8W5CxOpI4WjhboIGxcStN8ctATy2pfQ");
        assert_ne!(Identity::generate().unwrap().recipient().fingerprint(), known.fingerprint());
    }

    #[test]
    fn key_files() {
        let identity = Identity::generate().unwrap();
        let file = format!("# created: today\n# public key: x\n\n{}\n", *identity.to_secret_text());
        assert_eq!(Identity::parse_file(&file).unwrap().len(), 1);
        assert!(Identity::parse_file("nonsense").is_err());
    }
}
