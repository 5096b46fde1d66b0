//! What a set saw: the names of each directory with what tells a change, and which set holds each. With it the next set
//! stores only what changed, and a restore knows what was there.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use rusqlite::{Connection, OptionalExtension, params};

use super::directories::{by_path, components, spans};
use super::ids::{Int, MAX_ORDINAL, key};
use super::lookup::each_name;
use super::members::{overlap, visible};
use super::sets::escape;
use super::{BackupSet, Catalog, DirectoryId, Part, Result, SetId};
use crate::format::v1::index::SECTION_TARGET;
use crate::format::v1::seen::{self, SeenEntry, SeenList, Signature};

/// Names of a row at most.
const ROW_NAMES: usize = 4096;

/// What a set left in its bases because it was unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kept {
    /// Ordinals of other sets, ascending and disjoint; the nearest base first.
    pub sets: Vec<(SetId, Vec<Range<u64>>)>,
    /// Names whose set or part is not in the catalog.
    pub missing: u64,
    /// Stored paths of one file each that different sets hold, as files of their own.
    pub linked: Vec<Vec<(SetId, Vec<u8>)>>,
}

/// What a set saw, with the sets it is built upon at hand.
#[derive(Debug, Clone)]
pub struct Snapshot {
    catalog: Catalog,
    /// The set, then its bases.
    sets: Vec<Option<BackupSet>>,
    /// For each of them what its origins are in that list.
    numbers: Vec<Vec<Option<usize>>>,
}

/// Gathers the names of one directory after the other.
#[derive(Debug)]
pub(super) struct SeenBuilder {
    base: Option<Snapshot>,
    current: Option<(DirectoryId, Vec<SeenEntry>)>,
}

impl SeenBuilder {
    pub(super) fn new(catalog: &Catalog, set: &BackupSet) -> Result<SeenBuilder> {
        let base = set.bases.first().map(|uuid| catalog.set_by_uuid(uuid)).transpose()?.flatten();
        let base = base.map(|base| catalog.snapshot(&base)).transpose()?;
        Ok(SeenBuilder { base, current: None })
    }

    /// A directory begins; it gets a row also where it is empty.
    pub(super) fn begin(
        &mut self,
        catalog: &Catalog,
        directory: DirectoryId,
        rows: &mut Vec<(DirectoryId, Vec<u8>)>,
    ) -> Result<()> {
        self.end(catalog, rows)?;
        self.current = Some((directory, Vec::new()));
        Ok(())
    }

    pub(super) fn push(
        &mut self,
        catalog: &Catalog,
        directory: DirectoryId,
        entry: SeenEntry,
        rows: &mut Vec<(DirectoryId, Vec<u8>)>,
    ) -> Result<()> {
        let goes_on =
            self.current.as_ref().is_some_and(|(here, list)| *here == directory && list.len() < ROW_NAMES);
        if !goes_on {
            self.begin(catalog, directory, rows)?;
        }
        if let Some((_, list)) = &mut self.current {
            list.push(entry);
        }
        Ok(())
    }

    pub(super) fn end(&mut self, catalog: &Catalog, rows: &mut Vec<(DirectoryId, Vec<u8>)>) -> Result<()> {
        let Some((directory, list)) = self.current.take() else { return Ok(()) };
        let as_in = self.as_in(catalog, directory, &list)?;
        let mut body = Vec::new();
        as_in.map_or(SeenList::Listed(list), SeenList::AsIn).encode(&mut body);
        rows.push((directory, body));
        Ok(())
    }

    /// The base that saw exactly this.
    fn as_in(&self, catalog: &Catalog, directory: DirectoryId, list: &[SeenEntry]) -> Result<Option<u32>> {
        let Some(base) = &self.base else { return Ok(None) };
        if list.is_empty() || list.iter().any(|entry| entry.origin == 0) {
            return Ok(None);
        }
        let connection = catalog.pool.get()?;
        let mut rows = base.rows(&connection, 0, directory)?;
        let saw = base.resolve(&connection, 0, directory)?;
        let is_same = saw.len() == list.len()
            && saw.iter().zip(list).all(|(a, b)| (&a.name, a.signature) == (&b.name, b.signature));
        rows.retain(|row| !matches!(row, SeenList::Listed(list) if list.is_empty()));
        Ok(is_same.then(|| match rows.as_slice() {
            [SeenList::AsIn(further)] => further + 1,
            _ => 1,
        }))
    }
}

