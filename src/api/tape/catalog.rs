//! Names of what is stored: searched and browsed.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fields::window;
use crate::access::Resource;
use crate::api::call::{Call, Json};
use crate::api::endpoint::{Endpoint, get};
use crate::api::error::ApiError;
use crate::api::work::time;
use crate::catalog::{Archive, FindQuery, Part, SetId, Volume};
use crate::format::v1::{Kind, Member};

pub(super) fn endpoints() -> Vec<Endpoint> {
    const C: Resource = Resource::Catalog;
    vec![
        get("/api/v1/catalog/search", "catalog.search", "Search names by wildcard, the newest set first")
            .needs(C)
            .cached()
            .asks(search),
        get("/api/v1/catalog/browse/{backupSetId}", "catalog.browse", "One directory of a backup set")
            .needs(C)
            .cached()
            .asks(browse),
    ]
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What to search for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SearchQuery {
    /// With a `/` for the whole path, without for the name; `*`, `?` and `[a-z]` are wildcards; without any, the exact name.
    q: String,
    /// Only in this set.
    backup_set_id: Option<i64>,
    /// Upper and lower case are the same.
    ignore_case: Option<bool>,
    /// At most so many: 100 unless given.
    limit: Option<u32>,
    /// Leave out so many first.
    offset: Option<u64>,
}

/// A file, directory or link that is stored.
#[derive(Debug, Serialize, JsonSchema)]
struct Entry {
    /// Number of this version of it.
    id: i64,
    backup_set_id: i64,
    file_path: String,
    /// `file`, `directory`, `symlink`, `hardlink`, `char_device`, `block_device` or `fifo`.
    #[serde(rename = "type")]
    kind: &'static str,
    file_size: u64,
    mod_time: String,
    /// `sha256:` and hexadecimal digits; regular files only.
    checksum: Option<String>,
    tape_id: Option<i64>,
    tape_label: Option<String>,
    /// Logical block on that tape at which reading begins.
    block_offset: Option<u64>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct EntryList {
    entries: Vec<Entry>,
    /// All matches, the window aside.
    total: u64,
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Regular => "file",
        Kind::Directory => "directory",
        Kind::Symlink => "symlink",
        Kind::HardLink => "hardlink",
        Kind::CharDevice => "char_device",
        Kind::BlockDevice => "block_device",
        Kind::Fifo => "fifo",
    }
}

/// Where the members of one set lie.
struct Places {
    parts: Vec<(Part, Volume)>,
    archives: Vec<Archive>,
}

impl Places {
    fn of(call: &Call, set: SetId) -> Result<Places, ApiError> {
        let catalog = &call.api.catalog;
        let mut parts = Vec::new();
        for part in catalog.parts_of(set)? {
            let volume = catalog.volume(part.volume)?;
            parts.push((part, volume));
        }
        Ok(Places { parts, archives: catalog.archives_of(set)? })
    }

    /// The tape that holds a member, and the block at which its archive is read for it.
    fn find(&self, ordinal: u64, member: &Member) -> (Option<&Volume>, Option<u64>) {
        let Some((_, volume)) = self.parts.iter().find(|(part, _)| part.ordinals().contains(&ordinal)) else {
            return (None, None);
        };
        let archive = self.archives.iter().find(|archive| archive.number == member.archive);
        let start = archive.and_then(|archive| archive.layout(volume.record_size).locate(member.offset));
        (Some(volume), start.map(|start| start.block))
    }
}

fn search(call: &Call, query: SearchQuery) -> Result<Json<EntryList>, ApiError> {
    if query.q.is_empty() {
        return Err(ApiError::field("q", "must not be empty; `*` finds everything"));
    }
    let (limit, _) = window(query.limit, None)?;
    let sets = match query.backup_set_id {
        None => Vec::new(),
        Some(id) => {
            let set = call.api.catalog.set(SetId(id));
            vec![set.map_err(|_| ApiError::field("backup_set_id", format!("no backup set {id}")))?.id]
        }
    };
    let found = call.api.catalog.find(&FindQuery {
        ignore_case: query.ignore_case.unwrap_or(false),
        sets,
        limit: limit as u64,
        offset: query.offset.unwrap_or(0),
        ..FindQuery::new(query.q.as_bytes())
    })?;
    let mut places: HashMap<SetId, Places> = HashMap::new();
    let mut entries = Vec::with_capacity(found.rows.len());
    for row in found.rows {
        let places = match places.entry(row.set) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(empty) => empty.insert(Places::of(call, row.set)?),
        };
        let (volume, block_offset) = places.find(row.ordinal, &row.member);
        entries.push(Entry {
            id: (row.set.0 << 40) | i64::try_from(row.ordinal).unwrap_or(i64::MAX),
            backup_set_id: row.set.0,
            file_path: format!("/{}", String::from_utf8_lossy(&row.path)),
            kind: kind(row.member.kind),
            file_size: row.member.size,
            mod_time: time(row.member.mtime),
            checksum: (row.member.kind == Kind::Regular)
                .then(|| format!("sha256:{}", hex(&row.member.sha256))),
            tape_id: volume.map(|volume| volume.id.0),
            tape_label: volume.map(|volume| volume.label.clone()),
            block_offset,
        });
    }
    Ok(Json(EntryList { entries, total: found.total }))
}

/// Which directory.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BrowseQuery {
    /// Path of the directory; `/` unless given.
    prefix: Option<String>,
    /// At most so many names: 100 unless given.
    limit: Option<u32>,
    /// Leave out so many first.
    offset: Option<u64>,
}

/// One name in a directory.
#[derive(Debug, Serialize, JsonSchema)]
struct Name {
    name: String,
    path: String,
    /// `file`, `directory`, `symlink`, ...
    #[serde(rename = "type")]
    kind: &'static str,
    /// Bytes; of a directory 0.
    size: u64,
    mod_time: Option<String>,
    /// What is stored below a directory.
    entry_count: Option<u64>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Directory {
    backup_set_id: i64,
    prefix: String,
    /// Subdirectories first, then the rest, each by name.
    entries: Vec<Name>,
    /// All names in the directory, the window aside.
    total: u64,
}

fn browse(call: &Call, query: BrowseQuery) -> Result<Json<Directory>, ApiError> {
    let (limit, _) = window(query.limit, None)?;
    let id = call.id("backupSetId")?;
    let set = call.api.catalog.set(SetId(id)).map_err(|error| match error {
        crate::catalog::CatalogError::NotFound { .. } => ApiError::missing("backup set", id),
        error => error.into(),
    })?;
    let path = query.prefix.unwrap_or_default();
    let path = path.trim_matches('/');
    let listing =
        call.api.catalog.browse(Some(set.id), path.as_bytes(), limit as u64, query.offset.unwrap_or(0))?;
    let above = if path.is_empty() { String::from("/") } else { format!("/{path}/") };
    let entries = listing.entries.into_iter().map(|entry| {
        let name = String::from_utf8_lossy(&entry.name).into_owned();
        let member = entry.member.map(|(_, member)| member);
        Name {
            path: format!("{above}{name}"),
            name,
            kind: member.as_ref().map_or("directory", |member| kind(member.kind)),
            size: member.as_ref().map_or(0, |member| member.size),
            mod_time: member.map(|member| time(member.mtime)),
            entry_count: entry.below,
        }
    });
    let entries = entries.collect();
    Ok(Json(Directory { backup_set_id: id, prefix: format!("/{path}"), entries, total: listing.total }))
}
