//! The catalog against a plain list of the same members.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::format::v1::index::{PackedFrames, PartState, SetDescription};
use crate::format::v1::{Kind, Member, Notes};

pub(super) struct Rig {
    _directory: tempfile::TempDir,
    pub(super) catalog: Catalog,
    pub(super) volume: VolumeId,
}

pub(super) fn volume(uuid: &str) -> NewVolume {
    NewVolume {
        uuid: uuid.into(),
        label: uuid.into(),
        barcode: Some(format!("{uuid}L9")),
        pool: None,
        generation: Some("LTO-9".into()),
        record_size: 262_144,
        capacity: 1 << 40,
        end_block: 2,
        end_file: 1,
        change_reference: Some(7),
        created: 5,
    }
}

impl Rig {
    pub(super) fn new() -> Rig {
        let directory = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&directory.path().join("catalog.db")).unwrap();
        let volume = catalog.add_volume(&volume("vol")).unwrap();
        Rig { _directory: directory, catalog, volume }
    }

    pub(super) fn set(&self, uuid: &str) -> SetId {
        let new = NewSet {
            uuid: uuid.into(),
            job: "job \"x\"".into(),
            host: "host".into(),
            roots: vec![b"/home".to_vec(), b"/odd\xff%".to_vec()],
            compression: "zstd".into(),
            recipients: vec!["age1x".into()],
            started: 1_000,
            exclude: Vec::new(),
            one_file_system: false,
            kind: crate::catalog::SetKind::Full,
            bases: Vec::new(),
        };
        let set = self.catalog.begin_set(&new).unwrap();
        self.part(set, 1, 0);
        set
    }

    fn close(&self, set: SetId, number: u32, index_file: u64, index_block: u64) {
        let end = PartEnd {
            index_file,
            index_block,
            index_bytes: 1,
            end_block: index_block + 1,
            end_file: index_file + 1,
            change_reference: Some(number),
            written: 78,
        };
        self.catalog.close_part(set, number, &end).unwrap();
    }

    fn part(&self, set: SetId, number: u32, first_ordinal: u64) {
        self.catalog.begin_part(&NewPart { set, number, volume: self.volume, first_ordinal }).unwrap();
    }
}

fn archive(number: u32, part: u32) -> Archive {
    let frames: PackedFrames = (0..number).map(|i| (1000 + i, 4 << 20)).collect();
    Archive {
        number,
        part,
        file: u64::from(number),
        block: 10,
        records: 3,
        stream_bytes: 4096,
        stored_bytes: 2048,
        header_bytes: 200,
        frames,
    }
}

pub(super) fn commit(writer: &mut MemberWriter, number: u32, part: u32, fragments: &[Fragment]) {
    let archive = archive(number, part);
    let (end_block, end_file) = (100 + u64::from(number), 1 + u64::from(number));
    writer
        .commit(Checkpoint {
            archive: &archive,
            fragments,
            end_block,
            end_file,
            change_reference: Some(number),
            used: 9,
            written: 77,
        })
        .unwrap();
}

pub(super) fn member(name: &[u8], kind: Kind, n: u64) -> Member {
    let regular = kind == Kind::Regular;
    Member {
        name: name.to_vec(),
        kind,
        mode: 0o644,
        uid: (n % 3) as u32,
        gid: 0,
        size: if regular { n * 31 } else { 0 },
        mtime: n as i64 * 1_000_000_000 + if n.is_multiple_of(7) { 5 } else { 0 },
        sha256: if regular { [n as u8; 32] } else { [0; 32] },
        archive: 1,
        offset: n * 512,
        link: if kind == Kind::Symlink { b"target".to_vec() } else { Vec::new() },
        notes: if n.is_multiple_of(11) { Notes::CHANGED } else { Notes::default() },
    }
}

/// What was written: path, member, by ordinal.
type Model = Vec<(Vec<u8>, Member)>;

