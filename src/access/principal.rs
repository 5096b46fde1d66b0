//! Who asks.

use std::sync::Arc;

use super::roles::ADMIN;
use super::{Level, Permissions, Resource};

/// What a request carries to tell who asks.
#[derive(Clone, Copy)]
pub enum Credential<'a> {
    /// `Authorization: Bearer ...`: an access token, or an API key (which begins with `rw_`).
    Bearer(&'a str),
    /// `X-API-Key: ...`.
    ApiKey(&'a str),
}

impl std::fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Credential::Bearer(_) => "Bearer(..)",
            Credential::ApiKey(_) => "ApiKey(..)",
        })
    }
}

/// How somebody proved who they are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PrincipalKind {
    /// Signed in; the session's id.
    Session(String),
    /// An API key; its id.
    ApiKey(i64),
    /// A process of the machine that may open the socket, or the command line.
    Local,
}

/// Somebody known, and what they may do.
#[derive(Debug, Clone)]
pub struct Principal {
    /// How they proved it.
    pub kind: PrincipalKind,
    /// The user; with an API key the one who made it.
    pub user_id: Option<i64>,
    /// Name of the user or of the key.
    pub name: String,
    /// Name of the role.
    pub role: String,
    /// What they may do.
    pub permissions: Arc<Permissions>,
}

impl Principal {
    /// Whoever owns the machine: the command line, the local socket.
    pub fn local() -> Principal {
        Principal {
            kind: PrincipalKind::Local,
            user_id: None,
            name: "local".to_owned(),
            role: ADMIN.to_owned(),
            permissions: Arc::new(Permissions::admin()),
        }
    }

    /// Whether they may do this.
    pub fn may(&self, resource: Resource, level: Level) -> bool {
        self.permissions.may(resource, level)
    }

    /// The session, where one was signed in to.
    pub fn session(&self) -> Option<&str> {
        match &self.kind {
            PrincipalKind::Session(id) => Some(id),
            _ => None,
        }
    }
}
