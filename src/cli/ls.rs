//! `reelward ls`: backup sets, or what a directory holds.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::context::Context;
use super::error::CliError;
use super::output::{Output, Tone};
use super::table::{Align, Table};
use super::{Outcome, text};
use crate::catalog::{BackupSet, Listing, ListingEntry, SetId, SetState};
use crate::engine::{Appliance, EngineError};
use crate::format::v1::{Kind, Member};

/// Arguments of `reelward ls`.
#[derive(Debug, Args)]
pub(super) struct LsArgs {
    /// A directory or file as it was backed up; without one the backup sets are listed
    #[arg(value_name = "PATH")]
    path: Option<OsString>,
    /// Only this set: number, identity, or `latest`; without it the newest version of every name
    #[arg(long, value_name = "SET", value_parser = super::args::name())]
    set: Option<String>,
    /// Names to show at most
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    limit: u64,
}

pub(super) fn run(context: &Context, args: &LsArgs) -> Result<Outcome, CliError> {
    let appliance = context.open_existing()?;
    context.hint_when_lost(&appliance)?;
    let set = args.set.as_deref().map(|name| appliance.set_named(name)).transpose()?.map(|set| set.id);
    match &args.path {
        None => list_sets(context.output, &appliance, set)?,
        Some(path) => list_path(context.output, &appliance, set, Path::new(path), args.limit)?,
    }
    Ok(Outcome::Done)
}

fn list_sets(output: Output, appliance: &Appliance, only: Option<SetId>) -> Result<(), CliError> {
    let catalog = appliance.catalog();
    let mut sets = catalog.sets()?;
    sets.retain(|set| only.is_none_or(|only| only == set.id));
    let mut rows = Vec::new();
    for set in sets {
        let mut volumes = Vec::new();
        for part in catalog.parts_of(set.id)? {
            volumes.push(catalog.volume(part.volume)?.label);
        }
        let missing = catalog.missing_parts(set.id)?;
        rows.push(SetRow { set, volumes, missing });
    }
    let sets: Vec<Value> = rows.iter().map(set_json).collect();
    output.answer(&json!({ "sets": sets }), || {
        if rows.is_empty() {
            return "no backup sets yet; `reelward backup PATH` makes one\n".to_owned();
        }
        let mut table = Table::new(&[
            ("Set", Align::Right),
            ("Started", Align::Left),
            ("State", Align::Left),
            ("Members", Align::Right),
            ("Size", Align::Right),
            ("Warnings", Align::Right),
            ("Job", Align::Left),
            ("Volumes", Align::Left),
            ("Paths", Align::Left),
        ]);
        for row in &rows {
            table.row(set_row(row));
        }
        table.show(output)
    });
    Ok(())
}

/// A set as it is listed.
struct SetRow {
    set: BackupSet,
    /// Labels, in the order of its parts.
    volumes: Vec<String>,
    /// Parts that the catalog lacks.
    missing: Vec<u32>,
}

impl SetRow {
    fn state(&self) -> &'static str {
        if self.missing.is_empty() { self.set.state.as_str() } else { SetState::Incomplete.as_str() }
    }
}

fn set_row(row: &SetRow) -> [String; 9] {
    let SetRow { set, volumes, .. } = row;
    let roots: Vec<String> = set.roots.iter().map(|root| text::name(root)).collect();
    let encrypted = if set.recipients.is_empty() { "" } else { " encrypted" };
    [
        set.id.to_string(),
        text::time(set.started),
        format!("{}{encrypted}", row.state()),
        text::count(set.members),
        text::bytes(set.bytes),
        text::count(set.warnings),
        text::name(set.job.as_bytes()),
        text::name(volumes.join(" ").as_bytes()),
        roots.join(" "),
    ]
}

fn set_json(row: &SetRow) -> Value {
    let SetRow { set, volumes, missing } = row;
    json!({
        "set_id": set.id.0,
        "set": set.uuid,
        "job": set.job,
        "host": set.host,
        "roots": set.roots.iter().map(|root| String::from_utf8_lossy(root).into_owned()).collect::<Vec<_>>(),
        "state": row.state(),
        "kind": set.kind.as_str(),
        "bases": set.bases,
        "is_complete": set.state == SetState::Complete && missing.is_empty(),
        "missing_parts": missing,
        "started": text::rfc3339(set.started),
        "finished": set.finished.and_then(text::rfc3339),
        "members": set.members,
        "bytes": set.bytes,
        "warnings": set.warnings,
        "compression": set.compression,
        "recipients": set.recipients,
        "volumes": volumes,
    })
}