/// A tree from paths of files; every directory has its own member.
fn tree(paths: &BTreeSet<Vec<Vec<u8>>>) -> BTreeMap<Vec<u8>, Node> {
    let mut root = BTreeMap::new();
    for path in paths {
        let mut at = &mut root;
        for (i, component) in path.iter().enumerate() {
            let node = at.entry(component.clone()).or_insert(Node::File);
            if i + 1 < path.len() && matches!(node, Node::File) {
                *node = Node::Directory(BTreeMap::new());
            }
            match node {
                Node::Directory(children) => at = children,
                Node::File => break,
            }
        }
    }
    root
}

enum Node {
    File,
    Directory(BTreeMap<Vec<u8>, Node>),
}

struct Builder<'a> {
    writer: &'a mut MemberWriter,
    model: &'a mut Model,
    /// A checkpoint after this many members.
    every: u64,
    archive: u32,
}

impl Builder<'_> {
    fn push(&mut self, path: &[u8], member: Member) {
        self.writer.push(&member).unwrap();
        self.model.push((path.to_vec(), member));
        if (self.model.len() as u64).is_multiple_of(self.every) {
            self.archive += 1;
            commit(self.writer, self.archive, 1, &[]);
        }
    }

    fn walk(&mut self, path: &[u8], children: &BTreeMap<Vec<u8>, Node>) {
        let join = |name: &[u8]| if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() };
        for (name, node) in children {
            if matches!(node, Node::File) {
                let n = self.model.len() as u64;
                let kind = if n % 5 == 4 { Kind::Symlink } else { Kind::Regular };
                self.push(&join(name), member(name, kind, n));
            }
        }
        for (name, node) in children {
            if let Node::Directory(below) = node {
                self.writer.enter(name).unwrap();
                let own = member(name, Kind::Directory, self.model.len() as u64);
                self.push(&join(name), own);
                self.walk(&join(name), below);
                self.writer.leave().unwrap();
            }
        }
    }
}

fn fill(rig: &Rig, uuid: &str, paths: &BTreeSet<Vec<Vec<u8>>>, every: u64) -> (SetId, Model) {
    let set = rig.set(uuid);
    let mut writer = rig.catalog.writer(set, 0).unwrap();
    let mut model = Model::new();
    let mut builder = Builder { writer: &mut writer, model: &mut model, every, archive: 0 };
    builder.walk(b"", &tree(paths));
    let last = builder.archive + 1;
    commit(&mut writer, last, 1, &[]);
    rig.close(set, 1, 50, 500);
    rig.catalog.finish_set(set, SetState::Complete, 2_000_000_000).unwrap();
    (set, model)
}

fn expected(model: &Model, query: &FindQuery) -> Vec<u64> {
    let pattern = Pattern::new(&query.pattern, query.ignore_case);
    let hit = |(path, member): &(Vec<u8>, Member)| {
        let text =
            if pattern.is_whole_path() { [b"/", path.as_slice()].concat() } else { member.name.clone() };
        pattern.matches(&text) && (query.kinds.is_empty() || query.kinds.contains(&member.kind))
    };
    (0..).zip(model).filter(|(_, row)| hit(row)).map(|(ordinal, _)| ordinal).collect()
}

fn check_against(rig: &Rig, set: SetId, model: &Model) {
    let catalog = &rig.catalog;
    assert_eq!(catalog.check().unwrap().problems, Vec::<String>::new());
    let rows: Vec<_> = catalog.members(set, 0..u64::MAX).unwrap().map(Result::unwrap).collect();
    assert_eq!(rows.len(), model.len());
    let mut paths = catalog.paths().unwrap();
    for ((ordinal, directory, found), (path, wanted)) in rows.iter().zip(model) {
        assert_eq!(found, wanted);
        assert_eq!(&paths.path_of_member(*directory, found).unwrap(), path);
        assert_eq!(catalog.lookup(set, path).unwrap(), Some((*ordinal, wanted.clone())));
    }
    assert_eq!(catalog.lookup(set, b"no/such").unwrap(), None);
}

