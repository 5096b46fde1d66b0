//! What can be wrong with bytes read back.

/// Why bytes could not be read as format version 1.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The source of the bytes failed.
    #[error("reading the archive failed at stream offset {offset}")]
    Read {
        /// Offset in the stream.
        offset: u64,
        /// The cause.
        source: std::io::Error,
    },
    /// The stream ended inside a header or inside a member's data.
    #[error("the archive ends at offset {offset}, inside {inside}")]
    Truncated {
        /// Offset at which no more bytes came.
        offset: u64,
        /// What was being read.
        inside: &'static str,
    },
    /// A tar header whose check sum does not fit: not a tar archive, or a damaged one.
    #[error("no tar header at offset {offset}: the check sum does not fit")]
    Checksum {
        /// Offset of the block.
        offset: u64,
    },
    /// A field of a tar header, an extended header or a sparse map cannot be what it says.
    #[error("the tar header at offset {offset} has an impossible {field}")]
    Field {
        /// Offset of the member's first header.
        offset: u64,
        /// The field or record.
        field: &'static str,
    },
    /// An extended header or a sparse map is larger than a reader accepts.
    #[error("the extended header at offset {offset} has {size} bytes, at most {limit} are read")]
    TooLarge {
        /// Offset of the header.
        offset: u64,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A zstd frame did not decode to what its table says.
    #[error("compressed frame: {reason}")]
    Frame {
        /// What was found.
        reason: String,
    },
    /// A volume file, index file or frame table is not one.
    #[error("{what}: {reason}")]
    Structure {
        /// The structure.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A JSON object of ours does not parse.
    #[error("{what} is not valid")]
    Json {
        /// The member's name.
        what: &'static str,
        /// The cause.
        source: serde_json::Error,
    },
    /// The bytes were written by a later version.
    #[error("{what} has format version {version}; this program reads version 1")]
    Version {
        /// The structure.
        what: &'static str,
        /// Its version.
        version: u64,
    },
    /// The encrypted stream could not be opened.
    #[error("the encrypted stream cannot be read")]
    Age(#[from] crate::format::age::AgeError),
}
