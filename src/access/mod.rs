//! Who may do what: users, roles, sessions, API keys, limits, the audit log. `docs/access.md` explains it.
//!
//! [`Accounts`] is what an administrator manages, with or without a daemon. [`Access`] adds what a daemon needs: sign-in, tokens, and the
//! answer to "who is this" without a look into the catalog. Everything here blocks; sign-in takes tens of milliseconds on purpose.

mod accounts;
mod api_keys;
mod audit;
mod clock;
mod error;
mod gate;
mod limits;
mod lockout;
mod password;
mod permissions;
mod principal;
mod roles;
mod secret;
mod setup;
mod sign_in;
mod snapshot;
mod tickets;
mod tokens;

pub use accounts::{Accounts, NewUser, User, UserChange};
pub use api_keys::{ApiKey, NewApiKey};
pub use audit::{Action, Audit, AuditEntry, AuditId, AuditReport, Outcome};
pub use clock::Clock;
pub use error::{AccessError, Fault, Rejection};
pub use gate::{Access, AccessOptions};
pub use limits::{Class, Decision, LimitSettings, LongOperation, LongOperations, RateLimits};
pub use permissions::{Level, Permissions, Resource};
pub use principal::{Credential, Principal, PrincipalKind};
pub use roles::{ADMIN, OPERATOR, READONLY, Role};
pub use setup::SetupToken;
pub use sign_in::{Session, SignedIn};

/// What everything here returns.
pub type Result<T> = std::result::Result<T, AccessError>;

#[cfg(test)]
mod tests;