fn check_find(rig: &Rig, set: SetId, model: &Model, query: &FindQuery) {
    let query = FindQuery { sets: vec![set], ..query.clone() };
    let wanted = expected(model, &query);
    let found = rig.catalog.find(&query).unwrap();
    assert_eq!(found.total, wanted.len() as u64, "{:?}", query.pattern.escape_ascii().to_string());
    let ordinals: Vec<u64> = found.rows.iter().map(|r| r.ordinal).collect();
    let window: Vec<u64> =
        wanted.into_iter().skip(query.offset as usize).take(query.limit as usize).collect();
    assert_eq!(ordinals, window, "{:?}", query.pattern.escape_ascii().to_string());
    for row in found.rows {
        let (path, member) = &model[row.ordinal as usize];
        assert_eq!((&row.path, &row.member), (path, member));
    }
}

fn check_browse(rig: &Rig, set: SetId, model: &Model) {
    let directories = model.iter().filter(|(_, m)| m.kind == Kind::Directory).map(|(p, _)| p.clone());
    for path in directories.chain([Vec::new()]) {
        let prefix = if path.is_empty() { Vec::new() } else { [path.as_slice(), b"/"].concat() };
        let children = model.iter().filter(|(p, _)| {
            p.strip_prefix(prefix.as_slice()).is_some_and(|rest| !rest.is_empty() && !rest.contains(&b'/'))
        });
        let (mut folders, mut files) = (Vec::new(), Vec::new());
        for (path, member) in children {
            let below =
                model.iter().filter(|(p, _)| p.starts_with(&[path.as_slice(), b"/"].concat())).count() as u64;
            match member.kind {
                Kind::Directory => folders.push((member.name.clone(), Some(below + 1))),
                _ => files.push((member.name.clone(), None)),
            }
        }
        folders.sort();
        files.sort();
        let wanted: Vec<_> = folders.into_iter().chain(files).collect();
        for one in [Some(set), None] {
            let listing = rig.catalog.browse(one, &path, 1000, 0).unwrap();
            let got: Vec<_> = listing.entries.iter().map(|e| (e.name.clone(), e.below)).collect();
            assert_eq!(got, wanted);
            assert_eq!(listing.total, wanted.len() as u64);
            let window = rig.catalog.browse(one, &path, 2, 1).unwrap();
            let got: Vec<_> = window.entries.iter().map(|e| (e.name.clone(), e.below)).collect();
            assert_eq!(got, wanted.iter().skip(1).take(2).cloned().collect::<Vec<_>>());
        }
    }
}

pub(super) fn description(catalog: &Catalog, part: &Part, last: bool) -> SetDescription {
    let set = catalog.set(part.set).unwrap();
    let archives = catalog.archives_of(part.set).unwrap().into_iter().filter(|a| a.part == part.number);
    SetDescription {
        format: SetDescription::FORMAT.into(),
        version: 1,
        set: set.uuid,
        part: part.number,
        last,
        state: if last { PartState::Complete } else { PartState::Continued },
        started: "1970-01-01T00:00:00.000001Z".into(),
        written: "1970-01-01T00:00:02Z".into(),
        first_ordinal: part.first_ordinal,
        members: part.members,
        bytes: part.bytes,
        record_size: 262_144,
        compression: set.compression,
        recipients: set.recipients,
        volume: "vol".into(),
        previous: None,
        archives: archives.map(|archive| archive.describe()).collect(),
    }
}

fn index(catalog: &Catalog, part: &Part) -> Vec<u8> {
    let mut bytes = Vec::new();
    let written = catalog.write_index(part, &mut bytes).unwrap();
    assert_eq!((written, catalog.index_length(part).unwrap()), (bytes.len() as u64, bytes.len() as u64));
    bytes
}

