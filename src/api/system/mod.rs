//! What is ours beside the documents: the OpenAPI file and its page.

mod reference;
mod roles;
mod setup;
mod tasks;

use super::endpoint::Endpoint;

/// Every endpoint beside the documents.
pub(super) fn endpoints() -> Vec<Endpoint> {
    [reference::endpoints(), roles::endpoints(), setup::endpoints(), tasks::endpoints()].concat()
}