pub(super) fn insert(
    connection: &Connection,
    set: SetId,
    number: u64,
    directory: DirectoryId,
    part: u32,
    list: &[u8],
) -> Result<()> {
    connection
        .prepare_cached("INSERT INTO seen (key, directory_id, part, list) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![key(set, number), directory, part, list])?;
    Ok(())
}

/// Makes the rows before `next` those of `part`.
pub(super) fn commit(connection: &Connection, set: SetId, next: u64, part: u32) -> Result<()> {
    connection.execute(
        "UPDATE seen SET part = ?3 WHERE key >= ?1 + (SELECT committed_seen FROM backup_set WHERE id = ?4) AND key < ?2",
        params![key(set, 0), key(set, next), part, set],
    )?;
    connection.execute(
        "UPDATE backup_set SET committed_seen = max(committed_seen, ?2) WHERE id = ?1",
        params![set, Int(next)],
    )?;
    Ok(())
}

/// The payloads of sections `w` of a part, not packed.
pub(super) fn sections(
    connection: &Connection,
    part: &Part,
    mut each: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "SELECT directory_id, list FROM seen WHERE key >= ?1 AND key < ?2 AND part = ?3 ORDER BY key",
    )?;
    let mut rows = statement.query(params![key(part.set, 0), key(part.set, MAX_ORDINAL), part.number])?;
    let mut plain = Vec::new();
    let mut paths = HashMap::new();
    while let Some(row) = rows.next()? {
        let path = path_of(connection, row.get(0)?, &mut paths)?;
        seen::put_directory(&path, row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?, &mut plain);
        if plain.len() >= SECTION_TARGET {
            each(&plain)?;
            plain.clear();
        }
    }
    if plain.is_empty() { Ok(()) } else { each(&plain) }
}

/// Stored path of a directory; the parents last met are remembered.
fn path_of(
    connection: &Connection,
    directory: DirectoryId,
    known: &mut HashMap<DirectoryId, Vec<u8>>,
) -> Result<Vec<u8>> {
    if let Some(path) = known.get(&directory) {
        return Ok(path.clone());
    }
    let Some((parent, name)) = super::directories::parent_and_name(connection, directory)? else {
        return Ok(Vec::new());
    };
    let mut path = path_of(connection, parent, known)?;
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(&name);
    if known.len() > 10_000 {
        known.clear();
    }
    known.insert(directory, path.clone());
    Ok(path)
}

impl Snapshot {
    /// The rows of a directory that a checkpoint of the n-th set committed, in order.
    fn rows(&self, connection: &Connection, at: usize, directory: DirectoryId) -> Result<Vec<SeenList>> {
        let Some(Some(set)) = self.sets.get(at) else { return Ok(Vec::new()) };
        let mut statement = connection.prepare_cached(
            "SELECT list FROM seen WHERE directory_id = ?1 AND key >= ?2 AND key < ?3 ORDER BY key",
        )?;
        let mut rows = statement.query(params![directory, key(set.id, 0), key(set.id, set.seen)])?;
        let mut lists = Vec::new();
        while let Some(row) = rows.next()? {
            lists.push(SeenList::decode(row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?)?);
        }
        Ok(lists)
    }

    /// What the n-th set saw in a directory; origins are places in the list of sets. What a base that is not there saw is left
    /// out.
    fn resolve(&self, connection: &Connection, at: usize, directory: DirectoryId) -> Result<Vec<SeenEntry>> {
        let number = |origin: u32| -> Option<usize> { *self.numbers.get(at)?.get(origin as usize)? };
        let mut entries = Vec::new();
        for row in self.rows(connection, at, directory)? {
            match row {
                SeenList::Listed(list) => entries.extend(list.into_iter().filter_map(|entry| {
                    let origin = u32::try_from(number(entry.origin)?).ok()?;
                    Some(SeenEntry { origin, ..entry })
                })),
                // Bases stand behind what is built upon them, so this ends.
                SeenList::AsIn(base) => {
                    if let Some(further) = number(base).filter(|further| *further > at) {
                        entries.extend(self.resolve(connection, further, directory)?);
                    }
                }
            }
        }
        Ok(entries)
    }

