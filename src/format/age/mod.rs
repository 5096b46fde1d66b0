//! age v1 (`age-encryption.org/v1`) with X25519 recipients, binary form only, chunks addressable by number.

pub(crate) mod base64;
mod bech32;
mod header;
mod keys;
mod reader;
mod stream;

pub use header::MAX_HEADER;
pub use keys::{Identity, Recipient};
pub use reader::DecryptReader;
pub use stream::{
    CHUNK, ChunkKey, Decryptor, Encryptor, NONCE, SEALED_CHUNK, TAG, plain_length, sealed_length,
};

/// Why something could not be encrypted or decrypted.
#[derive(Debug, thiserror::Error)]
pub enum AgeError {
    /// The bytes do not begin as an age file does.
    #[error("not an age file")]
    NotAge,
    /// The header breaks the rules of the format.
    #[error("the age header is malformed: {0}")]
    Header(&'static str),
    /// No given key opens the file. Told from the header alone.
    #[error("none of the given keys opens this: it is encrypted for {recipients} other recipient(s)")]
    NoMatchingIdentity {
        /// Number of stanzas in the header.
        recipients: usize,
    },
    /// The header was changed after it was written.
    #[error("the age header was altered: its authentication code does not fit")]
    HeaderTampered,
    /// The file ends before its last chunk is whole.
    #[error("the encrypted data ends too early, in chunk {chunk}")]
    Truncated {
        /// Number of the chunk, from 0.
        chunk: u64,
    },
    /// A chunk is not what was written.
    #[error("the encrypted data is damaged or was altered in chunk {chunk}")]
    Tampered {
        /// Number of the chunk, from 0.
        chunk: u64,
    },
    /// There is nobody to encrypt for.
    #[error("no recipient was given")]
    NoRecipient,
    /// A recipient's point lies in the small subgroup: anybody could decrypt.
    #[error("the recipient {0} is not a usable key")]
    WeakRecipient(String),
    /// A text is not a recipient or an identity. The text itself is not repeated: it may be secret.
    #[error("this is not an age {what}: {reason}")]
    Key {
        /// `recipient` or `identity`.
        what: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random numbers")]
    Random,
}

#[cfg(test)]
mod tests;
