//! See docs/architecture.md.

/// Entries back onto a file system, beneath one directory.
pub mod extract;
