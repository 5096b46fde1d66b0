//! What can go wrong outside of SCSI: the files of a library.

use std::io;
use std::path::{Path, PathBuf};

/// A virtual library could not be made, opened or exported.
#[derive(Debug, thiserror::Error)]
pub enum VirtualError {
    /// The directory holds other things.
    #[error("{} is not empty and holds no virtual library", .0.display())]
    NotEmpty(PathBuf),
    /// A library is there already.
    #[error("{} holds a virtual library already", .0.display())]
    Exists(PathBuf),
    /// No library is there.
    #[error("{} holds no virtual library", .0.display())]
    Missing(PathBuf),
    /// Another process, or another handle of this one, has the library open.
    #[error("the virtual library {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// The layout asked for cannot be.
    #[error("the virtual library's layout is impossible: {0}")]
    Layout(String),
    /// No such drive.
    #[error("the virtual library {} has no drive {index}", .directory.display())]
    NoDrive {
        /// The library.
        directory: PathBuf,
        /// The drive asked for, from 0.
        index: u16,
    },
    /// No such cartridge.
    #[error("the virtual library {} has no cartridge {barcode}", .directory.display())]
    NoCartridge {
        /// The library.
        directory: PathBuf,
        /// The barcode asked for.
        barcode: String,
    },
    /// A record of the cartridge is not readable as it stands.
    #[error("cartridge {barcode}: block {block} cannot be exported ({reason})")]
    Unreadable {
        /// The cartridge.
        barcode: String,
        /// Logical block number.
        block: u64,
        /// Why.
        reason: &'static str,
    },
    /// A file of the library is not what it should be.
    #[error("{} is damaged", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// The operating system refused.
    #[error("cannot {step} {}", .path.display())]
    Io {
        /// What was tried.
        step: &'static str,
        /// On what.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl VirtualError {
    /// Wraps an operating system error with what was tried, and on what.
    pub(super) fn io(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> VirtualError {
        let path = path.to_path_buf();
        move |source| VirtualError::Io { step, path, source }
    }
}
