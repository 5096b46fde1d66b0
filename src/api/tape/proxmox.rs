//! Proxmox VE: documented, not part of this version. Every operation says so.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::access::{Level, Resource};
use crate::api::call::{Call, Json, Status};
use crate::api::endpoint::{Draft, Endpoint, delete, get, post, put};
use crate::api::error::{ApiError, Code};

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        later(get("/api/v1/proxmox/nodes", "proxmox.nodes", "Nodes of the cluster")),
        draft(get("/api/v1/proxmox/guests", "proxmox.guests", "Virtual machines and containers"))
            .asks(guests),
        later(get("/api/v1/proxmox/guests/{vmid}", "proxmox.guest", "One guest")),
        later(get(
            "/api/v1/proxmox/guests/{vmid}/config",
            "proxmox.guest_config",
            "Configuration of a guest",
        )),
        later(get("/api/v1/proxmox/cluster/status", "proxmox.cluster", "State of the cluster")),
        later(get("/api/v1/proxmox/backups", "proxmox.backups", "Backups of guests")),
        later(get("/api/v1/proxmox/backups/{id}", "proxmox.backup", "One backup of a guest")),
        later(post("/api/v1/proxmox/backups", "proxmox.back_up", "Back up a guest")),
        later(post("/api/v1/proxmox/backups/all", "proxmox.back_up_all", "Back up all guests")),
        later(get("/api/v1/proxmox/restores", "proxmox.restores", "Restores of guests")),
        later(post("/api/v1/proxmox/restores", "proxmox.restore", "Restore a guest")),
        later(post("/api/v1/proxmox/restores/plan", "proxmox.plan", "What a restore of a guest needs")),
        later(get("/api/v1/proxmox/jobs", "proxmox.jobs", "Backup jobs of guests")),
        later(post("/api/v1/proxmox/jobs", "proxmox.create_job", "Add a backup job of guests")),
        later(get("/api/v1/proxmox/jobs/{id}", "proxmox.job", "One backup job of guests")),
        later(put("/api/v1/proxmox/jobs/{id}", "proxmox.update_job", "Change a backup job of guests")),
        later(delete("/api/v1/proxmox/jobs/{id}", "proxmox.delete_job", "Forget a backup job of guests")),
        later(post("/api/v1/proxmox/jobs/{id}/run", "proxmox.run_job", "Run a backup job of guests")),
    ]
}

fn draft(draft: Draft) -> Draft {
    draft.needs_level(Resource::Proxmox, Level::Read).unaudited().error(Code::NotImplemented)
}

fn later(declared: Draft) -> Endpoint {
    draft(declared).answers(refuse)
}

/// Which guests.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct GuestQuery {
    /// Only on this node.
    #[serde(rename = "node")]
    _node: Option<String>,
    /// `qemu` or `lxc`.
    #[serde(rename = "type")]
    _kind: Option<String>,
}

fn guests(call: &Call, _: GuestQuery) -> Result<Json<Status>, ApiError> {
    refuse(call)
}

fn refuse(_: &Call) -> Result<Json<Status>, ApiError> {
    Err(ApiError::new(
        Code::NotImplemented,
        "backing up Proxmox VE guests is not part of this version; files can be backed up by jobs",
    ))
}
