//! Format version 1, chapter by chapter of `docs/tape-format.md`.

pub mod acl;
pub mod archive_layout;
pub mod archive_stream;
pub mod block;
pub mod content_hash;
pub mod entry;
pub mod error;
pub mod frame_table;
pub mod index;
pub mod index_file;
pub mod keys_file;
pub mod member;
#[cfg(test)]
mod note_tests;
mod pax;
pub mod seen;
pub mod sparse;
mod tar_fields;
pub mod tar_header;
pub mod tar_reader;
#[cfg(test)]
mod tar_tests;
pub mod volume;
mod window;
pub mod zstd_frames;

pub use entry::{Entry, Extent, Kind, Timestamp, shown};
pub use error::FormatError;
pub use frame_table::{FramePlace, FrameTable};
pub use member::{Member, Notes};
pub use volume::{Found, VolumeFile};
