//! What a directory holds, in one set or in the newest version of every name.

use std::collections::BTreeMap;
use std::ops::Range;

use rusqlite::Connection;

use super::directories::{Span, by_path, spans};
use super::lookup::{each_member, each_name, member_at};
use super::members::{count_visible, overlap, visible};
use super::sets::newest_first;
use super::{Catalog, DirectoryId, Result, SetId};
use crate::format::v1::Member;

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListingEntry {
    /// Last path component.
    pub name: Vec<u8>,
    /// The set it was found in: the newest that has it.
    pub set: SetId,
    /// For a subdirectory: members below it in that set, its own included. `None` for everything else.
    pub below: Option<u64>,
    /// Ordinal and member; a directory that was only passed through on the way to a root has none.
    pub member: Option<(u64, Member)>,
}

/// A window on a directory: subdirectories first, then the rest; each by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Names in the directory.
    pub total: u64,
    /// The window.
    pub entries: Vec<ListingEntry>,
}

struct View {
    set: SetId,
    visible: Vec<Range<u64>>,
    spans: Vec<Span>,
}

impl View {
    fn open(connection: &Connection, set: SetId, directory: DirectoryId) -> Result<Option<View>> {
        let spans = spans(connection, set, directory)?;
        if spans.is_empty() {
            return Ok(None);
        }
        let visible = visible(connection, set)?;
        let shown = spans.iter().any(|s| count_visible(&visible, &s.below()) > 0);
        Ok(shown.then_some(View { set, visible, spans }))
    }

    /// Visible ordinals of what stands in the directory and is none itself.
    fn files(&self) -> Vec<Range<u64>> {
        let runs = self.spans.iter().map(|s| s.first + u64::from(s.own)..s.run().end);
        runs.flat_map(|run| self.visible.iter().map(move |v| overlap(v, &run)))
            .filter(|r| !r.is_empty())
            .collect()
    }
}

impl Catalog {
    /// Lists the directory with this stored path (no leading `/`; empty: the root) in one set, or, with `None`, in all sets:
    /// then of every name the newest version.
    pub fn browse(&self, set: Option<SetId>, path: &[u8], limit: u64, offset: u64) -> Result<Listing> {
        let connection = self.pool.get()?;
        let connection = connection.unchecked_transaction()?;
        let Some(directory) = by_path(&connection, path)? else {
            return Ok(Listing { total: 0, entries: Vec::new() });
        };
        let views = views(&connection, set, directory)?;
        let window = offset..offset.saturating_add(limit);
        let mut entries = Vec::new();
        let directories = subdirectories(&connection, &views, directory, &window, &mut entries)?;
        let files = match views.as_slice() {
            [] => 0,
            [one] => files_of_one(&connection, one, directories, &window, &mut entries)?,
            many => files_of_many(&connection, many, directories, &window, &mut entries)?,
        };
        Ok(Listing { total: directories + files, entries })
    }
}

/// What each set knows of the directory, newest first.
fn views(connection: &Connection, set: Option<SetId>, directory: DirectoryId) -> Result<Vec<View>> {
    let sets: Vec<SetId> = match set {
        Some(set) => vec![set],
        None => newest_first(connection)?,
    };
    let views = sets.into_iter().filter_map(|set| View::open(connection, set, directory).transpose());
    views.collect()
}

fn subdirectories(
    connection: &Connection,
    views: &[View],
    parent: DirectoryId,
    window: &Range<u64>,
    entries: &mut Vec<ListingEntry>,
) -> Result<u64> {
    if views.is_empty() {
        return Ok(0);
    }
    let mut statement =
        connection.prepare_cached("SELECT id, name FROM directory WHERE parent = ?1 ORDER BY name")?;
    let mut rows = statement.query([parent])?;
    let mut total = 0;
    while let Some(row) = rows.next()? {
        let id: DirectoryId = row.get(0)?;
        for view in views {
            let spans = spans(connection, view.set, id)?;
            let below: u64 = spans.iter().map(|s| count_visible(&view.visible, &s.below())).sum();
            if below == 0 {
                continue;
            }
            if window.contains(&total) {
                let own = spans
                    .iter()
                    .find(|s| s.own && count_visible(&view.visible, &(s.first..s.first + 1)) == 1);
                let member = match own {
                    Some(span) => member_at(connection, view.set, span.first)?.map(|(_, m)| (span.first, m)),
                    None => None,
                };
                entries.push(ListingEntry { name: row.get(1)?, set: view.set, below: Some(below), member });
            }
            total += 1;
            break;
        }
    }
    Ok(total)
}

fn push_members(
    connection: &Connection,
    set: SetId,
    ordinals: &[u64],
    entries: &mut Vec<ListingEntry>,
) -> Result<()> {
    each_member(connection, set, ordinals, |ordinal, _, member| {
        entries.push(ListingEntry {
            name: member.name.clone(),
            set,
            below: None,
            member: Some((ordinal, member)),
        });
        Ok(())
    })
}

/// In one set the members stand in the order of their names already.
fn files_of_one(
    connection: &Connection,
    view: &View,
    before: u64,
    window: &Range<u64>,
    entries: &mut Vec<ListingEntry>,
) -> Result<u64> {
    let mut at = before;
    for range in view.files() {
        let here = at..at + (range.end - range.start);
        let wanted = overlap(window, &here);
        let ordinals: Vec<u64> = wanted.map(|i| range.start + (i - here.start)).collect();
        push_members(connection, view.set, &ordinals, entries)?;
        at = here.end;
    }
    Ok(at - before)
}

fn files_of_many(
    connection: &Connection,
    views: &[View],
    before: u64,
    window: &Range<u64>,
    entries: &mut Vec<ListingEntry>,
) -> Result<u64> {
    let mut newest: BTreeMap<Box<[u8]>, (SetId, u64)> = BTreeMap::new();
    for view in views {
        for range in view.files() {
            each_name(connection, view.set, &range, |ordinal, name| {
                if !newest.contains_key(name) {
                    newest.insert(name.into(), (view.set, ordinal));
                }
                true
            })?;
        }
    }
    let total = newest.len() as u64;
    let skip = window.start.saturating_sub(before);
    let take = window.end.saturating_sub(before).saturating_sub(skip);
    let wanted: Vec<(SetId, u64)> =
        newest.into_values().skip(skip as usize).take(take.min(total) as usize).collect();
    // Names from different sets are mixed: runs of one set are read together.
    for group in wanted.chunk_by(|a, b| a.0 == b.0 && a.1 < b.1) {
        if let Some(&(set, _)) = group.first() {
            let ordinals: Vec<u64> = group.iter().map(|w| w.1).collect();
            push_members(connection, set, &ordinals, entries)?;
        }
    }
    Ok(total)
}
