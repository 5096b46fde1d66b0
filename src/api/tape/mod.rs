//! The tape document: `/api/v1/*` and `/health`.

mod api_keys;
mod auth;
mod drives;
mod events;
mod health;
mod jobs;
mod libraries;
mod logs;
mod restore;
mod users;

use super::endpoint::Endpoint;

pub(super) use users::UserBody;

/// Every endpoint of the document.
pub(super) fn endpoints() -> Vec<Endpoint> {
    [
        api_keys::endpoints(),
        auth::endpoints(),
        drives::endpoints(),
        events::endpoints(),
        health::endpoints(),
        jobs::endpoints(),
        libraries::endpoints(),
        logs::endpoints(),
        restore::endpoints(),
        users::endpoints(),
    ]
    .concat()
}
