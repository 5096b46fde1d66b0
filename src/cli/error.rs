//! What ends a command, and the exit code it means.

use std::path::PathBuf;

use crate::access::AccessError;
use crate::catalog::CatalogError;
use crate::engine::{EngineError, chain};
use crate::format::age::AgeError;
use crate::virtual_library::VirtualError;

/// The command failed.
pub(super) const FAILED: u8 = 1;
/// It was called in a way that means nothing.
pub(super) const USAGE: u8 = 2;
/// Somebody has to put in a cartridge.
pub(super) const WAITING: u8 = 3;

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// The engine says so.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Users, roles, the audit log.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The daemon could not be started.
    #[error(transparent)]
    Daemon(#[from] crate::daemon::DaemonError),
    /// A virtual library that is managed as files.
    #[error(transparent)]
    Virtual(#[from] VirtualError),
    /// A file of the user's.
    #[error("{}: {what}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// The cause.
        source: std::io::Error,
    },
    /// A key or key file.
    #[error("{what}")]
    Key {
        /// Where it stands.
        what: String,
        /// The cause.
        source: AgeError,
    },
    /// Arguments that contradict each other.
    #[error("{0}")]
    Usage(String),
    /// Something else that is wrong; the text names the way out.
    #[error("{0}")]
    Failed(String),
}

impl From<CatalogError> for CliError {
    fn from(error: CatalogError) -> CliError {
        CliError::Engine(error.into())
    }
}

impl CliError {
    /// The error and its causes in one line, nothing said twice in a row.
    pub(super) fn message(&self) -> String {
        let mut said = chain(self);
        if let CliError::Engine(EngineError::Catalog(CatalogError::Corrupt { .. })) = self {
            said.push_str("; `reelward catalog rebuild` moves it aside and makes a new one from the tapes");
        }
        said
    }

    /// The exit code of the process.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            CliError::Engine(EngineError::Operator(_)) => WAITING,
            CliError::Usage(_) => USAGE,
            _ => FAILED,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_causes_are_named_once() {
        let source = std::io::Error::other("no room");
        let error = CliError::File { path: "/a".into(), what: "cannot be written", source };
        assert_eq!(error.message(), "/a: cannot be written: no room");
        assert_eq!(error.exit_code(), FAILED);
        let engine = CliError::from(EngineError::Request("nothing to do".into()));
        assert_eq!(engine.message(), "nothing to do");
        assert_eq!(CliError::Usage(String::new()).exit_code(), USAGE);
    }
}
