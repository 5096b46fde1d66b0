//! The tape document: `/api/v1/*` and `/health`.

mod drives;
mod health;
mod libraries;

use super::endpoint::Endpoint;

/// Every endpoint of the document.
pub(super) fn endpoints() -> Vec<Endpoint> {
    [drives::endpoints(), health::endpoints(), libraries::endpoints()].concat()
}
