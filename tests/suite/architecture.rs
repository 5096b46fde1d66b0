//! Holds what `docs/architecture.md` says about the sources: dependencies point down, files stay short,
//! `unsafe` stays where it is allowed, and every dependency and linked page is documented.

mod documents;
mod source;
mod tokens;

use std::path::{Path, PathBuf};

/// Files under `src/` that may hold `unsafe`: the ioctl and the C boundary.
const UNSAFE_ALLOWED: &[&str] = &["src/scsi/iscsi/ffi.rs", "src/scsi/linux_sg/ioctl.rs"];

/// Lines of one file, its tests not counted.
const MAX_LINES: usize = 650;

/// Modules that production code must not name although they stand below it: the column "must not know" of
/// `docs/architecture.md`. Unit tests may (the virtual library is every test's device).
const MUST_NOT_KNOW: &[(&str, &[&str])] = &[
    ("cli", &["scsi"]),
    ("daemon", &["scsi"]),
    ("api", &["scsi"]),
    ("access", &["api", "drive", "changer", "virtual_library", "scsi"]),
    ("tasks", &["api"]),
    ("pipeline", &["catalog"]),
    ("sources", &["drive", "changer", "virtual_library", "scsi"]),
    ("catalog", &["drive", "changer", "virtual_library", "scsi"]),
    ("format", &["drive", "changer", "virtual_library", "scsi"]),
    ("drive", &["virtual_library"]),
    ("changer", &["virtual_library"]),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file below `dir` whose name ends in `extension`, relative to `base`, sorted.
fn files_below(base: &Path, dir: &str, extension: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut pending = vec![base.join(dir)];
    while let Some(dir) = pending.pop() {
        for entry in std::fs::read_dir(&dir).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path.strip_prefix(base).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<(String, String)> {
    let root = root();
    let files = files_below(&root, "src", "rs");
    files.into_iter().map(|file| (file.clone(), read(&root.join(&file)))).collect()
}

fn assert_none(what: &str, faults: Vec<String>) {
    assert!(faults.is_empty(), "{what}:\n  {}", faults.join("\n  "));
}

#[test]
fn dependencies_point_down() {
    let order = source::module_order(&read(&root().join("src/lib.rs")));
    assert!(order.len() >= 10, "src/lib.rs lists the modules: {order:?}");
    let faults = sources().iter().flat_map(|(file, text)| source::upward(file, text, &order)).collect();
    assert_none("a module may use only those below it in src/lib.rs", faults);
}

#[test]
fn modules_do_not_know_what_they_must_not() {
    let faults =
        sources().iter().flat_map(|(file, text)| source::forbidden(file, text, MUST_NOT_KNOW)).collect();
    assert_none("docs/architecture.md, column `must not know`", faults);
}

#[test]
fn unsafe_stays_where_it_is_allowed() {
    let sources = sources();
    let faults = sources
        .iter()
        .filter(|(file, _)| !UNSAFE_ALLOWED.contains(&file.as_str()))
        .flat_map(|(file, text)| source::unsafe_lines(file, text))
        .collect();
    assert_none("unsafe outside of the allowed files", faults);
    let stale = UNSAFE_ALLOWED.iter().filter(|allowed| !sources.iter().any(|(file, _)| file == *allowed));
    assert_none("UNSAFE_ALLOWED names files that are gone", stale.map(ToString::to_string).collect());
}

#[test]
fn files_stay_short() {
    let long = |(file, text): &(String, String)| {
        let lines = source::production_lines(file, text);
        (lines > MAX_LINES).then(|| format!("{file}: {lines} lines without its tests"))
    };
    assert_none("files past the limit of lines", sources().iter().filter_map(long).collect());
}

#[test]
fn the_architecture_page_lists_the_modules_in_order() {
    let order = source::module_order(&read(&root().join("src/lib.rs")));
    let listed = documents::architecture_modules(&read(&root().join("docs/architecture.md")));
    assert_eq!(listed, order, "docs/architecture.md against src/lib.rs");
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest = read(&root().join("Cargo.toml"));
    let page = read(&root().join("docs/dependencies.md"));
    assert_none("docs/dependencies.md against Cargo.toml", documents::dependency_faults(&manifest, &page));
}

#[test]
fn linked_pages_exist() {
    let root = root();
    let mut pages = files_below(&root, "docs", "md");
    pages.extend(
        ["README.md", "CHANGELOG.md"].map(str::to_owned).into_iter().filter(|page| root.join(page).exists()),
    );
    let faults = pages
        .iter()
        .flat_map(|page| {
            let missing = documents::links(&read(&root.join(page)));
            let dir = root.join(page).parent().unwrap().to_path_buf();
            let root = root.clone();
            missing.into_iter().filter_map(move |(line, link)| {
                let found = if link.from_root { root.join(&link.path) } else { dir.join(&link.path) };
                (!found.exists()).then(|| format!("{page}:{line}: {} does not exist", link.path))
            })
        })
        .collect();
    assert_none("links to pages that are not there", faults);
}
