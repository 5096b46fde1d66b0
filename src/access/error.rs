//! Why something was refused.

use std::path::PathBuf;
use std::time::Duration;

use crate::catalog::CatalogError;
use crate::config::VaultError;

/// Why a credential does not tell who somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It is none of ours.
    #[error("the token is not valid")]
    Invalid,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// It was taken back: signed out, ended, deleted.
    #[error("the session or key has ended")]
    Ended,
    /// An earlier refresh token was used again; its session is ended.
    #[error("the refresh token was used before: its session has been ended")]
    Reused,
}

/// An error of access control.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The catalog failed.
    #[error("the catalog failed")]
    Catalog(#[source] CatalogError),
    /// The vault failed.
    #[error("the installation's key cannot be used")]
    Vault(#[from] VaultError),
    /// A file of the state directory.
    #[error("{}: {what}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// The cause.
        source: std::io::Error,
    },
    /// User name and password do not belong together, or the user may not sign in.
    #[error("the user name or the password is wrong")]
    Refused,
    /// Too many wrong passwords.
    #[error("too many wrong passwords: try again in {} s", retry_after.as_secs())]
    Locked {
        /// When the lock ends.
        retry_after: Duration,
    },
    /// More sign-ins at once than are worked on.
    #[error("too many sign-ins at once: try again in {} s", retry_after.as_secs())]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// The credential does not tell who this is.
    #[error(transparent)]
    Unauthenticated(#[from] Rejection),
    /// Known, but not allowed.
    #[error("{0}")]
    Forbidden(String),
    /// A value that cannot be.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing of this kind has this name or id.
    #[error("no {what} {name}")]
    NotFound {
        /// Kind of thing.
        what: &'static str,
        /// As asked for.
        name: String,
    },
    /// Something else has this name.
    #[error("the {what} {name} exists already")]
    Taken {
        /// Kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// Something else needs it.
    #[error("the {what} {name} is in use: give its users and API keys another one first")]
    InUse {
        /// Kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// Nobody could manage users any more.
    #[error("this is the last active admin: make another one first")]
    LastAdmin,
    /// There is a user, so the first one has been made.
    #[error("the set-up has been done: sign in")]
    SetUp,
    /// Not the token of the set-up.
    #[error(
        "this is not the set-up token; it stands in the journal and in the file setup-token of the state directory"
    )]
    SetupToken,
    /// The operating system gave no random numbers, or a hash failed.
    #[error("no random numbers, or a hash failed")]
    Cipher,
}

/// What an error means to the caller, whatever the surface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Sign in first.
    Unauthenticated,
    /// Not with these rights.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// It contradicts what is there.
    Conflict,
    /// The request is malformed.
    Invalid,
    /// Wait so long.
    TooMany(Duration),
    /// The server's fault.
    Internal,
}

impl AccessError {
    /// What it means to the caller.
    pub fn fault(&self) -> Fault {
        match self {
            AccessError::Refused | AccessError::Unauthenticated(_) => Fault::Unauthenticated,
            AccessError::Forbidden(_) | AccessError::SetupToken => Fault::Forbidden,
            AccessError::NotFound { .. } => Fault::NotFound,
            AccessError::Taken { .. }
            | AccessError::InUse { .. }
            | AccessError::LastAdmin
            | AccessError::SetUp => Fault::Conflict,
            AccessError::Invalid { .. } => Fault::Invalid,
            AccessError::Locked { retry_after } | AccessError::Overloaded { retry_after } => {
                Fault::TooMany(*retry_after)
            }
            AccessError::Catalog(_)
            | AccessError::Vault(_)
            | AccessError::File { .. }
            | AccessError::Cipher => Fault::Internal,
        }
    }
}

impl From<CatalogError> for AccessError {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::NotFound { what, name } => AccessError::NotFound { what, name },
            CatalogError::Exists { what, name } => AccessError::Taken { what, name },
            CatalogError::InUse { what, name, .. } => AccessError::InUse { what, name },
            CatalogError::LastOf { .. } => AccessError::LastAdmin,
            other => AccessError::Catalog(other),
        }
    }
}