fn location(rig: &Rig, part: &Part) -> IndexLocation {
    IndexLocation { volume: rig.volume, file: part.index_file.unwrap(), block: part.index_block.unwrap() }
}

fn dump(catalog: &Catalog) -> Vec<String> {
    catalog.export().unwrap().map(Result::unwrap).collect()
}

fn rebuild(rig: &Rig, reverse: bool) -> Rig {
    let fresh = Rig::new();
    let mut parts: Vec<Part> =
        rig.catalog.sets().unwrap().iter().flat_map(|s| rig.catalog.parts_of(s.id).unwrap()).collect();
    if reverse {
        parts.reverse();
    }
    for part in &parts {
        let last = rig.catalog.parts_of(part.set).unwrap().last() == Some(part);
        let (description, bytes) = (description(&rig.catalog, part, last), index(&rig.catalog, part));
        let place = location(&fresh, part);
        // Cut short: nothing of it stays.
        let before = dump(&fresh.catalog);
        let cut = &bytes[..bytes.len() - 3];
        assert!(fresh.catalog.load_index(&description, &mut &cut[..], place).is_err());
        assert_eq!(dump(&fresh.catalog), before);
        assert!(matches!(
            fresh.catalog.load_index(&description, &mut &bytes[..], place),
            Ok(Loaded::Added(_))
        ));
        let again = fresh.catalog.load_index(&description, &mut &bytes[..], place);
        assert!(matches!(again, Ok(Loaded::Unchanged(_))));
        assert_eq!(fresh.catalog.check().unwrap().problems, Vec::<String>::new());
    }
    fresh
}

fn component() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[abAB]{1,3}(\\.(txt|TXT|c|tar\\.gz))?".prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>().prop_filter("a name", |b| *b != 0 && *b != b'/'), 1..4)
            .prop_filter("a name", |n| n != b"." && n != b".."),
    ]
}

fn pattern() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => Just(b"*".to_vec()),
        1 => Just(b"?".to_vec()),
        1 => Just(b"[!a]".to_vec()),
        1 => Just(b"[a-b]".to_vec()),
        2 => Just(b"/".to_vec()),
        3 => Just(b".txt".to_vec()),
        4 => "[abAB]{1,3}".prop_map(String::into_bytes),
    ];
    proptest::collection::vec(piece, 1..5).prop_map(|p| p.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn it_answers_as_a_plain_list_would(
        paths in proptest::collection::btree_set(proptest::collection::vec(component(), 1..5), 1..60),
        every in 3u64..40,
        patterns in proptest::collection::vec(pattern(), 40),
        window in (0u64..4, 1u64..8),
    ) {
        let rig = Rig::new();
        let (set, model) = fill(&rig, "set-a", &paths, every);
        check_against(&rig, set, &model);
        check_browse(&rig, set, &model);
        for (i, pattern) in patterns.into_iter().enumerate() {
            let kinds = if i % 4 == 3 { vec![Kind::Directory] } else { Vec::new() };
            let query = FindQuery { ignore_case: i % 3 == 0, kinds, offset: window.0, limit: window.1, ..FindQuery::new(&pattern) };
            check_find(&rig, set, &model, &query);
        }
        let fresh = rebuild(&rig, false);
        prop_assert_eq!(dump(&fresh.catalog), dump(&rig.catalog));
        let there = fresh.catalog.set_by_uuid("set-a").unwrap().unwrap().id;
        check_browse(&fresh, there, &model);
    }
}