fn list_path(
    output: Output,
    appliance: &Appliance,
    set: Option<SetId>,
    path: &Path,
    limit: u64,
) -> Result<(), CliError> {
    let catalog = appliance.catalog();
    let stored = stored_path(path)?;
    let mut listing = catalog.browse(set, &stored, limit, 0)?;
    if listing.total == 0 {
        let Some(found) = single(appliance, set, &stored)? else {
            return Err(EngineError::NothingFound { pattern: text::path(&stored) }.into());
        };
        listing = Listing { total: 1, entries: vec![found] };
    }
    let entries: Vec<Value> = listing.entries.iter().map(entry_json).collect();
    let mut answer = text::json_path(&stored);
    if let Value::Object(fields) = &mut answer {
        fields.insert("total".into(), listing.total.into());
        fields.insert("entries".into(), entries.into());
    }
    output.answer(&answer, || {
        let mut table = Table::new(&[
            ("Mode", Align::Left),
            ("Owner", Align::Right),
            ("Size", Align::Right),
            ("Modified", Align::Left),
            ("Set", Align::Right),
            ("Name", Align::Left),
        ]);
        for entry in &listing.entries {
            table.row(entry_row(entry));
        }
        let mut lines = table.show(output);
        let hidden = listing.total.saturating_sub(listing.entries.len() as u64);
        if hidden > 0 {
            let more = format!("... and {} more; --limit shows them", text::plural(hidden, "name"));
            lines.push_str(&output.paint(Tone::Faint, &more));
            lines.push('\n');
        }
        lines
    });
    Ok(())
}

/// What the path means that is no directory: the newest version, or that of one set.
fn single(
    appliance: &Appliance,
    set: Option<SetId>,
    stored: &[u8],
) -> Result<Option<ListingEntry>, CliError> {
    let catalog = appliance.catalog();
    let sets: Vec<SetId> = match set {
        Some(set) => vec![set],
        None => catalog.sets()?.into_iter().rev().map(|set| set.id).collect(),
    };
    for set in sets {
        if let Some(found) = catalog.lookup(set, stored)? {
            return Ok(Some(ListingEntry {
                name: found.1.name.clone(),
                set,
                below: None,
                member: Some(found),
            }));
        }
    }
    Ok(None)
}

/// An absolute path, `.` and `..` resolved by name alone, without its leading slash.
fn stored_path(path: &Path) -> Result<Vec<u8>, CliError> {
    let here = |source| CliError::File {
        path: PathBuf::from("."),
        what: "where this is cannot be found out",
        source,
    };
    let full = if path.is_absolute() {
        path.to_path_buf()
    } else {
        std::env::current_dir().map_err(here)?.join(path)
    };
    let mut parts: Vec<&[u8]> = Vec::new();
    for component in full.components() {
        match component {
            Component::Normal(name) => parts.push(name.as_bytes()),
            Component::ParentDir => {
                parts.pop();
            }
            _ => {}
        }
    }
    Ok(parts.join(&b'/'))
}

fn entry_row(entry: &ListingEntry) -> [String; 6] {
    let set = entry.set.to_string();
    let member = entry.member.as_ref().map(|(_, member)| member);
    let is_directory = entry.below.is_some();
    let mut name = text::name(&entry.name);
    if is_directory {
        name.push('/');
    }
    let Some(member) = member else {
        return ["d?????????".into(), String::new(), String::new(), String::new(), set, name];
    };
    let size = match entry.below {
        Some(below) => text::plural(below, "member"),
        None => text::bytes(member.size),
    };
    if !member.link.is_empty() {
        let arrow = if member.kind == Kind::HardLink { "=" } else { "->" };
        name.push_str(&format!(" {arrow} {}", text::name(&member.link)));
    }
    [mode(member), format!("{}:{}", member.uid, member.gid), size, text::time(member.mtime), set, name]
}

/// As `ls -l` shows it.
fn mode(member: &Member) -> String {
    let mut shown = String::from(match member.kind {
        Kind::Regular | Kind::HardLink => '-',
        Kind::Directory => 'd',
        Kind::Symlink => 'l',
        Kind::CharDevice => 'c',
        Kind::BlockDevice => 'b',
        Kind::Fifo => 'p',
    });
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = member.mode >> shift;
        shown.push(if bits & 4 != 0 { 'r' } else { '-' });
        shown.push(if bits & 2 != 0 { 'w' } else { '-' });
        shown.push(match (bits & 1 != 0, member.mode & special != 0) {
            (true, true) => letter,
            (false, true) => letter.to_ascii_uppercase(),
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    shown
}

/// What a kind is called in JSON.
pub(super) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Regular => "file",
        Kind::Directory => "directory",
        Kind::Symlink => "symlink",
        Kind::HardLink => "hard_link",
        Kind::CharDevice => "char_device",
        Kind::BlockDevice => "block_device",
        Kind::Fifo => "fifo",
    }
}

fn entry_json(entry: &ListingEntry) -> Value {
    let member = entry.member.as_ref().map(|(_, member)| member);
    json!({
        "name": String::from_utf8_lossy(&entry.name),
        "set_id": entry.set.0,
        "below": entry.below,
        "kind": member.map_or("directory", |member| kind(member.kind)),
        "member": member.map(member_json),
    })
}

/// Attributes of a member.
pub(super) fn member_json(member: &Member) -> Value {
    let has_hash = member.kind == Kind::Regular;
    json!({
        "mode": format!("{:04o}", member.mode),
        "uid": member.uid,
        "gid": member.gid,
        "size": member.size,
        "modified": text::rfc3339(member.mtime),
        "link": (!member.link.is_empty()).then(|| String::from_utf8_lossy(&member.link)),
        "sha256": has_hash.then(|| member.sha256.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_stored_paths() {
        let stored = |path: &str| stored_path(Path::new(path)).expect("no failure");
        assert_eq!(stored("/"), b"");
        assert_eq!(stored("/etc//ssl/../hosts/."), b"etc/hosts");
        assert_eq!(stored("/../.."), b"");
        assert!(stored("here").ends_with(b"/here"));
    }
}
