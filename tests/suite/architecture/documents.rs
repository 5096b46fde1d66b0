//! What the pages say, and the rules on it.

/// Where a page points.
#[derive(Debug, PartialEq, Eq)]
pub struct Link {
    /// Without its `#anchor`.
    pub path: String,
    /// Relative to the project's root, not to the page.
    pub from_root: bool,
}

/// Links to files with their lines: `[text](path)`, and pages named in code style such as `docs/errors.md`.
pub fn links(page: &str) -> Vec<(usize, Link)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (line, text) in page.lines().enumerate().map(|(index, text)| (index + 1, text)) {
        if text.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        for (index, part) in text.split('`').enumerate() {
            let page_name =
                part.starts_with("docs/") && part.ends_with(".md") && !part.contains(char::is_whitespace);
            if index % 2 == 1 && page_name {
                found.push((line, Link { path: part.to_owned(), from_root: true }));
            }
        }
        for rest in text.split("](").skip(1) {
            let Some(target) = rest.split(')').next() else { continue };
            let path = target.split('#').next().unwrap_or_default();
            if !path.is_empty() && !path.contains("://") && !path.starts_with("mailto:") {
                found.push((line, Link { path: path.to_owned(), from_root: false }));
            }
        }
    }
    found
}

/// The modules in the first column of the table of `docs/architecture.md`.
pub fn architecture_modules(page: &str) -> Vec<String> {
    first_columns(page, |_| true)
}

/// Dependencies without a row in the page, and rows without a dependency.
pub fn dependency_faults(manifest: &str, page: &str) -> Vec<String> {
    let declared = dependencies(manifest);
    let used = first_columns(page, |heading| !heading.contains("not yet"));
    let missing =
        declared.iter().filter(|name| !used.contains(name)).map(|name| format!("{name}: has no row"));
    let stale = used
        .iter()
        .filter(|name| !declared.contains(name))
        .map(|name| format!("{name}: is not in Cargo.toml"));
    missing.chain(stale).collect()
}

/// Names in code style in the first column of the tables, under headings that `keep` accepts.
fn first_columns(page: &str, keep: impl Fn(&str) -> bool) -> Vec<String> {
    let mut kept = true;
    let mut names = Vec::new();
    for line in page.lines() {
        if line.starts_with('#') {
            kept = keep(&line.to_lowercase());
        }
        let Some(cell) = line.strip_prefix("| `").and_then(|rest| rest.split('|').next()) else { continue };
        if kept {
            // The cell begins inside code style: names are at even places.
            names
                .extend(cell.split('`').step_by(2).filter(|name| !name.trim().is_empty()).map(str::to_owned));
        }
    }
    names
}

fn dependencies(manifest: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut inside = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_end_matches(']');
            inside = section.ends_with("dependencies");
            if let Some((_, name)) = section.split_once("dependencies.") {
                names.push(name.to_owned());
            }
        } else if let Some((name, _)) = line.split_once('=')
            && inside
            && !line.starts_with('#')
        {
            names.push(name.trim().trim_matches('"').to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_outside_of_code() {
        let page =
            "See [a](a.md#x), [b](https://b/), [c](#c), `docs/d.md`.\n```\n[e](e.md)\n```\n[f](../f)\n";
        let link = |path: &str, from_root| Link { path: path.to_owned(), from_root };
        assert_eq!(
            links(page),
            [(1, link("docs/d.md", true)), (1, link("a.md", false)), (5, link("../f", false))]
        );
    }

    #[test]
    fn a_missing_and_a_stale_row_are_told() {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\na = \"1\" # x = 2\n# b = \"1\"\n[dev-dependencies]\nc = { version = \"1\" }\n[dependencies.d]\nversion = \"1\"\n";
        let page = "## Used\n| `a` | why |\n| `z` | why |\n| `c` | why |\n## Named, not yet used\n| `tokio` | why |\n";
        assert_eq!(dependency_faults(manifest, page), ["d: has no row", "z: is not in Cargo.toml"]);
    }

    #[test]
    fn a_cell_may_hold_two_modules() {
        assert_eq!(architecture_modules("| module | x |\n|---|---|\n| `a`, `b` | `c` |\n"), ["a", "b"]);
    }
}
