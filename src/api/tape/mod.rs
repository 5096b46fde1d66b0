//! The tape document: `/api/v1/*` and `/health`.

mod api_keys;
mod auth;
mod backup_sets;
mod catalog;
mod dashboard;
mod database_backup;
mod docs;
mod drive_health;
mod drives;
mod encryption_keys;
mod events;
mod fields;
mod health;
mod jobs;
mod libraries;
mod logs;
mod pools;
mod proxmox;
mod restore;
mod settings;
mod sources;
mod tape_batches;
mod tapes;
mod users;

use super::endpoint::Endpoint;

pub(super) use users::UserBody;

/// Every endpoint of the document.
pub(super) fn endpoints() -> Vec<Endpoint> {
    [
        api_keys::endpoints(),
        auth::endpoints(),
        backup_sets::endpoints(),
        catalog::endpoints(),
        dashboard::endpoints(),
        database_backup::endpoints(),
        docs::endpoints(),
        drive_health::endpoints(),
        drives::endpoints(),
        encryption_keys::endpoints(),
        events::endpoints(),
        health::endpoints(),
        jobs::endpoints(),
        libraries::endpoints(),
        logs::endpoints(),
        pools::endpoints(),
        proxmox::endpoints(),
        restore::endpoints(),
        settings::endpoints(),
        sources::endpoints(),
        tape_batches::endpoints(),
        tapes::endpoints(),
        users::endpoints(),
    ]
    .concat()
}