/// More members than a segment of one block holds, so that masks, slices and the second thread are used.
#[test]
fn a_large_set_is_searched_exactly() {
    let rig = Rig::new();
    let paths: BTreeSet<Vec<Vec<u8>>> = (0..200_000u32)
        .map(|i| {
            let file = format!("f{}-{:05}.{}", i % 97, i, ["txt", "jpg", "c"][(i % 3) as usize]);
            vec![format!("d{}", i % 23).into_bytes(), format!("e{}", i % 7).into_bytes(), file.into_bytes()]
        })
        .collect();
    let (set, model) = fill(&rig, "set-l", &paths, 70_000);
    for pattern in [
        "*-19999*",
        "*.jpg",
        "f1-*",
        "*7*",
        "*9.c",
        "f?-*[02].txt",
        "/d1/*",
        "/d1/e2/*.c",
        "*/e3/*",
        "/d2*",
        "d22",
        "*",
        "e1",
        "*-00001.jpg",
        "/d3/e3/f3-00003.txt",
        "*.none",
        "/nowhere/*",
    ] {
        for ignore_case in [false, true] {
            let query = FindQuery { ignore_case, offset: 3, limit: 5, ..FindQuery::new(pattern.as_bytes()) };
            check_find(&rig, set, &model, &query);
        }
    }
    assert!(rig.catalog.check().unwrap().is_sound());
}

#[test]
fn what_is_not_committed_is_not_there() {
    let rig = Rig::new();
    let set = rig.set("set-u");
    let mut writer = rig.catalog.writer(set, 0).unwrap();
    writer.enter(b"d").unwrap();
    writer.push(&member(b"d", Kind::Directory, 0)).unwrap();
    writer.push(&member(b"one.txt", Kind::Regular, 1)).unwrap();
    commit(&mut writer, 1, 1, &[]);
    let before = dump(&rig.catalog);
    // Enough to be written out, and a subdirectory closed behind the checkpoint.
    writer.enter(b"sub").unwrap();
    writer.push(&member(b"sub", Kind::Directory, 2)).unwrap();
    for i in 0..100_000u32 {
        writer.push(&member(format!("n{i}.txt").as_bytes(), Kind::Regular, 3)).unwrap();
    }
    writer.leave().unwrap();
    assert_eq!(dump(&rig.catalog), before);
    assert_eq!(rig.catalog.find(&FindQuery::new(b"*.txt")).unwrap().total, 1);
    assert_eq!(rig.catalog.find(&FindQuery::new(b"/d/*")).unwrap().total, 1);
    assert_eq!(rig.catalog.browse(Some(set), b"d", 10, 0).unwrap().total, 1);
    assert_eq!(rig.catalog.lookup(set, b"d/sub").unwrap(), None);
    drop(writer);
    let recovered = rig.catalog.recover().unwrap();
    assert_eq!((recovered[0].set, recovered[0].parts.len()), (set, 1));
    assert!(recovered[0].dropped > 90_000);
    assert_eq!(dump(&rig.catalog), before);
    assert_eq!(rig.catalog.check().unwrap().problems, Vec::<String>::new());
    assert!(matches!(rig.catalog.writer(set, 5), Err(CatalogError::Ordinal { expected: 2, .. })));
    let mut writer = rig.catalog.writer(set, 2).unwrap();
    writer.enter(b"d").unwrap();
    writer.push(&member(b"two.txt", Kind::Regular, 1)).unwrap();
    commit(&mut writer, 2, 1, &[]);
    assert_eq!(rig.catalog.browse(Some(set), b"d", 10, 0).unwrap().total, 2);
    assert_eq!(rig.catalog.find(&FindQuery::new(b"/d/*")).unwrap().total, 2);
    let volume = rig.catalog.volume(rig.volume).unwrap();
    assert_eq!((volume.end_block, volume.end_file, volume.change_reference), (102, 3, Some(2)));
    assert_eq!(volume.status, VolumeStatus::Active);
}

