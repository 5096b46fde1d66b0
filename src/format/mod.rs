//! The bytes on tape. One module per format version; `docs/tape-format.md` is the specification.

pub mod age;
pub mod bytes;
pub mod v1;
