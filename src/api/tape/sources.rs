//! What can be backed up.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fields::name;
use crate::access::Resource;
use crate::api::call::{Call, Created, Json, Made, Status};
use crate::api::endpoint::{Endpoint, delete, get, post, put};
use crate::api::error::{ApiError, Code};
use crate::api::work::{now, time};
use crate::catalog::{NewSource, Source, SourceId, SourceKind};
use crate::engine::{SourceFault, check_patterns, check_source};

pub(super) fn endpoints() -> Vec<Endpoint> {
    const S: Resource = Resource::Sources;
    vec![
        get("/api/v1/sources", "sources.list", "List sources").needs(S).cached().answers(list),
        post("/api/v1/sources", "sources.create", "Add a source; its path has to be there")
            .needs(S)
            .error(Code::Conflict)
            .takes(create),
        get("/api/v1/sources/{id}", "sources.get", "One source").needs(S).cached().answers(one),
        put("/api/v1/sources/{id}", "sources.update", "Change a source")
            .needs(S)
            .error(Code::Conflict)
            .takes(update),
        delete("/api/v1/sources/{id}", "sources.delete", "Forget a source that no job backs up")
            .needs(S)
            .error(Code::Conflict)
            .answers(remove),
    ]
}

/// Where a source's files are.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum SourceType {
    /// On this machine.
    Local,
    /// On an NFS mount of this machine.
    Nfs,
    /// On an SMB mount of this machine.
    Smb,
}

impl From<SourceType> for SourceKind {
    fn from(kind: SourceType) -> SourceKind {
        match kind {
            SourceType::Local => SourceKind::Local,
            SourceType::Nfs => SourceKind::Nfs,
            SourceType::Smb => SourceKind::Smb,
        }
    }
}

impl From<SourceKind> for SourceType {
    fn from(kind: SourceKind) -> SourceType {
        match kind {
            SourceKind::Local => SourceType::Local,
            SourceKind::Nfs => SourceType::Nfs,
            SourceKind::Smb => SourceType::Smb,
        }
    }
}

/// A source.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Source")]
struct SourceBody {
    id: i64,
    name: String,
    source_type: SourceType,
    path: String,
    /// Wildcards; when there are some, only files that match one are taken.
    include_patterns: Vec<String>,
    /// Wildcards of what is left out; without `/` for a name, with `/` for the end of a path, from `/` on for a whole one.
    exclude_patterns: Vec<String>,
    /// Whether other file systems mounted below are left out.
    one_file_system: bool,
    created_at: String,
    updated_at: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct SourceList {
    sources: Vec<SourceBody>,
}

fn body(source: Source) -> SourceBody {
    SourceBody {
        id: source.id.0,
        name: source.name,
        source_type: source.kind.into(),
        path: source.path,
        include_patterns: source.include,
        exclude_patterns: source.exclude,
        one_file_system: source.one_file_system,
        created_at: time(source.created),
        updated_at: time(source.updated),
    }
}

fn list(call: &Call) -> Result<Json<SourceList>, ApiError> {
    Ok(Json(SourceList { sources: call.api.catalog.sources()?.into_iter().map(body).collect() }))
}

fn source(call: &Call) -> Result<Source, ApiError> {
    Ok(call.api.catalog.source(SourceId(call.id("id")?))?)
}

fn one(call: &Call) -> Result<Json<SourceBody>, ApiError> {
    Ok(Json(body(source(call)?)))
}

/// A source to add.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewSourceBody {
    #[schemars(length(min = 1, max = 200))]
    name: String,
    source_type: SourceType,
    /// From `/` on; it has to be there, for `nfs` and `smb` on a mount of that kind.
    #[schemars(length(min = 1, max = 4096))]
    path: String,
    include_patterns: Option<Vec<String>>,
    exclude_patterns: Option<Vec<String>>,
    one_file_system: Option<bool>,
}

fn check(source: &NewSource) -> Result<(), ApiError> {
    const MOST: usize = 1000;
    name("name", &source.name)?;
    for (field, patterns) in [("include_patterns", &source.include), ("exclude_patterns", &source.exclude)] {
        if patterns.len() > MOST {
            return Err(ApiError::field(field, format!("more than {MOST} patterns")));
        }
        check_patterns(patterns).map_err(|fault| ApiError::field(field, fault))?;
    }
    Ok(())
}

fn check_path(call: &Call, kind: SourceKind, path: &str) -> Result<(), ApiError> {
    let path = Path::new(path);
    match check_source(kind, path) {
        // Whoever can restore its copy elsewhere would have the keys and be anybody.
        Ok(()) if call.api.appliance.holds(path) => Err(SourceFault::Own { path: path.into() }),
        looked_at => looked_at,
    }
    .map_err(|fault| ApiError::field("path", fault))
}

fn create(call: &Call, new: NewSourceBody) -> Result<Made<Created<SourceBody>>, ApiError> {
    let new = NewSource {
        name: new.name,
        kind: new.source_type.into(),
        path: new.path,
        include: new.include_patterns.unwrap_or_default(),
        exclude: new.exclude_patterns.unwrap_or_default(),
        one_file_system: new.one_file_system.unwrap_or(false),
        created: now(),
    };
    check(&new)?;
    check_path(call, new.kind, &new.path)?;
    let id = call.api.catalog.add_source(&new)?;
    Ok(Made(id.0, Created(body(call.api.catalog.source(id)?))))
}

/// What may be changed about a source; what is left out stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SourceChange {
    #[schemars(length(min = 1, max = 200))]
    name: Option<String>,
    source_type: Option<SourceType>,
    #[schemars(length(min = 1, max = 4096))]
    path: Option<String>,
    include_patterns: Option<Vec<String>>,
    exclude_patterns: Option<Vec<String>>,
    one_file_system: Option<bool>,
}

fn update(call: &Call, change: SourceChange) -> Result<Json<SourceBody>, ApiError> {
    let known = source(call)?;
    let moves = change.path.is_some() || change.source_type.is_some();
    let new = NewSource {
        name: change.name.unwrap_or(known.name),
        kind: change.source_type.map_or(known.kind, Into::into),
        path: change.path.unwrap_or(known.path),
        include: change.include_patterns.unwrap_or(known.include),
        exclude: change.exclude_patterns.unwrap_or(known.exclude),
        one_file_system: change.one_file_system.unwrap_or(known.one_file_system),
        created: known.created,
    };
    check(&new)?;
    // A share that is away for a moment does not keep its patterns from being changed.
    if moves {
        check_path(call, new.kind, &new.path)?;
    }
    let changed = Source {
        id: known.id,
        name: new.name,
        kind: new.kind,
        path: new.path,
        include: new.include,
        exclude: new.exclude,
        one_file_system: new.one_file_system,
        created: known.created,
        updated: now(),
    };
    call.api.catalog.update_source(&changed)?;
    Ok(Json(body(changed)))
}

fn remove(call: &Call) -> Result<Json<Status>, ApiError> {
    call.api.catalog.remove_source(source(call)?.id)?;
    Ok(Status::ok("deleted"))
}