#[test]
fn parts_come_back_in_any_order_with_their_split_member() {
    let rig = Rig::new();
    let set = rig.set("set-p");
    let mut writer = rig.catalog.writer(set, 0).unwrap();
    writer.enter(b"r").unwrap();
    writer.push(&member(b"r", Kind::Directory, 0)).unwrap();
    writer.push(&member(b"a", Kind::Regular, 1)).unwrap();
    writer.enter(b"s").unwrap();
    writer.push(&member(b"s", Kind::Directory, 2)).unwrap();
    writer.push(&member(b"b", Kind::Regular, 3)).unwrap();
    let piece =
        Fragment { set, ordinal: 4, archive: 1, stream_offset: 1024, data_offset: 0, data_length: 512 };
    commit(&mut writer, 1, 1, &[piece]);
    rig.close(set, 1, 2, 20);
    rig.part(set, 2, 4);
    let mut split = member(b"c", Kind::Regular, 4);
    (split.archive, split.notes) = (2, Notes::SPLIT);
    writer.push(&split).unwrap();
    writer.leave().unwrap();
    writer.enter(b"t").unwrap();
    writer.push(&member(b"t", Kind::Directory, 5)).unwrap();
    commit(&mut writer, 2, 2, &[]);
    rig.close(set, 2, 3, 30);
    rig.catalog.finish_set(set, SetState::Complete, 2_000_000_000).unwrap();
    assert_eq!(rig.catalog.fragments_of(set, 4).unwrap(), vec![piece]);
    for reverse in [false, true] {
        let fresh = rebuild(&rig, reverse);
        assert_eq!(dump(&fresh.catalog), dump(&rig.catalog));
    }
    assert_eq!(rig.catalog.find(&FindQuery::new(b"/r/*")).unwrap().total, 5);
}

#[test]
fn a_directory_entered_twice_counts_once_each() {
    let rig = Rig::new();
    let set = rig.set("set-2");
    let mut writer = rig.catalog.writer(set, 0).unwrap();
    for (root, file) in [(&b"x"[..], &b"1"[..]), (b"y", b"2"), (b"x", b"3")] {
        writer.enter(b"top").unwrap();
        writer.enter(root).unwrap();
        writer.push(&member(file, Kind::Regular, 1)).unwrap();
        writer.leave().unwrap();
        writer.push(&member(&[b'f', file[0]], Kind::Regular, 1)).unwrap();
        writer.leave().unwrap();
    }
    commit(&mut writer, 1, 1, &[]);
    assert_eq!(rig.catalog.find(&FindQuery::new(b"/top/*")).unwrap().total, 6);
    assert_eq!(rig.catalog.find(&FindQuery::new(b"/top/x/*")).unwrap().total, 2);
    assert_eq!(rig.catalog.browse(Some(set), b"top", 10, 0).unwrap().total, 5);
    assert_eq!(rig.catalog.lookup(set, b"top/f3").unwrap().unwrap().0, 5);
    assert!(writer.enter(b"a/b").is_err() && writer.enter(b"..").is_err());
    assert!(writer.push(&member(b"wrong", Kind::Directory, 1)).is_err());
    assert!(rig.catalog.check().unwrap().is_sound());
}

#[test]
fn the_newest_version_of_a_name_is_shown_and_a_deleted_set_is_gone() {
    let rig = Rig::new();
    let paths = |names: &[&str]| names.iter().map(|n| vec![b"d".to_vec(), n.as_bytes().to_vec()]).collect();
    let (old, _) = fill(&rig, "set-old", &paths(&["a", "b"]), 100);
    let (new, _) = fill(&rig, "set-new", &paths(&["b", "c"]), 100);
    let listing = rig.catalog.browse(None, b"d", 10, 0).unwrap();
    let got: Vec<_> = listing.entries.iter().map(|e| (e.name.as_slice(), e.set)).collect();
    assert_eq!(got, vec![(&b"a"[..], old), (b"b", new), (b"c", new)]);
    assert_eq!(rig.catalog.sets_on_volume(rig.volume).unwrap().len(), 2);
    rig.catalog.delete_set(new).unwrap();
    assert!(rig.catalog.set(new).is_err());
    assert_eq!(rig.catalog.browse(None, b"d", 10, 0).unwrap().total, 2);
    assert!(rig.catalog.check().unwrap().is_sound());
    // Cut off after the first step: recovery goes on.
    rig.catalog.lock().connection.execute("UPDATE backup_set SET state = 3", []).unwrap();
    rig.catalog.recover().unwrap();
    let left: i64 = rig
        .catalog
        .readers()
        .unwrap()
        .query_row("SELECT (SELECT count(*) FROM member_block) + (SELECT count(*) FROM signature)", [], |r| {
            r.get(0)
        })
        .unwrap();
    assert_eq!(left, 0);
}

