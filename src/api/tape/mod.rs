//! The tape document: `/api/v1/*` and `/health`.

mod health;

use super::endpoint::Endpoint;

/// Every endpoint of the document.
pub(super) fn endpoints() -> Vec<Endpoint> {
    [health::endpoints()].concat()
}
