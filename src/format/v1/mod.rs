//! Format version 1, chapter by chapter of `docs/tape-format.md`.

pub mod block;
pub mod entry;
pub mod index;
pub mod member;

pub use entry::{Entry, Extent, Kind, Timestamp};
pub use member::{Member, Notes};