#[test]
fn the_newest_set_is_the_one_that_began_last() {
    let rig = Rig::new();
    let paths = BTreeSet::from([vec![b"d".to_vec(), b"a".to_vec()]]);
    let (newer, _) = fill(&rig, "set-newer", &paths, 100);
    let (older, _) = fill(&rig, "set-older", &paths, 100);
    rig.catalog
        .lock()
        .connection
        .execute("UPDATE backup_set SET started = 500 WHERE id = ?1", [older])
        .unwrap();
    assert!(older > newer, "numbered as a rebuild met them");
    assert_eq!(rig.catalog.sets().unwrap().iter().map(|set| set.id).collect::<Vec<_>>(), [older, newer]);
    assert_eq!(rig.catalog.browse(None, b"d", 10, 0).unwrap().entries[0].set, newer);
    assert_eq!(rig.catalog.browse(None, b"", 10, 0).unwrap().entries[0].set, newer);
    for pattern in [&b"/d/*"[..], b"*", b"a", b"?"] {
        let found = rig.catalog.find(&FindQuery::new(pattern)).unwrap();
        let order: Vec<SetId> = found.rows.iter().map(|row| row.set).collect();
        assert!(order.iter().is_sorted_by_key(|set| *set != newer), "{order:?}");
        assert!(order.contains(&newer) && order.contains(&older));
    }
}

#[test]
fn two_writers_share_directories() {
    let rig = Rig::new();
    let sets = [rig.set("set-x"), rig.set("set-y")];
    let mut writers = sets.map(|set| rig.catalog.writer(set, 0).unwrap());
    for name in [&b"same"[..], b"other"] {
        for writer in &mut writers {
            writer.enter(name).unwrap();
            writer.push(&member(name, Kind::Directory, 1)).unwrap();
            writer.push(&member(b"file.txt", Kind::Regular, 2)).unwrap();
            writer.leave().unwrap();
        }
    }
    let [first, second] = &mut writers;
    commit(first, 1, 1, &[]);
    assert_eq!(rig.catalog.find(&FindQuery::new(b"file.txt")).unwrap().total, 2);
    commit(second, 1, 1, &[]);
    assert_eq!(rig.catalog.find(&FindQuery::new(b"/same/*")).unwrap().total, 2);
    assert_eq!(rig.catalog.browse(None, b"", 10, 0).unwrap().total, 2);
    let directories: i64 =
        rig.catalog.readers().unwrap().query_row("SELECT count(*) FROM directory", [], |r| r.get(0)).unwrap();
    assert_eq!(directories, 2);
    assert!(rig.catalog.check().unwrap().is_sound());
    // A second process that has come to the same ids in the meantime is refused, not mixed up.
    let other = Catalog::open(rig.catalog.path()).unwrap();
    let mut late = other.writer(rig.set("set-z"), 0).unwrap();
    late.enter(b"late").unwrap();
    late.push(&member(b"late", Kind::Directory, 1)).unwrap();
    first.enter(b"new").unwrap();
    first.push(&member(b"new", Kind::Directory, 1)).unwrap();
    commit(first, 2, 1, &[]);
    let archive = archive(1, 1);
    let checkpoint = Checkpoint {
        archive: &archive,
        fragments: &[],
        end_block: 1,
        end_file: 1,
        change_reference: None,
        used: 1,
        written: 1,
    };
    assert!(matches!(late.commit(checkpoint), Err(CatalogError::OtherWriter)));
}
