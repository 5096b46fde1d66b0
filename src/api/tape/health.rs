//! `/health` and `/api/v1/health`.

use schemars::JsonSchema;
use serde::Serialize;

use crate::api::call::{Call, Json, Status};
use crate::api::endpoint::{Counted, Endpoint, get};
use crate::api::error::ApiError;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/health", "health.simple", "Whether the daemon answers")
            .public()
            .counted(Counted::Not)
            .answers(simple),
        get("/api/v1/health", "health.detailed", "Whether each part of the daemon works")
            .public()
            .counted(Counted::Not)
            .answers(detailed),
    ]
}

/// State of the parts.
#[derive(Debug, Serialize, JsonSchema)]
struct Health {
    /// `ok` or `degraded`.
    status: &'static str,
    /// Version of the daemon.
    version: &'static str,
    /// `ok` or `failed`: whether the catalog answers.
    database: &'static str,
    /// Time since the start: `72h15m`.
    uptime: String,
}

fn simple(_: &Call) -> Result<Json<Status>, ApiError> {
    Ok(Status::ok("ok"))
}

fn detailed(call: &Call) -> Result<Json<Health>, ApiError> {
    let works = call.api.catalog.volumes().is_ok();
    let minutes = call.api.started.elapsed().as_secs() / 60;
    Ok(Json(Health {
        status: if works { "ok" } else { "degraded" },
        version: env!("CARGO_PKG_VERSION"),
        database: if works { "ok" } else { "failed" },
        uptime: format!("{}h{}m", minutes / 60, minutes % 60),
    }))
}
