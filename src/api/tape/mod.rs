//! The tape document: `/api/v1/*` and `/health`.

mod api_keys;
mod auth;
mod drives;
mod health;
mod libraries;
mod logs;
mod users;

use super::endpoint::Endpoint;

pub(super) use users::UserBody;

/// Every endpoint of the document.
pub(super) fn endpoints() -> Vec<Endpoint> {
    [
        api_keys::endpoints(),
        auth::endpoints(),
        drives::endpoints(),
        health::endpoints(),
        libraries::endpoints(),
        logs::endpoints(),
        users::endpoints(),
    ]
    .concat()
}
