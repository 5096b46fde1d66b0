//! The project's own pages, as they were when this binary was built.

use std::fmt::Write;

use schemars::JsonSchema;
use serde::Serialize;

use crate::access::Resource;
use crate::api::call::{Call, Json};
use crate::api::endpoint::{Endpoint, get};
use crate::api::error::ApiError;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/api/v1/docs", "docs.list", "Pages of the documentation").needs(Resource::System).answers(list),
        get("/api/v1/docs/{id}", "docs.get", "One page, as Markdown")
            .needs(Resource::System)
            .by_name()
            .answers(one),
    ]
}

/// A page.
struct Page {
    id: &'static str,
    title: &'static str,
    description: &'static str,
    /// Name of the file it is.
    file: &'static str,
    /// None for what is made from the declarations.
    content: Option<&'static str>,
}

const PAGES: &[Page] = &[
    Page {
        id: "usage",
        title: "Usage Guide",
        description: "What it does, the commands, the words",
        file: "README.md",
        content: Some(include_str!("../../../README.md")),
    },
    Page {
        id: "api",
        title: "API Reference",
        description: "Every operation of the REST API",
        file: "API.md",
        content: None,
    },
    Page {
        id: "operator",
        title: "Operator Guide",
        description: "What comes up in daily work, and what to do",
        file: "operations.md",
        content: Some(include_str!("../../../docs/operations.md")),
    },
    Page {
        id: "recovery",
        title: "Manual Recovery",
        description: "Reading tapes with mt, dd, tar, zstd and age alone: the note that is on every tape",
        file: "recovery-note.txt",
        content: Some(include_str!("../../format/v1/recovery-note.txt")),
    },
    Page {
        id: "architecture",
        title: "Architecture",
        description: "Modules, and the way of the data",
        file: "architecture.md",
        content: Some(include_str!("../../../docs/architecture.md")),
    },
    Page {
        id: "database",
        title: "Database Schema",
        description: "Tables of the catalog, and how it is searched",
        file: "catalog.md",
        content: Some(include_str!("../../../docs/catalog.md")),
    },
    Page {
        id: "installation",
        title: "Installation Guide",
        description: "Devices: names, permissions, and what stands in the way of them",
        file: "devices.md",
        content: Some(include_str!("../../../docs/devices.md")),
    },
    Page {
        id: "proxmox",
        title: "Proxmox Guide",
        description: "Virtual machines and containers: not part of this version",
        file: "proxmox.md",
        content: Some(
            "# Proxmox VE\n\nBacking up and restoring guests is not part of this version: every operation under `/api/v1/proxmox` \
             answers 501 `NOT_IMPLEMENTED`. Archives that `vzdump` writes to a directory are files, and can be backed up by a job \
             with that directory as its source.\n",
        ),
    },
    Page {
        id: "tape-format",
        title: "Tape Format",
        description: "The bytes on tape",
        file: "tape-format.md",
        content: Some(include_str!("../../../docs/tape-format.md")),
    },
    Page {
        id: "errors",
        title: "Errors",
        description: "What can go wrong, and the way out",
        file: "errors.md",
        content: Some(include_str!("../../../docs/errors.md")),
    },
    Page {
        id: "access",
        title: "Access",
        description: "Users, roles, sessions, API keys, the audit log",
        file: "access.md",
        content: Some(include_str!("../../../docs/access.md")),
    },
    Page {
        id: "encryption",
        title: "Encryption",
        description: "Keys, in software and in the drive",
        file: "encryption.md",
        content: Some(include_str!("../../../docs/encryption.md")),
    },
];

#[derive(Debug, Serialize, JsonSchema)]
struct PageRow {
    id: &'static str,
    title: &'static str,
    description: &'static str,
}

#[derive(Debug, Serialize, JsonSchema)]
struct PageList {
    docs: Vec<PageRow>,
}

fn list(_: &Call) -> Result<Json<PageList>, ApiError> {
    let row = |page: &Page| PageRow { id: page.id, title: page.title, description: page.description };
    Ok(Json(PageList { docs: PAGES.iter().map(row).collect() }))
}

/// A page with its content.
#[derive(Debug, Serialize, JsonSchema)]
struct PageBody {
    id: &'static str,
    /// Name of the file it is.
    title: &'static str,
    /// Markdown.
    content: String,
}

fn one(call: &Call) -> Result<Json<PageBody>, ApiError> {
    let id = call.text("id");
    let page = PAGES.iter().find(|page| page.id == id).ok_or_else(|| ApiError::missing("document", id))?;
    let content = page.content.map_or_else(reference, str::to_owned);
    Ok(Json(PageBody { id: page.id, title: page.file, content }))
}

/// Every operation, from its declaration.
fn reference() -> String {
    let mut text = String::from(
        "# API reference\n\n`/api/v1/openapi.json` has bodies and replies of every operation, `/api/v1/reference` shows them.\n",
    );
    let mut endpoints = crate::api::endpoints();
    endpoints.sort_by_key(Endpoint::group);
    let mut group = "";
    for endpoint in &endpoints {
        if endpoint.group() != group {
            group = endpoint.group();
            let _ = write!(text, "\n## {group}\n\n");
        }
        let _ = writeln!(text, "- `{} {}`: {}", endpoint.method, endpoint.path, endpoint.summary);
    }
    text
}