    /// What the set saw in the directory with this stored path; origins are 0 for the set itself and n for its n-th base.
    pub fn directory(&self, path: &[u8]) -> Result<Vec<SeenEntry>> {
        let connection = self.catalog.pool.get()?;
        match by_path(&connection, path)? {
            Some(directory) => self.resolve(&connection, 0, directory),
            None => Ok(Vec::new()),
        }
    }
}

impl Catalog {
    /// What a set saw.
    pub fn snapshot(&self, set: &BackupSet) -> Result<Snapshot> {
        let mut sets = vec![Some(set.clone())];
        for uuid in &set.bases {
            sets.push(self.set_by_uuid(uuid)?);
        }
        let place = |uuid: &String| set.bases.iter().position(|base| base == uuid).map(|at| at + 1);
        let of = |(at, known): (usize, &Option<BackupSet>)| -> Vec<Option<usize>> {
            let bases = known.iter().flat_map(|set| &set.bases);
            std::iter::once(Some(at)).chain(bases.map(place)).collect()
        };
        let numbers = sets.iter().enumerate().map(of).collect();
        Ok(Snapshot { catalog: self.clone(), sets, numbers })
    }

    /// Whether this list stands in a part as what was seen in a directory.
    pub fn has_seen(&self, part: &Part, path: &[u8], list: &[u8]) -> Result<bool> {
        let connection = self.pool.get()?;
        let Some(directory) = by_path(&connection, path)? else { return Ok(false) };
        Ok(connection
            .prepare_cached(
                "SELECT 1 FROM seen WHERE directory_id = ?1 AND key >= ?2 AND key < ?3 AND part = ?4 AND list = ?5",
            )?
            .exists(params![directory, key(part.set, 0), key(part.set, MAX_ORDINAL), part.number, list])?)
    }

    /// Where the walk of a set stood when it was committed last, if that is in this part or behind it: a directory, and the
    /// last name seen in it.
    #[allow(clippy::type_complexity)]
    pub fn last_seen(&self, set: &BackupSet, part: u32) -> Result<Option<(Vec<u8>, Option<Vec<u8>>)>> {
        let connection = self.pool.get()?;
        let row: Option<DirectoryId> = connection
            .prepare_cached(
                "SELECT directory_id FROM seen WHERE key >= ?1 AND key < ?2 AND part >= ?3
                 ORDER BY part DESC, key DESC LIMIT 1",
            )?
            .query_row(params![key(set.id, 0), key(set.id, set.seen), part], |r| r.get(0))
            .optional()?;
        let Some(directory) = row else { return Ok(None) };
        let last = self.snapshot(set)?.resolve(&connection, 0, directory)?.pop().map(|entry| entry.name);
        Ok(Some((path_of(&connection, directory, &mut HashMap::new())?, last)))
    }

    /// What a set left where it was, in its bases.
    pub fn kept(&self, set: &BackupSet) -> Result<Kept> {
        let mut kept = Kept::default();
        if set.bases.is_empty() {
            return Ok(kept);
        }
        let connection = self.pool.get()?;
        let directories: Vec<DirectoryId> = connection
            .prepare_cached("SELECT DISTINCT directory_id FROM seen WHERE key >= ?1 AND key < ?2")?
            .query_map([key(set.id, 0), key(set.id, set.seen)], |r| r.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let snapshot = self.snapshot(set)?;
        let mut bases = Vec::new();
        for base in snapshot.sets.iter().skip(1) {
            bases.push(match base {
                Some(base) => Some((base.id, visible(&connection, base.id)?)),
                None => None,
            });
        }
        let mut ordinals: BTreeMap<usize, Vec<Range<u64>>> = BTreeMap::new();
        let mut several: HashMap<Signature, Vec<(u32, DirectoryId, Vec<u8>)>> = HashMap::new();
        for directory in directories {
            let rows = snapshot.rows(&connection, 0, directory)?;
            let unknown = rows.iter().any(|row| {
                matches!(row, SeenList::AsIn(n) if bases.get((*n as usize).wrapping_sub(1)).is_none_or(Option::is_none))
            });
            kept.missing += u64::from(unknown); // how many names that base saw there, nobody knows
            let mut wanted: BTreeMap<usize, HashMap<Vec<u8>, ()>> = BTreeMap::new();
            for entry in snapshot.resolve(&connection, 0, directory)? {
                if entry.signature.device.is_some() {
                    let signature = Signature { unsure: false, ..entry.signature };
                    several.entry(signature).or_default().push((entry.origin, directory, entry.name.clone()));
                }
                if entry.origin > 0 {
                    wanted.entry(entry.origin as usize - 1).or_default().insert(entry.name, ());
                }
            }
            for (number, mut names) in wanted {
                if let Some(Some((base, visible))) = bases.get(number) {
                    let found = ordinals.entry(number).or_default();
                    for span in spans(&connection, *base, directory)? {
                        let files = span.first + u64::from(span.own)..span.run().end;
                        for range in visible.iter().map(|v| overlap(v, &files)) {
                            each_name(&connection, *base, &range, |ordinal, name| {
                                if names.remove(name).is_some() {
                                    found.push(ordinal..ordinal + 1);
                                }
                                !names.is_empty()
                            })?;
                        }
                    }
                }
                kept.missing += names.len() as u64;
            }
        }
        let mut paths = HashMap::new();
        several
            .retain(|_, names| names.iter().any(|name| Some(name.0) != names.first().map(|first| first.0)));
        for names in several.into_values() {
            let mut linked = Vec::new();
            for (origin, directory, name) in names {
                let holder = match origin {
                    0 => Some(set.id),
                    base => bases.get(base as usize - 1).and_then(Option::as_ref).map(|base| base.0),
                };
                let Some(holder) = holder else { continue };
                let mut path = path_of(&connection, directory, &mut paths)?;
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(&name);
                linked.push((holder, path));
            }
            linked.sort_by(|a, b| a.1.cmp(&b.1));
            kept.linked.push(linked);
        }
        for (number, mut ranges) in ordinals {
            ranges.sort_by_key(|range| range.start);
            let mut joined: Vec<Range<u64>> = Vec::new();
            for range in ranges {
                match joined.last_mut() {
                    Some(last) if last.end == range.start => last.end = range.end,
                    _ => joined.push(range),
                }
            }
            if let Some(Some((base, _))) = bases.get(number) {
                kept.sets.push((*base, joined));
            }
        }
        Ok(kept)
    }

    /// Enters a section `w`; returns its rows. They count when the part does.
    pub(super) fn load_seen(&self, set: SetId, part: u32, plain: &[u8]) -> Result<u64> {
        let mut writer = self.lock();
        let mut rows = Vec::new();
        for row in seen::directories(plain) {
            let (path, list) = row?;
            SeenList::decode(list)?;
            let mut directory = DirectoryId::ROOT;
            for name in components(path) {
                super::directories::check_name(name)?;
                directory = writer.directory(directory, name)?;
            }
            rows.push((directory, list));
        }
        writer.write_directories()?;
        writer.transaction(false, |c| {
            let next: i64 = c.query_row(
                "SELECT ifnull(max(key) + 1, ?1) FROM seen WHERE key >= ?1 AND key < ?2",
                [key(set, 0), key(set, MAX_ORDINAL)],
                |r| r.get(0),
            )?;
            for (number, (directory, list)) in (0u64..).zip(&rows) {
                insert(c, set, (next - key(set, 0)) as u64 + number, *directory, part, list)?;
            }
            Ok(())
        })?;
        Ok(rows.len() as u64)
    }
}

/// What a set saw, as lines of the canonical dump.
pub(super) fn lines(catalog: &Catalog, set: &BackupSet) -> Result<Vec<String>> {
    let connection = catalog.pool.get()?;
    let mut statement = connection.prepare_cached(
        "SELECT directory_id, part, list FROM seen WHERE key >= ?1 AND key < ?2 ORDER BY part, key",
    )?;
    let mut rows = statement.query([key(set.id, 0), key(set.id, set.seen)])?;
    let mut lines = Vec::new();
    let mut paths = HashMap::new();
    while let Some(row) = rows.next()? {
        let path = path_of(&connection, row.get(0)?, &mut paths)?;
        let list = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
        let part: u32 = row.get(1)?;
        lines.push(format!(
            "seen {} part={part} crc={:08x} path={}",
            set.uuid,
            crc32c::crc32c(list),
            escape(&path)
        ));
    }
    Ok(lines)
}
